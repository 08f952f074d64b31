package cli

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/front/ops"
)

func TestAudit(t *testing.T) {
	var asked ops.AuditFilter
	at := time.Now().Add(-10 * time.Minute)
	lines := []ops.AuditLine{
		{ID: "1", At: at, Latest: at.Add(5 * time.Minute), Times: 1200, Principal: "u1", Name: "ann@telecom.example", Action: "microsoft.directory/users/signIn", Resource: "/tenants/t/users/u1", Outcome: "Denied: wrong password", Source: "198.51.100.7"},
		{ID: "2", At: at, Latest: at, Times: 1, Principal: "p1", Action: "microsoft.directory/servicePrincipals/signIn", Resource: "/tenants/t/servicePrincipals/p1", Outcome: "Succeeded"},
	}
	socket := filepath.Join(t.TempDir(), "control.sock")
	s, err := ops.Listen(socket, ops.Handler(ops.Config{Audit: func(_ context.Context, f ops.AuditFilter) ([]ops.AuditLine, error) {
		if asked = f; f.Who == "nobody" {
			return nil, nil
		}
		return lines, nil
	}, Log: slog.New(slog.DiscardHandler)}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("TANDEM_SOCKET", socket)
	for _, tt := range []struct {
		line           string
		status         int
		stdout, stderr string
	}{
		{"audit", 0, "ann@telecom.example  microsoft.directory/users/signIn              Denied: wrong password (1200 times)  198.51.100.7", ""},
		{"audit", 0, "p1                   microsoft.directory/servicePrincipals/signIn  Succeeded                            -", ""},
		{"audit --json", 0, `"times": 1200`, ""},
		{"audit --limit 2", 0, "TIME", "The newest 2; there may be more"},
		{"audit --who nobody", 0, "", "nothing of the kind"},
		{"audit --limit 0", 2, "", "at least one line"},
		{"audit --limit 10001", 2, "", "limit is not a number from 1 to 10000"},
		{"audit --since yesterday", 2, "", "yesterday"},
	} {
		stdout, stderr, status := run(t, strings.Fields(tt.line)...)
		if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: status %d, want %d\n%s%s", tt.line, status, tt.status, stdout, stderr)
		}
	}
	run(t, strings.Fields("audit --who ann --action signIn --source 192.0.2.1 --resource /tenants/t --refused --since 2h --limit 5")...)
	since := asked.Since
	asked.Since = time.Time{}
	if want := (ops.AuditFilter{Who: "ann", Action: "signIn", Source: "192.0.2.1", Scope: "/tenants/t", Refused: true, Limit: 5}); asked != want || time.Since(since).Round(time.Minute) != 2*time.Hour {
		t.Errorf("asked for %+v since %v", asked, since)
	}
}
