package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// A control node onboards within its own directory, asked by its socket: what
// can be done is done, and twice changes nothing.
func TestAControlNodeOnboardsInItsOwnDirectory(t *testing.T) {
	n, _ := controlNode(t, "  vaults: {domain: vault.lab.example}\n")
	client, subject := ops.Dial(n.cfg.Node.Socket()), ops.Subject{Gateway: "one", Group: "rg", Service: "oc"}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://node/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourcegroups/rg?api-version=2021-04-01", strings.NewReader(`{"location":"westeurope"}`))
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	facts := map[string]string{"agreement": "OC-4711 of 2026-10-01", "setup-user": "anna@lab.example", "management-region": "westeurope"}
	if _, err := client.OnboardDeclare(t.Context(), subject, facts, "anna"); err != nil {
		t.Fatal(err)
	}
	for _, track := range []onboard.Track{onboard.Track2022, onboard.TrackCurrent} {
		before, err := client.OnboardPlan(t.Context(), subject, ops.OnboardOptions{Track: track})
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range before.Steps {
			if st.State == onboard.Failed {
				t.Errorf("track %s: %s %s: %s", track, st.ID, st.Title, st.Detail)
			}
		}
		after := applied(t, client, subject, ops.OnboardOptions{Track: track})
		if left := after.Acts(); len(left) > 0 {
			t.Errorf("track %s: apply leaves %v of %v", track, left, before.Acts())
		}
		synergy := map[onboard.Track]string{onboard.Track2022: "A4", onboard.TrackCurrent: "B16"}[track]
		i := slices.IndexFunc(after.Steps, func(st onboard.Status) bool { return st.ID == synergy })
		if st := after.Steps[i]; track == onboard.Track2022 && st.State != onboard.Done {
			t.Errorf("track %s: Project Synergy is not in the tenant: %+v", track, st)
		}
	}
}

// trusting is goodControl with a directory elsewhere.
func trusting(tenant, outside string) string {
	return strings.NewReplacer(
		"  tenant: {id: 7f8d5c6e-0000-4000-8000-000000000001, name: Telecom}", "  tenant: {id: "+tenant+", name: Telecom}\n  directory: {outside: "+outside+"}",
		"        secretFile: secret\n", "",
	).Replace(goodControl)
}

// farDirectory is a control node that plays the operator's own tenant, with one
// client that may do everything in it: its URL, and a file with its authority.
func farDirectory(t *testing.T, tenant string) (n *Node, url, roots string) {
	t.Helper()
	// Tokens are for its name, and the only one that leads here without a DNS is
	// that of 127.0.0.1, which has a port free.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	n, ca := controlNodeOf(t, strings.NewReplacer(
		`listen: "127.0.0.1:8443", name: api.lab.example`, `listen: "`+at+`", name: localhost`, "control-a", "entra", "127.0.0.1:5300", "127.78.9.5:5300",
		"tenant: {id: 7f8d5c6e-0000-4000-8000-000000000001, name: Telecom}", "tenant: {id: "+tenant+", name: Operator}",
		"secretFile: secret", "secretFile: secret\n        directoryRoles: [Global Administrator]",
	).Replace(goodControl))
	roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return n, "https://localhost" + strings.TrimPrefix(at, "127.0.0.1"), roots
}

// A directory elsewhere is asked by HTTPS, with a secret, and changed only when
// somebody says so. Its tokens, and no others, are believed.
func TestAControlNodeOnboardsInADirectoryElsewhere(t *testing.T) {
	const tenant = "7f8d5c6e-0000-4000-8000-0000000000e1"
	entra, url, roots := farDirectory(t, tenant)
	n, ca := controlNodeOf(t, trusting(tenant, fmt.Sprintf("{issuer: %q, graph: %q, client: 7f8d5c6e-0000-4000-8000-000000000003, secretFile: secret, roots: %q}", url+"/"+tenant+"/v2.0", url, roots)))
	client, subject := ops.Dial(n.cfg.Node.Socket()), ops.Subject{Gateway: "one", Group: "rg", Service: "oc"}
	opts := ops.OnboardOptions{Track: onboard.Track2022}
	if _, err := client.OnboardDeclare(t.Context(), subject, map[string]string{"agreement": "OC-4711 of 2026-10-01"}, "anna"); err != nil {
		t.Fatal(err)
	}
	p := applied(t, client, subject, opts)
	if a3, a4 := stepOf(p, "A3"), stepOf(p, "A4"); a3.State != onboard.Done || a4.State != onboard.Ready || !a4.Outside || len(p.Outside) == 0 {
		t.Fatalf("without --outside: %+v\n%+v", a3, a4)
	}
	opts.Outside = true
	p = applied(t, client, subject, opts)
	for _, id := range []string{"A4", "A6", "A7", "A8"} {
		if st := stepOf(p, id); st.State != onboard.Done {
			t.Errorf("with --outside: %+v", st)
		}
	}
	there := ops.Dial(entra.cfg.Node.Socket())
	theirs, err := there.OnboardPlan(t.Context(), subject, ops.OnboardOptions{Track: onboard.Track2022})
	if err != nil {
		t.Fatal(err)
	}
	if st := stepOf(theirs, "A6"); st.State != onboard.Done {
		t.Errorf("as the tenant itself sees it: %+v", st)
	}
	believesItsTokens(t, n, entra, ca)
}

// believesItsTokens: the resource API sends clients to the directory elsewhere
// and takes its tokens, which our own issuer's are not.
func believesItsTokens(t *testing.T, n, entra *Node, ca *authority.Authority) {
	t.Helper()
	here, there := n.plane.Load(), entra.plane.Load()
	api := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Roots(), ServerName: "api.lab.example"},
	}}
	issue := func(p *plane) string {
		client := directory.ObjectID(p.cfg.Tenant.ID, "7f8d5c6e-0000-4000-8000-000000000003")
		if p == here {
			client = p.onboarder()
		}
		token, err := p.directory.IssueFor(t.Context(), client, p.issuer(), here.url())
		if err != nil {
			t.Fatal(err)
		}
		return string(token.Raw)
	}
	ask := func(token string) *http.Response {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.78.9.1:8443/subscriptions/7f8d5c6e-0000-4000-8000-000000000002?api-version=2022-12-01", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := api.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	if res := ask(issue(there)); res.StatusCode != http.StatusOK {
		t.Errorf("a token of the directory elsewhere: %s %s", res.Status, res.Header.Get("WWW-Authenticate"))
	}
	res := ask(issue(here))
	if want := `authorization_uri="` + there.url() + "/" + there.cfg.Tenant.ID + `"`; res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Header.Get("WWW-Authenticate"), want) {
		t.Errorf("a token of our own issuer: %s %s, want %s", res.Status, res.Header.Get("WWW-Authenticate"), want)
	}
}

// A certificate is a credential of our application in the directory elsewhere,
// and what gateways sign in with. Renewed, it is taken from the file at the next
// use, without a reload.
func TestAControlNodeSignsInElsewhereByCertificate(t *testing.T) {
	const tenant = "7f8d5c6e-0000-4000-8000-0000000000e1"
	far, url, roots := farDirectory(t, tenant)
	dir := t.TempDir()
	theirs := far.plane.Load().directory
	us := directory.Ourselves(tenant, "test")
	app, err := theirs.CreateApplication(t.Context(), us, directory.Application{DisplayName: "Tandem", Keys: []directory.KeyCredential{{Certificate: certificateIn(t, dir, 90*24*time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	self, err := theirs.AddPrincipal(t.Context(), us, app.AppID, "")
	if err == nil {
		err = theirs.AssignDirectoryRole(t.Context(), us, directory.GlobalAdministrator, self.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, _ := controlNodeOf(t, trusting(tenant, fmt.Sprintf("{issuer: %q, graph: %q, client: %s, certificate: {chain: %q, key: %q}, roots: %q}",
		url+"/"+tenant+"/v2.0", url, app.AppID, filepath.Join(dir, "entra.pem"), filepath.Join(dir, "entra.key"), roots)))
	client, subject := ops.Dial(n.cfg.Node.Socket()), ops.Subject{Gateway: "one", Group: "rg", Service: "oc"}
	if _, err := client.OnboardDeclare(t.Context(), subject, map[string]string{"agreement": "OC-4711 of 2026-10-01"}, "anna"); err != nil {
		t.Fatal(err)
	}
	opts := ops.OnboardOptions{Track: onboard.TrackCurrent, Outside: true}
	p, err := client.OnboardPlan(t.Context(), subject, opts)
	if err != nil || !strings.Contains(p.Identity, "by the certificate of control.directory.outside") || stepOf(p, "B3").State != onboard.Done {
		t.Fatalf("%v: %s, %+v", err, p.Identity, stepOf(p, "B3"))
	}
	opts.Track = onboard.Track2022
	if p = applied(t, client, subject, opts); stepOf(p, "A6").State != onboard.Done {
		t.Errorf("%+v", stepOf(p, "A6"))
	}
	if w := n.outsideTrouble(time.Now()); len(w) != 0 {
		t.Errorf("%+v", w)
	}
	// Renewed, and not known there yet: the file is what counts.
	at := n.plane.Load()
	token := func() error {
		_, err := at.signIn(*at.cfg.outside(), url+"/.default").Token()(t.Context())
		return err
	}
	if err := token(); err != nil {
		t.Error(err)
	}
	next := certificateIn(t, dir, 20*24*time.Hour)
	if err := token(); fault.Of(err) != fault.Denied {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	_, err = theirs.UpdateApplication(t.Context(), us, app.ID, func(a *directory.Application) error {
		a.Keys = append(a.Keys, directory.KeyCredential{Certificate: next})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := token(); err != nil {
		t.Error(err)
	}
	if w := n.outsideTrouble(time.Now()); len(w) != 1 || w[0].Cause != "ends 30" || !strings.Contains(w[0].Text, "control.directory.outside ends in") {
		t.Errorf("it ends soon: %+v", w)
	}
	write(t, dir, "entra.pem", "nothing")
	if w := n.outsideTrouble(time.Now()); len(w) != 1 || w[0].Cause != "unreadable" {
		t.Errorf("it is broken: %+v", w)
	}
}

// certificateIn writes a certificate that signs itself, with its key.
func certificateIn(t *testing.T, dir string, life time.Duration) (der []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "tandem"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	if der, err = x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "entra.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, "entra.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return der
}

func stepOf(p onboard.Plan, id string) onboard.Status {
	return p.Steps[slices.IndexFunc(p.Steps, func(st onboard.Status) bool { return st.ID == id })]
}

// applied waits for the end of an apply.
func applied(t *testing.T, client *ops.Client, subject ops.Subject, opts ops.OnboardOptions) onboard.Plan {
	t.Helper()
	p, err := client.OnboardApply(t.Context(), subject, opts, "anna")
	for until := time.Now().Add(2 * time.Minute); err == nil && !p.Apply.Ended; {
		if time.Now().After(until) {
			t.Fatalf("it goes on and on: %+v", p.Apply)
		}
		p, err = client.OnboardEvents(t.Context(), subject, p.Last)
	}
	if err != nil || p.Apply.Problem != "" {
		t.Fatal(err, p.Apply)
	}
	plan, err := client.OnboardPlan(t.Context(), subject, opts)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestOnboardConfiguration(t *testing.T) {
	dir := t.TempDir()
	ca, err := authority.New("Test Root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "api.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "api", cert); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "secret", "a long enough secret\n")
	for _, tt := range []struct{ onboard, path, says string }{
		{"team: {mail: azcog-enablement@microsoft.com}", "", ""},
		{"team: {mail: nobody}", "control.onboard.team.mail", "write a mail address"},
		{"look: 1s", "control.onboard.look", "1m"},
		{"operatorConnect: {url: \"http://operatorconnect.example\"}", "control.onboard.operatorConnect.url", "write https://"},
		{"operatorConnect: {roots: nothing.pem}", "control.onboard.operatorConnect.roots", "cannot be read"},
		{"directory: {tenant: mine}", "control.onboard.directory", "is now part of control.directory.outside"},
		{"vaults: {}", "control.onboard.vaults", "write control.directory.outside with its client as well"},
		{"teem: {}", "control.onboard.teem", "did you mean team?"},
	} {
		write(t, dir, "tandem.yaml", goodControl+"  onboard:\n    "+tt.onboard+"\n")
		_, problems := Check(filepath.Join(dir, "tandem.yaml"))
		problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
		switch {
		case tt.path == "" && len(problems) > 0:
			t.Errorf("%s: %v", tt.onboard, problems)
		case tt.path != "" && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == tt.path && strings.Contains(p.Text, tt.says) }):
			t.Errorf("%s: want %s to say %q: %v", tt.onboard, tt.path, tt.says, problems)
		}
	}
}

func TestOutsideConfiguration(t *testing.T) {
	dir := t.TempDir()
	ca, err := authority.New("Test Root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "api.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "api", cert); err != nil {
		t.Fatal(err)
	}
	certificateIn(t, dir, 90*24*time.Hour)
	write(t, dir, "entra", "a long enough secret\n")
	const (
		tenant = "7f8d5c6e-0000-4000-8000-000000000001"
		here   = "control.directory.outside"
		known  = "issuer: https://login.microsoftonline.com/" + tenant + "/v2.0, client: 7f8d5c6e-0000-4000-8000-0000000000e2"
	)
	for _, tt := range []struct {
		outside string
		says    map[string]string // by path below control.directory.outside
	}{
		{known, nil},
		{known + ", secretFile: entra", nil},
		{known + ", certificate: {chain: entra.pem, key: entra.key}", nil},
		{"issuer: https://sts.windows.net/" + tenant + "/, client: 7f8d5c6e-0000-4000-8000-0000000000e2", nil},
		{"issuer: https://login.example/realms/voice", nil},
		{"issuer: https://login.example/" + tenant + "/v2.0, graph: https://graph.example, client: 7f8d5c6e-0000-4000-8000-0000000000e2", nil},
		{"{}", map[string]string{"issuer": "missing"}},
		{"issuer: login.example", map[string]string{"issuer": "write the https URL"}},
		{strings.Replace(known, tenant, "7f8d5c6e-0000-4000-8000-0000000000ff", 1), map[string]string{"issuer": "control.tenant.id is " + tenant}},
		{"issuer: https://login.microsoftonline.com/" + tenant + "/v2.0, client: mine", map[string]string{"client": "write the ID of the application"}},
		{"issuer: https://login.example/realms/voice, client: 7f8d5c6e-0000-4000-8000-0000000000e2", map[string]string{"client": "where the issuer has the ID of a tenant"}},
		{"issuer: https://login.example/" + tenant + "/v2.0, client: 7f8d5c6e-0000-4000-8000-0000000000e2", map[string]string{"graph": "missing"}},
		{known + ", graph: \"http://graph.example\"", map[string]string{"graph": "write https://"}},
		{known + ", secretFile: nothing", map[string]string{"secretFile": "no such file"}},
		{known + ", secretFile: entra, certificate: {chain: entra.pem, key: entra.key}", map[string]string{"certificate": "remove one"}},
		{known + ", certificate: {chain: entra.pem}", map[string]string{"certificate.key": "missing"}},
		{known + ", certificate: {chain: api.pem, key: api.key}", map[string]string{"certificate.chain": "RSA key"}},
		{known + ", roots: nothing.pem", map[string]string{"roots": "cannot be read"}},
		// All at once.
		{"issuer: http://login.example, graph: https://graph.example, secretFile: entra, certificate: {}", map[string]string{
			"issuer": "write the https URL", "graph": "without client", "secretFile": "without client", "certificate": "without client",
		}},
	} {
		text := "{" + tt.outside + "}"
		if tt.outside == "{}" {
			text = tt.outside
		}
		write(t, dir, "tandem.yaml", trusting(tenant, text))
		_, problems := Check(filepath.Join(dir, "tandem.yaml"))
		problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
		for path, says := range tt.says {
			if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == here+"."+path && strings.Contains(p.Text, says) }) {
				t.Errorf("%s: want %s to say %q: %v", tt.outside, path, says, problems)
			}
		}
		if len(problems) != len(tt.says) {
			t.Errorf("%s: %v", tt.outside, problems)
		}
	}
	write(t, dir, "secret", "a long enough secret\n")
	write(t, dir, "tandem.yaml", strings.Replace(goodControl, "  login:\n", "  login:\n    issuer: https://login.example\n", 1))
	if _, problems := Check(filepath.Join(dir, "tandem.yaml")); len(problems) == 0 || problems[0].Path != "control.login.issuer" || !strings.Contains(problems[0].Text, here) {
		t.Errorf("the key of before: %v", problems)
	}
}
