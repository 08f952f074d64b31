package link

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream that could not be written, on a full disk above all, takes nothing
// any more until it is opened anew, though there is room again. Nobody should
// have to start the control node for that.

// attend is how often the streams are looked after.
var attend = 10 * time.Second // a variable for the tests

// room that there must be before the streams are opened again: enough not to
// stumble over the first record.
const roomAgain = 8 << 20

// reviveWhenThereIsRoom opens the streams again that a disk has refused, until
// done is closed.
func (s *Server) reviveWhenThereIsRoom(done <-chan struct{}) {
	tick := time.NewTicker(attend)
	defer tick.Stop()
	said := false
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		switch why := s.stuck(); {
		case why == "":
			said = false
		case hasRoom(s.dir) != nil:
			if !said {
				said = true
				s.log.Error("link: the streams cannot be written; edges keep their call records, and no snapshot can be published: make room on the disk", "dir", s.dir, "error", why)
			}
		default:
			s.log.Warn("link: the streams are opened again, since there is room", "dir", s.dir)
			if err := s.revive(); err != nil {
				s.log.Error("link: the streams cannot be opened again", "error", err)
			}
		}
	}
}

// stuck tells why the streams take nothing any more, "" when they do.
func (s *Server) stuck() string {
	if !s.nats.JetStreamEnabled() {
		return "they are switched off"
	}
	h := s.nats.Healthz(&server.HealthzOptions{Details: true})
	for _, e := range h.Errors {
		if strings.Contains(e.Error, "write error") {
			return e.Error
		}
	}
	return ""
}

// hasRoom tries whether a file can be written.
func hasRoom(dir string) error {
	path := filepath.Join(dir, ".room")
	defer os.Remove(path)
	return os.WriteFile(path, make([]byte, roomAgain), 0o600)
}

// revive opens the streams anew, from what is on the disk.
func (s *Server) revive() error {
	cfg := s.streams
	if err := s.nats.ShutdownJetStream(); err != nil {
		return fmt.Errorf("close the streams: %w", err)
	}
	if err := s.nats.EnableJetStream(&cfg); err != nil {
		return fmt.Errorf("open the streams: %w", err)
	}
	return nil
}
