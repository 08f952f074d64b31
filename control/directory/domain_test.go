package directory_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/zone"
)

// TestADomainIsVerifiedByItsRecord (Microsoft Entra docs, "Add your custom
// domain name"): the TXT or the MX record, of this tenant and of no other; what
// is below a verified name is verified with it.
func TestADomainIsVerifiedByItsRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		const name = "lab-1.r.commsgw.example"
		d, err := w.AddDomain(ctx, w.global, "LAB-1.r.commsgw.example.")
		if err != nil || d.Name != name || d.IsVerified() || d.Initial || d.Default || len(d.Token) != len("MS=ms12345678") {
			t.Fatalf("%+v, %v", d, err)
		}
		_, err = w.AddDomain(ctx, w.global, name)
		wants(t, "twice", err, fault.Conflict)
		records, err := w.VerificationRecords(ctx, w.reader, name)
		if err != nil || len(records) != 2 || records[0].Text != d.Token || records[0].Label != name || records[0].TTL != 3600 || !strings.HasSuffix(records[1].Exchange, ".msv1.invalid") {
			t.Fatalf("%+v, %v", records, err)
		}
		try := func(what string, want error) {
			t.Helper()
			if d, err := w.VerifyDomain(ctx, w.global, name); !errors.Is(err, want) || d.IsVerified() != (err == nil) {
				t.Errorf("%s: %+v, %v", what, d, err)
			}
		}
		try("nothing in the DNS", directory.ErrUnproven)
		there := directory.Ourselves(other, "")
		rival, err := w.AddDomain(ctx, there, name)
		if err != nil || rival.Token == d.Token {
			t.Fatal(rival, err)
		}
		w.names.say(name, rival.Token)
		try("the record of another tenant", directory.ErrUnproven)
		w.names.say(name, "v=spf1 -all")
		w.names.say(name, " "+strings.ToUpper(d.Token)+" ")
		try("the record", nil)
		_, err = w.VerifyDomain(ctx, there, name)
		wants(t, "verified by another tenant already", err, fault.Conflict)
		if _, err := w.VerifyDomain(ctx, w.global, name); err != nil {
			t.Errorf("once more: %v", err)
		}
		below, err := w.AddDomain(ctx, w.global, "1r1."+name)
		if err != nil || !below.IsVerified() {
			t.Errorf("below: %+v, %v", below, err)
		}
		if below, err = w.AddDomain(ctx, there, "2r1."+name); err != nil || below.IsVerified() {
			t.Errorf("below, for another tenant: %+v, %v", below, err)
		}
		if below, err = w.AddDomain(ctx, w.global, "x"+name); err != nil || below.IsVerified() {
			t.Errorf("beside: %+v, %v", below, err)
		}
		for name, want := range map[string]bool{name: true, "x." + name + ".": true, "x" + name: false, "commsgw.example": false} {
			if got, err := w.Verified(ctx, tenant, name); err != nil || got != want {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}

		u, err := w.CreateUser(ctx, w.global, directory.User{Name: "ann@1r1." + name, DisplayName: "Ann"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RemoveDomain(ctx, w.global, "1r1."+name); err != nil {
			t.Errorf("a name above is still the tenant's: %v", err)
		}
		wants(t, "in use", w.RemoveDomain(ctx, w.global, name), fault.Conflict)
		if err := w.DeleteUser(ctx, w.global, u.ID); err != nil {
			t.Fatal(err)
		}
		a, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: "API", URIs: []string{"https://API." + name + "/v1"}})
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "in use by an application", w.RemoveDomain(ctx, w.global, name), fault.Conflict)
		if err := w.DeleteApplication(ctx, w.apps, a.ID); err != nil {
			t.Fatal(err)
		}
		if err := w.SetDefaultDomain(ctx, w.global, name); err != nil {
			t.Fatal(err)
		}
		wants(t, "the default", w.RemoveDomain(ctx, w.global, name), fault.Invalid)
		if err := w.SetDefaultDomain(ctx, w.global, "telecom.example"); err != nil {
			t.Fatal(err)
		}
		wants(t, "the initial one", w.RemoveDomain(ctx, w.global, "telecom.example"), fault.Invalid)
		wants(t, "one that is not verified as the default", w.SetDefaultDomain(ctx, w.global, "x"+name), fault.Invalid)
		if err := w.RemoveDomain(ctx, w.global, name); err != nil {
			t.Error(err)
		}
		again, err := w.AddDomain(ctx, w.global, name)
		if err != nil || again.Token == d.Token || again.IsVerified() {
			t.Errorf("an old record verifies it: %+v, %v", again, err)
		}
	})
}

func TestADomainIsVerifiedByAnMXRecordToo(t *testing.T) {
	w := build(t, storetest.New(t))
	if _, err := w.AddDomain(t.Context(), w.global, "voice.example.net"); err != nil {
		t.Fatal(err)
	}
	records, err := w.VerificationRecords(t.Context(), w.global, "voice.example.net")
	if err != nil {
		t.Fatal(err)
	}
	w.names.mx["voice.example.net"] = strings.ToUpper(records[1].Exchange) + "."
	if d, err := w.VerifyDomain(t.Context(), w.global, "voice.example.net"); err != nil || !d.IsVerified() {
		t.Errorf("%+v, %v", d, err)
	}
	w.names.err = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	if _, err := w.AddDomain(t.Context(), w.global, "other.example.net"); err != nil {
		t.Fatal(err)
	}
	_, err = w.VerifyDomain(t.Context(), w.global, "other.example.net")
	wants(t, "a DNS that does not answer", err, fault.Unavailable)
}

// TestNamesThatAreNoDomains are refused, whatever they look like.
func TestNamesThatAreNoDomains(t *testing.T) {
	w := build(t, storetest.New(t))
	for _, name := range []string{
		"", ".", "example", "a..b", "-a.example", "a-.example", "a_b.example", "a b.example", "../../etc/passwd", "a.example/x", "a.example?x=1", "a.example#", "a.exämple", "a.example\x00",
		"a.example\n", "*.example", "192.0.2.1", "a.b", "[::1]", "user@a.example", "%2e%2e.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example",
	} {
		if d, err := w.AddDomain(t.Context(), w.global, name); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
	}
}

// TestOurOwnZoneProvesItsNames: the record of a gateway's name is published in
// the zone that the deployment serves, and found by asking its name server.
func TestOurOwnZoneProvesItsNames(t *testing.T) {
	s := storetest.New(t)
	const base = "lab-1.commsgw.example"
	z, err := zone.New(t.Context(), zone.Config{
		Store: s, Suffix: "commsgw.example", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Contact: "hostmaster@commsgw.example", Log: slog.New(slog.DiscardHandler),
		NameServers: []zone.NameServer{{Name: "ns1.commsgw.example", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}},
		Gateways:    func(context.Context) ([]zone.Gateway, error) { return []zone.Gateway{{Base: base}}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.Close() })
	if err := z.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := build(t, s, func(c *directory.Config) {
		c.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, z.Addr().String())
		}}
	})
	ctx := t.Context()
	if _, err := w.AddDomain(ctx, w.global, base); err != nil {
		t.Fatal(err)
	}
	if _, err := w.VerifyDomain(ctx, w.global, base); !errors.Is(err, directory.ErrUnproven) {
		t.Errorf("before: %v", err)
	}
	records, err := w.VerificationRecords(ctx, w.global, base)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.AddText(ctx, records[0].Label, records[0].Text); err != nil {
		t.Fatal(err)
	}
	if d, err := w.VerifyDomain(ctx, w.global, base); err != nil || !d.IsVerified() {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestATenantHasADomainFromItsBeginning: the configuration's, or one made of
// its name; two tenants never have the same.
func TestATenantHasADomainFromItsBeginning(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		open := func(own, others directory.Tenant) (*directory.Set, error) {
			own.ID, others.ID = tenant, other
			return directory.Open(ctx, directory.Config{Store: s, Tenant: own, Others: []directory.Tenant{others}, Log: slog.New(slog.DiscardHandler)})
		}
		has := func(d *directory.Set, tenant, initial string, all ...string) {
			t.Helper()
			list, err := d.Domains(ctx, directory.Ourselves(tenant, ""))
			if err != nil || len(list) != len(all)+1 {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, x := range list {
				if !x.IsVerified() || x.Initial != (x.Name == initial) || x.Default != x.Initial {
					t.Errorf("%+v, and %s is the initial one", x, initial)
				}
			}
		}
		d, err := open(directory.Tenant{Name: "Contoso Telecom & Söhne"}, directory.Tenant{Name: "Fabrikam.Example"})
		if err != nil {
			t.Fatal(err)
		}
		has(d, tenant, "contoso-telecom-s-hne.tandem.internal")
		has(d, other, "fabrikam.example")
		if found, ok, err := d.FindTenant(ctx, "FABRIKAM.example."); err != nil || !ok || found.ID != other {
			t.Errorf("%+v, %v, %v", found, ok, err)
		}
		for name, want := range map[string]bool{"1r1.sales.fabrikam.example": true, "x" + "fabrikam.example": false, "example": false, "": false, ".": false, "a..fabrikam.example": true} {
			if found, ok, err := d.FindTenant(ctx, name); err != nil || ok != want || ok && found.ID != other {
				t.Errorf("%q: %+v, %v, %v", name, found, ok, err)
			}
		}
		if d, err = open(directory.Tenant{Name: "Called otherwise"}, directory.Tenant{Name: "fabrikam.example"}); err != nil {
			t.Fatal(err)
		}
		has(d, tenant, "contoso-telecom-s-hne.tandem.internal")
		if d, err = open(directory.Tenant{Name: "Contoso", Domain: "Contoso.example"}, directory.Tenant{Name: "fabrikam.example"}); err != nil {
			t.Fatal(err)
		}
		has(d, tenant, "contoso.example", "contoso-telecom-s-hne.tandem.internal")
		_, err = open(directory.Tenant{Name: "Contoso", Domain: "fabrikam.example"}, directory.Tenant{Name: "fabrikam.example"})
		wants(t, "the domain of another tenant", err, fault.Invalid)
		if d, err = open(directory.Tenant{Name: "Contoso", Domain: "contoso-telecom-s-hne.tandem.internal"}, directory.Tenant{Name: "fabrikam.example"}); err != nil {
			t.Fatal(err)
		}
		has(d, tenant, "contoso-telecom-s-hne.tandem.internal", "contoso.example")
	})
}
