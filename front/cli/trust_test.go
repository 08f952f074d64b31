package cli

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Somebody who answers with a wrong certificate is not "no node".
func TestACertificateThatDoesNotFitIsToldAsSuch(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, endpoint, ca string
		exit               int
		says               string
	}{
		{"another name", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), ca, ExitFailure, "shows a certificate for example.com, *.example.com, 127.0.0.1, ::1, not for localhost"},
		{"another authority", server.URL, "", ExitFailure, "--ca"},
		{"nobody", "https://127.0.0.1:1", ca, ExitNoNode, "no node answers"},
	} {
		c := &connection{endpoint: tt.endpoint, ca: tt.ca}
		r, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.send(req)
		if err == nil || ExitStatus(err) != tt.exit || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: exit %d, %v", tt.name, ExitStatus(err), err)
		}
	}
}
