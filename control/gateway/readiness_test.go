package gateway

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReadinessCountsWhatEachServiceNeeds(t *testing.T) {
	lines := func(purpose string, names ...string) (list []TestLine) {
		for _, n := range names {
			list = append(list, TestLine{ID: LineID{Name: n}, Purpose: purpose})
		}
		return list
	}
	with := func(platforms ...string) Gateway {
		g := static()
		g.Properties.Platforms = platforms
		return g
	}
	small := with("OperatorConnect")
	small.Properties.ServiceLocations = small.Properties.ServiceLocations[:1]
	american := with("Zoom")
	american.Properties.ZoomConfig = &ZoomConfig{"NorthAmerica", []ZoomTestLine{{"+12015550100"}}}
	european := with("Zoom", "TeamsDirectRouting")
	european.Properties.ZoomConfig = &ZoomConfig{"EMEA", []ZoomTestLine{{"+441134960001"}, {"+441134960002"}}}
	tagged := lines("Automated", "line-1", "line-2")
	tagged[0].Tags = map[string]string{"Service": "TeamsPhoneMobile"}

	for name, x := range map[string]struct {
		gateway Gateway
		lines   []TestLine
		numbers []IntegrationNumber
		want    string // services, then strays
	}{
		"nothing yet": {
			with("OperatorConnect"), nil, nil,
			"OperatorConnect 2024: 0 of 1 integration numbers, 0 of 6 Automated lines; make OC1 OC2 OC3 OC4 OC5 OC6",
		},
		"two of six": {
			with("OperatorConnect", "TeamsPhoneMobile"), lines("Automated", "OC1", "oc4", "TPM1"),
			[]IntegrationNumber{{"+441134960020", "OperatorConnect"}},
			"OperatorConnect 2024: 1 of 1 integration numbers, 2 of 6 Automated lines; make OC2 OC3 OC5 OC6\n" +
				"TeamsPhoneMobile 2024: 0 of 1 integration numbers, 1 of 6 Automated lines; make TPM2 TPM3 TPM4 TPM5 TPM6",
		},
		"a lab deployment wants three": {
			small, lines("Automated", "OC1", "OC2", "OC3"),
			[]IntegrationNumber{{"+441134960020", "OperatorConnect"}},
			"OperatorConnect 2024: 1 of 1 integration numbers, 3 of 3 Automated lines; ready",
		},
		"the procedure of 2022 wants one of each purpose": {
			with("OperatorConnect"), append(lines("Manual", "OC1"), lines("Automated", "OC2")...), nil,
			"OperatorConnect 2022: 1 of 1 Manual lines, 1 of 1 Automated lines; ready",
		},
		"of which one is missing": {
			with("OperatorConnect"), lines("Manual", "OC1"), nil,
			"OperatorConnect 2022: 1 of 1 Manual lines, 0 of 1 Automated lines; make OC2",
		},
		"with one service every line is for it": {
			with("TeamsPhoneMobile"), lines("Automated", "first", "second"), nil,
			"TeamsPhoneMobile 2024: 0 of 1 integration numbers, 2 of 6 Automated lines; make TPM1 TPM2 TPM3 TPM4",
		},
		"with two a tag or the name must tell": {
			with("OperatorConnect", "TeamsPhoneMobile"), append(tagged, lines("Automated", "OC-london", "DR1")...), nil,
			"OperatorConnect 2024: 0 of 1 integration numbers, 1 of 6 Automated lines; make OC1 OC2 OC3 OC4 OC5\n" +
				"TeamsPhoneMobile 2024: 0 of 1 integration numbers, 1 of 6 Automated lines; make TPM1 TPM2 TPM3 TPM4 TPM5\nstray: line-2 DR1",
		},
		"Zoom in North America wants six": {
			american, nil, nil, "Zoom 2024: 0 of 1 integration numbers, 1 of 6 numbers in zoomConfig.testLines",
		},
		"Zoom elsewhere two, Direct Routing none": {
			european, nil,
			[]IntegrationNumber{{"+441134960020", "TeamsDirectRouting"}, {"+441134960021", "Zoom"}},
			"Zoom 2024: 1 of 1 integration numbers, 2 of 2 numbers in zoomConfig.testLines; ready\nTeamsDirectRouting 2024: 1 of 1 integration numbers; ready",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := tallies(x.gateway, x.lines, x.numbers)
			var got []string
			for _, s := range r.Services {
				var counts, names []string
				for _, c := range s.Counts {
					counts = append(counts, c.String())
				}
				text := s.Service + " " + s.Track + ": " + strings.Join(counts, ", ")
				for _, n := range s.Suggestions {
					names = append(names, n.Name)
				}
				switch {
				case s.Ready():
					text += "; ready"
				case len(names) > 0:
					text += "; make " + strings.Join(names, " ")
				}
				got = append(got, text)
			}
			if r.Strays != nil {
				got = append(got, "stray: "+strings.Join(r.Strays, " "))
			}
			if strings.Join(got, "\n") != x.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), x.want)
			}
		})
	}
}

// The names of Direct Routing's customers must stay within 48 characters
// (Azure Communications Gateway docs, "Connect to Direct Routing").
func TestLabelsLeaveRoomForCustomers(t *testing.T) {
	id := ID{"00000000-0000-4000-8000-000000000001", "voice", "Lab-1"}
	for _, suffix := range []string{"gw.example", "gateways.lab.example", "gateways.telecom.example"} {
		if err := CheckSuffix(suffix); err != nil {
			t.Error(err)
		}
		base := Base("tenant", suffix, id, "TenantReuse")
		if name := "customer01.1r1." + base; len(name) > 48 || strings.Count(strings.TrimSuffix(base, suffix), ".") != 1 || !isHostname(name) {
			t.Errorf("%s has %d characters", name, len(name))
		}
	}
	if err := CheckSuffix("gateways.telecom1.example"); err == nil || !strings.Contains(err.Error(), "choose one of at most 24") {
		t.Error(err)
	}
}

// Within its scope a label is the same each time, and outside another.
func TestLabelsFollowTheirScope(t *testing.T) {
	id := ID{"sub-1", "voice", "Lab-1"}
	differ := map[string][]ID{
		"TenantReuse":        {{"sub-1", "voice", "lab-2"}},
		"SubscriptionReuse":  {{"sub-2", "voice", "lab-1"}, {"sub-1", "voice", "lab-2"}},
		"ResourceGroupReuse": {{"sub-1", "other", "lab-1"}, {"sub-2", "voice", "lab-1"}},
	}
	same := map[string]ID{"TenantReuse": {"sub-2", "other", "LAB-1"}, "SubscriptionReuse": {"SUB-1", "other", "lab-1"}, "ResourceGroupReuse": {"Sub-1", "Voice", "lab-1"}}
	for scope, others := range differ {
		l := label("t", id, scope, 16)
		if label("t", same[scope], scope, 16) != l {
			t.Errorf("%s: not the same for %v", scope, same[scope])
		}
		for _, o := range append(others, id) {
			tenant := "t"
			if o == id {
				tenant = "other"
			}
			if label(tenant, o, scope, 16) == l {
				t.Errorf("%s: the same for %s %v", scope, tenant, o)
			}
		}
	}
	if once := label("t", id, "NoReuse", 16); once == label("t", id, "NoReuse", 16) {
		t.Error("NoReuse is used again")
	}
	rapid.Check(t, func(t *rapid.T) {
		id := ID{"s", "g", rapid.StringMatching(`[a-zA-Z0-9-]{3,24}`).Draw(t, "name")}
		n := rapid.IntRange(shortestLabel, longestLabel).Draw(t, "length")
		l := label("t", id, "TenantReuse", n)
		if len(l) != n || l[0] < 'a' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatal(l)
		}
	})
}

func TestIDsKnowNoCase(t *testing.T) {
	id := ID{"00000000-0000-4000-8000-000000000001", "Voice", "Lab-1"}
	for _, text := range []string{id.String(), strings.ToLower(id.String()), strings.ToUpper(id.String())} {
		got, err := ParseID(text)
		if err != nil || got.Key() != id.Key() {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/subscriptions/x", id.String() + "/testLines/OC1", "x" + id.String(), strings.Replace(id.String(), "Voice/", "Voice/x/", 1)} {
		if got, err := ParseID(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got, want := (LineID{id, "OC1"}).String(), id.String()+"/testLines/OC1"; got != want {
		t.Error(got)
	}
}

// Whatever somebody types as a number is judged, and what passes is E.164.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"+441134960001", "+44 (113) 496-0001", "", "+", "01134960001", "+0", "+44113496000112345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		problems := ValidateTestLine(TestLine{ID: LineID{Name: "OC1"}, Location: "westeurope", Purpose: "Manual", PhoneNumber: s})
		plain := E164(s)
		good := len(plain) >= 8 && len(plain) <= 16 && plain[0] == '+' && plain[1] != '0' && strings.Trim(plain[1:], "0123456789") == ""
		if good != (problems == nil) {
			t.Errorf("%q: %v", s, problems)
		}
	})
}

// What a change may not change is found, whatever else changes.
func TestValidateChange(t *testing.T) {
	for i, change := range []func(*Gateway){
		func(g *Gateway) { g.Location = "uksouth" },
		func(g *Gateway) { g.Properties.Connectivity = "PrivateAddress" },
		func(g *Gateway) { g.Properties.AutoGeneratedDomainNameLabelScope = "NoReuse" },
		func(g *Gateway) { g.Properties.OperatorPeerGroupConfigScheme = PeerGroupScheme },
		func(g *Gateway) { g.Properties.ServiceLocations[0].Name = "uksouth" },
		func(g *Gateway) { g.Properties.ServiceLocations = g.Properties.ServiceLocations[1:] },
	} {
		g := static()
		change(&g)
		if got := ValidateChange(static(), g); len(got) != 1 || got[0].Code != CreateOnly {
			t.Errorf("%d: %v", i, got)
		}
	}
	for i, change := range []func(*Gateway){
		func(g *Gateway) { g.Location = "West Europe" },
		func(g *Gateway) { slices.Reverse(g.Properties.ServiceLocations) },
		func(g *Gateway) { g.Properties.ServiceLocations[0].Name = "WestEurope" },
		func(g *Gateway) { g.Properties.AutoGeneratedDomainNameLabelScope = "TenantReuse" },
		func(g *Gateway) { g.Properties.Codecs, g.Properties.E911Type = []string{"G722"}, "DirectToEsrp" },
		func(g *Gateway) { g.Tags = map[string]string{"a": "b"} },
	} {
		g := static()
		change(&g)
		if got := ValidateChange(static(), g); got != nil {
			t.Errorf("%d: %v", i, got)
		}
	}
}
