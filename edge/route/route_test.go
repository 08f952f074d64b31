package route

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/link/snapshot"
)

const (
	west  = "westeurope"
	north = "northeurope"
)

// world is a gateway with two regions, two sites of the operator and Teams.
func world(t testing.TB) *snapshot.Snapshot {
	t.Helper()
	numbers, err := snapshot.NewNumbers(
		snapshot.Number{E164: "+441134960001", Service: snapshot.OperatorConnect, Account: "contoso"},
		snapshot.Number{E164: "+447700900001", Service: snapshot.TeamsPhoneMobile, Account: "fabrikam"},
		snapshot.Number{E164: "+441134960009", Service: snapshot.Zoom, Account: "zoomers"},
	)
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Snapshot{
		MCP:       &snapshot.MCP{Routing: []string{"+44808157"}},
		Gateway:   "test",
		Regions:   []snapshot.Region{{Name: west}, {Name: north}},
		Emergency: []string{"911", "999"},
		Numbers:   numbers,
		Groups: []snapshot.Group{
			{Name: "fixed", Side: snapshot.Operator, Peers: []snapshot.Peer{
				{Name: "fixed-w1", Priority: map[string]int{west: 0}},
				{Name: "fixed-w2", Priority: map[string]int{west: 1}},
				{Name: "fixed-n1", Priority: map[string]int{north: 0}},
				{Name: "fixed-in", Priority: nil}, // calls us, is never called
			}},
			{Name: "mobile", Side: snapshot.Operator, Peers: []snapshot.Peer{
				{Name: "mobile-1", Priority: map[string]int{west: 0, north: 1}},
				{Name: "mobile-2", Priority: map[string]int{west: 1, north: 0}},
			}},
			{Name: "psap", Side: snapshot.Operator, Peers: []snapshot.Peer{
				{Name: "psap-w", Priority: map[string]int{west: 0}},
			}},
			{
				Name: "teams", Side: snapshot.Cloud, Profile: "teams",
				Services: []snapshot.Service{snapshot.OperatorConnect, snapshot.TeamsPhoneMobile},
				Peers: []snapshot.Peer{
					{Name: "sip", Priority: map[string]int{west: 0, north: 0}},
					{Name: "sip2", Priority: map[string]int{west: 1, north: 1}},
					{Name: "sip3", Priority: map[string]int{west: 2, north: 2}},
				},
			},
		},
		Policy: snapshot.Policy{
			GroupService: map[string]snapshot.Service{"fixed": snapshot.OperatorConnect, "mobile": snapshot.TeamsPhoneMobile},
			ServiceGroup: map[snapshot.Service]string{snapshot.TeamsPhoneMobile: "mobile"},
		},
	}
}

func fromCore(group, called string) Facts {
	return Facts{From: snapshot.Operator, Group: group, Dialled: called, Called: called, Calling: "+442079460000", Region: west}
}

func fromTeams(calling, called string) Facts {
	return Facts{From: snapshot.Cloud, Group: "teams", Dialled: called, Called: called, Calling: calling, Region: west}
}

func down(peers ...string) Health {
	return func(peer string) bool { return slices.Contains(peers, peer) }
}

// show is a decision as text.
func text(d Decision) string {
	var b strings.Builder
	if d.Emergency {
		b.WriteString("EMERGENCY\n")
	}
	if d.Service != "" {
		fmt.Fprintf(&b, "for %s %s\n", d.Service, d.Account)
	}
	if d.Label != "" {
		fmt.Fprintf(&b, "as %s\n", d.Label)
	}
	if d.Header != "" {
		fmt.Fprintf(&b, "with header %s\n", d.Header)
	}
	if d.ELIN != "" {
		fmt.Fprintf(&b, "by ELIN %s\n", d.ELIN)
	}
	if d.Called != "" {
		fmt.Fprintf(&b, "to %s\n", d.Called)
	}
	for _, r := range d.Rules {
		fmt.Fprintf(&b, "· %s\n", r)
	}
	for _, t := range d.Targets {
		fmt.Fprintf(&b, "→ %s/%s: %s\n", t.Group.Name, t.Peer.Name, t.Why)
	}
	if d.Refuse != nil {
		fmt.Fprintf(&b, "× %d (Q.850 %d) %s\n", d.Refuse.Status, d.Refuse.Q850, d.Refuse.Text)
	}
	return b.String()
}

func TestRoute(t *testing.T) {
	for _, x := range []struct {
		name   string
		facts  Facts
		change func(*snapshot.Snapshot)
		health Health
		want   string
	}{
		{
			name:  "a provisioned number goes to its service, to Microsoft's proxies in their order",
			facts: fromCore("mobile", "+441134960001"),
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
→ teams/sip: local region, priority 0
→ teams/sip2: local region, priority 1
→ teams/sip3: local region, priority 2
`,
		},
		{
			name:  "an unprovisioned number goes to the service of the group it came from",
			facts: fromCore("mobile", "+447700900555"),
			want: `for TeamsPhoneMobile 
· +447700900555 is not provisioned: peer group mobile defaults to TeamsPhoneMobile
→ teams/sip: local region, priority 0
→ teams/sip2: local region, priority 1
→ teams/sip3: local region, priority 2
`,
		},
		{
			name:  "without a default an unprovisioned number is refused, with what to do",
			facts: fromCore("psap", "+447700900555"),
			want: `× 404 (Q.850 1) +447700900555 is not provisioned and peer group psap has no default service: provision the number, or map the group in callPolicy.defaultMappings.peerGroupToService
`,
		},
		{
			name:  "a service that no group reaches is refused",
			facts: fromCore("fixed", "+441134960009"),
			want: `for Zoom zoomers
· +441134960009 is provisioned for Zoom
× 404 (Q.850 1) the gateway has no peers for Zoom: add it to properties.platforms
`,
		},
		{
			name:  "a call that has been through Teams does not go there again",
			facts: func() Facts { f := fromCore("mobile", "+447700900001"); f.FMC = true; return f }(),
			want: `for TeamsPhoneMobile fabrikam
· +447700900001 is provisioned for TeamsPhoneMobile
× 482 (Q.850 25) the INVITE bears X-MS-FMC, so it has been through Teams: the core must deliver it, not send it back
`,
		},
		{
			name:  "a routing number goes to Teams, for the Mobile Control Point has marked the call",
			facts: func() Facts { f := fromCore("fixed", "+448081570001"); f.FMC = true; return f }(),
			want: "for TeamsPhoneMobile \n" + `· +448081570001 is a routing number: the Mobile Control Point sends a subscriber's call to Teams
→ teams/sip: local region, priority 0
→ teams/sip2: local region, priority 1
→ teams/sip3: local region, priority 2
`,
		},
		{
			name:  "a routing number without the mark is a number",
			facts: fromCore("psap", "+448081570001"),
			want: `× 404 (Q.850 1) +448081570001 is not provisioned and peer group psap has no default service: provision the number, or map the group in callPolicy.defaultMappings.peerGroupToService
`,
		},
		{
			name:   "a peer whose breaker is open is tried last",
			facts:  fromCore("fixed", "+441134960001"),
			health: down("sip"),
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
→ teams/sip2: local region, priority 1
→ teams/sip3: local region, priority 2
→ teams/sip: local region, priority 0; last, since its circuit breaker is open
`,
		},
		{
			name:  "from Teams: local peers, then the other region's; those that are never called are not",
			facts: fromTeams("+441134960001", "+442079460000"),
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
→ fixed/fixed-w1: local region, priority 0
→ fixed/fixed-w2: local region, priority 1
→ fixed/fixed-n1: other region northeurope, after all local peers
`,
		},
		{
			name:   "breakers open in the whole region: the other region's peer comes first, and none is left out",
			facts:  fromTeams("+441134960001", "+442079460000"),
			health: down("fixed-w1", "fixed-w2"),
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
→ fixed/fixed-n1: other region northeurope, after all local peers
→ fixed/fixed-w1: local region, priority 0; last, since its circuit breaker is open
→ fixed/fixed-w2: local region, priority 1; last, since its circuit breaker is open
`,
		},
		{
			name:  "the service of a provisioned caller chooses the group",
			facts: func() Facts { f := fromTeams("+447700900001", "+442079460000"); f.Region = north; return f }(),
			want: `for TeamsPhoneMobile fabrikam
· +447700900001 is provisioned for TeamsPhoneMobile
· calls of TeamsPhoneMobile go to peer group mobile
→ mobile/mobile-2: local region, priority 0
→ mobile/mobile-1: local region, priority 1
`,
		},
		{
			name:  "X-MS-FMC marks a call of Teams Phone Mobile from an unprovisioned number",
			facts: func() Facts { f := fromTeams("+447700900999", "+442079460000"); f.FMC = true; return f }(),
			want: `for TeamsPhoneMobile 
· X-MS-FMC marks a call of TeamsPhoneMobile
· calls of TeamsPhoneMobile go to peer group mobile
→ mobile/mobile-1: local region, priority 0
→ mobile/mobile-2: local region, priority 1
`,
		},
		{
			name:  "a caller provisioned for a service that this side does not have is no proof of it",
			facts: fromTeams("+441134960009", "+442079460000"),
			want: `for OperatorConnect 
· +441134960009 is not provisioned for peer group teams: taken for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
→ fixed/fixed-w1: local region, priority 0
→ fixed/fixed-w2: local region, priority 1
→ fixed/fixed-n1: other region northeurope, after all local peers
`,
		},
		{
			name:   "an emergency call goes as others do, whatever the breakers say",
			facts:  fromTeams("+441134960001", "+911"),
			health: down("fixed-w1", "fixed-w2", "fixed-n1"),
			want: `EMERGENCY
for OperatorConnect contoso
· +911 is an emergency dial string
· +441134960001 is provisioned for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
→ fixed/fixed-w1: local region, priority 0; last, since its circuit breaker is open
→ fixed/fixed-w2: local region, priority 1; last, since its circuit breaker is open
→ fixed/fixed-n1: other region northeurope, after all local peers; last, since its circuit breaker is open
`,
		},
		{
			name:   "an emergency call goes directly to the emergency service where there is one, then to the core",
			facts:  fromTeams("anonymous", "999"),
			change: func(s *snapshot.Snapshot) { s.Policy.EmergencyGroup = "psap" },
			health: down("psap-w"),
			want: `EMERGENCY
for OperatorConnect 
· 999 is an emergency dial string
· anonymous is not provisioned for peer group teams: taken for OperatorConnect
· emergency: directly to peer group psap, then as other calls
· calls of OperatorConnect go to fixed, the first peer group
→ fixed/fixed-w1: local region, priority 0
→ fixed/fixed-w2: local region, priority 1
→ fixed/fixed-n1: other region northeurope, after all local peers
→ psap/psap-w: the emergency service itself, local region, priority 0; last, since its circuit breaker is open
`,
		},
		{
			name:  "an emergency call from the core is sent back at once",
			facts: fromCore("fixed", "999"),
			want: `EMERGENCY
· 999 is an emergency dial string
× 404 (Q.850 1) emergency calls from the operator's network end there: route 999 to the emergency service in the core
`,
		},
		{
			name:   "nobody to call",
			facts:  fromTeams("+441134960001", "+442079460000"),
			change: func(s *snapshot.Snapshot) { s.Groups = s.Groups[3:] },
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
× 503 (Q.850 41) the gateway has no peers of the operator: give serviceLocations their operatorAddresses, or peerGroups
`,
		},
		{
			name:   "a group whose peers may not be called",
			facts:  fromTeams("+441134960001", "+442079460000"),
			change: func(s *snapshot.Snapshot) { s.Groups[0].Peers = s.Groups[0].Peers[3:] },
			want: `for OperatorConnect contoso
· +441134960001 is provisioned for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
× 503 (Q.850 41) peer group fixed has no peer that may be called: give its peers a routing in callPolicy.peerGroupRoutings
`,
		},
		{
			name:  "what a far side sends does not reach terminals as it is",
			facts: fromCore("psap", "\x1b[2J\n+44"),
			want: `× 404 (Q.850 1) "\x1b[2J\n+44" is not provisioned and peer group psap has no default service: provision the number, or map the group in callPolicy.defaultMappings.peerGroupToService
`,
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := world(t)
			if x.change != nil {
				x.change(s)
			}
			if got := text(Route(x.facts, s, x.health)); got != x.want {
				t.Errorf("got\n%swant\n%s", got, x.want)
			}
		})
	}
}

func TestTheEmergencyServiceItselfComesFirst(t *testing.T) {
	s := world(t)
	s.Policy.EmergencyGroup = "psap"
	s.Groups[0], s.Groups[2] = s.Groups[2], s.Groups[0] // its group may stand anywhere
	f := fromTeams("+441134960001", "911")
	for f.Seed = range 100 {
		if d := Route(f, s, nil); d.Targets[0].Peer.Name != "psap-w" || d.Targets[1].Group.Name != "mobile" {
			t.Fatalf("with seed %d\n%s", f.Seed, text(d))
		}
	}
	f.Dialled, f.Called = "+442079460000", "+442079460000"
	if d := Route(f, s, nil); d.Targets[0].Group.Name == "psap" {
		t.Errorf("an ordinary call goes to the emergency service:\n%s", text(d))
	}
}

func TestThePeerOfSeveralOtherRegionsIsOfTheFirst(t *testing.T) {
	s := world(t)
	s.Groups[0].Peers = []snapshot.Peer{{Name: "a", Priority: map[string]int{"c": 3, "b": 3, "d": 3, "e": 9}}}
	for range 50 { // the order of a map is by chance
		if why := Route(fromTeams("", "1"), s, nil).Targets[0].Why; why != "other region b, after all local peers" {
			t.Fatal(why)
		}
	}
}

func TestEqualPrioritiesAreSpread(t *testing.T) {
	s := world(t)
	const peers, calls = 4, 40_000
	g := &s.Groups[0]
	g.Peers = nil
	for i := range peers {
		g.Peers = append(g.Peers, snapshot.Peer{Name: fmt.Sprint(i), Priority: map[string]int{west: 5}})
	}
	var first, last [peers]int
	random := rand.New(rand.NewPCG(1, 2))
	f := fromTeams("+441134960001", "+442079460000")
	for range calls {
		f.Seed = random.Uint64()
		d := Route(f, s, nil)
		first[d.Targets[0].Peer.Name[0]-'0']++
		last[d.Targets[peers-1].Peer.Name[0]-'0']++
	}
	for i := range peers {
		// Five standard deviations of a fair lot: sqrt(40000 · 1/4 · 3/4) = 87.
		for _, n := range []int{first[i], last[i]} {
			if n < calls/peers-435 || n > calls/peers+435 {
				t.Errorf("peer %d is first %d and last %d times of %d", i, first[i], last[i], calls)
			}
		}
	}
	if a, b := text(Route(f, s, nil)), text(Route(f, s, nil)); a != b {
		t.Error("the same seed gives two orders")
	}
}

// Whatever the gateway and the health: each peer at most once, in order of
// breaker, region and priority, and nobody left out who may be called.
func TestRouteProperties(t *testing.T) {
	regions := []string{west, north, "uksouth"}
	rapid.Check(t, func(t *rapid.T) {
		s := &snapshot.Snapshot{Emergency: []string{"911"}, Policy: snapshot.Policy{
			GroupService: map[string]snapshot.Service{"g0": snapshot.OperatorConnect},
			ServiceGroup: map[snapshot.Service]string{snapshot.OperatorConnect: rapid.SampledFrom([]string{"g0", "g1", "gone"}).Draw(t, "group")},
		}}
		if rapid.Bool().Draw(t, "direct") {
			s.Policy.EmergencyGroup = "g1"
		}
		suspended := map[string]bool{}
		for i, side := range []snapshot.Side{snapshot.Operator, snapshot.Operator, snapshot.Cloud} {
			g := snapshot.Group{Name: fmt.Sprintf("g%d", i), Side: side, Services: []snapshot.Service{snapshot.OperatorConnect}}
			for k := range rapid.IntRange(0, 12).Draw(t, "peers") {
				name := fmt.Sprintf("%s-%d", g.Name, k)
				g.Peers = append(g.Peers, snapshot.Peer{
					Name:     name,
					Priority: rapid.MapOfN(rapid.SampledFrom(regions), rapid.IntRange(0, 3), 0, 3).Draw(t, "priority"),
				})
				suspended[name] = rapid.Bool().Draw(t, "suspended")
			}
			s.Groups = append(s.Groups, g)
		}
		f := Facts{
			From:    rapid.SampledFrom([]snapshot.Side{snapshot.Operator, snapshot.Cloud}).Draw(t, "from"),
			Group:   rapid.SampledFrom([]string{"g0", "g2"}).Draw(t, "of"),
			Dialled: rapid.SampledFrom([]string{"911", "+44113", ""}).Draw(t, "dialled"),
			Region:  rapid.SampledFrom(regions).Draw(t, "region"),
			Seed:    rapid.Uint64().Draw(t, "seed"),
		}
		f.Called = f.Dialled
		d := Route(f, s, func(p string) bool { return suspended[p] })

		if (d.Refuse == nil) != (len(d.Targets) > 0) {
			t.Fatalf("%d targets and refusal %v", len(d.Targets), d.Refuse)
		}
		if d.Refuse != nil && (d.Refuse.Status < 400 || d.Refuse.Text == "" || d.Refuse.Q850 == 0) {
			t.Fatalf("refusal says nothing: %+v", d.Refuse)
		}
		groups := map[*snapshot.Group]bool{}
		seen := map[*snapshot.Peer]bool{}
		for i, x := range d.Targets {
			if seen[x.Peer] {
				t.Fatalf("%s stands twice", x.Peer.Name)
			}
			seen[x.Peer], groups[x.Group] = true, true
			if x.Why == "" || x.Group.Side == f.From {
				t.Fatalf("target %+v of a call from %s", x, f.From)
			}
			if i > 0 && rank(d.Targets[i-1], f, suspended) > rank(x, f, suspended) && len(groups) == 1 {
				t.Fatalf("%s before %s", d.Targets[i-1].Peer.Name, x.Peer.Name)
			}
		}
		for g := range groups {
			for i := range g.Peers {
				if p := &g.Peers[i]; !seen[p] && len(p.Priority) > 0 {
					t.Fatalf("%s is left out", p.Name)
				}
			}
		}
	})
}

// rank is a target's place in the order, told apart from the code under test.
func rank(x Target, f Facts, suspended map[string]bool) int {
	n, local := x.Peer.Priority[f.Region]
	if !local {
		n = 1000
		for _, p := range x.Peer.Priority {
			n = min(n, 500+p)
		}
	}
	if suspended[x.Peer.Name] {
		n += 10_000
	}
	return n
}

func TestRetry(t *testing.T) {
	for status := range 700 {
		want := status == 408 || status == 503 || status == 504
		if got := Retry(Outcome{Status: status}); got != want {
			t.Errorf("after %d: %v", status, got)
		}
		// A final answer counts more than how the connection ended after it.
		if got := Retry(Outcome{Status: status, Err: errors.New("reset")}); status != 0 && got != want {
			t.Errorf("after %d and a reset: %v", status, got)
		}
	}
	if !Retry(Outcome{Err: errors.New("no answer in time")}) {
		t.Error("a time-out must be retried")
	}
}

func BenchmarkRoute(b *testing.B) {
	s := world(b)
	for name, f := range map[string]Facts{
		"to cloud":    fromCore("fixed", "+441134960001"),
		"to operator": fromTeams("+441134960001", "+442079460000"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Route(f, s, nil); len(d.Targets) != 3 {
					b.Fatal(text(d))
				}
			}
		})
	}
}
