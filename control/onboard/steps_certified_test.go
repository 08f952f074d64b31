package onboard_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/store"
)

// selfSigned is a certificate with its key.
func selfSigned(t *testing.T, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "tandem"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// neighbours are the gateway and one more.
type neighbours struct {
	*gateways
	other gateway.Resource
}

func (n neighbours) List(context.Context, gateway.Scope, gateway.Page) ([]gateway.Resource, string, error) {
	return []gateway.Resource{*n.one, n.other}, "", nil
}

// TestElsewhereAGatewaySignsInByCertificate: where that is how Tandem signs in,
// the gateway is an application of its name that takes the certificate which
// there is now; one that was renewed is drift, and both are good meanwhile.
func TestElsewhereAGatewaySignsInByCertificate(t *testing.T) {
	w := newWorld(t, func(p *onboard.Parts) { p.Outside[onboard.OfDirectory] = true })
	w.deploy()
	w.must(w.store.Write(t.Context(), func(tx *store.Tx) error {
		return w.directory.DropManagedIdentity(t.Context(), tx, w.gateways.one.ID.Key())
	}))
	w.gateways.one.Identity = nil // nobody need vouch for it
	w.declare("setup-user", admin)
	now := selfSigned(t, 90*24*time.Hour)
	w.cfg.Parts.Certificate = func() (*x509.Certificate, error) { return now.Leaf, nil }
	w.start()
	outside := onboard.Options{Outside: true}
	if st := w.is(w.plan(outside), "B18", onboard.Ready); !strings.Contains(st.Will, "the certificate of control.directory.outside") {
		t.Errorf("%+v", st)
	}
	w.is(w.apply(outside), "B18", onboard.Done, "the certificate of control.directory.outside", "system-assigned identity")
	a := w.registration("one")
	got, err := w.directory.Application(t.Context(), w.ourselves(), a.ID)
	w.must(err)
	if len(got.Keys) != 1 || !bytes.Equal(got.Keys[0].Certificate, now.Leaf.Raw) || len(got.Federated) != 0 {
		t.Errorf("%+v, %+v", got.Keys, got.Federated)
	}
	// It is let in.
	in := entra.SignIn{Login: w.loginURL, Tenant: tenant, Client: a.AppID, Scope: graphURL + "/.default", HTTP: w.trusting(), Certificate: func() (*tls.Certificate, error) { return &now, nil }}
	if token, err := in.Token()(t.Context()); err != nil || token == "" {
		t.Errorf("the gateway: %v", err)
	}
	was := now
	now = selfSigned(t, 91*24*time.Hour)
	w.is(w.plan(outside), "B18", onboard.Drifted, "does not take the certificate", now.Leaf.NotAfter.UTC().Format(time.DateOnly))
	w.is(w.apply(outside), "B18", onboard.Done)
	for _, pair := range []tls.Certificate{was, now} {
		in.Certificate = func() (*tls.Certificate, error) { return &pair, nil }
		if _, err := in.Token()(t.Context()); err != nil {
			t.Errorf("after it was renewed: %v", err)
		}
	}
	other := *w.gateways.one
	other.ID.Group = "another"
	w.cfg.Parts.Gateways = neighbours{w.gateways, other}
	w.start()
	w.is(w.plan(outside), "B18", onboard.Drifted, "has the same name")
}

// TestWhereNobodySeesTheDirectoryPeopleAct: an issuer without Graph, or without
// an application of ours.
func TestWhereNobodySeesTheDirectoryPeopleAct(t *testing.T) {
	w := newWorld(t, func(p *onboard.Parts) { p.Outside[onboard.OfDirectory] = true })
	w.cfg.Parts.Directory = nil
	w.start()
	w.deploy()
	w.declare("agreement", "OC-4711 of 2026-10-01")
	w.is(w.plan(now), "B3", onboard.Ready, "synergy-tenant")
	w.declare("synergy-tenant", tenant)
	w.is(w.plan(now), "B3", onboard.Declared)
	for _, track := range []onboard.Track{onboard.Track2022, onboard.TrackCurrent} {
		p := w.plan(onboard.Options{Track: track})
		for _, st := range p.Steps {
			for _, text := range []string{st.Detail, instruction(st)} {
				if strings.Contains(text, "panicked") {
					t.Errorf("%s: %s", st.ID, text)
				}
			}
		}
		told := 0
		for _, st := range p.Steps {
			if strings.Contains(st.Detail, "The directory cannot be asked") && st.State == onboard.Ready && st.Who == onboard.You && st.Will == "" {
				told++
			}
		}
		if told == 0 {
			t.Errorf("track %s: nobody is told to look into the directory", track)
		}
	}
	// What was done there is said, and what waited for it goes on.
	w.is(w.plan(now), "B16", onboard.Ready, "done.B16=YYYY-MM-DD")
	w.declare("done.B16", "2026-11-02")
	w.is(w.plan(now), "B16", onboard.Declared, "2026-11-02")
}

// TestAProcedureThatNobodySeesIsSaidToItsEnd: without a directory each track
// comes to its end by what people say; what the tenant has once they say once.
func TestAProcedureThatNobodySeesIsSaidToItsEnd(t *testing.T) {
	const other = "99999999-2222-4333-8444-555555555555"
	g := &several{}
	w := newWorld(t, func(p *onboard.Parts) {
		p.Outside[onboard.OfDirectory] = true
		g.Gateways, p.Gateways = p.Gateways, g
	})
	if err := w.set.Declare(t.Context(), w.sub, map[string]string{"done.B16": "2026-11-02"}, "anna"); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "what is seen in the directory counts") {
		t.Errorf("what the directory shows is said: %v", err)
	}
	w.deploy()
	second := w.beside(g, "voice", "two", "two")
	w.cfg.Parts.Directory = nil
	w.start()
	w.is(w.plan(old), "A14", onboard.Blocked)
	w.cfg.Parts.Vaults = nil
	w.start()
	for _, step := range []string{"B22", "A9", "B1", "Z1", "b16"} {
		if err := w.set.Declare(t.Context(), w.sub, map[string]string{"done." + step: "2026-11-02"}, "anna"); fault.Of(err) != fault.NotFound || !strings.Contains(err.Error(), "no step asks for") {
			t.Errorf("done.%s: %v", step, err)
		}
	}
	formed(w)
	w.declare("agreement", "OC-17", "onboarding-contact", "Jo", "subscription-enabled", "2026-01-02", "synergy-tenant", tenant, "setup-user", admin,
		"manual-number", "+442079460001", "automated-number", "+442079460002", "network-design", "2026-01-03", "management-region", "westeurope",
		"certificates", "2026-01-04", "bfd", "2026-01-05", "portal-access", "2026-01-11")
	w.apply(old)
	_, err := w.set.Send(t.Context(), w.sub, onboard.Sending{ID: "A1", By: "anna"})
	w.must(err)
	for _, opts := range []onboard.Options{old, now} {
		for range 30 { // what one says opens the next
			p := w.apply(opts)
			if p.Finished() {
				break
			}
			for _, st := range p.Next() {
				if _, fact, ok := strings.Cut(st.Detail, "then say when ("); ok {
					if st.Instruction == nil || st.Instruction.Command == "" || strings.Contains(st.Instruction.Command, "--outside") {
						t.Errorf("%s: %+v", st.ID, st.Instruction)
					}
					fact, _, _ = strings.Cut(fact, "=")
					w.declare(fact, "2026-11-02")
				}
				switch st.ID {
				case "A9", "B22":
					w.declare("application-ids", "2026-11-03")
				case "B20":
					w.is(p, "B20", onboard.Ready, "Application ID of the gateway's identity", "gateway-application-id=")
					w.declare("gateway-application-id", other)
					if h := w.handed(w.plan(opts), "B20"); !strings.Contains(h.Files[0].Content, other) || !strings.Contains(h.Files[0].Content, tenant) {
						t.Errorf("%s", h.Files[0].Content)
					}
					w.declare("onboarded", "2026-11-04")
				}
			}
		}
		p := w.plan(opts)
		for _, st := range p.Steps {
			if !p.Finished() && !st.State.Settled() {
				t.Errorf("track %s does not end: %s is %s: %s, %+v", p.Track, st.ID, st.State, st.Detail, st.Instruction)
			}
		}
	}
	for id, said := range map[string]bool{"A4": true, "A12": true, "B16": true, "B17": true, "B18": false, "B19": false, "B24": false} {
		opts := now
		if strings.HasPrefix(id, "A") {
			opts = old
		}
		if st := w.step(w.of(second, opts), id); st.State.Settled() != said {
			t.Errorf("%s of a second gateway is %s: %s", id, st.State, st.Detail)
		}
	}
}

func instruction(st onboard.Status) string {
	if st.Instruction == nil {
		return ""
	}
	return st.Instruction.Text + st.Instruction.Paste
}
