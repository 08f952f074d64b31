package interop

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestNumbersAreWrittenAsThePeerWants(t *testing.T) {
	const uk, us, code = "+442079460123", "+14255550123", "999"
	british := Plan{CountryCode: "44", Trunk: "0", International: "00"}
	american := Plan{CountryCode: "1", Trunk: "1", International: "011"}
	norwegian := Plan{CountryCode: "47", International: "00"}
	for _, tc := range []struct {
		name     string
		plan     Plan
		format   Format
		in, want string
	}{
		{"with a plus", british, Plus, uk, uk},
		{"without", british, Digits, uk, "442079460123"},
		{"international", british, International, uk, "00442079460123"},
		{"national", british, National, uk, "02079460123"},
		{"national, to abroad", british, National, us, "0014255550123"},
		{"national, in a country whose prefix is its code", american, National, us, "14255550123"},
		{"international from there", american, International, uk, "011442079460123"},
		{"national, in a country without a prefix", norwegian, National, "+4722123456", "22123456"},
		{"a service code is nobody's", british, National, code, code},
		{"nor is an emergency call, as older clients of Teams dial it", american, National, "+911", "+911"},
		{"or Zoom", british, National, "+44999", "+44999"},
		{"nor is a name", british, International, "alice", "alice"},
		{"nor a feature code", british, Digits, "*61%23", "*61%23"},
	} {
		tc.plan.Format = tc.format
		if got := tc.plan.Write(tc.in); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	leg := coreLeg()
	leg.Plan.Format = National
	in := message(t, fromCloud)
	m := Invite(in, identify(t, in, cloudLeg()), leg, Names{"id", "tag"})
	const want = "sip:02079460123@core.example:5060;user=phone;transport=tcp"
	if m.RequestURI != want || !strings.HasPrefix(m.Get("To"), "<sip:02079460123@") || !strings.Contains(m.Get("P-Asserted-Identity"), "sip:0014255550199@") {
		t.Errorf("\n%s", wire(m))
	}
}

func TestNumbersOfManyForms(t *testing.T) {
	uk := Plan{CountryCode: "44", Trunk: "0", International: "00"}
	digits := Plan{CountryCode: "44", Trunk: "0", International: "00", Format: Digits}
	bare := Plan{International: "00", Format: Digits}
	italy := Plan{CountryCode: "39", International: "00"}
	for _, tc := range []struct {
		plan Plan
		uri  string
		want string
		ok   bool
	}{
		{uk, "tel:+44(0)2079460123", "+442079460123", true},
		{uk, "sip:+4402079460123@h", "+442079460123", true},
		{italy, "sip:+390612345678@h", "+390612345678", true}, // the 0 is part of the number there
		{italy, "sip:0612345678@h", "+390612345678", true},
		{digits, "sip:442079460123@h", "+442079460123", true},
		{digits, "sip:02079460123@h", "+442079460123", true},
		{digits, "sip:118500@h", "118500", false},
		{bare, "sip:442079460123@h", "+442079460123", true},
		{bare, "sip:02079460123@h", "02079460123", false},
		// RFC 3966 5.1.5: a country code as context.
		{uk, "tel:2079460123;phone-context=+44", "2079460123", false}, // own country: as dialled here
		{uk, "tel:02079460123;phone-context=+44", "+442079460123", true},
		{uk, "tel:3012345678;phone-context=+49", "+493012345678", true},
		{uk, "sip:3012345678;phone-context=%2B49@h;user=phone", "+493012345678", true},
		{uk, "tel:863-1234;phone-context=+1-914-555", "8631234", false}, // a region: its dialling is not known
		{uk, "tel:02079460123;phone-context=core.example", "+442079460123", true},
		{uk, "tel:02079460123;phone-context=+0", "+442079460123", true},
	} {
		u, err := sip.ParseURI(tc.uri)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := tc.plan.number(u); got != tc.want || ok != tc.ok {
			t.Errorf("%+v: %s became %q, %v; want %q, %v", tc.plan, tc.uri, got, ok, tc.want, tc.ok)
		}
	}
}

func TestAPeersPlanCountsBeforeItsGroups(t *testing.T) {
	g := &snapshot.Group{Interworking: snapshot.Interworking{Plan: snapshot.NumberPlan{CountryCode: "44", Trunk: "0", Format: "national"}}}
	if got := PlanOf(g, &snapshot.Peer{}); got != (Plan{"44", "0", "00", National}) {
		t.Errorf("%+v", got)
	}
	g.Interworking.Plan.International = "011"
	if got := PlanOf(g, &snapshot.Peer{CountryCode: "1", TrunkPrefix: "1"}); got != (Plan{"1", "1", "011", National}) {
		t.Errorf("%+v", got)
	}
}

// FuzzPlan: what has been made E.164 stays it, and is read again from what is
// written of it.
func FuzzPlan(f *testing.F) {
	f.Add("02079460123", "44", "0", "00", uint8(3))
	f.Add("+14255550123", "1", "1", "011", uint8(1))
	f.Add("22123456", "47", "", "00", uint8(3))
	f.Add("010000", "44", "0", "00", uint8(1)) // the shortest number there is: +683 has such
	f.Fuzz(func(t *testing.T, number, country, trunk, international string, format uint8) {
		if strings.Trim(country+trunk+international, "0123456789") != "" {
			return // control refuses such a plan
		}
		p := Plan{CountryCode: country, Trunk: trunk, International: international, Format: Format(format % 4)}
		n, ok := p.Normalise(number)
		if !ok {
			return
		}
		if again, ok := p.Normalise(n); !ok || again != n {
			t.Fatalf("%+v: %q became %q, then %q", p, number, n, again)
		}
		u, err := sip.ParseURI("sip:" + p.Write(n) + "@h")
		if err != nil || !dialled(u.User) {
			t.Fatalf("%+v: %q is written %q: %v", p, n, p.Write(n), err)
		}
		if !sane(p) {
			return
		}
		if back, ok := p.Normalise(p.Write(n)); !ok || back != n {
			t.Fatalf("%+v: %q is written %q and read %q, %v", p, n, p.Write(n), back, ok)
		}
	})
}

// sane: a plan in which no prefix is mistaken for another, as countries take
// care that it is.
func sane(p Plan) bool {
	return p.CountryCode == "44" && p.Trunk == "0" && p.International == "00"
}
