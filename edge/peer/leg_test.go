package peer

import (
	"testing"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
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

// A listener without a name of its own goes by the region's towards the cloud,
// which refuses an address in Contact (Microsoft Teams docs, "Direct Routing -
// SIP protocol"), and by its address towards the core.
func TestANamelessListenerGoesByTheRegion(t *testing.T) {
	s := snap(peerAt("core-1", "10.1.0.1:5060"))
	s.Regions = []snapshot.Region{{Name: "r2", Domain: "1r2.base.example"}, {Name: "r1", Domain: "1r1.base.example"}}
	local := func(w *world, name string) string {
		k, ok := w.set.Find(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		return w.set.Leg(k).Local
	}
	nameless := func(all []sip.Listener) { all[0].Advertise, all[1].Advertise = "", "" }
	inWorld(t, func(w *world) {
		w.set.Apply(s)
		w.set.Start(w.stack)
		if cloud, core := local(w, "teams-1"), local(w, "core-1"); cloud != "1r1.base.example:5060" || core != ourOperator {
			t.Errorf("towards the cloud %s, towards the core %s", cloud, core)
		}
	}, nameless)
	inWorld(t, func(w *world) {
		w.set.Apply(s)
		w.set.Start(w.stack)
		if cloud := local(w, "teams-1"); cloud != "1r1.gw.example:5063" {
			t.Errorf("a listener with a name goes by %s", cloud)
		}
	})
}
