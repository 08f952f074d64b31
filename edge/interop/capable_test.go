package interop

import "testing"

// A leg is promised what its profile does, and no more: the cloud chooses how
// it transfers by our Allow (Microsoft Teams docs, Direct Routing SIP
// protocol), and a core may insist on all that Supported names.
func TestWhatALegIsPromised(t *testing.T) {
	base := Profile{Allow: "INVITE, ACK, OPTIONS, CANCEL, BYE", Supported: "timer"}
	for _, tc := range []struct {
		name             string
		change           func(p *Profile)
		allow, supported string
	}{
		{"nothing beside the base", func(*Profile) {}, "", ""},
		{"100rel (RFC 3262)", func(p *Profile) { p.Reliable = ReliableSupported }, ", PRACK", ", 100rel"},
		{"100rel, demanded", func(p *Profile) { p.Reliable = ReliableRequired }, ", PRACK", ", 100rel"},
		{"UPDATE (RFC 3311)", func(p *Profile) { p.Update = true }, ", UPDATE", ""},
		{"preconditions (RFC 3312)", func(p *Profile) { p.Preconditions = true }, "", ""},
		{"digits by INFO (RFC 6086)", func(p *Profile) { p.DTMF = DTMFInfo }, ", INFO", ""},
		{"REFER (RFC 3515)", func(p *Profile) { p.Refer = true }, ", REFER", ""},
		{"Replaces (RFC 3891)", func(p *Profile) { p.Replaces = true }, "", ", replaces"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := base
			tc.change(&p)
			p.announce()
			p.announce() // says nothing twice
			if p.Allow != base.Allow+tc.allow || p.Supported != base.Supported+tc.supported {
				t.Errorf("Allow: %s, Supported: %s", p.Allow, p.Supported)
			}
			for _, tag := range []string{"100rel", "precondition", "replaces"} {
				if got := p.Knows(tag); got != (tc.supported == ", "+tag || tag == preconditions && p.Preconditions) {
					t.Errorf("Require: %s is understood: %v", tag, got)
				}
			}
			if !p.Knows("TIMER") || p.Knows("") || p.Knows("gruu") {
				t.Error("what a Require may name is something else")
			}
		})
	}
}
