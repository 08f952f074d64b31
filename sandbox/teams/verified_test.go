package teams

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// Azure Communications Gateway docs, "Register your deployment's domain name in
// Microsoft Entra": Teams only sends traffic to domains that their owner has
// confirmed.
func TestATrunkOfADomainThatIsNotVerifiedIsIgnored(t *testing.T) {
	var verified atomic.Bool
	b := newBench(t, func(c *Config) {
		c.Options = time.Minute
		c.Verified = func(fqdn string) bool {
			return verified.Load() && (fqdn == carrier || strings.HasSuffix(fqdn, "."+carrier))
		}
	})
	if answer := b.ping("sip"); answer == nil || answer.Status != 403 || !strings.Contains(answer.Get("Reason"), "510532") {
		t.Errorf("OPTIONS of a trunk that is not verified: %v", answer)
	}
	if _, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550100", To: "+442079460100"}); err == nil || !strings.Contains(err.Error(), "not verified") {
		t.Errorf("a call of a user goes out: %v", err)
	}
	b.teams.Answer("+14255550101", phone.Behaviour{})
	in := func() phone.Facts {
		return b.ended(b.dial(phone.CallSpec{From: "+442079460101", To: "+14255550101", Duration: 100 * time.Millisecond}))
	}
	if f := in(); f.Status != 403 {
		t.Errorf("a call from the trunk was answered with %d %s", f.Status, f.Reason)
	}
	b.teams.Reconsider()
	if s := b.teams.Trunks()[0]; s.Active || s.Verified || s.LastError != unverified {
		t.Errorf("the trunk is %+v", s)
	}

	verified.Store(true)
	b.teams.Reconsider()
	b.wait("the trunk's activation without another OPTIONS", func() bool { return b.teams.Trunks()[0].Active })
	if s := b.teams.Trunks()[0]; !s.Verified || s.LastError != "" {
		t.Errorf("the trunk is %+v", s)
	}
	if answer := b.ping("sip"); answer == nil || answer.Status != 200 {
		t.Errorf("OPTIONS once it is verified: %v", answer)
	}
	if f := in(); f.Status != 200 {
		t.Errorf("a call from the trunk was answered with %d %s", f.Status, f.Reason)
	}

	verified.Store(false) // the domain is taken out of the directory
	if f := in(); f.Status != 403 || b.teams.Trunks()[0].Active {
		t.Errorf("a call after that was answered with %d, the trunk is %+v", f.Status, b.teams.Trunks()[0])
	}
	b.noViolations() // it is nobody's fault
}

func TestOtherTrunksAreUsedWhileOneIsNotVerified(t *testing.T) {
	const other = "1r2.lab.test"
	b := newBench(t, func(c *Config) {
		c.Trunks = append(c.Trunks, Trunk{FQDN: other, Port: 5063})
		c.Verified = func(fqdn string) bool { return fqdn == other }
	})
	for _, region := range []string{"", carrier} {
		all, err := b.teams.targets(phone.CallSpec{Region: region})
		if err != nil || len(all) != 2 || all[0].Name != other {
			t.Errorf("%q: %+v %v", region, all, err)
		}
	}
}
