package peer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestAdmitPutsTheLikeliestPeerFirst(t *testing.T) {
	shared := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	snap := &snapshot.Snapshot{Groups: []snapshot.Group{
		{Name: "core", Side: snapshot.Operator, Peers: []snapshot.Peer{
			{Name: "west-1", Transport: "UDP", Host: "10.1.0.1", Priority: map[string]int{"west": 0}, Sources: shared},
			{Name: "north-1", Transport: "UDP", Host: "10.2.0.1", Priority: map[string]int{"north": 0}, Sources: shared},
			{Name: "north-2", Transport: "TCP", Host: "core.example", Priority: map[string]int{"north": 0}, Sources: shared},
			{Name: "north-3", Transport: "TLS", Host: "10.2.0.1", Priority: map[string]int{"north": 0}, Sources: shared},
		}},
		{Name: "teams", Side: snapshot.Cloud, Peers: []snapshot.Peer{
			{Name: "sip", Transport: "TLS", Host: "10.9.0.1", Sources: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}},
		}},
	}}
	s := NewSet(Config{Region: "north"})
	defer s.Close()
	s.Apply(snap)
	for _, x := range []struct {
		side      snapshot.Side
		transport sip.Transport
		src, want string
	}{
		{snapshot.Operator, sip.UDP, "10.1.0.1", "west-1 north-1 north-2"}, // its own address
		{snapshot.Operator, sip.UDP, "10.2.0.1", "north-1 north-2 west-1"},
		{snapshot.Operator, sip.UDP, "10.3.0.1", "north-1 north-2 west-1"}, // those of this region
		{snapshot.Operator, sip.UDP, "::ffff:10.1.0.1", "west-1 north-1 north-2"},
		{snapshot.Operator, sip.TLS, "10.3.0.1", "north-3"},
		{snapshot.Operator, sip.UDP, "192.0.2.1", ""},
		{snapshot.Cloud, sip.TLS, "10.9.0.7", "sip"},
		{snapshot.Cloud, sip.UDP, "10.9.0.7", ""}, // no way around the certificate
		{snapshot.Cloud, sip.TLS, "10.1.0.1", ""},
	} {
		var names []string
		for _, r := range s.Admit(&sip.Listener{Side: string(x.side), Transport: x.transport}, netip.MustParseAddr(x.src)) {
			names = append(names, r.Name)
		}
		if want := strings.Fields(x.want); !slices.Equal(names, want) {
			t.Errorf("%s %v from %s: got %v, want %v", x.side, x.transport, x.src, names, want)
		}
	}
	if got := s.Strangers(); got != 3 {
		t.Errorf("%d strangers", got)
	}
}

func TestANodeAdmitsWhatItsOwnRegionsListSays(t *testing.T) {
	snap := &snapshot.Snapshot{
		Regions: []snapshot.Region{
			{Name: "west", Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")}},
			{Name: "north", Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}},
		},
		Groups: []snapshot.Group{{Name: "core", Side: snapshot.Operator, Peers: []snapshot.Peer{
			{Name: "west-1", Transport: "UDP", Host: "10.1.0.1", Priority: map[string]int{"west": 0}, Regional: true},
			{Name: "north-1", Transport: "UDP", Host: "10.2.0.1", Priority: map[string]int{"north": 0}, Regional: true},
		}}},
	}
	for region, want := range map[string]map[string]string{
		"west":  {"10.1.0.1": "west-1", "10.2.0.1": "north-1", "10.3.0.1": ""},
		"north": {"10.1.0.1": "", "10.2.0.1": "north-1", "10.3.0.1": ""},
	} {
		s := NewSet(Config{Region: region})
		s.Apply(snap)
		for src, first := range want {
			found := s.Admit(&sip.Listener{Side: "operator", Transport: sip.UDP}, netip.MustParseAddr(src))
			got := ""
			if len(found) > 0 {
				got = found[0].Name
			}
			if got != first {
				t.Errorf("in %s %s is taken for %q, want %q", region, src, got, first)
			}
		}
		s.Close()
	}
}

// TestAPeerThatIsNeverDialledSaysSo: who waits for its peers need not wait for
// it.
func TestAPeerThatIsNeverDialledSaysSo(t *testing.T) {
	s := NewSet(Config{Region: "north", Listeners: []sip.Listener{{Name: "operator", Side: string(snapshot.Operator), Transport: sip.UDP}}})
	defer s.Close()
	s.Apply(&snapshot.Snapshot{Groups: []snapshot.Group{{Name: "core", Side: snapshot.Operator, Peers: []snapshot.Peer{
		{Name: "used", Transport: "UDP", Host: "10.1.0.1", Priority: map[string]int{"north": 0}},
		{Name: "calls us", Transport: "UDP", Host: "10.1.0.2"},
		{Name: "no listener", Transport: "TLS", Host: "10.1.0.3", Priority: map[string]int{"north": 0}},
	}}}})
	for _, h := range s.Health() {
		if h.Unused != (h.Peer != "used") || h.Unused != (h.Why != "") {
			t.Errorf("%+v", h)
		}
	}
}
