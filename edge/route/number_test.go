package route

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/link/snapshot"
)

// customers is the world with Direct Routing and Zoom, and accounts.
func customers(t testing.TB) *snapshot.Snapshot {
	t.Helper()
	s := world(t)
	s.Regions[0].Domain, s.Regions[1].Domain = "1r1.gw.example", "1r2.gw.example"
	var err error
	s.Numbers, err = snapshot.NewNumbers(
		snapshot.Number{E164: "+441134960001", Service: snapshot.OperatorConnect, Account: "contoso", Header: "silver"},
		snapshot.Number{E164: "+441134960002", Service: snapshot.TeamsDirectRouting, Account: "contoso", Header: "gold"},
		snapshot.Number{E164: "+441134960003", Service: snapshot.TeamsDirectRouting, Account: "fabrikam"},
		snapshot.Number{E164: "+441134960004", Service: snapshot.TeamsDirectRouting, Account: "carrier"},
		snapshot.Number{E164: "+441134960005", Service: snapshot.TeamsDirectRouting, Account: "contoso", ELIN: "+441134960099"},
		snapshot.Number{E164: "+447700900001", Service: snapshot.TeamsPhoneMobile, Account: "contoso", Header: "bronze"},
		snapshot.Number{E164: "+441134960009", Service: snapshot.Zoom, Account: "zoomers", Header: "brass"},
	)
	if err != nil {
		t.Fatal(err)
	}
	s.Accounts, err = snapshot.NewAccounts(
		snapshot.Account{Name: "contoso", Subdomain: "c042"},
		snapshot.Account{Name: "fabrikam", Subdomain: "fab", AnyCaller: true},
		snapshot.Account{Name: "carrier"}, snapshot.Account{Name: "zoomers"},
	)
	if err != nil {
		t.Fatal(err)
	}
	teams := s.Group("teams")
	teams.Services = append(teams.Services, snapshot.TeamsDirectRouting)
	teams.Peers = teams.Peers[:1]
	s.Groups = append(s.Groups, snapshot.Group{
		Name: "zoom", Side: snapshot.Cloud, Profile: "zoom", Services: []snapshot.Service{snapshot.Zoom},
		Peers: []snapshot.Peer{{Name: "zoom-1", Priority: map[string]int{west: 0, north: 0}}},
	})
	s.Group("fixed").Peers = s.Group("fixed").Peers[:1]
	s.Header = "X-MS-Operator-Content"
	s.Policy.TestLines = map[string]snapshot.Service{"+441134960077": snapshot.Zoom}
	return s
}

func called(number string) Facts { return fromCore("fixed", number) }

// at is a call from Teams to a name of ours.
func at(host, calling, dialled string) Facts {
	f := fromTeams(calling, dialled)
	f.Host = host
	return f
}

func fromZoom(calling, dialled string) Facts {
	f := fromTeams(calling, dialled)
	f.Group = "zoom"
	return f
}

// Each case is a rule of Azure Communications Gateway docs, "Overview of
// interoperability" of Direct Routing and of Zoom Phone Cloud Peering, or of
// Microsoft Teams docs, "Configure a Session Border Controller for multiple
// tenants".
func TestServicesThatWantNumbers(t *testing.T) {
	const core = "→ fixed/fixed-w1: local region, priority 0\n"
	for _, x := range []struct {
		name   string
		facts  Facts
		change func(*snapshot.Snapshot)
		want   string
	}{
		{
			name:  "Direct Routing: the called number finds the customer, whose subdomain we bear",
			facts: called("+441134960002"),
			want: `for TeamsDirectRouting contoso
as c042
with header gold
· +441134960002 is provisioned for TeamsDirectRouting
· Direct Routing: account contoso has the subdomain c042
· X-MS-Operator-Content is gold, as for all calls of +441134960002
→ teams/sip: local region, priority 0
`,
		},
		{
			name:  "from each region by the same subdomain",
			facts: func() Facts { f := called("+441134960003"); f.Region = north; return f }(),
			want: `for TeamsDirectRouting fabrikam
as fab
· +441134960003 is provisioned for TeamsDirectRouting
· Direct Routing: account fabrikam has the subdomain fab
→ teams/sip: local region, priority 0
`,
		},
		{
			name:  "an account without a subdomain is the carrier's own tenant",
			facts: called("+441134960004"),
			want: `for TeamsDirectRouting carrier
· +441134960004 is provisioned for TeamsDirectRouting
· Direct Routing: account carrier has no subdomain, so it is the carrier's own tenant
→ teams/sip: local region, priority 0
`,
		},
		{
			name:  "Zoom gets the numbers that are provisioned for it",
			facts: called("+441134960009"),
			want: `for Zoom zoomers
with header brass
· +441134960009 is provisioned for Zoom
· X-MS-Operator-Content is brass, as for all calls of +441134960009
→ zoom/zoom-1: local region, priority 0
`,
		},
		{
			name:  "test lines are routed whatever is provisioned",
			facts: called("+441134960077"),
			want: `for Zoom 
· +441134960077 is a test line of Zoom
→ zoom/zoom-1: local region, priority 0
`,
		},
		{
			name:   "no peer group can default to a service that wants provisioned numbers",
			facts:  called("+441134960555"),
			change: func(s *snapshot.Snapshot) { s.Policy.GroupService["fixed"] = snapshot.Zoom },
			want: `× 404 (Q.850 1) +441134960555 is not provisioned, and Zoom, the default of peer group fixed, takes provisioned numbers only: provision the number
`,
		},
		{
			name:   "nor to Direct Routing, where nobody would know the tenant",
			facts:  called("+441134960555"),
			change: func(s *snapshot.Snapshot) { s.Policy.GroupService["fixed"] = snapshot.TeamsDirectRouting },
			want: `× 404 (Q.850 1) +441134960555 is not provisioned, and TeamsDirectRouting, the default of peer group fixed, takes provisioned numbers only: provision the number
`,
		},
		{
			name:  "calls of Teams Phone Mobile bear no custom header",
			facts: called("+447700900001"),
			want: `for TeamsPhoneMobile contoso
· +447700900001 is provisioned for TeamsPhoneMobile
→ teams/sip: local region, priority 0
`,
		},
		{
			name:   "without a name there is no custom header",
			facts:  called("+441134960009"),
			change: func(s *snapshot.Snapshot) { s.Header = "" },
			want: `for Zoom zoomers
· +441134960009 is provisioned for Zoom
→ zoom/zoom-1: local region, priority 0
`,
		},
		{
			name:  "X-MS-FMC says nothing about Zoom",
			facts: func() Facts { f := called("+441134960009"); f.FMC = true; return f }(),
			change: func(s *snapshot.Snapshot) {
				s.Header = ""
			},
			want: `for Zoom zoomers
· +441134960009 is provisioned for Zoom
→ zoom/zoom-1: local region, priority 0
`,
		},
		{
			name:  "from Teams: the subdomain finds the customer, whose number passes",
			facts: at("C042.1R1.gw.example", "+441134960002", "+442079460000"),
			want: `for TeamsDirectRouting contoso
as c042
with header gold
· C042.1R1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
· +441134960002 is a number of account contoso
· X-MS-Operator-Content is gold, as for all calls of +441134960002
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "a number of the account's other service passes too",
			facts: at("c042.1r1.gw.example", "+441134960001", "+442079460000"),
			want: `for TeamsDirectRouting contoso
as c042
with header silver
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
· +441134960001 is a number of account contoso
· X-MS-Operator-Content is silver, as for all calls of +441134960001
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "another customer's number does not",
			facts: at("c042.1r1.gw.example", "+441134960003", "+442079460000"),
			want: `for TeamsDirectRouting contoso
as c042
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
× 403 (Q.850 21) +441134960003 is not a number of account contoso: provision it there, or switch the screening of the account off
`,
		},
		{
			name:  "nor one that nobody knows, nor none",
			facts: at("c042.1r1.gw.example", "", "+442079460000"),
			want: `for TeamsDirectRouting contoso
as c042
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
× 403 (Q.850 21) "" is not a number of account contoso: provision it there, or switch the screening of the account off
`,
		},
		{
			name:  "unless the account's screening is off",
			facts: at("fab.1r1.gw.example", "+12025550199", "+442079460000"),
			want: `for TeamsDirectRouting fabrikam
as fab
· fab.1r1.gw.example is the subdomain of account fabrikam: a call of TeamsDirectRouting
· callers of account fabrikam are not screened
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "an emergency call is never screened away",
			facts: at("c042.1r1.gw.example", "+12025550199", "999"),
			want: `EMERGENCY
for TeamsDirectRouting contoso
as c042
· 999 is an emergency dial string
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
· +12025550199 is not a number of account contoso, and an emergency call goes all the same
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "a subdomain that nobody has is refused",
			facts: at("c043.1r1.gw.example", "+441134960002", "+442079460000"),
			want: `for TeamsDirectRouting 
as c043
× 403 (Q.850 21) c043.1r1.gw.example is no account's subdomain: provision the account with the subdomain c043
`,
		},
		{
			name:  "and an emergency call to it is not",
			facts: at("c043.1r1.gw.example", "+12025550199", "999"),
			want: `EMERGENCY
for TeamsDirectRouting 
as c043
· 999 is an emergency dial string
· c043.1r1.gw.example is no account's subdomain, and an emergency call goes all the same
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "the other region's name, or one with another label before, is no subdomain here",
			facts: at("x.c042.1r1.gw.example", "+441134960001", "+442079460000"),
			want: `for OperatorConnect contoso
with header silver
· +441134960001 is provisioned for OperatorConnect
· X-MS-Operator-Content is silver, as for all calls of +441134960001
· calls of OperatorConnect go to fixed, the first peer group
` + core,
		},
		{
			name:  "called by the carrier's name, a number of Direct Routing still tells its customer",
			facts: at("1r1.gw.example", "+441134960002", "+442079460000"),
			want: `for TeamsDirectRouting contoso
as c042
with header gold
· +441134960002 is provisioned for TeamsDirectRouting
· Direct Routing: account contoso has the subdomain c042
· X-MS-Operator-Content is gold, as for all calls of +441134960002
· calls of TeamsDirectRouting go to fixed, the first peer group
` + core,
		},
		{
			name:  "with Direct Routing alone an unknown caller has no customer",
			facts: at("1r1.gw.example", "+12025550199", "+442079460000"),
			change: func(s *snapshot.Snapshot) {
				s.Group("teams").Services = []snapshot.Service{snapshot.TeamsDirectRouting}
			},
			want: `for TeamsDirectRouting 
× 403 (Q.850 21) +12025550199 is not provisioned for TeamsDirectRouting, which takes provisioned numbers only: provision the number
`,
		},
		{
			name:   "without Direct Routing a subdomain means nothing",
			facts:  at("c042.1r1.gw.example", "+12025550199", "+442079460000"),
			change: func(s *snapshot.Snapshot) { s.Group("teams").Services = []snapshot.Service{snapshot.OperatorConnect} },
			want: `for OperatorConnect 
· +12025550199 is not provisioned for peer group teams: taken for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
` + core,
		},
		{
			name: "an emergency caller is shown by the ELIN of his location, where that is wanted",
			facts: func() Facts {
				f := at("c042.1r1.gw.example", "+441134960002", "999")
				f.ELIN = "0113 496 0099"
				return f
			}(),
			change: func(s *snapshot.Snapshot) { s.Group("fixed").Interworking.ELIN, s.Header = true, "" },
			want: `EMERGENCY
for TeamsDirectRouting contoso
as c042
by ELIN 0113 496 0099
· 999 is an emergency dial string
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
· +441134960002 is a number of account contoso
· calls of TeamsDirectRouting go to fixed, the first peer group
· the caller is shown by the ELIN of the location that came with the call, "0113 496 0099"
` + core,
		},
		{
			name:   "or by that of his number",
			facts:  at("c042.1r1.gw.example", "+441134960005", "999"),
			change: func(s *snapshot.Snapshot) { s.Group("fixed").Interworking.ELIN = true },
			want: `EMERGENCY
for TeamsDirectRouting contoso
as c042
by ELIN +441134960099
· 999 is an emergency dial string
· c042.1r1.gw.example is the subdomain of account contoso: a call of TeamsDirectRouting
· +441134960005 is a number of account contoso
· calls of TeamsDirectRouting go to fixed, the first peer group
· the caller is shown by the ELIN of +441134960005, +441134960099: the call came without another
` + core,
		},
		{
			name:   "not by that of somebody else's",
			facts:  at("fab.1r1.gw.example", "+441134960005", "999"),
			change: func(s *snapshot.Snapshot) { s.Group("fixed").Interworking.ELIN = true },
			want: `EMERGENCY
for TeamsDirectRouting fabrikam
as fab
· 999 is an emergency dial string
· fab.1r1.gw.example is the subdomain of account fabrikam: a call of TeamsDirectRouting
· callers of account fabrikam are not screened
· calls of TeamsDirectRouting go to fixed, the first peer group
· the caller is shown by his own number: the call came without an ELIN
` + core,
		},
		{
			name:   "an ordinary call shows its own number, and so does Operator Connect",
			facts:  func() Facts { f := fromTeams("+441134960001", "999"); f.ELIN = "+44199"; return f }(),
			change: func(s *snapshot.Snapshot) { s.Group("fixed").Interworking.ELIN, s.Header = true, "" },
			want: `EMERGENCY
for OperatorConnect contoso
· 999 is an emergency dial string
· +441134960001 is provisioned for OperatorConnect
· calls of OperatorConnect go to fixed, the first peer group
` + core,
		},
		{
			name:  "a call back to an ELIN is for who called",
			facts: func() Facts { f := called("+441134960099"); f.Recall = "+441134960003"; return f }(),
			want: `for TeamsDirectRouting fabrikam
as fab
to +441134960003
· +441134960099 is the ELIN by which +441134960003 has called the emergency service: the call is for him
· +441134960003 is provisioned for TeamsDirectRouting
· Direct Routing: account fabrikam has the subdomain fab
→ teams/sip: local region, priority 0
`,
		},
		{
			name:  "from Zoom: a number that is provisioned for it",
			facts: fromZoom("+441134960009", "+442079460000"),
			want: `for Zoom zoomers
with header brass
· +441134960009 is provisioned for Zoom
· X-MS-Operator-Content is brass, as for all calls of +441134960009
· calls of Zoom go to fixed, the first peer group
` + core,
		},
		{
			name:  "not another's",
			facts: fromZoom("+441134960001", "+442079460000"),
			want: `for Zoom 
× 403 (Q.850 21) +441134960001 is not provisioned for Zoom, which takes provisioned numbers only: provision the number
`,
		},
		{
			name:  "a test line of Zoom's",
			facts: fromZoom("+441134960077", "+442079460000"),
			want: `for Zoom 
· +441134960077 is a test line of Zoom
· calls of Zoom go to fixed, the first peer group
` + core,
		},
		{
			name:  "an emergency call from whomever",
			facts: fromZoom("+12025550199", "999"),
			want: `EMERGENCY
for Zoom 
· 999 is an emergency dial string
· +12025550199 is not provisioned for peer group zoom: taken for Zoom
· calls of Zoom go to fixed, the first peer group
` + core,
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := customers(t)
			if x.change != nil {
				x.change(s)
			}
			if got := text(Route(x.facts, s, nil)); got != x.want {
				t.Errorf("got\n%swant\n%s", got, x.want)
			}
		})
	}
}

// Whoever calls from the cloud, by whatever name: an emergency call goes, and
// another one goes only where its number says.
func TestScreeningProperties(t *testing.T) {
	base := customers(t)
	numbers := []string{"", "anonymous", "+12025550199", "+441134960077"}
	for n := range base.Numbers.All() {
		numbers = append(numbers, n.E164)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := *base
		s.Groups = slices.Clone(base.Groups)
		cloud := s.Group(rapid.SampledFrom([]string{"teams", "zoom"}).Draw(t, "group"))
		all := []snapshot.Service{snapshot.OperatorConnect, snapshot.TeamsPhoneMobile, snapshot.TeamsDirectRouting, snapshot.Zoom}
		cloud.Services = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 4, rapid.ID).Draw(t, "services")
		f := fromTeams(rapid.SampledFrom(numbers).Draw(t, "calling"), rapid.SampledFrom([]string{"+442079460000", "999"}).Draw(t, "dialled"))
		f.Group = cloud.Name
		f.Host = rapid.SampledFrom([]string{"", "1r1.gw.example", "c042.1r1.gw.example", "FAB.1r1.gw.example", "x.1r1.gw.example", "c042.1r2.gw.example", "192.0.2.1"}).Draw(t, "host")
		f.FMC = rapid.Bool().Draw(t, "fmc")
		d := Route(f, &s, nil)

		n, known := s.Numbers.Find(f.Calling)
		a, _ := s.Accounts.Find(d.Account)
		switch {
		case d.Emergency && d.Refuse != nil:
			t.Fatalf("an emergency call is refused:\n%s", text(d))
		case d.Refuse != nil && d.Refuse.Status != 403:
			t.Fatalf("refused for another reason:\n%s", text(d))
		case !slices.Contains(cloud.Services, d.Service):
			t.Fatalf("%s is none of %v", d.Service, cloud.Services)
		case d.Label != "" && d.Service != snapshot.TeamsDirectRouting:
			t.Fatalf("a customer's name outside Direct Routing:\n%s", text(d))
		case d.Header != "" && (!known || d.Header != n.Header || n.Account != d.Account || n.Service == snapshot.TeamsPhoneMobile):
			t.Fatalf("a header of somebody else's:\n%s", text(d))
		case d.Refuse != nil || d.Emergency:
		case d.Service == snapshot.TeamsDirectRouting && !a.AnyCaller && (!known || n.Account != d.Account || d.Account == ""):
			t.Fatalf("not screened:\n%s", text(d))
		case d.Service == snapshot.Zoom && n.Service != snapshot.Zoom && f.Calling != "+441134960077":
			t.Fatalf("Zoom has no such number:\n%s", text(d))
		}
	})
}

// Azure Communications Gateway docs, "dnsDelegations": where the operator has
// delegated a domain of its own, its customers go by that, and those who were
// registered before are still known.
func TestCustomersGoByTheOperatorsDomain(t *testing.T) {
	s := customers(t)
	s.Regions[0].Delegated = []string{"1r1.voice.example", "1r1.other.example"}
	for host, want := range map[string]string{
		"C042.1r1.voice.example.": "1r1.voice.example", "c042.1r1.other.example": "1r1.other.example", "c042.1r1.gw.example": "",
	} {
		d := Route(at(host, "+441134960002", "+442079460000"), s, nil)
		if d.Refuse != nil || d.Account != "contoso" || d.Label != "c042" || d.Domain != want {
			t.Errorf("%s: %+v", host, d)
		}
	}
	if d := Route(at("c042.1r1.strange.example", "+441134960001", "+442079460000"), s, nil); d.Label != "" || d.Domain != "" {
		t.Errorf("a strange domain: %+v", d)
	}
	if d := Route(called("+441134960002"), s, nil); d.Label != "c042" || d.Domain != "1r1.voice.example" {
		t.Errorf("to a customer: %+v", d)
	}
	if d := Route(called("+441134960001"), s, nil); d.Label != "" || d.Domain != "" {
		t.Errorf("to Operator Connect: %+v", d)
	}
}

func TestLabelOf(t *testing.T) {
	for _, x := range []struct{ host, domain, want string }{
		{"c042.1r1.gw.example", "1r1.gw.example", "c042"},
		{"C042.1R1.GW.example.", "1r1.gw.example", "c042"},
		{"a_b-c.1r1.gw.example", "1r1.gw.example", "a_b-c"},
		{"1r1.gw.example", "1r1.gw.example", ""},
		{".1r1.gw.example", "1r1.gw.example", ""},
		{"a.b.1r1.gw.example", "1r1.gw.example", ""},
		{"a1r1.gw.example", "1r1.gw.example", ""},
		{"a.1r2.gw.example", "1r1.gw.example", ""},
		{"a.", "", ""},
		{"", "1r1.gw.example", ""},
		{"192.0.2.1", "1r1.gw.example", ""},
	} {
		if got, ok := labelOf(x.host, x.domain); got != x.want || ok != (x.want != "") {
			t.Errorf("%q before %q: got %q, %v", x.host, x.domain, got, ok)
		}
	}
}

func BenchmarkRouteOfManyCustomers(b *testing.B) {
	s := customers(b)
	var numbers snapshot.NumbersBuilder
	var accounts []snapshot.Account
	for i := range 5000 {
		n := strconv.Itoa(i)
		accounts = append(accounts, snapshot.Account{Name: "account-" + n, Subdomain: "c" + n})
		for k := range 20 {
			x := snapshot.Number{E164: "+44113" + strconv.Itoa(4000000+40*i+2*k), Service: snapshot.TeamsDirectRouting, Account: "account-" + n, Header: "site-" + n}
			if err := numbers.Add(x); err != nil {
				b.Fatal(err)
			}
		}
	}
	var err error
	if s.Numbers, err = numbers.Build(); err != nil {
		b.Fatal(err)
	}
	if s.Accounts, err = snapshot.NewAccounts(accounts...); err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]Facts{
		"to a customer":   called("+441134100000"),
		"from a customer": at("c2500.1r1.gw.example", "+441134100000", "+442079460000"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Route(f, s, nil); d.Account != "account-2500" || d.Label != "c2500" {
					b.Fatal(text(d))
				}
			}
		})
	}
}
