package ops

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Copy is one state of a node's data, kept on the node's disk until Close.
type Copy interface {
	Size() int64 // about, for who shows progress
	WriteTo(w io.Writer) (int64, error)
	Close() error
}

const (
	archiveType = "application/x-tar"
	sizeHeader  = "Tandem-Size"
)

// backup sends an archive. Copying takes as long as the disk wants, and what
// follows as long as the client reads.
func (a api) backup(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // a request that has been read needs none; a recorder of tests has none
	_ = conn.SetWriteDeadline(time.Time{})
	c, err := a.Backup(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer c.Close()
	w.Header().Set("Content-Type", archiveType)
	w.Header().Set("Content-Disposition", `attachment; filename="tandem.tar"`)
	w.Header().Set(sizeHeader, strconv.FormatInt(c.Size(), 10))
	if _, err := c.WriteTo(unhurried{w, conn}); err != nil {
		if r.Context().Err() == nil {
			a.Log.Error("a backup broke off", "error", err)
		}
		panic(http.ErrAbortHandler) // so that the client knows that it is not whole
	}
}

// unhurried gives each write the time of a whole question: a client that
// stands still does not hold the copy for ever.
type unhurried struct {
	io.Writer
	conn *http.ResponseController
}

func (u unhurried) Write(p []byte) (int, error) {
	_ = u.conn.SetWriteDeadline(time.Now().Add(patience))
	return u.Writer.Write(p)
}

// Archive is a backup on its way from the node, a tar for ReadArchive.
type Archive struct {
	io.ReadCloser
	Size int64 // about; 0 when unknown
}

// Backup has the node copy its data and gives the archive when that is done.
func (c *Client) Backup(ctx context.Context) (*Archive, error) {
	res, err := c.do(ctx, http.MethodGet, "/backup", archiveType)
	if err != nil {
		return nil, err
	}
	if err := refusal(res); err != nil {
		res.Body.Close()
		return nil, err
	}
	size, _ := strconv.ParseInt(res.Header.Get(sizeHeader), 10, 64) // for show
	return &Archive{res.Body, size}, nil
}
