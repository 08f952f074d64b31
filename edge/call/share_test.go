package call

import (
	"testing"

	"github.com/tandemgw/tandem/wire/sip"
)

func TestOnePeerCannotTakeThePortsOfAllTheOthers(t *testing.T) {
	s := NewSet(Config{Limits: Limits{Calls: 16}})
	enter := func(id, peer string) bool {
		c := &call{set: s, id: id, source: sip.Source{Remote: &sip.Remote{Name: peer}}}
		req := sip.NewRequest("INVITE", "sip:x")
		req.Set("Call-ID", id)
		if !s.enter(c, req) {
			t.Fatal("refused")
		}
		if s.full(peer) {
			s.forget(c)
			return false
		}
		return true
	}
	taken := 0
	for i := range 20 {
		if enter(string(rune('a'+i)), "wild") {
			taken++
		}
	}
	if taken != 14 {
		t.Errorf("one peer has %d of 16", taken)
	}
	for _, id := range []string{"y", "z"} {
		if !enter(id, "other") {
			t.Error("another peer was refused")
		}
	}
	if enter("zz", "other") {
		t.Error("more than there may be")
	}
}
