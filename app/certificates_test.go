package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// causes are the causes of warnings, in order.
func causes(list []ops.Warning) (all []string) {
	for _, w := range list {
		all = append(all, w.Cause)
	}
	return all
}

func TestACertificateThatEndsIsWarnedOfAt30_14And7Days(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, x := range []struct {
		left        time.Duration
		cause, when string
	}{
		{31 * day, "", ""},
		{30 * day, "ends 30", "ends in 30 days, on 2026-12-20"},
		{14*day + time.Second, "ends 30", "ends in 14 days, on 2026-12-04"},
		{14 * day, "ends 14", "ends in 14 days, on 2026-12-04"},
		{7 * day, "ends 7", "ends in 7 days, on 2026-11-27"},
		{day, "ends 7", "ends in 1 day, on 2026-11-21"},
		{time.Hour, "ends 7", "ends in less than a day, on 2026-11-20"},
		{0, "ended", "ended on 2026-11-20"},
		{-day, "ended", "ended on 2026-11-19"},
	} {
		if cause, when := ending(now.Add(x.left), now); cause != x.cause || when != x.when {
			t.Errorf("%v left: %q, %q", x.left, cause, when)
		}
		end := now.Add(x.left)
		got := ofPeer(record.PeerHealth{Peer: "sip", CertEnds: &end, CertRoot: "Root", TLS: &record.TLS{RootEnds: now.Add(1000 * day)}}, now)
		if x.cause == "" && got != nil || x.cause != "" && (len(got) != 1 || got[0].About != "sip" || !strings.Contains(got[0].Text, "have the peer renew it")) {
			t.Errorf("%v left to a peer: %+v", x.left, got)
		}
	}
	end := now.Add(1000 * day)
	got := ofPeer(record.PeerHealth{Peer: "sip", CertEnds: &end, CertRoot: "Old Root", TLS: &record.TLS{RootEnds: now.Add(9 * day)}}, now)
	if len(got) != 1 || got[0].Cause != "root ends 14" || !strings.Contains(got[0].Text, "Old Root") {
		t.Errorf("a root that ends: %+v", got)
	}
}

func TestWhatOurChainLacksIsWarnedOf(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	roots := parse(t, ours.RootPEM())
	issue := func(ca *authority.Authority, terms authority.Terms) []*x509.Certificate {
		cert, err := ca.Issue(terms, "r1.example")
		if err != nil {
			t.Fatal(err)
		}
		return chainOf(t, cert)
	}
	both := authority.Terms{ClientAuth: true}
	for _, x := range []struct {
		name  string
		chain []*x509.Certificate
		want  []string
		text  string
	}{
		{"a complete one for both directions", issue(ours, both), nil, ""},
		{"one for servers only", issue(ours, authority.Terms{}), []string{"usage"}, "no clientAuth"},
		{"one without intermediate", issue(ours, authority.Terms{ClientAuth: true, LeafOnly: true}), []string{"chain"}, "append the certificate of Test Issuing CA"},
		{"one of another authority", issue(theirs, both), []string{"root"}, "leads to no public root"},
		{"one that ends", issue(ours, authority.Terms{ClientAuth: true, NotAfter: time.Now().AddDate(0, 0, 10)}), []string{"ends 14"}, "renew it and run tandem reload"},
		{"one that has ended", issue(ours, authority.Terms{ClientAuth: true, NotBefore: time.Now().AddDate(0, 0, -9), NotAfter: time.Now().Add(-time.Minute)}), []string{"ended"}, "ended on"},
	} {
		id := identify("sip.listeners[cloud]", x.chain, roots)
		got := id.warnings(time.Now())
		if !slices.Equal(causes(got), x.want) || len(got) > 0 && (!strings.Contains(got[0].Text, x.text) || got[0].About != "sip.listeners[cloud]") {
			t.Errorf("%s: %+v", x.name, got)
		}
	}
	public := identity{name: "x", leaf: issue(ours, both)[0], root: roots[0], public: true}
	if got := public.warnings(time.Now()); !slices.Equal(causes(got), []string{"usage"}) || !strings.Contains(got[0].Text, "the next one will lack it") {
		t.Errorf("a public one for both directions: %+v", got)
	}
}

func TestRootsThatMicrosoftMayChangeToAreMissedInTheBundle(t *testing.T) {
	named := func(names ...string) (list []*x509.Certificate) {
		for _, n := range names {
			c := &x509.Certificate{}
			c.Subject.CommonName = n
			list = append(list, c)
		}
		return list
	}
	with := func(proxy string) *snapshot.Snapshot {
		return &snapshot.Snapshot{Groups: []snapshot.Group{{Side: snapshot.Cloud, Peers: []snapshot.Peer{{Name: "teams-1", Host: proxy}}}}}
	}
	for _, x := range []struct {
		what    string
		trusted map[string][]*x509.Certificate
		want    string
	}{
		{"the system's roots, which cannot be listed", nil, ""},
		{"all of them", map[string][]*x509.Certificate{sipRoots: named(publish.MicrosoftRoots...)}, ""},
		{"the last one is missing", map[string][]*x509.Certificate{sipRoots: named(publish.MicrosoftRoots[:6]...)}, "sip.roots lacks Microsoft RSA Root Certificate Authority 2017, to"},
		{"the bundle for Teams counts", map[string][]*x509.Certificate{sipRoots: named(publish.MicrosoftRoots...), "services.teams.tls.roots": named(publish.MicrosoftRoots[1:]...)}, "services.teams.tls.roots lacks DigiCert Global Root CA, to"},
	} {
		got := (&running{snapshot: with("sip.pstnhub.microsoft.com"), trusted: x.trusted}).missingRoots()
		if len(got) > 1 || (len(got) == 1) != (x.want != "") || len(got) == 1 && !strings.HasPrefix(got[0].Text, x.want) {
			t.Errorf("%s: %+v", x.what, got)
		}
	}
	if got := (&running{snapshot: with("sip.pstn.lab.example"), trusted: map[string][]*x509.Certificate{sipRoots: named("Lab")}}).missingRoots(); got != nil {
		t.Errorf("a lab's Teams: %+v", got)
	}
}

func TestAWarningIsLoggedOnceADay(t *testing.T) {
	cfg := load(t, "good.pem", "ending.pem", "good.key", "ending.key")
	var log journal
	n := startLogged(t, cfg, &log)
	until(t, func() string {
		if !strings.Contains(log.String(), "ends in 8 days") {
			return "no warning: " + log.String()
		}
		return ""
	})
	n.Close()
	for _, name := range []string{"sip.listeners[cloud]", "sip.listeners[core]"} {
		if got := strings.Count(log.String(), `about=`+name+` cause="ends 14"`); got != 1 {
			t.Errorf("%d lines about %s:\n%s", got, name, log.String())
		}
	}
}

func TestCertificatesAreSeenByPeopleAndByPrometheus(t *testing.T) {
	w := build(t)
	list, err := w.ops.PeerList(t.Context())
	w.must(err)
	if len(list.Certificates) != 2 || list.Certificates[0].Name != "sip.listeners[cloud]" || list.Certificates[0].Root != "Test Root" || !slices.Equal(list.Certificates[0].Bears, []string{"1r1.lab.example", "*.1r1.lab.example"}) {
		t.Errorf("ours: %+v", list.Certificates)
	}
	if got := causes(list.Warnings); !slices.Equal(got, []string{"usage", "usage"}) {
		t.Errorf("warnings: %+v", list.Warnings)
	}
	scrape := httptest.NewRecorder()
	w.node.metrics().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	lines := scrape.Body.String()
	for _, c := range list.Certificates {
		if want := fmt.Sprintf(`tandem_certificate_not_after_seconds{listener="%s",peer=""} %v`, c.Name, float64(c.Ends.Unix())); !strings.Contains(lines, want) {
			t.Errorf("no %s in\n%s", want, lines)
		}
	}
	for _, p := range list.Peers {
		if p.TLS == nil || p.TLS.Version != "TLS 1.3" || !strings.HasPrefix(p.TLS.Suite, "TLS_") || p.CertRoot != "Test Root" || p.TLS.Issuer != "Test Issuing CA" || len(p.TLS.Names) != 1 {
			t.Errorf("%s: %+v, root %s", p.Peer, p.TLS, p.CertRoot)
		}
		if !strings.Contains(lines, `tandem_certificate_not_after_seconds{listener="",peer="`+p.Peer+`"}`) {
			t.Errorf("Prometheus does not see %s", p.Peer)
		}
	}
}

func TestAfterARenewalPeersSeeTheNewCertificateAndCallsGoOn(t *testing.T) {
	w := build(t)
	call := w.talk(true)
	before := map[string]time.Time{}
	for _, p := range w.node.peers.Health() {
		before[p.Peer] = p.TLS.Seen
	}
	w.renew()
	done, err := w.ops.Reload(t.Context(), ops.ReloadRequest{})
	w.must(err)
	if len(done.Changes) != 2 || len(done.Renewing) != 4 {
		t.Errorf("reload: %+v", done)
	}
	w.until(func() string {
		for _, p := range w.node.peers.Health() {
			if !p.TLS.Seen.After(before[p.Peer]) {
				return p.Peer + " has no new connection"
			}
		}
		return ""
	})
	w.must(call.Hold(t.Context()))
	w.must(call.Resume(t.Context()))

	// By hand: one peer, and one that is not there.
	seen := w.node.peers.Health()[1].TLS.Seen
	made, err := w.ops.Reconnect(t.Context(), w.node.peers.Health()[1].Peer)
	w.must(err)
	if len(made) == 0 || slices.ContainsFunc(made, func(r record.Reconnection) bool { return r.Why != "" }) {
		t.Errorf("made anew: %+v", made)
	}
	if !w.node.peers.Health()[1].TLS.Seen.After(seen) {
		t.Error("no new connection")
	}
	w.must(call.Hold(t.Context()))
	call.HangUp()
	<-call.Done()
	if f := call.Facts(); f.HungUpBy != "us" || f.Error != "" {
		t.Errorf("the call: %+v", f)
	}
}

func TestACertificateThatPeersRefuseCostsNoConnection(t *testing.T) {
	w := build(t)
	stranger := newAuthority(t)
	cert, err := stranger.Issue(authority.Terms{}, "1r1.lab.example")
	w.must(err)
	_, err = stranger.Write(w.dir, "cloud", cert)
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, "root.pem"), w.ca.RootPEM(), 0o600)) // Write put its own there
	_, err = w.ops.Reload(t.Context(), ops.ReloadRequest{})
	w.must(err)
	made, err := w.ops.Reconnect(t.Context(), "microsoft-teams-1")
	w.must(err)
	if !slices.ContainsFunc(made, func(r record.Reconnection) bool { return strings.Contains(r.Why, "certificate") }) {
		t.Errorf("made anew: %+v", made)
	}
	call := w.talk(false)
	call.HangUp()
	<-call.Done()
}

func newAuthority(t *testing.T) *authority.Authority {
	t.Helper()
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// parse reads certificates in PEM.
func parse(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	list, err := readPEM(write(t, t.TempDir(), "x.pem", string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func chainOf(t *testing.T, cert *tls.Certificate) (chain []*x509.Certificate) {
	t.Helper()
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}
