package route

import (
	"slices"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
)

func TestBack(t *testing.T) {
	peer := func(name string, prio int) snapshot.Peer {
		return snapshot.Peer{Name: name, Host: name + ".example", Priority: map[string]int{"r1": prio}}
	}
	s := &snapshot.Snapshot{Groups: []snapshot.Group{
		{Name: "core", Side: snapshot.Operator, Peers: []snapshot.Peer{peer("c", 0)}},
		{Name: "teams", Side: snapshot.Cloud, Peers: []snapshot.Peer{peer("sip", 0), peer("sip2", 1), peer("sip3", 2), {Name: "unused"}}},
	}}
	for _, tc := range []struct {
		name   string
		named  []string
		health Health
		want   []string
	}{
		{"in the order of every call", nil, nil, []string{"sip", "sip2", "sip3"}},
		{"the one named by its host first", []string{"sip2.example", "sip"}, nil, []string{"sip2", "sip", "sip3"}},
		{"then the one it came from", []string{"elsewhere.example", "sip3"}, nil, []string{"sip3", "sip", "sip2"}},
		{"not one that is suspended", []string{"sip.example", "sip3"}, func(p string) bool { return p == "sip" }, []string{"sip3", "sip2", "sip"}},
	} {
		d := Back("teams", Facts{Region: "r1"}, s, tc.health)
		d.Prefer(tc.health, tc.named...)
		var got []string
		for _, x := range d.Targets {
			got = append(got, x.Peer.Name)
		}
		if !slices.Equal(got, tc.want) || d.Refuse != nil {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	s.Emergency = []string{"112"}
	if d := Back("teams", Facts{Region: "r1", Dialled: "112"}, s, nil); !d.Emergency || len(d.Targets) == 0 {
		t.Errorf("%+v", d)
	}
	if d := Back("gone", Facts{}, s, nil); d.Refuse == nil || d.Refuse.Status != 503 {
		t.Errorf("%+v", d)
	}
}
