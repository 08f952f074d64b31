package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// controlNode starts a control node on addresses of 127.78.9.0/24.
func controlNode(t *testing.T, more ...string) (*Node, *authority.Authority) {
	t.Helper()
	return controlNodeOf(t, goodControl+strings.Join(more, ""))
}

// controlNodeOf is controlNode of another configuration.
func controlNodeOf(t *testing.T, text string) (*Node, *authority.Authority) {
	t.Helper()
	log, err := obs.NewLogger(t.Output(), nil, "text")
	if err != nil {
		t.Fatal(err)
	}
	return controlNodeTelling(t, text, log)
}

// controlNodeTelling is controlNodeOf with a log of its own.
func controlNodeTelling(t *testing.T, text string, log *slog.Logger) (*Node, *authority.Authority) {
	t.Helper()
	dir := t.TempDir()
	ca, err := authority.New("Test Root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "api.lab.example", "*.vault.lab.example", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "api", cert); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"secret":      "a long enough secret\n",
		"tandem.yaml": strings.NewReplacer("127.0.0.1:8443", "127.78.9.1:8443", "127.0.0.1:5300", "127.78.9.1:5300").Replace(text),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := LoadConfig(filepath.Join(dir, "tandem.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(cfg, log, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, ca
}

func TestControlNodeAnswersOnSocketAndByHTTPS(t *testing.T) {
	n, ca := controlNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	const group = "/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourcegroups/rg?api-version=2021-04-01"
	req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "http://node"+group, strings.NewReader(`{"location":"West Europe"}`))
	req.Header.Set("Content-Type", "application/json")
	res, err := ops.Dial(n.cfg.Node.Socket()).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("PUT of a group on the socket: %s %s", res.Status, body)
	}

	client := apiClient(ca)
	get := func(token string) (int, string) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.lab.example:8443"+group, nil)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	if status, body := get(""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	form := "grant_type=client_credentials&client_id=7f8d5c6e-0000-4000-8000-000000000003&client_secret=a+long+enough+secret&scope=https%3A%2F%2Fapi.lab.example%3A8443%2F.default"
	res, err = client.Post("https://api.lab.example:8443/7f8d5c6e-0000-4000-8000-000000000001/oauth2/v2.0/token", "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(res.Body).Decode(&token)
	_ = res.Body.Close()
	if err != nil || token.AccessToken == "" {
		t.Fatalf("no token: %s %v", res.Status, err)
	}
	if status, body := get(token.AccessToken); status != http.StatusOK || !strings.Contains(body, "westeurope") {
		t.Errorf("with a token: %d %s", status, body)
	}
}

// What a control node's file says of the far sides and of numbers is in every
// snapshot from the next reload on; the rest of `control` wants a restart, and
// is refused rather than believed.
func TestAControlNodeIsReloaded(t *testing.T) {
	n, _ := controlNode(t)
	file := n.cfg.File
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(text), "edges: [r2-a]", "edges: [r2-b]", 1))
	if _, err := n.Reload(); err == nil || !strings.Contains(err.Error(), "restart needed for control.locations") {
		t.Errorf("another edge: %v", err)
	}
	write(string(text) + "numbers: [{number: \"+441134960000\", service: OperatorConnect}]\n")
	if _, err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	in, err := n.running.Load().cfg.deployment()
	if err != nil || in.Numbers.Len() != 1 {
		t.Errorf("%d numbers, %v", in.Numbers.Len(), err)
	}
}

// apiClient reaches the API of controlNode by its names.
func apiClient(ca *authority.Authority) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Roots()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.78.9.1:8443")
		},
	}}
}
