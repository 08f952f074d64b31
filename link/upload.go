package link

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tandemgw/tandem/link/record"
)

// Spool is an edge's store of call entries, as much of it as the link needs.
type Spool interface {
	// Owed gives entries that have not arrived, by ascending number, from after
	// a number on.
	Owed(ctx context.Context, after uint64, limit int) ([]record.Owed, error)
	// Arrived tells that entries have.
	Arrived(entries []record.Owed)
	// Owing has a value after there is more to give.
	Owing() <-chan struct{}
}

const (
	// perMessage entries of about 1.5 KB are 400 KB, 60 packed.
	perMessage = 256
	// company is how long an entry waits for others to go with: each message
	// costs the stream a sync of its disk.
	company = 100 * time.Millisecond
	// maxBatch bounds what a message of entries unfolds to.
	maxBatch = 16 << 20
)

// Upload sends what the spool owes, until ctx is done or the edge closed. An
// entry has arrived when the stream has it on disk.
func (e *Edge) Upload(ctx context.Context, spool Spool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	conn := e.conn.Load()
	back := conn.returns()
	var after uint64
	fails := 0
	for {
		sent, err := uint64(0), error(nil)
		if conn.Connected() {
			sent, err = e.uploadSome(ctx, conn, spool, after)
		}
		var again <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if fails++; fails&(fails-1) == 0 { // 1, 2, 4, 8 …
				e.log.Warn("call records cannot be sent and wait in the spool", "error", err, "count", fails)
			}
			again = time.After(backOff(fails))
		case sent > 0:
			after, fails = sent, 0
			continue
		}
		select {
		case <-spool.Owing():
			select {
			case <-time.After(company):
			case <-ctx.Done():
				return
			}
		case <-back:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// uploadSome sends one message and gives the number of the last entry in it,
// 0 when nothing is owed.
func (e *Edge) uploadSome(ctx context.Context, conn *Conn, spool Spool, after uint64) (uint64, error) {
	owed, err := spool.Owed(ctx, after, perMessage)
	if err != nil || len(owed) == 0 {
		return 0, err
	}
	batch, n, err := packEntries(owed)
	if err != nil {
		return 0, err
	}
	owed = owed[:n]
	last := owed[n-1].Number
	if len(batch) > maxPayload*9/10 {
		// Only a lone entry can be: see packEntries. It stays in the spool.
		e.log.Error("a call record is too long for the link", "number", last, "bytes", len(batch))
		return last, nil
	}
	deadline, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	// The same entries once more within two minutes, because the answer was
	// lost, are put aside by the stream; later ones by who keeps them.
	_, err = conn.js.Publish(deadline, recordSubject+token(e.node), batch, jetstream.WithMsgID(digest(batch)))
	if err != nil {
		return 0, fmt.Errorf("send %d call records: %w", n, err)
	}
	spool.Arrived(owed)
	e.uploaded.Add(uint64(n))
	return last, nil
}

// line is an entry in a message.
type line struct {
	Stage record.Stage    `json:"stage"`
	Call  json.RawMessage `json:"call"`
}

// packEntries makes a message of the first n entries, at least one.
func packEntries(owed []record.Owed) (packed []byte, n int, err error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, 0, err
	}
	out, room := json.NewEncoder(z), maxPayload*8/10 // unpacked, so that it fits packed for certain
	for _, o := range owed {
		if room -= len(o.JSON) + 32; room < 0 && n > 0 {
			break
		}
		if err := out.Encode(line{o.Stage, o.JSON}); err != nil {
			return nil, 0, fmt.Errorf("encode call record: %w", err)
		}
		n++
	}
	err = z.Close()
	return b.Bytes(), n, err
}

// unpackEntries reads a message of a node.
func unpackEntries(node string, packed []byte) ([]record.Entry, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	in := json.NewDecoder(bufio.NewReader(&io.LimitedReader{R: z, N: maxBatch}))
	var entries []record.Entry
	for {
		var l line
		if err := in.Decode(&l); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, err
		}
		e := record.Entry{Stage: l.Stage, JSON: l.Call}
		if err := json.Unmarshal(l.Call, &e.Call); err != nil {
			return nil, err
		}
		switch {
		case e.Call.ID == "" || e.Stage < record.Begun || e.Stage > record.Finished:
			return nil, errors.New("an entry without ID or with an impossible stage")
		case token(e.Call.Node) != token(node):
			return nil, fmt.Errorf("an entry of node %q, which is another", e.Call.Node)
		}
		entries = append(entries, e)
	}
}
