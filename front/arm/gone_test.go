package arm_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/arm"
)

// TestWhoIsGoneIsNotBelieved, though the token is good for an hour: neither a
// user nor a program, disabled or deleted.
func TestWhoIsGoneIsNotBelieved(t *testing.T) {
	ctx := t.Context()
	d, err := directory.Open(ctx, directory.Config{Store: storetest.New(t), Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	const issuer = base + "/issuer"
	us, tokens := directory.Ourselves(tenant, ""), arm.NewTokens(d, []string{issuer}, []string{base}, tenant)
	u, err := d.CreateUser(ctx, us, directory.User{Name: "ann@telecom.example", DisplayName: "Ann", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.CreateApplication(ctx, us, directory.Application{DisplayName: "Robot"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.AddPrincipal(ctx, us, a.AppID, "")
	if err != nil {
		t.Fatal(err)
	}
	person, err := d.IssueUser(ctx, directory.Delegation{Tenant: tenant, User: u.ID, Client: directory.AzureCLIID, Issuer: issuer, Audience: base})
	if err != nil {
		t.Fatal(err)
	}
	program, err := d.IssueFor(ctx, p.ID, issuer, base)
	if err != nil {
		t.Fatal(err)
	}
	believed := func(what string, want bool) {
		t.Helper()
		for name, token := range map[string]directory.Token{"ann": person, "the program": program} {
			who, err := tokens.Verify(ctx, string(token.Raw))
			if (err == nil) != want || want && who.Object != u.ID && who.Object != p.ID {
				t.Errorf("%s, %s: %+v, %v", what, name, who, err)
			}
		}
	}
	believed("at first", true)
	enable := func(enabled bool) {
		t.Helper()
		if _, err := d.UpdateUser(ctx, us, u.ID, func(u *directory.User) error { u.Enabled = enabled; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := d.UpdatePrincipal(ctx, us, p.ID, func(p *directory.ServicePrincipal) error { p.Enabled = enabled; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	enable(false)
	believed("disabled", false)
	enable(true)
	believed("enabled again", true)
	if err := d.DeleteUser(ctx, us, u.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteApplication(ctx, us, a.ID); err != nil {
		t.Fatal(err)
	}
	believed("deleted", false)
	if person.Life > time.Hour {
		t.Error(person.Life)
	}
}
