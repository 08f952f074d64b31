package app

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// A directory elsewhere is asked by HTTPS, with a secret, and changed only when
// somebody says so. Another control node plays the operator's own tenant.
func TestAControlNodeOnboardsInADirectoryElsewhere(t *testing.T) {
	const tenant = "7f8d5c6e-0000-4000-8000-0000000000e1"
	// Tokens are for its name, and the only one that leads here without a DNS is
	// that of 127.0.0.1, which has a port free.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	url := "https://localhost" + strings.TrimPrefix(at, "127.0.0.1")
	entra, ca := controlNodeOf(t, strings.NewReplacer(
		`listen: "127.0.0.1:8443", name: api.lab.example`, `listen: "`+at+`", name: localhost`, "control-a", "entra", "127.0.0.1:5300", "127.78.9.5:5300",
		"tenant: {id: 7f8d5c6e-0000-4000-8000-000000000001, name: Telecom}", "tenant: {id: "+tenant+", name: Operator}",
		"secretFile: secret", "secretFile: secret\n        directoryRoles: [Global Administrator]",
	).Replace(goodControl))
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	n, _ := controlNode(t, "  onboard:\n    directory: {tenant: "+tenant+", graph: \""+url+"\", login: \""+url+"\", "+
		"client: 7f8d5c6e-0000-4000-8000-000000000003, secretFile: secret, roots: "+roots+"}\n")
	client, subject := ops.Dial(n.cfg.Node.Socket()), ops.Subject{Gateway: "one", Group: "rg", Service: "oc"}
	opts := ops.OnboardOptions{Track: onboard.Track2022}
	step := func(p onboard.Plan, id string) onboard.Status {
		return p.Steps[slices.IndexFunc(p.Steps, func(st onboard.Status) bool { return st.ID == id })]
	}
	if _, err := client.OnboardDeclare(t.Context(), subject, map[string]string{"agreement": "OC-4711 of 2026-10-01"}, "anna"); err != nil {
		t.Fatal(err)
	}
	p := applied(t, client, subject, opts)
	if a3, a4 := step(p, "A3"), step(p, "A4"); a3.State != onboard.Done || a4.State != onboard.Ready || !a4.Outside || len(p.Outside) == 0 {
		t.Fatalf("without --outside: %+v\n%+v", a3, a4)
	}
	opts.Outside = true
	p = applied(t, client, subject, opts)
	for _, id := range []string{"A4", "A6", "A7", "A8"} {
		if st := step(p, id); st.State != onboard.Done {
			t.Errorf("with --outside: %+v", st)
		}
	}
	there := ops.Dial(entra.cfg.Node.Socket())
	theirs, err := there.OnboardPlan(t.Context(), subject, ops.OnboardOptions{Track: onboard.Track2022})
	if err != nil {
		t.Fatal(err)
	}
	if st := step(theirs, "A6"); st.State != onboard.Done {
		t.Errorf("as the tenant itself sees it: %+v", st)
	}
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
	const elsewhere = "directory: {tenant: 7f8d5c6e-0000-4000-8000-0000000000e1, client: 7f8d5c6e-0000-4000-8000-0000000000e2}"
	for _, tt := range []struct{ onboard, path, says string }{
		{"team: {mail: azcog-enablement@microsoft.com}", "", ""},
		{elsewhere, "", ""},
		{elsewhere + "\n    vaults: {}", "", ""},
		{"team: {mail: nobody}", "control.onboard.team.mail", "write a mail address"},
		{"look: 1s", "control.onboard.look", "1m"},
		{"operatorConnect: {url: \"http://operatorconnect.example\"}", "control.onboard.operatorConnect.url", "write https://"},
		{"operatorConnect: {roots: nothing.pem}", "control.onboard.operatorConnect.roots", "cannot be read"},
		{"directory: {tenant: mine}", "control.onboard.directory.tenant", "write the ID of the tenant"},
		{"vaults: {}", "control.onboard.vaults", "write control.onboard.directory as well"},
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
