package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/control/directory"
)

// issuer is a resource API with a token endpoint, where somebody signs in at
// the third question. Each refresh token counts once.
type issuer struct {
	*httptest.Server
	ca string

	mu      sync.Mutex
	asked   int    // mu; how often whether somebody has signed in
	life    int    // mu; of a token, seconds
	refresh string // mu; the one that counts
	made    int    // mu; tokens
	refused string // mu; an error for every question
	client  string // mu; "" is directory.CommandID
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	say := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	no := func(code string) {
		say(400, map[string]string{"error": code, "error_description": "AADSTS1: " + code})
	}
	grant := func() {
		i.made++
		i.refresh = fmt.Sprint("refresh-", i.made)
		say(200, map[string]any{"access_token": fmt.Sprint("token-", i.made), "refresh_token": i.refresh, "expires_in": i.life})
	}
	if id := r.PostFormValue("client_id"); id != "" && id != cmp.Or(i.client, directory.CommandID) {
		no("unauthorized_client")
		return
	}
	switch r.URL.Path {
	case "/metadata/endpoints":
		say(200, map[string]any{"authentication": map[string]any{"loginEndpoint": i.URL + "/", "audiences": []string{i.URL + "/"}, "tenant": "us"}})
	case "/us/oauth2/v2.0/devicecode":
		if r.PostFormValue("client_id") == "" || r.PostFormValue("scope") != i.URL+"/.default offline_access" {
			no("invalid_request")
			return
		}
		say(200, map[string]any{"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": i.URL + "/device", "interval": 1})
	case "/us/oauth2/v2.0/token":
		switch i.asked++; {
		case i.refused != "":
			no(i.refused)
		case r.PostFormValue("grant_type") == "refresh_token":
			if r.PostFormValue("refresh_token") != i.refresh {
				no("invalid_grant")
				return
			}
			grant()
		case i.asked < 2:
			no("authorization_pending")
		default:
			grant()
		}
	default:
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer token-", i.made) {
			say(401, map[string]any{"error": map[string]string{"code": "InvalidAuthenticationToken", "message": "no"}})
			return
		}
		say(200, map[string]any{"value": []any{map[string]string{"subscriptionId": "s"}}})
	}
}

func issues(t *testing.T) *issuer {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, name := range []string{"TANDEM_CLIENT_ID", "AZURE_CLIENT_ID", "TANDEM_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "TANDEM_ENDPOINT"} {
		t.Setenv(name, "")
	}
	i := &issuer{life: 3600}
	i.Server = httptest.NewTLSServer(i)
	t.Cleanup(i.Close)
	i.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(i.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// command runs login or logout.
func (i *issuer) command(t *testing.T, in bool, more ...string) (string, error) {
	t.Helper()
	cmd := NewLogout()
	if in {
		cmd = NewLogin()
	}
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"--endpoint", i.URL, "--ca", i.ca}, more...))
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// calls asks the resource API in the person's name.
func (i *issuer) calls(t *testing.T) error {
	t.Helper()
	r, err := (&connection{endpoint: i.URL, ca: i.ca}).open()
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.do(t.Context(), http.MethodGet, "/subscriptions", nil)
	return err
}

func TestAPersonSignsIn(t *testing.T) {
	i := issues(t)
	if err := i.calls(t); err == nil || ExitStatus(err) != ExitUsage || !strings.Contains(err.Error(), `run "tandem login --endpoint `+i.URL) {
		t.Errorf("with nobody signed in: %v", err)
	}
	out, err := i.command(t, true)
	if err != nil || !strings.Contains(out, i.URL+"/device") || !strings.Contains(out, "ABCD-EFGH") || !strings.Contains(out, "You are signed in") {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(keptFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	for range 2 {
		if err := i.calls(t); err != nil {
			t.Error(err)
		}
	}
	if i.made != 1 {
		t.Errorf("%d tokens for two commands", i.made)
	}
	if _, err := i.command(t, false); err != nil {
		t.Error(err)
	}
	if err := i.calls(t); err == nil {
		t.Error("who has logged out is still let in")
	}
	if _, err := i.command(t, false); ExitStatus(err) != ExitNotFound {
		t.Errorf("logged out twice: %v", err)
	}
}

// Tokens end and refresh tokens count once: commands at the same time take
// turns, and one refresh serves those that wait.
func TestCommandsAtOnceRefreshOnce(t *testing.T) {
	i := issues(t)
	i.life = 30 // shorter than what is thought worth using
	if _, err := i.command(t, true); err != nil {
		t.Fatal(err)
	}
	i.life = 3600
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := i.calls(t); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if i.made != 2 {
		t.Errorf("%d tokens were made", i.made)
	}
}

// In a directory elsewhere commands are another client, at each refresh too.
func TestSignInAsAnotherClient(t *testing.T) {
	i := issues(t)
	i.client, i.life = "00000000-0000-4000-8000-0000000000c1", 30
	if _, err := i.command(t, true); err == nil || !strings.Contains(err.Error(), "unauthorized_client") {
		t.Errorf("as ours: %v", err)
	}
	if _, err := i.command(t, true, "--client", i.client); err != nil {
		t.Fatal(err)
	}
	if err := i.calls(t); err != nil || i.made != 2 {
		t.Errorf("after %d tokens: %v", i.made, err)
	}
}

func TestSignInIsRefusedInASentence(t *testing.T) {
	i := issues(t)
	i.refused = "access_denied"
	if out, err := i.command(t, true); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("%v: %s", err, out)
	}
	i.refused, i.life = "", 1
	if _, err := i.command(t, true); err != nil {
		t.Fatal(err)
	}
	i.refused = "invalid_grant" // revoked meanwhile
	err := i.calls(t)
	if err == nil || !strings.Contains(err.Error(), `run "tandem login --endpoint`) || strings.Contains(err.Error(), "refresh-") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(keptFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.calls(t); err == nil || !strings.Contains(err.Error(), "sign in again") {
		t.Errorf("a damaged file: %v", err)
	}
	cmd := NewLogin()
	cmd.SetArgs(nil)
	if err := cmd.ExecuteContext(t.Context()); ExitStatus(err) != ExitUsage {
		t.Errorf("without an endpoint: %v", err)
	}
}
