package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Server serves a Handler on a unix socket.
type Server struct {
	http  *http.Server
	path  string
	ended chan struct{}
}

// Listen serves h on a unix socket of mode 0600, replacing a socket that
// nobody serves any more.
func Listen(socket string, h http.Handler, log *slog.Logger) (*Server, error) {
	if err := clear(socket); err != nil {
		return nil, err
	}
	path, release, err := short(socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "the control socket " + socket + " cannot be made", Err: err}
	}
	l.SetUnlinkOnClose(false) // path may be a detour that is closed by then
	if err := os.Chmod(socket, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect control socket: %w", err)
	}
	s := &Server{
		path:  socket,
		ended: make(chan struct{}),
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      2 * patience,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket failed", "error", err)
		}
	}()
	return s, nil
}

// Close ends the server, letting requests in progress finish for a moment.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.ended
	os.Remove(s.path)
	return err
}

// clear removes a socket that a killed node left behind, and nothing else.
func clear(socket string) error {
	st, err := os.Lstat(socket)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at control socket: %w", err)
	}
	if st.Mode().Type() != os.ModeSocket {
		return fault.New(fault.Conflict, socket+" exists and is no socket: move it away, or give the node another data folder")
	}
	if c, err := dial(context.Background(), socket); err == nil {
		c.Close()
		return fault.New(fault.Conflict, "another node serves "+socket+": stop it, or give this node another data folder")
	}
	return os.Remove(socket)
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	path, release, err := short(socket)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// A unix address has room for 108 octets with the final zero.
const maxAddress = 107

// short gives a way to a socket whose path is too long for a unix address: by
// way of the open folder.
func short(socket string) (path string, release func(), err error) {
	if len(socket) <= maxAddress {
		return socket, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return "", nil, err
	}
	path = "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(socket)
	return path, func() { dir.Close() }, nil
}
