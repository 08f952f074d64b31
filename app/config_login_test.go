package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretCanary is a secret that must be seen nowhere.
const secretCanary = "canary-7Yq0secret"

// withSecrets is a configuration folder with secrets in it.
func withSecrets(t *testing.T) string {
	t.Helper()
	dir := room(t)
	for name, mode := range map[string]os.FileMode{"good": 0o600, "grouped": 0o640, "open": 0o644, "writable": 0o620} {
		if err := os.Chmod(write(t, dir, name+".secret", secretCanary+"\nsecond line\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"empty": "\nx", "long": strings.Repeat("x", 5000)} {
		if err := os.Chmod(write(t, dir, name+".secret", text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TANDEM_TEST_SECRET", secretCanary)
	return dir
}

func TestLoginsThatAreWrong(t *testing.T) {
	dir := withSecrets(t)
	auth := func(s string) string { return "  auth: {username: trunk, " + s + "}\n" }
	for _, x := range []struct{ yaml, path, text string }{
		{auth("secretFile: good.secret"), "", ""},
		{auth("secretFile: grouped.secret"), "", ""},
		{auth("secretEnv: TANDEM_TEST_SECRET"), "", ""},
		{auth("secretFile: open.secret"), "operator.auth.secretFile", "chmod 600"},
		{auth("secretFile: writable.secret"), "operator.auth.secretFile", "chmod 600"},
		{auth("secretFile: empty.secret"), "operator.auth.secretFile", "is empty"},
		{auth("secretFile: long.secret"), "operator.auth.secretFile", "no secret"},
		{auth("secretFile: folder.secret"), "operator.auth.secretFile", "is not a file"},
		{auth("secretFile: missing.secret"), "operator.auth.secretFile", "no such file"},
		{auth("secretEnv: TANDEM_TEST_NOTHING"), "operator.auth.secretEnv", "set it for the process"},
		{auth("secretEnv: TANDEM_TEST_SECRET, secretFile: good.secret"), "operator.auth.secretFile", "either"},
		{auth("realm: x"), "operator.auth.secretFile", "either"},
		{auth("secret: " + secretCanary), "operator.auth.secret", "unknown key"},
		{"  auth: {secretFile: good.secret}\n", "operator.auth.username", "missing"},
		{"  demand: {username: core, secretFile: good.secret}\n", "operator.demand.realm", "missing"},
		{"  demand: {username: core, realm: r, secretFile: good.secret, algorithms: [SHA-256, MD5]}\n", "", ""},
		{"  demand: {username: core, realm: r, secretFile: good.secret, algorithms: [SHA256]}\n", "operator.demand.algorithms[0]", "did you mean SHA-256?"},
		{"  register: {aor: 'sip:a@carrier.example'}\n", "", ""},
		{"  register: {aor: 'sip:carrier.example'}\n", "operator.register.aor", "address of record"},
		{"  register: {aor: 'tel:+44'}\n", "operator.register.aor", "address of record"},
		{"  register: {contact: 'sip:x@y'}\n", "operator.register.aor", "address of record"},
		{"  register: {aor: 'sip:a@b', contact: 'a@b'}\n", "operator.register.contact", "SIP URI"},
		{"  register: {aor: 'sip:a@b', expires: 5s}\n", "operator.register.expires", "1m0s to 24h0m0s"},
		{"  peers: [{auth: {username: x, secretFile: good.secret}}]\n", "operator.peers[0].name", "missing"},
		{"  peers: [{name: operator-westeurope-1}, {name: operator-westeurope-1}]\n", "operator.peers[1].name", "already"},
		{"  peers: [{name: operator-westeurope-7}]\n", "operator.peers[0].name", "did you mean operator-westeurope-1?"},
	} {
		text := strings.Replace(good, "operator:\n", "operator:\n"+x.yaml, 1)
		c, problems := Check(write(t, dir, "tandem.yaml", text))
		found := len(problems) == 0 && x.path == ""
		for _, p := range problems {
			found = found || p.Path == x.path && strings.Contains(p.Text, x.text)
		}
		if !found {
			t.Errorf("%s: got %v, want %s … %s", x.yaml, problems, x.path, x.text)
		}
		if strings.Contains(problems.Error(), secretCanary) && !strings.Contains(x.yaml, secretCanary) {
			t.Errorf("%s: the secret is in the complaint: %s", x.yaml, problems)
		}
		// What is kept, published and shown is made of these.
		snap, err := c.Snapshot(1)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := json.Marshal(snap)
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprintf("%s %+v %#v", kept, c, c); strings.Contains(all, secretCanary) {
			t.Errorf("%s: the secret is in the configuration or the snapshot", x.yaml)
		}
	}
}

func TestAPeersOwnLoginReplacesThatOfAll(t *testing.T) {
	dir := withSecrets(t)
	text := strings.Replace(good, "[127.0.3.1]", "[127.0.3.1, 127.0.3.2]", 1)
	text = strings.Replace(text, "operator:\n", `operator:
  auth: {username: all, secretFile: good.secret}
  register: {aor: "sip:all@carrier.example"}
  peers:
    - name: operator-westeurope-2
      auth: {username: own, secretEnv: TANDEM_TEST_SECRET}
`, 1)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := c.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range snap.Peers() {
		l := p.Login
		switch p.Name {
		case "operator-westeurope-1":
			if l.Prove == nil || l.Prove.Username != "all" || l.Prove.Secret != "file:"+filepath.Join(dir, "good.secret") || l.Register == nil {
				t.Errorf("%s has %+v", p.Name, l)
			}
		case "operator-westeurope-2":
			if l.Prove == nil || l.Prove.Username != "own" || l.Prove.Secret != "env:TANDEM_TEST_SECRET" || l.Register != nil {
				t.Errorf("%s has %+v", p.Name, l)
			}
		default:
			if l.Prove != nil || l.Demand != nil || l.Register != nil {
				t.Errorf("%s of the cloud has %+v", p.Name, l)
			}
		}
	}
}
