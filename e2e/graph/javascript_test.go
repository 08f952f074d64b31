package graph

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMicrosoftsClientInJavaScript is what the other widespread library does.
func TestMicrosoftsClientInJavaScript(t *testing.T) {
	if testing.Short() {
		t.Skip("the library is fetched")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/js")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("TANDEM_PEERS") == "required" {
			t.Fatalf("npm: %v: %s", err, out)
		}
		t.Skipf("npm: %v", err)
	}
	w := newWorld(t)
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, w.root, 0o600); err != nil {
		t.Fatal(err)
	}
	client := exec.CommandContext(t.Context(), "node", "client.js")
	client.Dir = dir
	client.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+root, "NODE_PATH="+filepath.Join(dir, "node_modules"), "GRAPH="+w.url, "TENANT="+tenantID, "CLIENT="+onboardingID, "SECRET="+clientSecret)
	out, err := client.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "done") {
		t.Errorf("%v: %s", err, out)
	}
}
