package cli

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/front/ops"
)

// listen serves the operations API on a socket, which commands find.
func listen(t *testing.T, c ops.Config) {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	socket := filepath.Join(t.TempDir(), "control.sock")
	s, err := ops.Listen(socket, ops.Handler(c), c.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("TANDEM_SOCKET", socket)
}

// said is a command line and what comes of it: parts of what it prints, "" for
// nothing at all.
type said struct {
	line           string
	status         int
	stdout, stderr string
}

// says runs one command after the other.
func says(t *testing.T, all []said) {
	t.Helper()
	for _, tt := range all {
		stdout, stderr, status := run(t, strings.Fields(tt.line)...)
		if status != tt.status || !holds(stdout, tt.stdout) || !holds(stderr, tt.stderr) {
			t.Errorf("%s: status %d, want %d\n%s%s", tt.line, status, tt.status, stdout, stderr)
		}
	}
}
