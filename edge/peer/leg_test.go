package peer

import (
	"testing"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/link/snapshot"
)

// A leg is written as the peer's group wants it, and the profile is compiled
// once for all calls of a snapshot.
func TestALegIsAsItsGroupWants(t *testing.T) {
	inWorld(t, func(w *world) {
		s := snap(peerAt("core-1", "10.1.0.1:5060"), peerAt("core-2", "10.1.0.2:5060"))
		g := &s.Groups[0]
		g.Peers[0].CountryCode, g.Peers[0].TrunkPrefix = "44", "0"
		g.Interworking = snapshot.Interworking{
			Profile: "ims", History: "diversion", Plan: snapshot.NumberPlan{CountryCode: "1", International: "011", Format: "national"},
		}
		w.set.Apply(s)
		w.set.Start(w.stack)
		leg := func(name string) interop.Leg {
			k, ok := w.set.Find(name)
			if !ok {
				t.Fatalf("there is no %s", name)
			}
			return w.set.Leg(k)
		}
		a, b := leg("core-1"), leg("core-2")
		if a.Profile.Name != "ims" || a.Profile.History != interop.HistoryDiversion || a.Profile != b.Profile {
			t.Errorf("%+v, %+v", a.Profile, b.Profile)
		}
		if a.Plan != (interop.Plan{CountryCode: "44", Trunk: "0", International: "011", Format: interop.National}) || b.Plan.CountryCode != "1" {
			t.Errorf("%+v, %+v", a.Plan, b.Plan)
		}
		byName := a.Local
		g.Interworking.Addresses = true
		w.set.Apply(s)
		if byAddress := leg("core-1").Local; byAddress == byName || byAddress != ourOperator {
			t.Errorf("%s, and by address %s", byName, byAddress)
		}
	})
}
