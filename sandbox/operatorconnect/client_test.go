package operatorconnect

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	product "github.com/tandemgw/tandem/control/operatorconnect"
)

// client is the product's, which another hand has written.
func (b *bench) client(app, token string) *product.Client {
	b.t.Helper()
	c, err := product.New(product.Config{
		URL: b.env.URL(), Application: app, Suffixes: []string{suffix}, HTTP: b.http.Transport,
		Token: func(context.Context, bool) (obs.Secret, error) { return obs.Secret(token), nil },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func TestTheProductKeepsWhatAGatewayHas(t *testing.T) {
	b := newBench(t, nil)
	c := b.client(gatewayApp, b.program(gatewayApp, seven...))
	kept := product.Kept{Gateway: "lab", Region: "westeurope", Offers: []string{"Calling", "TeamsPhoneMobile"}, Emergency: []string{"112"}}
	for _, name := range []string{"1r1.label." + suffix, "1r2.label." + suffix} {
		kept.Trunks = append(kept.Trunks, product.TrunkDraft{FQDN: name, Port: 5063, Enabled: true})
	}
	if _, err := c.Keep(t.Context(), kept); product.Code(err) != product.NotListed {
		t.Fatalf("an application that is not listed: %v", err)
	}
	b.list(gatewayApp, gatewaysApp)
	made, err := c.Keep(t.Context(), kept)
	if err != nil || len(made) != 3 || !b.env.Enrolled(kept.Trunks[0].FQDN) || !b.env.Enrolled(kept.Trunks[1].FQDN) {
		t.Fatalf("%v, %v", made, err)
	}
	if made, err = c.Keep(t.Context(), kept); err != nil || len(made) > 0 {
		t.Errorf("a second time: %v, %v", made, err)
	}
	// What somebody has changed stays: the check of onboarding tells it.
	trunk, err := c.TrunkNamed(t.Context(), kept.Trunks[0].FQDN)
	if err != nil {
		t.Fatal(err)
	}
	if g := b.ask(b.person("Admin"), "PUT", "/trunks/"+trunk.ID+"?force=true", map[string]any{"trunkFqdn": trunk.FQDN, "enabled": false}); g.status != 200 {
		t.Fatalf("%s", g.raw)
	}
	if made, err = c.Keep(t.Context(), kept); err != nil || len(made) > 0 || b.env.Enrolled(trunk.FQDN) {
		t.Errorf("what was changed: %v, %v", made, err)
	}
	// A region that is added gets its trunk, and the profile goes over it.
	kept.Trunks = append(kept.Trunks, product.TrunkDraft{FQDN: "1r3.label." + suffix, Port: 5063, Enabled: true})
	if made, err = c.Keep(t.Context(), kept); err != nil || len(made) != 2 || !b.env.Enrolled("1r3.label."+suffix) {
		t.Errorf("a third region: %v, %v", made, err)
	}
	// So does a service.
	kept.Offers = append(kept.Offers, "AudioConferencing")
	if made, err = c.Keep(t.Context(), kept); err != nil || len(made) != 1 || made[0] != "offer AudioConferencing of the calling profile lab"+product.NameSuffix {
		t.Errorf("another service: %v, %v", made, err)
	}
	if made, err = c.Keep(t.Context(), kept); err != nil || len(made) > 0 {
		t.Errorf("the same again: %v, %v", made, err)
	}
}

func TestTheProductAndTheEnvironmentUnderstandEachOther(t *testing.T) {
	b := newBench(t, nil)
	b.list(gatewayApp, gatewaysApp, billingApp)
	c := b.client(gatewayApp, b.program(gatewayApp, seven...))
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Keep(ctx, product.Kept{Gateway: "lab", Region: "EU", Offers: []string{"Calling"}, Trunks: []product.TrunkDraft{{FQDN: "1r1." + suffix, Enabled: true}}})
	must(err)
	profiles, err := c.Profiles(ctx)
	must(err)

	// A page at a time, with answers that are late or lost on the way.
	for i := range 250 {
		b.choose(fmt.Sprintf("cccccccc-%04x-4000-8000-000000000003", i+1), "")
	}
	b.env.SetFaults(Faults{Status: 429, RetryAfter: time.Second, Next: 1})
	list, err := c.Consents(ctx, "")
	must(err)
	if len(list) != 250 {
		t.Errorf("%d consents", len(list))
	}
	b.env.SetFaults(Faults{Lose: true, Next: 1, Below: "/trunks"})
	made, err := c.CreateTrunk(ctx, product.TrunkDraft{FQDN: "sbc.operator.example", Enabled: true})
	must(err)
	trunks, err := c.Trunks(ctx)
	must(err)
	if n := len(trunks); n != 2 || !slices.ContainsFunc(trunks, func(t product.Trunk) bool { return t.ID == made.ID }) {
		t.Errorf("a trunk whose answer was lost is there %d times: %+v", n-1, trunks)
	}

	// An order to its end.
	b.choose(enterprise1, "")
	order, err := c.Upload(ctx, enterprise1, product.Upload{Usage: "CallingUserAssignment", CallingProfileID: profiles[0].ID, TelephoneNumbers: []string{"+442079460010", "+9991234567"}})
	must(err)
	if order, err = c.Await(ctx, order); err != nil || order.Status != "partial_success" {
		t.Errorf("%+v, %v", order, err)
	}
	for n, err := range c.Numbers(ctx, enterprise1) {
		if must(err); n.TelephoneNumber != "+442079460010" {
			t.Errorf("%+v", n)
		}
	}

	// Another hand is warned, and refused by both sides.
	other := b.client(billingApp, b.program(billingApp, seven...))
	if err := other.DeleteProfile(ctx, product.Edit{ID: profiles[0].ID}); fault.Of(err) != fault.Conflict || product.Code(err) != product.Managed {
		t.Errorf("%v", err)
	}
	if _, err := b.client(gatewayApp, b.program(gatewayApp)).Trunks(ctx); product.Code(err) != product.RoleMissing {
		t.Errorf("%v", err)
	}
}
