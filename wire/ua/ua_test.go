package ua

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/wire/sip"
)

func message(t testing.TB, text string) *sip.Message {
	t.Helper()
	m, err := sip.Parse([]byte(strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n")+"\r\n"), sip.Limits{})
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return m
}

const outgoing = `
INVITE sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0
Via: SIP/2.0/TLS r1.gw.example:5063;branch=z9hG4bKin1
Max-Forwards: 69
From: "J Smith" <sip:+13035550177@r1.gw.example;user=phone>;tag=f1
To: <sip:+14255550123@sip.pstnhub.microsoft.com;user=phone>
Call-ID: in-1
CSeq: 7 INVITE
Contact: <sip:r1.gw.example:5063;transport=tls>
Content-Length: 0
`

// ringing comes as the phone system writes it: upper case names, a Contact
// that nobody can reach, a Record-Route that must be followed.
const ringing = `
SIP/2.0 183 Session Progress
FROM: "J Smith" <sip:+13035550177@r1.gw.example;user=phone>;tag=f1
TO: <sip:+14255550123@sip.pstnhub.microsoft.com;user=phone;embroidered>;tag=forkB
CSEQ: 7 INVITE
CALL-ID: in-1
VIA: SIP/2.0/TLS r1.gw.example:5063;branch=z9hG4bKin1
RECORD-ROUTE: <sip:proxy2.example;lr>,<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>
CONTACT: <sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f;x-c=in1/d/8/0a1b2c3d>
CONTENT-LENGTH: 0
`

const incoming = `
INVITE sip:+442079460123@r1.gw.example:5063;user=phone;transport=tls SIP/2.0
FROM: John Doe<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;tag=240cd7
TO: <sip:+442079460123@r1.gw.example:5063;user=phone>
CSEQ: 12 INVITE
CALL-ID: 64ce308b
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 198.51.100.24:5061;branch=z9hG4bK5873
RECORD-ROUTE: <sip:first.example;lr>
RECORD-ROUTE: <sip:second.example;lr>
CONTACT: <sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f;x-c=64ce308b/d/8>
CONTENT-LENGTH: 0
`

func client(t testing.TB, resp string) (*Dialog, *sip.Message) {
	t.Helper()
	inv := message(t, outgoing)
	d, err := ClientDialog(inv, message(t, resp))
	if err != nil {
		t.Fatal(err)
	}
	return d, inv
}

func server(t testing.TB, invite string) *Dialog {
	t.Helper()
	d, err := ServerDialog(message(t, invite), "s1")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func lines(m *sip.Message) string {
	return strings.ReplaceAll(string(m.Append(nil)), "\r\n", "\n")
}

func TestClientDialog_12_1_2(t *testing.T) {
	d, inv := client(t, ringing)
	if want := (ID{"in-1", "f1", "forkB"}); d.ID() != want {
		t.Errorf("ID %+v, want %+v", d.ID(), want)
	}
	if !d.Client || !d.Early {
		t.Errorf("client %v, early %v", d.Client, d.Early)
	}
	const ack = `ACK sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f;x-c=in1/d/8/0a1b2c3d SIP/2.0
Max-Forwards: 70
Route: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>
Route: <sip:proxy2.example;lr>
From: "J Smith" <sip:+13035550177@r1.gw.example;user=phone>;tag=f1
To: <sip:+14255550123@sip.pstnhub.microsoft.com;user=phone>;tag=forkB
Call-ID: in-1
CSeq: 7 ACK
Content-Length: 0

`
	if diff := cmp.Diff(ack, lines(d.NewAck(inv))); diff != "" {
		t.Error(diff)
	}
	bye := strings.ReplaceAll(strings.Replace(ack, "ACK", "BYE", 1), "7 ACK", "8 BYE")
	if diff := cmp.Diff(bye, lines(d.NewRequest("BYE"))); diff != "" {
		t.Error(diff)
	}
	hop, err := d.NextHop()
	if err != nil || hop.HostPort() != "sip-du-a-eu.pstnhub.microsoft.com:5061" {
		t.Errorf("next hop %v, %v", hop, err)
	}
}

func TestServerDialog_12_1_1(t *testing.T) {
	d := server(t, incoming)
	if want := (ID{"64ce308b", "s1", "240cd7"}); d.ID() != want || d.Client || d.Early {
		t.Errorf("%+v", d)
	}
	const bye = `BYE sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f;x-c=64ce308b/d/8 SIP/2.0
Max-Forwards: 70
Route: <sip:first.example;lr>
Route: <sip:second.example;lr>
From: <sip:+442079460123@r1.gw.example:5063;user=phone>;tag=s1
To: John Doe<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;tag=240cd7
Call-ID: 64ce308b
CSeq: 1 BYE
Content-Length: 0

`
	if diff := cmp.Diff(bye, lines(d.NewRequest("BYE"))); diff != "" {
		t.Error(diff)
	}
}

func TestForksAreDialogsOfTheirOwn_12_1_2(t *testing.T) {
	a, _ := client(t, strings.ReplaceAll(ringing, "forkB", "forkA"))
	b, _ := client(t, strings.ReplaceAll(ringing, "443;x-i", "444;x-i"))
	if a.ID() == b.ID() || a.Target == b.Target {
		t.Errorf("%+v and %+v", a, b)
	}
	a.NewRequest("BYE")
	if got := b.NewRequest("BYE").Get("CSeq"); got != "8 BYE" {
		t.Errorf("a fork's number moved with the other's: %s", got)
	}
}

func TestA2xxConfirmsWithItsOwnRoutes_13_2_2_4(t *testing.T) {
	d, _ := client(t, ringing)
	ok := message(t, strings.NewReplacer("183 Session Progress", "200 OK", "proxy2", "proxy3", ":443", ":444").Replace(ringing))
	d.Refresh(ok)
	if d.Early || !slices.ContainsFunc(d.Routes, func(r string) bool { return strings.Contains(r, "proxy3") }) || !strings.Contains(d.Target, ":444") {
		t.Errorf("%+v", d)
	}
	// Later 2xx move the target alone: 12.2.
	d.Refresh(message(t, strings.NewReplacer("183 Session Progress", "200 OK", "proxy2", "proxy4", ":443", ":445").Replace(ringing)))
	if strings.Contains(strings.Join(d.Routes, ""), "proxy4") || !strings.Contains(d.Target, ":445") {
		t.Errorf("%+v", d)
	}
}

func TestWhatRefreshesTheTarget_12_2(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		moves      bool
	}{
		{"re-INVITE", strings.Replace(incoming, "CSEQ: 12", "CSEQ: 13", 1), true},
		{"UPDATE", strings.NewReplacer("INVITE sip", "UPDATE sip", "12 INVITE", "13 UPDATE").Replace(incoming), true},
		{"BYE", strings.NewReplacer("INVITE sip", "BYE sip", "12 INVITE", "13 BYE").Replace(incoming), false},
		{"183", ringing, false},
		{"200 to BYE", strings.NewReplacer("183 Session Progress", "200 OK", "7 INVITE", "8 BYE").Replace(ringing), false},
		{"200 to INVITE", strings.Replace(ringing, "183 Session Progress", "200 OK", 1), true},
		{"488 to INVITE", strings.Replace(ringing, "183 Session Progress", "488 No", 1), false},
		{"200 without Contact", strings.NewReplacer("183 Session Progress", "200 OK", "CONTACT", "X-CONTACT").Replace(ringing), false},
		{"200 with an unreadable Contact", strings.NewReplacer("183 Session Progress", "200 OK", "CONTACT: <", "CONTACT: <<").Replace(ringing), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := server(t, incoming)
			d.Target = "sip:before.example"
			d.Refresh(message(t, tc.text))
			if moved := d.Target != "sip:before.example"; moved != tc.moves {
				t.Errorf("target %s", d.Target)
			}
			if len(d.Routes) != 2 || !strings.Contains(d.Routes[0], "first") {
				t.Errorf("routes %v", d.Routes)
			}
		})
	}
}

func TestRouting_12_2_1_1(t *testing.T) {
	for _, tc := range []struct {
		name   string
		routes string // Record-Route of the response, top first
		uri    string
		route  []string
		hop    string
	}{
		{"no routes", "", "sip:user@target.example:443;x=1", nil, "target.example:443"},
		{"loose", "<sip:b.example;lr>, <sip:a.example;lr>", "sip:user@target.example:443;x=1", []string{"<sip:a.example;lr>", "<sip:b.example;lr>"}, "a.example"},
		{"strict first", "<sip:b.example;lr>, <sip:a.example;maddr=m>", "sip:a.example;maddr=m", []string{"<sip:b.example;lr>", "<sip:user@target.example:443;x=1>"}, "a.example"},
		{"strict alone, with what no Request-URI carries", "<sip:a.example;method=INVITE?Replaces=x>", "sip:a.example", []string{"<sip:user@target.example:443;x=1>"}, "a.example"},
		{"strict later", "<sip:b.example>, <sip:a.example;lr=on>", "sip:user@target.example:443;x=1", []string{"<sip:a.example;lr=on>", "<sip:b.example>"}, "a.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := message(t, ringing)
			resp.Del("Record-Route")
			if tc.routes != "" {
				resp.Set("Record-Route", tc.routes)
			}
			resp.Set("Contact", "<sip:user@target.example:443;x=1>")
			d, err := ClientDialog(message(t, outgoing), resp)
			if err != nil {
				t.Fatal(err)
			}
			m := d.NewRequest("BYE")
			if m.RequestURI != tc.uri {
				t.Errorf("Request-URI %s, want %s", m.RequestURI, tc.uri)
			}
			if got := slices.Collect(m.Values("Route")); !slices.Equal(got, tc.route) {
				t.Errorf("Route %q, want %q", got, tc.route)
			}
			if hop, err := d.NextHop(); err != nil || hop.HostPort() != tc.hop {
				t.Errorf("next hop %v %v, want %s", hop, err, tc.hop)
			}
		})
	}
}

func TestOrder_12_2_2(t *testing.T) {
	request := func(method string, seq int) *sip.Message {
		return message(t, strings.NewReplacer("INVITE sip", method+" sip", "12 INVITE", fmt.Sprintf("%d %s", seq, method)).Replace(incoming))
	}
	for _, tc := range []struct {
		name   string
		d      *Dialog
		method string
		seq    int
		status int // -1: accepted; 0: dropped
	}{
		{"the next", server(t, incoming), "BYE", 13, -1},
		{"a gap, as after a challenge", server(t, incoming), "BYE", 99, -1},
		{"the same", server(t, incoming), "BYE", 12, 500},
		{"an older", server(t, incoming), "INVITE", 3, 500},
		{"ACK to the INVITE", server(t, incoming), "ACK", 12, -1},
		{"ACK to none", server(t, incoming), "ACK", 13, 0},
		{"any first one, as client", first(client(t, ringing)), "INFO", 1, -1},
		{"ACK before any INVITE, as client", first(client(t, ringing)), "ACK", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.d.Accept(request(tc.method, tc.seq))
			if tc.status < 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := errors.AsType[*sip.ParseError](err); !ok || e.Status != tc.status {
				t.Errorf("%v, want %d", err, tc.status)
			}
		})
	}
	d := server(t, incoming)
	for _, step := range []struct {
		method string
		seq    int
	}{{"INVITE", 14}, {"INFO", 15}, {"ACK", 14}, {"BYE", 16}} {
		if err := d.Accept(request(step.method, step.seq)); err != nil {
			t.Errorf("%s %d: %v", step.method, step.seq, err)
		}
	}
}

func first[T, U any](v T, _ U) T { return v }

func TestWhatFormsNoDialog(t *testing.T) {
	inv := message(t, outgoing)
	for name, text := range map[string]string{
		"180 without a tag":       strings.ReplaceAll(ringing, ";tag=forkB", ""),
		"an unreadable route":     strings.ReplaceAll(ringing, "<sip:proxy2", "<proxy2"),
		"an unreadable Contact":   strings.ReplaceAll(ringing, "CONTACT: <sip:", "CONTACT: <:"),
		"an unreadable To header": strings.ReplaceAll(ringing, "TO: <", "TO: \""),
	} {
		if _, err := ClientDialog(inv, message(t, text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if d, _ := client(t, strings.NewReplacer("183 Session Progress", "200 OK", ";tag=forkB", "").Replace(ringing)); d.ID().RemoteTag != "" {
		t.Error("a 2xx of an RFC 2543 server has no tag (12.1.2)")
	}
	if d, _ := client(t, strings.ReplaceAll(ringing, "CONTACT", "X-C")); d.Target != inv.RequestURI {
		t.Errorf("target %s", d.Target)
	}
	for name, text := range map[string]string{
		"no Contact":            strings.ReplaceAll(incoming, "CONTACT", "X-C"),
		"an unreadable Contact": strings.ReplaceAll(incoming, "CONTACT: <sip:", "CONTACT: <:"),
		"an unreadable route":   strings.ReplaceAll(incoming, "<sip:first", "<first"),
	} {
		_, err := ServerDialog(message(t, text), "s1")
		if e, ok := errors.AsType[*sip.ParseError](err); !ok || e.Status != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIDOf(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want ID
	}{
		"request":  {incoming, ID{"64ce308b", "", "240cd7"}},
		"response": {ringing, ID{"in-1", "f1", "forkB"}},
	} {
		if got := IDOf(message(t, tc.text)); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestGlare_14_1(t *testing.T) {
	owner, other := &Dialog{Client: true}, &Dialog{}
	low := func(int) int { return 0 }
	high := func(n int) int { return n - 1 }
	for _, tc := range []struct {
		got, want time.Duration
	}{
		{owner.Glare(low), 2100 * time.Millisecond},
		{owner.Glare(high), 4 * time.Second},
		{other.Glare(low), 0},
		{other.Glare(high), 2 * time.Second},
	} {
		if tc.got != tc.want {
			t.Errorf("%v, want %v", tc.got, tc.want)
		}
	}
}

func TestOptions_11(t *testing.T) {
	o := Options{
		URI: "sip:sip.example:5061;transport=tls", From: "<sip:r1.gw.example>", To: "<sip:sip.example>", Tag: "o1", CallID: "opt-1",
		Contact: "<sip:r1.gw.example:5063;transport=tls>", Allow: "INVITE, BYE", Accept: "application/sdp",
	}
	req := NewOptions(o)
	const want = `OPTIONS sip:sip.example:5061;transport=tls SIP/2.0
Max-Forwards: 70
From: <sip:r1.gw.example>;tag=o1
To: <sip:sip.example>
Call-ID: opt-1
CSeq: 1 OPTIONS
Contact: <sip:r1.gw.example:5063;transport=tls>
Allow: INVITE, BYE
Accept: application/sdp
Content-Length: 0

`
	if diff := cmp.Diff(want, lines(req)); diff != "" {
		t.Error(diff)
	}
	resp := AnswerOptions(req, "t9", o)
	to, err := resp.To()
	if err != nil || resp.Status != 200 || to.Tag() != "t9" || resp.Get("Allow") != "INVITE, BYE" || resp.Has("Supported") {
		t.Errorf("\n%s", lines(resp))
	}
}

// FuzzDialog drives both dialogs of a call by a script of what happens. One
// side's requests must always be taken by the other in order, be refused when
// repeated, and name the dialog the other side knows.
func FuzzDialog(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, "<sip:p.example;lr>", "<sip:c.example>")
	f.Add([]byte{7, 7, 0, 0, 5, 1}, "<sip:p.example>,<sip:q.example;lr>", "sip:c.example;x")
	f.Fuzz(func(t *testing.T, script []byte, rr, contact string) {
		if len(script) > 64 {
			return
		}
		inv := message(t, outgoing)
		inv.Set("Record-Route", rr)
		uas, err := ServerDialog(inv, "s9")
		if err != nil {
			return
		}
		resp := sip.NewResponse(inv, 183, "")
		resp.TagTo("s9")
		resp.Set("Record-Route", rr)
		resp.Set("Contact", contact)
		uac, err := ClientDialog(inv, resp)
		if err != nil {
			return
		}
		if slices.Reverse(uac.Routes); !slices.Equal(uac.Routes, uas.Routes) {
			t.Fatalf("route sets %q and %q", uac.Routes, uas.Routes)
		}
		for _, b := range script {
			from, to := uac, uas
			if b&1 != 0 {
				from, to = uas, uac
			}
			m := from.NewRequest([]string{"INVITE", "BYE", "INFO", "UPDATE"}[b>>1&3])
			back, err := sip.Parse(m.Append(nil), sip.Limits{})
			if err != nil {
				t.Fatalf("own request refused: %v\n%s", err, lines(m))
			}
			if IDOf(back) != to.ID() {
				t.Fatalf("request of %+v, other side is %+v", IDOf(back), to.ID())
			}
			if err := to.Accept(back); err != nil {
				t.Fatal(err)
			}
			if to.Accept(back) == nil {
				t.Fatal("a repeated number was taken")
			}
			back.Set("Contact", contact)
			to.Refresh(back)
			if _, err := to.NextHop(); err != nil {
				t.Fatalf("no next hop: %v", err)
			}
		}
	})
}
