package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

func message(t testing.TB, text string) *sip.Message {
	t.Helper()
	m, err := sip.Parse([]byte(strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n")+"\r\n"), sip.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func wire(m *sip.Message) string { return strings.ReplaceAll(string(m.Append(nil)), "\r\n", "\n") }

func identify(t testing.TB, m *sip.Message, from Leg) Identity {
	t.Helper()
	id, err := Identify(m, from)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

const fromCore = `
INVITE sip:02079460123@r1.gw.example;user=phone SIP/2.0
Via: SIP/2.0/TCP core.example;branch=z9hG4bK1
Max-Forwards: 68
From: "J Smith" <sip:01632960001@core.example;user=phone>;tag=f
To: <sip:02079460123@r1.gw.example>
Call-ID: c1
CSeq: 1 INVITE
Contact: <sip:core.example;transport=tcp>
P-Asserted-Identity: <sip:+441632960002@core.example;user=phone>
Content-Length: 0
`

const fromCloud = `
INVITE sip:+442079460123@c042.1r1.gw.example:5063;user=phone;transport=tls SIP/2.0
FROM: John Doe<sip:+14255550123@sip.pstnhub.example:5061;user=phone>;tag=240cd7
TO: <sip:+442079460123@c042.1r1.gw.example:5063;user=phone>
CSEQ: 1 INVITE
CALL-ID: 64ce308b
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 198.51.100.24:5061;branch=z9hG4bK5873
RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.example:5061;transport=tls;lr>
CONTACT: <sip:api-du-a-euno.pstnhub.example:443;x-i=5d0f;x-c=64ce308b/d/8>
P-ASSERTED-IDENTITY: <tel:+14255550199>,<sip:john@contoso.example>
PRIVACY: id
X-MS-TENANTID: 00000000-0000-4000-8000-00000000c042
X-MS-FMC: APP
CONTENT-LENGTH: 0
`

func TestAnInviteToTheCloud(t *testing.T) {
	in := message(t, fromCore)
	m := Invite(in, identify(t, in, coreLeg()), cloudLeg(), Names{"id1", "tag1"})
	const want = `INVITE sip:+442079460123@sip.pstnhub.example:5061;user=phone;transport=tls SIP/2.0
Max-Forwards: 67
From: "J Smith" <sip:+441632960002@c042.1r1.gw.example;user=phone>;tag=tag1
To: <sip:+442079460123@sip.pstnhub.example;user=phone>
Call-ID: id1
CSeq: 1 INVITE
Contact: <sip:c042.1r1.gw.example:5063;transport=tls>
Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, NOTIFY, REFER
Supported: timer, replaces
P-Asserted-Identity: <sip:+441632960002@c042.1r1.gw.example;user=phone>
X-MS-SBC: Tandem/Gateway/1.0
Content-Length: 0

`
	if d := cmp.Diff(want, wire(m)); d != "" {
		t.Error(d)
	}
}

func TestAnInviteToTheCore(t *testing.T) {
	in := message(t, fromCloud)
	m := Invite(in, identify(t, in, cloudLeg()), coreLeg(), Names{"id1", "tag1"})
	const want = `INVITE sip:+442079460123@core.example:5060;user=phone;transport=tcp SIP/2.0
Max-Forwards: 69
From: "John Doe" <sip:+14255550123@r1.gw.example;user=phone>;tag=tag1
To: <sip:+442079460123@core.example;user=phone>
Call-ID: id1
CSeq: 1 INVITE
Contact: <sip:r1.gw.example:5061;transport=tcp>
Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, PRACK, UPDATE, REFER
Supported: timer, 100rel, replaces
P-Asserted-Identity: <sip:+14255550199@r1.gw.example;user=phone>
Privacy: id
X-MS-FMC: APP
X-MS-TenantID: 00000000-0000-4000-8000-00000000c042
Content-Length: 0

`
	if d := cmp.Diff(want, wire(m)); d != "" {
		t.Error(d)
	}
}

func TestWhoIsShown(t *testing.T) {
	const (
		number   = "<sip:+441632960001@core.example;user=phone>;tag=f"
		withheld = `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=f`
	)
	for _, tc := range []struct {
		name                    string
		from, asserted, privacy string
		to                      Leg
		shown, told, wish       string // user of From, user of P-Asserted-Identity, Privacy
	}{
		{"the cloud reads From, so it gets the asserted number", number, "<tel:+441632960002>", "", cloudLeg(), "+441632960002", "+441632960002", ""},
		{"a core gets both", number, "<tel:+441632960002>", "", coreLeg(), "+441632960001", "+441632960002", ""},
		{"nothing asserted", number, "", "", cloudLeg(), "+441632960001", "", ""},
		{"privacy: the cloud must not know", number, "<tel:+441632960002>", "id", cloudLeg(), "anonymous", "", "id"},
		{"privacy: a core hides by itself", number, "<tel:+441632960002>", "id", coreLeg(), "+441632960001", "+441632960002", "id"},
		{"user privacy", number, "<tel:+441632960002>", "user;critical", cloudLeg(), "anonymous", "", "user;critical"},
		{"no privacy, in words", number, "<tel:+441632960002>", "none", cloudLeg(), "+441632960002", "+441632960002", "none"},
		{"unknown words of privacy", number, "", "history;token", coreLeg(), "+441632960001", "", ""},
		{"hidden in From, told to a core with the wish", withheld, "<tel:+441632960002>", "", coreLeg(), "anonymous", "+441632960002", "id"},
		{"hidden in From, whatever Privacy says", withheld, "<tel:+441632960002>", "none", coreLeg(), "anonymous", "+441632960002", "id"},
		{"hidden in From, not told to the cloud", withheld, "<tel:+441632960002>", "", cloudLeg(), "anonymous", "", ""},
		{"a From without a user", "<sip:core.example>;tag=f", "", "", cloudLeg(), "anonymous", "", ""},
		{"an asserted identity that cannot be read", number, "<sip:<>", "", cloudLeg(), "+441632960001", "", ""},
		{"a caller with a name for a number", "<sip:alice@core.example>;tag=f", "", "", cloudLeg(), "alice", "", ""},
		{"a national number asserted", number, "<sip:01632960003@core.example>", "", cloudLeg(), "+441632960003", "+441632960003", ""},
		{"an extension asserted is no identity", number, "<sip:1234@core.example>", "", cloudLeg(), "+441632960001", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := message(t, fromCore)
			in.Set("From", tc.from)
			in.Del("P-Asserted-Identity")
			if tc.asserted != "" {
				in.Set("P-Asserted-Identity", tc.asserted)
			}
			if tc.privacy != "" {
				in.Set("Privacy", tc.privacy)
			}
			m := Invite(in, identify(t, in, coreLeg()), tc.to, Names{"id", "tag"})
			from, err := m.From()
			if err != nil {
				t.Fatal(err)
			}
			told := ""
			if list, _ := m.Addresses("P-Asserted-Identity"); len(list) > 0 {
				told = list[0].URI.User
			}
			if from.URI.User != tc.shown || told != tc.told || m.Get("Privacy") != tc.wish {
				t.Errorf("shown %q, told %q, wish %q\n%s", from.URI.User, told, m.Get("Privacy"), wire(m))
			}
			if err := m.Check(); err == nil { // Via is the stack's to add
				t.Error("Check passed without Via")
			}
		})
	}
}

func TestPlan(t *testing.T) {
	uk := Plan{CountryCode: "44", Trunk: "0", International: "00"}
	us := Plan{CountryCode: "1", Trunk: "1", International: "011"}
	no := Plan{CountryCode: "47", International: "00"}
	for _, tc := range []struct {
		plan Plan
		in   string
		out  string
		ok   bool
	}{
		{uk, "+442079460123", "+442079460123", true},
		{uk, "+44 (20) 7946-0123", "+442079460123", true},
		{uk, "02079460123", "+442079460123", true},
		{uk, "0014255550123", "+14255550123", true},
		{uk, "999", "999", false},
		{uk, "118500", "118500", false},
		{uk, "2079460123", "2079460123", false},
		{uk, "+4420794601231234", "+4420794601231234", false},
		{uk, "+0", "+0", false},
		{uk, "*67", "*67", false},
		{uk, "alice", "alice", false},
		{uk, "", "", false},
		{uk, "0", "0", false},
		{us, "14255550123", "+14255550123", true},
		{us, "011442079460123", "+442079460123", true},
		{us, "911", "911", false},
		{no, "22123456", "+4722123456", true},
		{no, "112", "112", false},
		{Plan{}, "02079460123", "02079460123", false},
		{Plan{}, "+442079460123", "+442079460123", true},
	} {
		if out, ok := tc.plan.Normalise(tc.in); out != tc.out || ok != tc.ok {
			t.Errorf("%+v: %q became %q, %v; want %q, %v", tc.plan, tc.in, out, ok, tc.out, tc.ok)
		}
	}
}

func TestWhomACallIsFor(t *testing.T) {
	for _, tc := range []struct {
		uri, called string
		ok          bool
		status      int
	}{
		{"tel:+44-20-7946-0123;phone-context=x", "+442079460123", true, 0},
		{"sip:+442079460123;npdi;rn=x@gw.example", "+442079460123", true, 0},
		{"sips:%2B442079460123@gw.example", "+442079460123", true, 0},
		{"sip:999@gw.example", "999", false, 0},
		{"sip:*61%23@gw.example", "*61%23", false, 0},
		{"sip:alice.x@gw.example", "alice.x", false, 0},
		{"sip:gw.example", "", false, 484},
		{"urn:service:sos", "", false, 416},
		{"http:x", "", false, 416},
	} {
		m := message(t, fromCore)
		m.RequestURI = tc.uri
		id, err := Identify(m, coreLeg())
		status := 0
		if e, ok := errors.AsType[*sip.ParseError](err); ok {
			status = e.Status
		}
		if status != tc.status || id.Called != tc.called || id.CalledOK != tc.ok {
			t.Errorf("%s: %+v, %v", tc.uri, id, err)
		}
		if status == 0 {
			out := Invite(m, id, cloudLeg(), Names{"i", "t"})
			if _, err := sip.ParseURI(out.RequestURI); err != nil {
				t.Errorf("%s: wrote %s: %v", tc.uri, out.RequestURI, err)
			}
		}
	}
}

func TestALoopEnds(t *testing.T) {
	m := message(t, fromCore)
	m.Set("Max-Forwards", "0")
	_, err := Identify(m, coreLeg())
	if e, ok := errors.AsType[*sip.ParseError](err); !ok || e.Status != 483 {
		t.Errorf("%v", err)
	}
}

func TestResponses(t *testing.T) {
	req := message(t, fromCloud)
	for _, tc := range []struct {
		status         int
		contact, allow bool
	}{{100, false, false}, {180, true, true}, {183, true, true}, {200, true, true}, {404, false, false}, {405, false, true}, {488, false, false}} {
		m := Response(req, tc.status, cloudLeg())
		if got := m.Get("Contact"); (got == "<sip:c042.1r1.gw.example:5063;transport=tls>") != tc.contact {
			t.Errorf("%d: Contact %q", tc.status, got)
		}
		if m.Has("Record-Route") != tc.contact || m.Has("Allow") != tc.allow {
			t.Errorf("%d:\n%s", tc.status, wire(m))
		}
		if m.Get("X-MS-SBC") != "Tandem/Gateway/1.0" {
			t.Errorf("%d: X-MS-SBC %q", tc.status, m.Get("X-MS-SBC"))
		}
		if Response(req, tc.status, coreLeg()).Has("X-MS-SBC") {
			t.Errorf("%d: a core is told of X-MS-SBC", tc.status)
		}
	}
	bye := message(t, strings.NewReplacer("INVITE sip", "BYE sip", "1 INVITE", "2 BYE").Replace(fromCloud))
	if m := Response(bye, 200, cloudLeg()); m.Has("Contact") || m.Has("Record-Route") {
		t.Errorf("\n%s", wire(m))
	}
}

func TestWhatIsAdvertisedCanBeDone(t *testing.T) {
	never := []string{"INFO", "SUBSCRIBE", "MESSAGE", "PUBLISH"}
	for p, no := range map[*Profile][]string{
		&Teams: {"PRACK", "UPDATE", "100rel"}, &TeamsMobile: {"PRACK", "UPDATE", "100rel"}, &DirectRouting: {"PRACK", "UPDATE", "100rel"},
		&Zoom: {"PRACK", "UPDATE", "100rel"}, &Core: nil, &IMS: nil,
	} {
		for _, no := range append(no, never...) {
			if strings.Contains(p.Allow+p.Supported, no) {
				t.Errorf("%s advertises %s", p.Name, no)
			}
		}
	}
}

func TestInDialog(t *testing.T) {
	d, err := ua.ServerDialog(message(t, fromCloud), "s1")
	if err != nil {
		t.Fatal(err)
	}
	re := d.NewRequest("INVITE")
	InDialog(re, nil, cloudLeg())
	if re.Get("Contact") == "" || re.Get("Allow") == "" || re.Get("X-MS-SBC") == "" {
		t.Errorf("\n%s", wire(re))
	}
	far := message(t, strings.NewReplacer("INVITE sip", "BYE sip", "1 INVITE", "2 BYE", "68", "70\nReason: q.850;cause=16;text=\"x\", SIP;cause=200, Q.850;cause=999, Preemption;cause=1").Replace(fromCore))
	bye := d.NewRequest("BYE")
	InDialog(bye, far, cloudLeg())
	if got := fmt.Sprint(bye.Reasons()); bye.Has("Contact") || got != "[Q.850;cause=16 SIP;cause=200]" {
		t.Errorf("%s\n%s", got, wire(bye))
	}
}

func TestFail(t *testing.T) {
	cause := func(n int) string { return fmt.Sprintf("Q.850;cause=%d;text=\"x\"", n) }
	for _, tc := range []struct {
		name          string
		status        int
		reason        string
		from          Leg
		pass, because int
	}{
		{"busy, as the cloud says it", 486, cause(34), cloudLeg(), 486, 17},
		{"busy with another cause", 486, cause(16), cloudLeg(), 486, 16},
		{"busy from a core that means 34", 486, cause(34), coreLeg(), 486, 34},
		{"no circuit is no busy", 503, cause(34), cloudLeg(), 503, 34},
		{"busy without a cause", 486, "", coreLeg(), 486, 17},
		{"no such number", 404, "", coreLeg(), 404, 1},
		{"declined", 603, "", cloudLeg(), 603, 21},
		{"no answer", 480, cause(19), coreLeg(), 480, 19},
		{"timeout", 408, "", coreLeg(), 408, 102},
		{"overload", 503, "", coreLeg(), 503, 41},
		{"a lost route beyond", 504, "", coreLeg(), 503, 102},
		{"a broken gateway beyond", 502, "", coreLeg(), 503, 38},
		{"a redirection", 302, "", coreLeg(), 480, 23},
		{"a challenge", 407, "", coreLeg(), 403, 21},
		{"an extension of ours refused", 420, "", coreLeg(), 500, 127},
		{"media refused", 488, "", cloudLeg(), 488, 31},
		{"media refused as a type", 415, "", cloudLeg(), 488, 79},
		{"terminated, though nobody here did", 487, "", cloudLeg(), 480, 127},
		{"unknown in 3xx", 399, "", coreLeg(), 480, 23},
		{"unknown in 4xx", 499, "", coreLeg(), 500, 31},
		{"unknown in 6xx", 699, "", coreLeg(), 603, 31},
	} {
		t.Run(tc.name, func(t *testing.T) {
			far := sip.NewResponse(message(t, fromCore), tc.status, "")
			far.Set("Retry-After", "3600")
			if tc.reason != "" {
				far.Set("Reason", tc.reason)
			}
			f := Fail(far, tc.from)
			if f.Status != tc.pass || len(f.Reasons) != 1 || f.Reasons[0].Cause != tc.because {
				t.Errorf("%+v, want %d because %d", f, tc.pass, tc.because)
			}
			m := failed(f, message(t, fromCloud), cloudLeg())
			if m.Status != tc.pass || m.Has("Retry-After") || m.Get("Reason") != fmt.Sprintf("Q.850;cause=%d", tc.because) {
				t.Errorf("\n%s", wire(m))
			}
		})
	}
}

// failed is the response to req of leg to that tells of a failure.
func failed(f Failure, req *sip.Message, to Leg) *sip.Message {
	m := Response(req, f.Status, to)
	setReasons(m, f.Reasons)
	return m
}

func TestNoRedirectionAndNoRetryCodeSlipsThrough(t *testing.T) {
	for status := 300; status < 700; status++ {
		got := passed(status)
		if got < 400 || got > 699 {
			t.Errorf("%d becomes %d", status, got)
		}
		retried := got == 408 || got == 503 || got == 504
		lost := status == 408 || status == 502 || status == 503 || status == 504
		if retried != lost {
			t.Errorf("%d becomes %d: the caller's side would redial", status, got)
		}
		if c := Q850(status); c < 1 || c > 127 {
			t.Errorf("%d has cause %d", status, c)
		}
	}
}

func TestRefuse(t *testing.T) {
	for _, k := range fault.Kinds() {
		f := Refuse(fault.New(k, "x"))
		if _, ok := refusals[k]; !ok || f.Status < 400 || len(f.Reasons) != 1 || f.Reasons[0].Cause == 0 {
			t.Errorf("%v: %+v", k, f)
		}
	}
	for _, tc := range []struct {
		err    error
		status int
	}{
		{errors.New("x"), 500},
		{&sip.ParseError{Status: 416}, 416},
		{&sip.ParseError{}, 500},
		{fmt.Errorf("read: %w", sdp.ErrNoCodec), 488},
		{sdp.ErrNoKeys, 488},
		{&sdp.ParseError{}, 400},
	} {
		if f := Refuse(tc.err); f.Status != tc.status {
			t.Errorf("%v: %+v, want %d", tc.err, f, tc.status)
		}
	}
}

func TestDescribe(t *testing.T) {
	const parts = "--b1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <l@x>\r\n\r\n<presence/>\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n" + plainOffer + "\r\n--b1--\r\n"
	for _, tc := range []struct {
		name, kind, body string
		found            bool
		status           int
	}{
		{"none", "", "", false, 0},
		{"plain", "application/sdp", plainOffer, true, 0},
		{"plain, in other case and with a parameter", "Application/SDP;charset=utf-8", plainOffer, true, 0},
		{"plain, with blanks about the slash", "application / sdp ;\tcharset=\"utf-8\"", plainOffer, true, 0},
		{"beside a location", `multipart/mixed;boundary="b1"`, parts, true, 0},
		{"a location alone", "multipart/mixed;boundary=b1", "--b1\r\nContent-Type: application/pidf+xml\r\n\r\nx\r\n--b1--\r\n", false, 0},
		{"something else", "text/plain", "hello", false, 415},
		{"no type", "", "hello", false, 415},
		{"no boundary", "multipart/mixed", parts, false, 415},
		{"cut short", "multipart/mixed;boundary=b1", parts[:60], false, 415},
		{"damaged", "application/sdp", "v=1\r\n", false, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := message(t, fromCore)
			m.SetBody(tc.kind, []byte(tc.body))
			s, err := Describe(m)
			if (s != nil) != tc.found || (err != nil) != (tc.status != 0) {
				t.Fatalf("%v, %v", s, err)
			}
			if err != nil && Refuse(err).Status != tc.status {
				t.Errorf("%v: %+v", err, Refuse(err))
			}
		})
	}
}

func TestTheLocationOfAnEmergencyCallerCrosses(t *testing.T) {
	const pidf = "<presence entity=\"pres:x\"><!-- --tandem --tandem0 --></presence>"
	in := message(t, fromCloud)
	in.SetBody("multipart/mixed;boundary=\"b1\"", []byte("--b1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <teams@host.of.teams>\r\n\r\n"+pidf+"\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n"+plainOffer+"\r\n--b1--\r\n"))
	in.Set("Geolocation", "<cid:teams@host.of.teams>")
	in.Set("Geolocation-Routing", "yes")
	out := Invite(in, identify(t, in, cloudLeg()), coreLeg(), Names{"i", "t"})
	SetOffer(out, in, []byte(plainOffer), coreLeg())
	out.Prepend("Via", "SIP/2.0/TLS gw.example;branch=z9hG4bK1")
	back, err := sip.Parse(out.Append(nil), sip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := part(back, "application/pidf+xml"); err != nil || string(got) != pidf {
		t.Errorf("%v: %q", err, got)
	}
	if s, err := Describe(back); err != nil || s == nil || len(s.Media) != 1 {
		t.Errorf("%v: %+v", err, s)
	}
	if back.Get("Geolocation") != "<cid:location@r1.gw.example>" || back.Get("Geolocation-Routing") != "yes" || strings.Contains(wire(back), "teams@") {
		t.Errorf("\n%s", wire(back))
	}
	// Without one, or to a side that takes none, the body is the description.
	for _, tc := range []struct {
		in *sip.Message
		to Leg
	}{{in, cloudLeg()}, {message(t, fromCloud), coreLeg()}} {
		SetOffer(out, tc.in, []byte(plainOffer), tc.to)
		if out.Get("Content-Type") != "application/sdp" || string(out.Body) != plainOffer {
			t.Errorf("\n%s", wire(out))
		}
	}
}

// RFC 6442 section 4.1: a location may be told by where it can be asked for.
func TestALocationByReferenceCrosses(t *testing.T) {
	for _, tc := range []struct {
		value string
		to    Leg
		want  string
	}{
		{"<https://lis.example/abc>", coreLeg(), "<https://lis.example/abc>"},
		{"<https://lis.example/abc>, <sip:lis@h.example>;x=canary", coreLeg(), "<https://lis.example/abc> <sip:lis@h.example>"},
		{"<cid:canary@canary.example>", coreLeg(), ""},
		{"canary", coreLeg(), ""},
		{"<https://lis.example/abc>", cloudLeg(), ""},
	} {
		in := message(t, fromCloud)
		in.Set("Geolocation", tc.value)
		in.Set("Geolocation-Routing", "yes")
		out := Invite(in, identify(t, in, cloudLeg()), tc.to, Names{"i", "t"})
		SetOffer(out, in, []byte(plainOffer), tc.to)
		if got := strings.Join(slices.Collect(out.Values("Geolocation")), " "); got != tc.want || out.Has("Geolocation-Routing") != (tc.want != "") {
			t.Errorf("%s became %q\n%s", tc.value, got, wire(out))
		}
	}
}

// RFC 3261 12.2.1.1: what a far side adds to its names in a later request
// appears in none of ours; they are the dialog's (Azure Communications Gateway
// docs, "parameters ... are removed").
func TestParametersInADialogAreThoseItBeganWith(t *testing.T) {
	d, err := ua.ServerDialog(message(t, fromCloud), "s1")
	if err != nil {
		t.Fatal(err)
	}
	later := message(t, strings.NewReplacer("1 INVITE", "2 INVITE", ";tag=240cd7", ";tag=240cd7;later=1",
		"@sip.pstnhub.example:5061;user=phone>", "@sip.pstnhub.example:5061;user=phone;x-later=1>", "TO: <sip:+442079460123@c042.1r1.gw.example:5063;user=phone>", "TO: <sip:+442079460123@c042.1r1.gw.example:5063;user=phone;x-later=2>;tag=s1").Replace(fromCloud))
	if err := d.Accept(later); err != nil {
		t.Fatal(err)
	}
	bye := d.NewRequest("BYE")
	InDialog(bye, later, cloudLeg())
	if strings.Contains(wire(bye), "later") || bye.Get("To") != "John Doe<sip:+14255550123@sip.pstnhub.example:5061;user=phone>;tag=240cd7" ||
		bye.Get("From") != "<sip:+442079460123@c042.1r1.gw.example:5063;user=phone>;tag=s1" {
		t.Errorf("\n%s", wire(bye))
	}
	far, err := ua.ClientDialog(request(t, "INVITE sip:+44@core.example SIP/2.0", "1 INVITE"), sip.NewResponse(request(t, "INVITE sip:+44@core.example SIP/2.0", "1 INVITE"), 200, ""))
	if err != nil {
		t.Fatal(err)
	}
	re := far.NewRequest("INVITE")
	InDialog(re, later, coreLeg())
	if strings.Contains(wire(re), "later") {
		t.Errorf("\n%s", wire(re))
	}
}

func FuzzInvite(f *testing.F) {
	for _, s := range []string{fromCore, fromCloud, teamsInvite, zoomInvite, coreInvite, imsInvite} {
		f.Add([]byte(strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\n", "\r\n") + "\r\n"))
	}
	var pairs [][2]Leg
	for _, cloud := range kinds(cloudLeg(), "teams-mobile", "direct-routing", "zoom") {
		for _, core := range kinds(coreLeg(), "core", "ims") {
			pairs = append(pairs, [2]Leg{core, cloud}, [2]Leg{cloud, core})
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := sip.Parse(b, sip.Limits{})
		if err != nil {
			return
		}
		_, _ = Describe(in)
		for _, legs := range pairs {
			if !in.IsRequest() {
				if in.Status >= 300 {
					Fail(in, legs[0])
				}
				continue
			}
			legs[0] = legs[0].Called(in)
			id, err := Identify(in, legs[0])
			if err != nil {
				continue
			}
			if err := Response(in, 183, legs[0]).Check(); in.Method == "INVITE" && in.Check() == nil && err != nil {
				t.Fatalf("own response refused: %v\n%s", err, wire(Response(in, 183, legs[0])))
			}
			out := Invite(in, id, legs[1], Names{"id", "tag"})
			SetOffer(out, in, []byte(plainOffer), legs[1])
			out.Prepend("Via", "SIP/2.0/TLS gw.example;branch=z9hG4bK1")
			back, err := sip.Parse(out.Append(nil), sip.Limits{})
			if err != nil {
				t.Fatalf("own INVITE refused: %v\n%s", err, wire(out))
			}
			if err := back.Check(); err != nil {
				t.Fatalf("own INVITE refused: %v\n%s", err, wire(out))
			}
		}
	})
}

func BenchmarkInvite(b *testing.B) {
	in := message(b, fromCloud)
	from, to := cloudLeg(), coreLeg()
	b.ReportAllocs()
	for b.Loop() {
		id, err := Identify(in, from)
		if err != nil {
			b.Fatal(err)
		}
		Invite(in, id, to, Names{"i", "t"})
	}
}

func TestOptionsOfOurOwn(t *testing.T) {
	m := Options(cloudLeg(), Names{"id", "tag"})
	for name, want := range map[string]string{
		"From": "<sip:c042.1r1.gw.example>;tag=tag", "To": "<sip:sip.pstnhub.example>", "Call-ID": "id",
		"Contact": "<sip:c042.1r1.gw.example:5063;transport=tls>", "Allow": Teams.Allow, "Accept": "application/sdp",
		"User-Agent": "Tandem/Gateway/1.0", "X-MS-SBC": "Tandem/Gateway/1.0",
	} {
		if got := m.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if m.RequestURI != "sip:sip.pstnhub.example:5061;transport=tls" {
		t.Errorf("to %s", m.RequestURI)
	}
	req := request(t, "OPTIONS sip:gw.example SIP/2.0", "1 OPTIONS")
	a := AnswerOptions(req, "mine", coreLeg())
	if a.Status != 200 || a.Get("Server") != "Tandem/Gateway/1.0" || a.Has("X-MS-SBC") || a.Get("Contact") != "<sip:r1.gw.example:5061;transport=tcp>" || !strings.HasSuffix(a.Get("To"), ";tag=mine") {
		t.Errorf("\n%s", wire(a))
	}
}
