package interop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestEveryRuleCanBeCarriedOut(t *testing.T) {
	all := snapshot.Interworking{
		History: "history-info", Charging: new(bool), UserToUser: new(bool), TenantGroup: true, Access: "GSTN", Operator: "op.example",
	}
	*all.Charging, *all.UserToUser = true, true
	list := slices.Collect(maps.Values(profiles))
	for name := range profiles {
		all.Profile = name
		list = append(list, Of(&snapshot.Group{Interworking: all}))
	}
	for _, p := range list {
		seen := map[string]bool{}
		for _, r := range p.Sends {
			switch {
			case seen[r.Header]:
				t.Errorf("%s has two rules for %s", p.Name, r.Header)
			case r.On == 0 || r.On&^OnAll != 0:
				t.Errorf("%s: %s on %b", p.Name, r.Header, r.On)
			case r.Deed != Keep && writers[r.Header] == nil:
				t.Errorf("%s: nobody knows how %s is %s", p.Name, r.Header, r.Deed)
			case r.Deed != Keep && r.Deed != Make && r.Deed != Convert:
				t.Errorf("%s: %s is %q", p.Name, r.Header, r.Deed)
			}
			seen[r.Header] = true
		}
	}
}

// A group has the profile it names, else that of what it serves, else that of
// its side.
func TestWhichProfileAGroupHas(t *testing.T) {
	cloud := func(s ...snapshot.Service) snapshot.Group {
		return snapshot.Group{Side: snapshot.Cloud, Services: s, Profile: "teams"}
	}
	named := func(g snapshot.Group, name string) snapshot.Group { g.Interworking.Profile = name; return g }
	for _, tc := range []struct {
		group snapshot.Group
		want  string
	}{
		{cloud(snapshot.OperatorConnect), "teams"},
		{cloud(snapshot.OperatorConnect, snapshot.TeamsPhoneMobile), "teams-mobile"},
		{cloud(snapshot.OperatorConnect, snapshot.TeamsPhoneMobile, snapshot.TeamsDirectRouting), "teams-mobile"},
		{cloud(snapshot.TeamsDirectRouting), "direct-routing"},
		{cloud(snapshot.Zoom), "zoom"},
		{snapshot.Group{Side: snapshot.Cloud}, "teams"},
		{snapshot.Group{Side: snapshot.Operator, Profile: "core"}, "core"},
		{snapshot.Group{Side: snapshot.Operator}, "core"},
		{snapshot.Group{Side: snapshot.Operator, Profile: "core", Services: []snapshot.Service{snapshot.TeamsPhoneMobile}}, "core"},
		{named(snapshot.Group{Side: snapshot.Operator, Profile: "core"}, "ims"), "ims"},
		{named(snapshot.Group{Side: snapshot.Operator, Profile: "core"}, "IMS"), "ims"},
		{named(cloud(snapshot.OperatorConnect), "direct-routing"), "direct-routing"},
		{named(cloud(snapshot.OperatorConnect), "nonsense"), "teams"},
	} {
		if got := Of(&tc.group).Name; got != tc.want {
			t.Errorf("%+v has %s, want %s", tc.group, got, tc.want)
		}
	}
}

func TestAGroupHasItOtherwise(t *testing.T) {
	yes, no := true, false
	p := Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{
		Profile: "core", Early: "ringback", Ringback: "de", History: "history-info", Reliable: "require", DTMF: "info", Hold: "music",
		Update: &yes, Forks: &yes, Refer: &no, Replaces: &no, Redirect: &yes,
	}})
	if p.Early != EarlyRingback || p.Ringback != "de" || p.History != HistoryInfo || p.Reliable != ReliableRequired || p.DTMF != DTMFInfo || p.Hold != HoldMusic {
		t.Errorf("%+v", p)
	}
	if !p.Update || !p.Forks || p.Refer || p.Replaces || !p.Redirect {
		t.Errorf("%+v", p)
	}
	for _, m := range []string{"UPDATE", "PRACK", "INFO"} {
		if !listed(p.Allow, m) {
			t.Errorf("Allow: %s has no %s", p.Allow, m)
		}
	}
	if listed(p.Allow, "REFER") || listed(p.Supported, "replaces") || !listed(p.Supported, "100rel") || p.ruled("Diversion") || !p.ruled("History-Info") {
		t.Errorf("Allow: %s, Supported: %s", p.Allow, p.Supported)
	}
	before := fmt.Sprintf("%+v", Core)
	_ = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{UserToUser: &no, Trusted: &no, Charging: &yes}})
	if after := fmt.Sprintf("%+v", Core); after != before {
		t.Errorf("a group's wish has changed the profile of all:\n%s\n%s", before, after)
	}
}

// Azure Communications Gateway docs, Direct Routing: "writes the customer's
// subdomain into Contact"; the label comes with the number, or with the name
// that Teams called.
func TestTheCustomersSubdomain(t *testing.T) {
	leg := cloudLeg()
	leg.Local = "1r1.gw.example:5063"
	for _, tc := range []struct{ host, label, want string }{
		{"1r1.gw.example", "", "1r1.gw.example"},
		{"C042.1R1.gw.example", "", "c042.1r1.gw.example"},
		{"x.y.1r1.gw.example", "", "1r1.gw.example"},
		{".1r1.gw.example", "", "1r1.gw.example"},
		{"evil1r1.gw.example", "", "1r1.gw.example"},
		{"c042.1r1.gw.example.evil", "", "1r1.gw.example"},
		{"10.1.2.3", "", "1r1.gw.example"},
		{"c042.1r1.gw.example", "c043", "c043.1r1.gw.example"}, // what the number says counts
	} {
		l := leg
		l.Label = tc.label
		l = l.Called(request(t, "INVITE sip:+441@"+tc.host+":5063 SIP/2.0", "1 INVITE"))
		if got := l.Contact(); got != "<sip:"+tc.want+":5063;transport=tls>" {
			t.Errorf("called as %s: %s", tc.host, got)
		}
	}
	// Azure Communications Gateway docs, "dnsDelegations": an operator's own
	// domain hides ours from customers.
	own := leg
	own.Label, own.Domain = "c042", "1r1.voice.example"
	if got := own.Contact(); got != "<sip:c042.1r1.voice.example:5063;transport=tls>" {
		t.Errorf("in a domain of the operator's: %s", got)
	}
	leg.Label = "c042"
	in := message(t, fromCore)
	m := Invite(in, identify(t, in, coreLeg()), leg, Names{"id", "tag"})
	for _, name := range []string{"Contact", "From", "P-Asserted-Identity"} {
		if !strings.Contains(m.Get(name), "@c042.1r1.gw.example") && !strings.Contains(m.Get(name), ":c042.1r1.gw.example") {
			t.Errorf("%s: %s", name, m.Get(name))
		}
	}
	if o := Options(cloudLeg(), Names{"id", "tag"}); strings.Contains(o.Get("Contact"), "c043") {
		t.Errorf("\n%s", wire(o))
	}
}

// Azure Communications Gateway docs, "customSipHeaders": on every message into
// the operator's network, on none to the cloud.
func TestTheOperatorsOwnHeader(t *testing.T) {
	core, cloud := coreLeg(), cloudLeg()
	core.Custom = Custom{"X-MS-Operator-Content", "abc_1"}
	cloud.Custom = core.Custom
	in := message(t, fromCloud)
	id := identify(t, in, cloud)
	d := request(t, "BYE sip:h SIP/2.0", "2 BYE")
	InDialog(d, nil, core)
	for what, m := range map[string]*sip.Message{
		"INVITE": Invite(in, id, core, Names{"i", "t"}), "180": Response(message(t, fromCore), 180, core),
		"486": Response(message(t, fromCore), 486, core), "BYE": d, "OPTIONS": Options(core, Names{"i", "t"}),
	} {
		if m.Get("X-MS-Operator-Content") != "abc_1" {
			t.Errorf("%s:\n%s", what, wire(m))
		}
	}
	if m := Response(in, 180, cloud); m.Has("X-MS-Operator-Content") {
		t.Errorf("\n%s", wire(m))
	}
	core.Custom.Value = "a\r\nX-Evil: 1"
	if m := Response(in, 180, core); m.Has("X-MS-Operator-Content") || m.Has("X-Evil") {
		t.Errorf("\n%s", wire(m))
	}
}

// RFC 4904 section 5.1; Azure Communications Gateway docs: "tenant id
// placement".
func TestTheEnterpriseAsTrunkGroup(t *testing.T) {
	const tenant = "00000000-0000-4000-8000-00000000c042"
	group := func(i snapshot.Interworking) Leg {
		l := coreLeg()
		i.TenantGroup = true
		l.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: i})
		return l
	}
	no := false
	for _, tc := range []struct {
		name   string
		to     Leg
		change [2]string
		want   string
	}{
		{"in our own context", group(snapshot.Interworking{}), [2]string{}, "<sip:+14255550199;tgrp=" + tenant + ";trunk-context=r1.gw.example@r1.gw.example:5061;transport=tcp>"},
		{"in another", group(snapshot.Interworking{TrunkContext: "op.example"}), [2]string{}, "<sip:+14255550199;tgrp=" + tenant + ";trunk-context=op.example@r1.gw.example:5061;transport=tcp>"},
		{"in the other spelling", group(snapshot.Interworking{}), [2]string{"X-MS-TENANTID:", "X-MSTenantID:"}, "<sip:+14255550199;tgrp=" + tenant + ";trunk-context=r1.gw.example@r1.gw.example:5061;transport=tcp>"},
		{"no enterprise", group(snapshot.Interworking{}), [2]string{"X-MS-TENANTID", "X-Other"}, "<sip:r1.gw.example:5061;transport=tcp>"},
		{"not wanted", coreLeg(), [2]string{}, "<sip:r1.gw.example:5061;transport=tcp>"},
		{"a withheld caller, to a side that is not trusted", group(snapshot.Interworking{Trusted: &no}), [2]string{}, "<sip:r1.gw.example:5061;transport=tcp>"},
	} {
		text := fromCloud
		if tc.change[0] != "" {
			text = strings.Replace(text, tc.change[0], tc.change[1], 1)
		}
		in := message(t, text)
		m := Invite(in, identify(t, in, cloudLeg()), tc.to, Names{"i", "t"})
		if got := m.Get("Contact"); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if _, err := m.Contact(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// RFC 7433: hexadecimal data passes between sides that both know it, as long
// as it is no longer than a telephone network carries.
func TestUserToUser(t *testing.T) {
	yes := true
	both := cloudLeg()
	both.Profile = Of(&snapshot.Group{Side: snapshot.Cloud, Profile: "teams", Interworking: snapshot.Interworking{UserToUser: &yes}})
	for _, tc := range []struct {
		value string
		to    Leg
		ok    bool
	}{
		{"00c81035;encoding=hex", both, true},
		{"00C8", both, true},
		{"00c8;purpose=isdn-uui;content=isdn-uui;encoding=HEX", both, true},
		{strings.Repeat("00", maxUserData), both, true},
		{strings.Repeat("00", maxUserData+1), both, false},
		{"00c", both, false},
		{"", both, false},
		{`"canary.example";encoding=hex`, both, false},
		{"canary;encoding=hex", both, false},
		{"00c8;encoding=ascii", both, false},
		{"00c8;x=canary.example", both, false},
		{"00c8;purpose=canary.example", both, false},
		{"00c81035;encoding=hex", cloudLeg(), false},
	} {
		in := message(t, fromCore)
		in.Set("User-to-User", tc.value)
		m := Invite(in, identify(t, in, coreLeg()), tc.to, Names{"i", "t"})
		if m.Has("User-to-User") != tc.ok || tc.ok && m.Get("User-to-User") != tc.value {
			t.Errorf("%.40s: %q, want it to pass: %v", tc.value, m.Get("User-to-User"), tc.ok)
		}
	}
}

func TestPriorityPasses(t *testing.T) {
	for v, ok := range map[string]bool{"emergency": true, "Urgent": true, "canary": false, "non-urgent": true, "": false} {
		in := message(t, fromCloud)
		in.Set("Priority", v)
		m := Invite(in, identify(t, in, cloudLeg()), coreLeg(), Names{"i", "t"})
		if m.Has("Priority") != ok {
			t.Errorf("%q: %q", v, m.Get("Priority"))
		}
	}
}

// RFC 3325 section 5: what a side that is not trusted asserts is not passed on
// as asserted; and older switches assert in words of their own.
func TestWhoIsBelieved(t *testing.T) {
	no := false
	stranger := coreLeg()
	stranger.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Trusted: &no}})
	const pai, rpid = "P-Asserted-Identity: <sip:+441632960002@h>", "Remote-Party-ID: <sip:+441632960003@h>"
	for _, tc := range []struct {
		name     string
		from     Leg
		headers  []string
		asserted string
		private  bool
	}{
		{"a trusted core", coreLeg(), []string{pai, rpid}, "+441632960002", false},
		{"a core that is not trusted", stranger, []string{pai, rpid}, "", false},
		{"an older core", coreLeg(), []string{rpid + ";party=calling;screen=yes;privacy=off"}, "+441632960003", false},
		{"an older core that hides the caller", coreLeg(), []string{rpid + ";privacy=full"}, "+441632960003", true},
		{"one that has not looked", coreLeg(), []string{rpid + ";screen=no"}, "", false},
		{"one that speaks of the called", coreLeg(), []string{rpid + ";party=called"}, "", false},
		{"Privacy counts before its word for it", coreLeg(), []string{rpid + ";privacy=full", "Privacy: none"}, "+441632960003", false},
	} {
		in := message(t, strings.Replace(strings.Replace(fromCore, "P-Asserted-Identity", "X-None", 1), "Content-Length", strings.Join(append(tc.headers, "Content-Length"), "\n"), 1))
		id := identify(t, in, tc.from)
		if id.Asserted != tc.asserted || id.Private() != tc.private {
			t.Errorf("%s: %+v", tc.name, id)
		}
	}
}

// A name goes with the number that it came with, and to Zoom, which reads no
// From, with the one there is.
func TestWhoseNameIsShown(t *testing.T) {
	zoom := cloudLeg()
	zoom.Profile = &Zoom
	for _, tc := range []struct {
		name      string
		pai       string
		privacy   string
		to        Leg
		from, has string // From, P-Asserted-Identity
	}{
		{"the cloud reads From, and gets the asserted number with its name", `"Head Office" <tel:+441632960002>`, "", cloudLeg(), `"Head Office" <sip:+441632960002@`, `"Head Office" <sip:+441632960002@`},
		{"a number without a name", "<tel:+441632960002>", "", cloudLeg(), `"J Smith" <sip:+441632960002@`, "<sip:+441632960002@"},
		{"a core gets both with theirs", `"Head Office" <tel:+441632960002>`, "", coreLeg(), `"J Smith" <sip:+441632960001@`, `"Head Office" <sip:+441632960002@`},
		{"Zoom", "<tel:+441632960002>", "", zoom, `"J Smith" <sip:+441632960001@`, `"J Smith" <sip:+441632960002@`},
		{"nobody's when he is withheld", `"Head Office" <tel:+441632960002>`, "id", zoom, `"Anonymous" <sip:anonymous@`, ""},
		{"a device's address is no name", `"sip:x@core.example" <tel:+441632960002>`, "", cloudLeg(), `"J Smith" <sip:+441632960002@`, "<sip:+441632960002@"},
	} {
		in := message(t, fromCore)
		in.Set("P-Asserted-Identity", tc.pai)
		if tc.privacy != "" {
			in.Set("Privacy", tc.privacy)
		}
		m := Invite(in, identify(t, in, coreLeg()), tc.to, Names{"i", "t"})
		if !strings.HasPrefix(m.Get("From"), tc.from) || !strings.HasPrefix(m.Get("P-Asserted-Identity"), tc.has) || m.Has("P-Asserted-Identity") != (tc.has != "") {
			t.Errorf("%s:\n%s", tc.name, wire(m))
		}
	}
}

// 3GPP TS 24.229 section 7.2A.20: what became of verifying a number goes with
// it, to sides that may believe us.
func TestAVerifiedNumberSaysSo(t *testing.T) {
	for _, tc := range []struct {
		verstat   string
		to        Leg
		anonymous bool
		asserted  bool
		from, pai string
	}{
		{"TN-Validation-Passed", coreLeg(), false, true, `"John Doe" <sip:+14255550123@r1.gw.example;user=phone>;tag=t`, "<sip:+14255550199;verstat=TN-Validation-Passed@r1.gw.example;user=phone>"},
		{"TN-Validation-Failed", coreLeg(), false, false, `"John Doe" <sip:+14255550123;verstat=TN-Validation-Failed@r1.gw.example;user=phone>;tag=t`, ""},
		{"TN-Validation-Passed", coreLeg(), true, false, anonymous + ";tag=t", ""},
		{"", coreLeg(), false, true, `"John Doe" <sip:+14255550123@r1.gw.example;user=phone>;tag=t`, "<sip:+14255550199@r1.gw.example;user=phone>"},
		{"x@canary.example", coreLeg(), false, true, `"John Doe" <sip:+14255550123@r1.gw.example;user=phone>;tag=t`, "<sip:+14255550199@r1.gw.example;user=phone>"},
		{"TN-Validation-Passed", cloudLeg(), false, true, anonymous + ";tag=t", ""}, // his Privacy is id
	} {
		in := message(t, fromCloud)
		id := identify(t, in, cloudLeg())
		id.Verstat, id.Anonymous = tc.verstat, tc.anonymous
		if !tc.asserted {
			id.Asserted = ""
		}
		m := Invite(in, id, tc.to, Names{"i", "t"})
		if m.Get("From") != tc.from || m.Get("P-Asserted-Identity") != tc.pai {
			t.Errorf("%+v:\n%s", tc, wire(m))
		}
		if _, err := m.From(); err != nil {
			t.Error(err)
		}
	}
}

// Microsoft Teams support, "Issues with outbound calls": a core that shows the
// number of P-Asserted-Identity gets one that may be shown.
func TestWhichNumberACoreIsTold(t *testing.T) {
	for _, tc := range []struct{ caller, from, pai string }{
		{"", "+14255550123", "+14255550199"},
		{"both", "+14255550123", "+14255550199"},
		{"shown", "+14255550123", "+14255550123"},
		{"asserted", "+14255550199", "+14255550199"},
	} {
		leg := coreLeg()
		leg.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Caller: tc.caller}})
		in := message(t, fromCloud)
		m := Invite(in, identify(t, in, cloudLeg()), leg, Names{"i", "t"})
		if !strings.Contains(m.Get("From"), "<sip:"+tc.from+"@") || !strings.Contains(m.Get("P-Asserted-Identity"), "<sip:"+tc.pai+"@") {
			t.Errorf("%s:\n%s", tc.caller, wire(m))
		}
	}
	leg := coreLeg() // a caller who is not shown stays vouched for
	leg.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Caller: "shown"}})
	in := message(t, strings.Replace(fromCloud, "John Doe<sip:+14255550123@sip.pstnhub.example:5061;user=phone>", "<sip:anonymous@anonymous.invalid>", 1))
	if m := Invite(in, identify(t, in, cloudLeg()), leg, Names{"i", "t"}); !strings.Contains(m.Get("P-Asserted-Identity"), "<sip:+14255550199@") {
		t.Errorf("\n%s", wire(m))
	}
}

// Azure Communications Gateway docs, Zoom Phone Cloud Peering: the identity is
// in P-Asserted-Identity, whatever header it came in.
func TestZoomReadsTheCallerOfOneHeader(t *testing.T) {
	zoom := cloudLeg()
	zoom.Profile = &Zoom
	for _, tc := range []struct {
		name    string
		headers string
		want    string
	}{
		{"asserted", "P-Asserted-Identity: <tel:+441632960002>", "+441632960002"},
		{"in Remote-Party-ID", "Remote-Party-ID: <sip:01632960003@core.example>;party=calling", "+441632960003"},
		{"in From alone", "X-None: 1", "+441632960001"},
		{"withheld", "Privacy: id", ""},
	} {
		in := message(t, strings.Replace(fromCore, "P-Asserted-Identity: <sip:+441632960002@core.example;user=phone>", tc.headers, 1))
		m := Invite(in, identify(t, in, coreLeg()), zoom, Names{"i", "t"})
		got := ""
		if list, _ := m.Addresses("P-Asserted-Identity"); len(list) > 0 {
			got = list[0].URI.User
		}
		if got != tc.want || m.Has("Remote-Party-ID") || m.Has("X-MS-SBC") {
			t.Errorf("%s: %q, want %q\n%s", tc.name, got, tc.want, wire(m))
		}
	}
}

// RFC 7315 section 4.6: the vector of a dialog is its own; a response says who
// has answered, beside what the request said.
func TestChargingVectors(t *testing.T) {
	ims := coreLeg()
	ims.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Profile: "ims", Operator: "op.example"}})
	out := Invite(message(t, fromCloud), identify(t, message(t, fromCloud), cloudLeg()), ims, Names{"abc", "t"})
	const ours = `icid-value=abc;icid-generated-at=r1.gw.example;orig-ioi="op.example"`
	if got := out.Get("P-Charging-Vector"); got != ours {
		t.Errorf("INVITE: %s", got)
	}
	bye := request(t, "BYE sip:h SIP/2.0", "2 BYE")
	bye.Set("Call-ID", "abc")
	InDialog(bye, nil, ims)
	if got := bye.Get("P-Charging-Vector"); got != ours {
		t.Errorf("BYE: %s", got)
	}
	for _, tc := range []struct{ vector, invite, bye string }{
		{`icid-value="a=b";orig-ioi=far.example`, `icid-value="a=b";orig-ioi=far.example;term-ioi="op.example"`, `icid-value="a=b";orig-ioi=far.example`},
		{`icid-value=1;icid-generated-at=10.1.1.1;term-ioi=x;related-icid=y`, `icid-value=1;icid-generated-at=10.1.1.1;term-ioi="op.example"`, `icid-value=1;icid-generated-at=10.1.1.1`},
		{"", "", ""},
		{"orig-ioi=x", "", ""},
		{"icid-value=" + strings.Repeat("x", 256), "", ""},
	} {
		in := message(t, fromCore)
		if tc.vector != "" {
			in.Set("P-Charging-Vector", tc.vector)
		}
		leg := ims.Called(in)
		if got := Response(in, 200, leg).Get("P-Charging-Vector"); got != tc.invite {
			t.Errorf("%s answered %s, want %s", tc.vector, got, tc.invite)
		}
		req := request(t, "BYE sip:h SIP/2.0", "2 BYE")
		InDialog(req, nil, leg)
		if got := req.Get("P-Charging-Vector"); got != tc.bye {
			t.Errorf("%s in a BYE: %s", tc.vector, got)
		}
	}
	if m := Response(message(t, fromCore), 200, coreLeg().Called(message(t, fromCore))); m.Has("P-Charging-Vector") {
		t.Errorf("\n%s", wire(m))
	}
}

// RFC 5009 section 7: only who has said that he understands is told.
func TestEarlyMediaIsAuthorised(t *testing.T) {
	ims := coreLeg()
	ims.Profile = &IMS
	for _, tc := range []struct {
		asked string
		leg   Leg
		media bool
		want  string
	}{
		{"supported", ims, true, "sendrecv"},
		{"Supported", ims, false, "inactive"},
		{"gated, supported", ims, true, "sendrecv"},
		{"", ims, true, ""},
		{"supported", coreLeg(), true, ""},
		{"supported", cloudLeg(), true, ""},
	} {
		in := message(t, fromCore)
		in.Set("P-Early-Media", tc.asked)
		m := Response(in, 183, tc.leg)
		Authorise(m, in, tc.media, tc.leg)
		if got := m.Get("P-Early-Media"); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.asked, got, tc.want)
		}
	}
	for v, want := range map[string]string{"sendonly": "sendonly", "SendRecv, inactive": "sendrecv", "supported": "", "gated, recvonly": "recvonly", "": ""} {
		m := Response(message(t, fromCore), 183, coreLeg())
		m.Set("P-Early-Media", v)
		if got := EarlyMediaOf(m); got != want {
			t.Errorf("%q is %q", v, got)
		}
	}
}

// RFC 3325 section 5, 3GPP TS 24.608: who has answered is told to a side that
// is trusted, or when he does not mind.
func TestWhoHasAnswered(t *testing.T) {
	no := false
	stranger := coreLeg()
	stranger.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Trusted: &no}})
	for _, tc := range []struct {
		name    string
		privacy string
		from    Leg
		to      Leg
		want    string
	}{
		{"to a core", "", cloudLeg(), coreLeg(), "<sip:+442079460188@r1.gw.example;user=phone>"},
		{"to a core, though he hides", "id", cloudLeg(), coreLeg(), "<sip:+442079460188@r1.gw.example;user=phone>"},
		{"to a stranger", "", cloudLeg(), stranger, "<sip:+442079460188@r1.gw.example;user=phone>"},
		{"to a stranger, though he hides", "id", cloudLeg(), stranger, ""},
		{"to Teams, which does not read it", "", coreLeg(), cloudLeg(), ""},
		{"as somebody says who is not believed", "", stranger, coreLeg(), ""},
	} {
		in := message(t, fromCore)
		far := sip.NewResponse(in, 200, "")
		far.Set("P-Asserted-Identity", "<tel:+442079460188>")
		if tc.privacy != "" {
			far.Set("Privacy", tc.privacy)
		}
		m := Response(in, 200, tc.to)
		Relay(m, far, tc.from, tc.to)
		if got := m.Get("P-Asserted-Identity"); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	m := Response(message(t, fromCore), 180, coreLeg())
	before := wire(m)
	Relay(m, nil, cloudLeg(), coreLeg())
	if wire(m) != before {
		t.Errorf("\n%s", wire(m))
	}
}
