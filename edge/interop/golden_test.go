package interop

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

var update = flag.Bool("update", false, "write the goldens anew")

// A farSide is one that the goldens show: how it is reached and what it says.
type farSide struct {
	leg    Leg
	invite string // that it sends
	other  string // the side that its calls go to and come from
}

// farSides are the profiles as peers have them in life.
func farSides() map[string]farSide {
	teams := cloudLeg()
	teams.Profile, teams.Local = &Teams, "1r1.gw.example:5063"
	mobile := teams
	mobile.Profile = &TeamsMobile
	direct := teams
	direct.Profile = &DirectRouting
	zoom := teams
	zoom.Profile, zoom.Remote = &Zoom, "198.51.100.80:5061"
	core := coreLeg()
	core.Custom = Custom{"X-MS-Operator-Content", "abc_123"}
	ims := core
	ims.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{
		Profile: "ims", TenantGroup: true, TrunkContext: "operator.example", Operator: "operator.example", Access: "GSTN",
	}})
	ims.Remote, ims.Transport = "ibcf.operator.example:5060", sip.UDP
	ims.Plan = Plan{}
	return map[string]farSide{
		"teams":          {teams, teamsInvite, "core"},
		"teams-mobile":   {mobile, strings.Replace(teamsInvite, "CONTENT-LENGTH", "X-MS-FMC: APP\nCONTENT-LENGTH", 1), "ims"},
		"direct-routing": {direct, strings.ReplaceAll(teamsInvite, "1r1.gw.example", "c042.1r1.gw.example"), "core"},
		"zoom":           {zoom, zoomInvite, "core"},
		"core":           {core, coreInvite, "direct-routing"},
		"ims":            {ims, imsInvite, "teams"},
	}
}

// A call that was forwarded by a user of Teams (Microsoft Teams docs, "Direct
// Routing - SIP protocol"; "Configure SIP trunk: forward call history").
const teamsInvite = `
INVITE sip:+442079460199@1r1.gw.example:5063;user=phone;transport=tls;cause=302 SIP/2.0
FROM: Ann Doe<sip:+13035550177@sip.pstnhub.example:5061;user=phone>;tag=fw1
TO: <sip:+442079460199@1r1.gw.example:5063;user=phone>
CSEQ: 1 INVITE
CALL-ID: fwd-1
MAX-FORWARDS: 69
VIA: SIP/2.0/TLS 198.51.100.24:5061;branch=z9hG4bKfw
RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.example:5061;transport=tls;lr>
CONTACT: <sip:api-du-a-euno.pstnhub.example:443;x-i=5d0f7c1e;x-c=fwd-1/d/8/0a1b2c3d>
HISTORY-INFO: <sip:+14255550123@sip.pstnhub.example:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1,<sip:+442079460199@sip.pstnhub.example:5061;user=phone>;index=1.1
REFERRED-BY: <sip:+14255550123@sip.pstnhub.example>
P-ASSERTED-IDENTITY: <tel:+14255550123>,<sip:john@contoso.example>
PRIVACY: id
X-MS-TENANTID: 00000000-0000-4000-8000-00000000c042
USER-AGENT: Microsoft.PSTNHub.SIPProxy v.2026.1.1.1 i.EUNO.7
ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY
SUPPORTED: timer
CONTENT-LENGTH: 0
`

// What Zoom sends on premises peering (Zoom KB0073073).
const zoomInvite = `
INVITE sip:+442079460199@203.0.113.10:5063;transport=tls SIP/2.0
Via: SIP/2.0/TLS 198.51.100.80:5061;branch=z9hG4bKz
Max-Forwards: 70
From: "Zoe" <sip:+13035550177@198.51.100.80>;tag=z1
To: <sip:+442079460199@203.0.113.10>
Call-ID: zoom-1
CSeq: 10 INVITE
Contact: <sip:198.51.100.80:5061;transport=tls>
Allow: INVITE,ACK,CANCEL,BYE,REGISTER,REFER,INFO,SUBSCRIBE,NOTIFY,UPDATE,OPTIONS,MESSAGE,PUBLISH
Supported: timer,replaces
Privacy: none
P-Asserted-Identity: "Zoe" <sip:+13035550177@198.51.100.80>
X-Trace-ID: 4711
Content-Length: 0
`

const coreInvite = `
INVITE sip:02079460123@r1.gw.example;user=phone SIP/2.0
Via: SIP/2.0/TCP core.example;branch=z9hG4bK1
Max-Forwards: 68
Record-Route: <sip:proxy.core.example;lr>
From: "J Smith" <sip:01632960001@core.example;user=phone>;tag=f
To: <sip:02079460123@r1.gw.example>
Call-ID: c1
CSeq: 1 INVITE
Contact: <sip:core.example;transport=tcp>
P-Asserted-Identity: <sip:+441632960002@core.example;user=phone>
Diversion: <sip:01632960005@core.example>;reason=no-answer;counter=1, <sip:01632960004@core.example>;reason=unconditional;counter=1;privacy=full
User-to-User: 00c81035;encoding=hex
User-Agent: Switch/1.0
Content-Length: 0
`

const imsInvite = `
INVITE sip:+442079460123;npdi@ibcf.gw.example;user=phone;cause=486 SIP/2.0
Via: SIP/2.0/UDP ibcf.operator.example:5060;branch=z9hG4bKi
Max-Forwards: 60
From: <sip:+441632960001@operator.example;user=phone>;tag=i1
To: <tel:+442079460123>
Call-ID: ims-1
CSeq: 1 INVITE
Contact: <sip:ibcf.operator.example:5060>
P-Asserted-Identity: "Jo" <sip:+441632960001@operator.example;user=phone>, <tel:+441632960001>
Privacy: id;history
P-Charging-Vector: icid-value="AyretyU0dm+6O2IrT5tAFrbHLso=023551024";icid-generated-at=10.1.1.1;orig-ioi="visited.example"
P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=2341500
P-Early-Media: supported
History-Info: <sip:+441632960007@operator.example;user=phone?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1, <sip:+442079460123@operator.example;user=phone;cause=486>;index=1.1;mp=1
Supported: 100rel, precondition, timer
Content-Length: 0
`

// TestGoldens shows, for each profile, every message that such a side is sent
// and what becomes of every message that it sends.
func TestGoldens(t *testing.T) {
	sides := farSides()
	for name, side := range sides {
		t.Run(name, func(t *testing.T) {
			g := golden{t: t}
			other := sides[side.other]
			label := func(l Leg) Leg { // what edge/route gives out for the number
				if l.Profile.Name == "direct-routing" {
					l.Label = "c042"
				}
				return l
			}
			g.call("from "+side.other+" to "+name, other, label(side.leg))
			g.call("from "+name+" to "+side.other, side, label(other.leg))
			g.probe(side.leg)
			g.check(filepath.Join("testdata", "golden", name+".txt"))
		})
	}
}

// golden collects messages.
type golden struct {
	t    *testing.T
	text strings.Builder
}

func (g *golden) show(what string, m *sip.Message) {
	fmt.Fprintf(&g.text, "--- %s\n%s", what, wire(m))
}

// call is a call of a side to a leg, with all that comes after.
func (g *golden) call(title string, caller farSide, to Leg) {
	fmt.Fprintf(&g.text, "===== %s =====\n\n", title)
	in := message(g.t, caller.invite)
	g.show("INVITE as it comes", in)
	from := caller.leg.Called(in)
	id := identify(g.t, in, from)
	out := Invite(in, id, to, Names{"our-call-id", "our-tag"})
	g.show("INVITE as it leaves", out)
	for _, status := range []int{180, 183, 200} {
		far := g.response(out, status)
		g.show(fmt.Sprint(status, " as it comes"), far)
		resp := Response(in, status, from)
		resp.TagTo("near-tag")
		Relay(resp, far, to, from)
		if status < 200 {
			Authorise(resp, in, status == 183, from)
		}
		g.show(fmt.Sprint(status, " as it leaves"), resp)
	}
	g.inside(in, out, from, to)
	for _, status := range []int{302, 486, 503} {
		far := g.response(out, status)
		far.Set("Reason", `Q.850;cause=34;text="0d7c1a52-0000-4000-8000-000000000009;Call was declined"`)
		resp := failed(Fail(far, to), in, from)
		resp.TagTo("near-tag")
		g.show(fmt.Sprint(status, " of the callee, as it leaves"), resp)
	}
}

// inside shows the requests of both dialogs.
func (g *golden) inside(in, out *sip.Message, from, to Leg) {
	callee, err := ua.ClientDialog(out, g.response(out, 200))
	if err != nil {
		g.t.Fatal(err)
	}
	caller, err := ua.ServerDialog(in, "near-tag")
	if err != nil {
		g.t.Fatal(err)
	}
	ack := callee.NewAck(out)
	InDialog(ack, nil, to)
	g.show("ACK to the callee", ack)
	for _, method := range []string{"INVITE", "INFO", "BYE"} {
		far := message(g.t, "\n"+method+" sip:gw.example SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=2\nCall-ID: x\nCSeq: 7 "+method+
			"\nMax-Forwards: 70\nReason: Q.850;cause=16;text=\"0d7c1a52-0000-4000-8000-000000000009;bye\"\nUser-to-User: 0401\nContent-Length: 0\n")
		req := callee.NewRequest(method)
		InDialog(req, far, to)
		g.show(method+" to the callee", req)
		req = caller.NewRequest(method)
		InDialog(req, far, from)
		g.show(method+" to the caller", req)
	}
}

func (g *golden) response(invite *sip.Message, status int) *sip.Message {
	m := sip.NewResponse(invite, status, "")
	m.TagTo("far-tag")
	m.Set("Contact", "<sip:far.example>")
	m.Set("Server", "Far/1.0")
	m.Set("P-Asserted-Identity", "<tel:+442079460188>")
	m.Set("User-to-User", "0402;encoding=hex")
	m.Set("P-Early-Media", "sendonly")
	return m
}

// probe shows OPTIONS of ours and our answer.
func (g *golden) probe(to Leg) {
	g.text.WriteString("===== OPTIONS =====\n\n")
	g.show("OPTIONS that leaves", Options(to, Names{"our-call-id", "our-tag"}))
	g.show("our answer", AnswerOptions(request(g.t, "OPTIONS sip:gw.example SIP/2.0", "1 OPTIONS"), "our-tag", to))
}

func (g *golden) check(file string) {
	g.t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(g.text.String()), 0o644); err != nil {
			g.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	if d := cmp.Diff(string(want), g.text.String()); d != "" {
		g.t.Errorf("%s (-update writes it anew):\n%s", file, d)
	}
}
