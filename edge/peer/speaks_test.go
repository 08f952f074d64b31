package peer

import (
	"net/netip"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestADialogIsSpokenInByItsOwnGroupAlone(t *testing.T) {
	net := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	s := NewSet(Config{Region: "west"})
	defer s.Close()
	s.Apply(&snapshot.Snapshot{
		Regions: []snapshot.Region{{Name: "west", MediaSources: net("10.9.0.0/16")}},
		Groups: []snapshot.Group{
			{Name: "fixed", Side: snapshot.Operator, Peers: []snapshot.Peer{
				{Name: "f1", Transport: "UDP", Host: "10.1.0.1", Sources: net("10.1.0.0/16"), MediaSources: net("10.1.0.0/16"), Regional: true},
			}},
			{Name: "mobile", Side: snapshot.Operator, Peers: []snapshot.Peer{
				{Name: "m1", Transport: "UDP", Host: "10.1.0.2", Sources: net("10.1.0.0/16")},
				{Name: "m2", Transport: "UDP", Host: "10.2.0.1", Sources: net("10.2.0.0/16")},
			}},
		},
	})
	listener := &sip.Listener{Side: "operator", Transport: sip.UDP}
	for _, c := range []struct {
		group, from, addr string
		want              bool
	}{
		{"fixed", "f1", "10.1.0.1", true},
		{"mobile", "m1", "10.2.0.9", true},
		{"mobile", "f1", "10.1.0.7", true}, // the range is shared: the first one was taken for it
		{"fixed", "m2", "10.2.0.1", false},
		{"", "m2", "10.2.0.1", false},
	} {
		known, _ := s.Find(c.from)
		src := sip.Source{Listener: listener, Addr: netip.AddrPortFrom(netip.MustParseAddr(c.addr), 5060), Remote: s.table.Load().byName[known.Name].remote}
		if got := s.Speaks(c.group, src); got != c.want {
			t.Errorf("%s at %s in a dialog of group %q: %t", c.from, c.addr, c.group, got)
		}
	}
	f1, _ := s.Find("f1")
	m1, _ := s.Find("m1")
	for addr, want := range map[string][2]bool{"10.1.2.3": {true, true}, "10.9.0.1": {true, true}, "::ffff:10.1.2.3": {true, true}, "192.0.2.1": {false, true}} {
		a := netip.MustParseAddr(addr)
		if got := [2]bool{f1.MediaFrom(a), m1.MediaFrom(a)}; got != want {
			t.Errorf("media at %s: %v, want %v: who has no ranges is believed", addr, got, want)
		}
	}
}
