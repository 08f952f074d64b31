package snapshot

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshotSurvivesJSON(t *testing.T) {
	numbers, err := NewNumbers(Number{"+441134960001", TeamsDirectRouting, "contoso", "gold", "+441134960099"})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := NewAccounts(Account{"contoso", "00000000-0000-4000-8000-00000000c042", "c042", true})
	if err != nil {
		t.Fatal(err)
	}
	want := Snapshot{
		Revision: 7, Gateway: "lab",
		Regions: []Region{{
			Name: "westeurope", Domain: "1r1.example",
			Sources:      []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			MediaSources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")},
		}},
		Emergency: []string{"911"},
		Numbers:   numbers,
		Accounts:  accounts,
		Header:    "X-MS-Operator-Content",
		Groups: []Group{{
			Name: "core", Side: Operator, Services: []Service{Zoom}, Profile: "core", Codecs: []string{"PCMA"}, Suites: []string{"AEAD_AES_128_GCM"},
			TLS: TLS{"1.2", "1.3", []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}, "-----BEGIN", true, "operator.tls"},
			Peers: []Peer{{
				Name: "a", Transport: "TLS", SRTP: true, Host: "a.example", Port: 5061, Priority: map[string]int{"westeurope": 0}, Regional: true,
				Sources:      []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				MediaSources: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")},
				Names:        []string{"core.example"}, Options: time.Minute, CountryCode: "44", TrunkPrefix: "0",
			}},
		}},
		Policy: Policy{map[string]Service{"core": OperatorConnect}, map[Service]string{OperatorConnect: "core"}, "psap", map[string]Service{"+441134960001": Zoom}},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Snapshot
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestIsEmergency(t *testing.T) {
	s := &Snapshot{Emergency: []string{"911", "112", "+44999"}}
	for dialled, want := range map[string]bool{
		"911":                     true,
		"+911":                    true, // older Teams clients
		"9-1-1":                   true,
		"911;phone-context=+1":    true,
		"44999":                   true,
		"+44999":                  true, // Zoom
		"999":                     false,
		"9111":                    false,
		"91":                      false,
		"":                        false,
		"+":                       false,
		";911":                    false,
		"0911":                    false,
		"+14255550911":            false,
		"112 ":                    true,
		"1.1.2;tgrp=x;trunk=9-11": true,
	} {
		if got := s.IsEmergency(dialled); got != want {
			t.Errorf("%q: got %v", dialled, got)
		}
	}
	if (&Snapshot{}).IsEmergency("911") {
		t.Error("without dial strings nothing is an emergency")
	}
	if n := testing.AllocsPerRun(100, func() { s.IsEmergency("+44 113 496 0001") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPeersAndGroups(t *testing.T) {
	lan, wan := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	s := &Snapshot{Groups: []Group{
		{Name: "a", Side: Operator, Peers: []Peer{{Name: "a1", MediaSources: []netip.Prefix{lan}}, {Name: "a2", Sources: []netip.Prefix{wan}, MediaSources: []netip.Prefix{lan, wan}}}},
		{Name: "b", Side: Cloud, Peers: []Peer{{Name: "b1", MediaSources: []netip.Prefix{wan}}}},
	}}
	var names []string
	for g, p := range s.Peers() {
		names = append(names, g.Name+"/"+p.Name)
	}
	if want := []string{"a/a1", "a/a2", "b/b1"}; !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	if g := s.Group("b"); g != &s.Groups[1] || s.Group("c") != nil {
		t.Errorf("got %v", g)
	}
}

func TestEachRegionHasAllowListsOfItsOwn(t *testing.T) {
	list := func(ranges ...string) (out []netip.Prefix) {
		for _, r := range ranges {
			out = append(out, netip.MustParsePrefix(r))
		}
		return out
	}
	s := &Snapshot{
		Regions: []Region{
			{Name: "west", Sources: list("10.1.0.0/16", "10.2.0.0/16"), MediaSources: list("10.11.0.0/16")},
			{Name: "north", Sources: list("10.2.0.0/16"), MediaSources: list("10.12.0.0/16")},
		},
		Groups: []Group{
			{Name: "core", Side: Operator, Peers: []Peer{
				{Name: "core-1", Regional: true},
				{Name: "esrp", Sources: list("192.0.2.1/32"), MediaSources: list("192.0.2.1/32", "10.12.0.0/16")},
			}},
			{Name: "teams", Side: Cloud, Peers: []Peer{{Name: "sip", Sources: list("198.51.100.0/24"), MediaSources: list("203.0.113.0/24")}}},
		},
	}
	core, esrp, sip := &s.Groups[0].Peers[0], &s.Groups[0].Peers[1], &s.Groups[1].Peers[0]
	for _, x := range []struct {
		what      string
		got, want []netip.Prefix
	}{
		{"a regional peer, in one region", s.Sources(core, "west"), list("10.1.0.0/16", "10.2.0.0/16")},
		{"and in the other", s.Sources(core, "north"), list("10.2.0.0/16")},
		{"a regional peer, in a region that does not exist", s.Sources(core, "south"), nil},
		{"a peer with ranges of its own", s.Sources(esrp, "west"), list("192.0.2.1/32")},
		{"a peer of the cloud", s.Sources(sip, "north"), list("198.51.100.0/24")},
		{"media of the operator, each range once", s.MediaSources(Operator, "north"), list("10.12.0.0/16", "192.0.2.1/32")},
		{"and in the other region", s.MediaSources(Operator, "west"), list("10.11.0.0/16", "192.0.2.1/32", "10.12.0.0/16")},
		{"media of the cloud", s.MediaSources(Cloud, "west"), list("203.0.113.0/24")},
	} {
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s: %v, want %v", x.what, x.got, x.want)
		}
	}
}
