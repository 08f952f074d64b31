package interop

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// paint is a message of one side with the word canary, or an address of its
// network, in every place where something could leak.
func paint(t *testing.T, start, seq string) *sip.Message {
	t.Helper()
	text := start + `
Via: SIP/2.0/TLS via.canary.example:5061;branch=z9hG4bKcanary;received=10.99.99.99
Via: SIP/2.0/UDP 10.99.99.99;branch=z9hG4bKcanary2
Max-Forwards: 17
Record-Route: <sip:rr.canary.example;transport=tls;lr>
Route: <sip:route.canary.example;lr>
From: "sip:john@canary.example" <sip:+13035550177;tgrp=canary;trunk-context=canary.example@from.canary.example:5061;user=phone;x=canary>;tag=canaryfrom;y=canary
To: "Canary Callee" <sip:+442079460123@to.canary.example;user=phone>;z=canary
Contact: "canary" <sip:canary@contact.canary.example:443;x-i=canary>
Call-ID: canary-call-id@canary.example
CSeq: ` + seq + `
Allow: INVITE, ACK, CANARY
Allow-Events: canary
Supported: timer, 100rel, canary
Accept: application/x-canary
Accept-Language: x-canary
User-Agent: CanarySwitch/1.0
Server: CanarySwitch/1.0
Organization: Canary Inc.
Subject: canary subject
Date: Sat, 21 Nov 2026 12:00:00 GMT
Timestamp: 99.99
Alert-Info: <http://canary.example/ring>
Call-Info: <http://canary.example/card>;purpose=info
Error-Info: <sip:sorry@canary.example>
In-Reply-To: canary@canary.example
Reply-To: <sip:canary@canary.example>
Warning: 399 canary.example "canary text"
Reason: Q.850;cause=16;text="canary.example said so"
Reason: SIP;cause=200;text="canary"
Retry-After: 1800 (canary);duration=99
Priority: canary
Session-Expires: 1800;refresher=uac
Min-SE: 99
P-Asserted-Identity: "canary" <sip:canary@canary.example>, <tel:+13035550178;phone-context=canary.example>
P-Preferred-Identity: <sip:+13035550999@canary.example>
Remote-Party-ID: <sip:+13035550999@canary.example>;party=calling
Privacy: canary;critical
P-Preferred-Service: urn:urn-7:3gpp-service.canary
P-Profile-Key: <sip:canary@canary.example>
Feature-Caps: *;+g.3gpp.canary
P-Charging-Vector: icid-value=canary;orig-ioi=canary.example
P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=canary
P-Visited-Network-ID: canary.example
P-Served-User: <sip:canary@canary.example>;sescase=orig
P-Early-Media: sendrecv
Diversion: <sip:+13035550111@canary.example>;reason=unconditional
History-Info: <sip:+13035550111@canary.example>;index=1
History-Info: <sip:+13035550112@canary.example?Reason=SIP%3Bcause%3D302%3Btext%3D%22canary%22&X=canary>;index=1.1;mp=1;x=canary, "canary" <sip:canary@canary.example;cause=302>;index=1.2
Referred-By: <sip:canary@canary.example>
Replaces: canary@canary.example;to-tag=a;from-tag=b
Refer-To: <sip:canary@canary.example>
Identity: canary.canary.canary;info=<https://canary.example/cert>
Geolocation: <cid:canary@canary.example>
User-to-User: canary;encoding=hex
Authorization: Digest realm="canary.example"
Proxy-Authorization: Digest realm="canary.example"
WWW-Authenticate: Digest realm="canary.example"
X-MS-TenantID: canary.example
X-MS-FMC: 10.99.99.99
X-MS-SBC: Canary/canary/1.0
X-MS-MediaPath: canary.example
X-Canary: canary
ms-conversation-id: canary
Content-Type: application/sdp
`
	body := strings.ReplaceAll(canarySDP, "\n", "\r\n")
	m, err := sip.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n"+body), sip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const canarySDP = `v=0
o=CanarySwitch 99999999 88888888 IN IP4 10.99.99.99
s=Canary Session
i=canary information
u=http://canary.example/
e=canary@canary.example
p=+1 canary
c=IN IP4 10.99.99.99
b=CT:9999
t=99 999
k=clear:canary
a=tool:canary
a=ice-lite
a=fingerprint:sha-256 CA:NA:99
m=audio 19999 RTP/SAVP 8 111 101
i=canary audio
c=IN IP4 10.99.99.98
a=rtpmap:8 PCMA/8000
a=fmtp:8 canary.example
a=rtpmap:111 CANARY/48000
a=fmtp:111 canary
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16;x=canary.example
a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+|2^31
a=rtcp:19998 IN IP4 10.99.99.97
a=candidate:1 1 UDP 99 10.99.99.99 19999 typ host
a=ice-ufrag:canary
a=ice-pwd:canarycanarycanarycanary
a=ssrc:99999 cname:canary@canary.example
a=mid:canary
a=label:canary
a=x-canary:canary
a=ptime:20
m=video 19996 RTP/AVP 99
a=rtpmap:99 CANARY/90000
m=application 19994 UDP/BFCP * canary
`

// canaries must not be seen outside: names, numbers that would tell, the keys.
var canaries = []string{"canary", "10.99.99", "1999", "99999", "88888888", "d1GM2VbCF", "z9hG4bKcanary", "CA:NA"}

func mustNotSing(t *testing.T, what string, b []byte) {
	t.Helper()
	low := strings.ToLower(string(b))
	for _, c := range canaries {
		if strings.Contains(low, strings.ToLower(c)) {
			t.Errorf("%s: %q crossed:\n%s", what, c, b)
		}
	}
}

func cloudLeg() Leg {
	return Leg{
		Profile: &TeamsMobile, Local: "c042.1r1.gw.example:5063", Remote: "sip.pstnhub.example:5061",
		Transport: sip.TLS, Product: "Tandem/Gateway/1.0", Plan: Plan{},
	}
}

func coreLeg() Leg {
	return Leg{
		Profile: &Core, Local: "r1.gw.example:5061", Remote: "core.example:5060",
		Transport: sip.TCP, Product: "Tandem/Gateway/1.0", Plan: Plan{CountryCode: "44", Trunk: "0", International: "00"},
	}
}

func end(l Leg) sdp.End {
	return sdp.End{
		ID: 7, Codecs: []string{"PCMA", "PCMU"}, Secret: bytes.Repeat([]byte{1}, sdp.SecretSize),
		InactiveOnly: l.Profile.InactiveOnly,
		RTP:          netip.MustParseAddrPort("203.0.113.1:30000"), RTCP: netip.MustParseAddrPort("203.0.113.1:30001"),
	}
}

// TestTopologyIsHidden lets a call of either direction pass between every kind
// of cloud and every kind of core, with all its messages in full paint, and
// listens on the side away from the painter.
func TestTopologyIsHidden(t *testing.T) {
	for _, cloud := range kinds(cloudLeg(), "teams", "teams-mobile", "direct-routing", "zoom") {
		for _, core := range kinds(coreLeg(), "core", "ims") {
			for _, way := range [][2]Leg{{core, cloud}, {cloud, core}} {
				from, to := way[0], way[1]
				t.Run(from.Profile.Name+" to "+to.Profile.Name, func(t *testing.T) {
					in := paint(t, "INVITE sip:+442079460123;npdi;rn=canary@uri.canary.example;user=phone;x=canary;cause=302 SIP/2.0", "12 INVITE")
					invite := hideInvite(t, in, from.Called(in), to)
					hideAnswers(t, in, from, to)
					hideInDialog(t, in, invite, to)
				})
			}
		}
	}
}

// kinds are the legs of these profiles: as they are, and with everything on
// that a group may wish for.
func kinds(l Leg, names ...string) []Leg {
	var all []Leg
	yes := true
	for _, name := range names {
		plain, full := l, l
		plain.Profile = profiles[name]
		p := *Of(&snapshot.Group{Interworking: snapshot.Interworking{
			Profile: name, History: "history-info", Reliable: "supported", DTMF: "info", Update: &yes, Forks: &yes, Refer: &yes, Replaces: &yes,
			Redirect: &yes, Trusted: &yes, TenantGroup: true, Charging: &yes, UserToUser: &yes, ELIN: true, Access: "GSTN",
		}})
		p.Name += " with everything on"
		full.Profile = &p
		full.Custom = Custom{"X-Custom", "v"}
		all = append(all, plain, full)
	}
	return all
}

// hideInvite checks what the callee's side sees of the caller's INVITE.
func hideInvite(t *testing.T, in *sip.Message, from, to Leg) *sip.Message {
	id, err := Identify(in, from)
	if err != nil {
		t.Fatal(err)
	}
	if id.Called != "+442079460123" || id.Calling != "+13035550177" || id.Asserted != "+13035550178" {
		t.Fatalf("%+v", id)
	}
	out := Invite(in, id, to, Names{"id-1", "tag-1"})
	near, err := Describe(in)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := sdp.Offer(near, end(to))
	if err != nil {
		t.Fatal(err)
	}
	out.SetBody("application/sdp", offer.Bytes())
	mustNotSing(t, "INVITE", out.Append(nil))
	return out
}

// hideAnswers checks what the caller, whose own words may come back to him,
// hears of the callee's responses.
func hideAnswers(t *testing.T, in *sip.Message, from, to Leg) {
	caller := request(t, "INVITE sip:+442079460123@gw.example SIP/2.0", "1 INVITE")
	from = from.Called(caller)
	offer, err := sdp.Parse([]byte(plainOffer))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []string{"180 canary", "183 canary", "200 canary"} {
		far := paint(t, "SIP/2.0 "+status, "1 INVITE")
		accepted, err := Describe(far)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := sdp.Answer(offer, accepted, end(from))
		if err != nil {
			t.Fatal(err)
		}
		resp := Response(caller, far.Status, from)
		resp.TagTo("tag-2")
		Relay(resp, far, to, from)
		Authorise(resp, in, true, from)
		resp.SetBody("application/sdp", answer.Bytes())
		mustNotSing(t, status, resp.Append(nil))
	}
	for _, status := range []string{"302 canary", "404 canary", "407 canary", "486 canary", "500 canary", "503 canary", "603 canary"} {
		far := paint(t, "SIP/2.0 "+status, "1 INVITE")
		mustNotSing(t, status, failed(Fail(far, to), caller, from).Append(nil))
	}
}

// hideInDialog checks the requests that follow, made of the far leg's dialog.
func hideInDialog(t *testing.T, in, invite *sip.Message, to Leg) {
	ok := sip.NewResponse(invite, 200, "")
	ok.TagTo("far-tag")
	ok.Set("Contact", "<sip:far.example>")
	d, err := ua.ClientDialog(invite, ok)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"INVITE", "BYE"} {
		far := paint(t, method+" sip:gw.canary.example SIP/2.0", "13 "+method)
		req := d.NewRequest(method)
		InDialog(req, far, to)
		if method == "INVITE" {
			s, err := Describe(far)
			if err != nil {
				t.Fatal(err)
			}
			s.Media[0].Direction = sdp.SendOnly
			offer, err := sdp.Offer(s, end(to))
			if err != nil {
				t.Fatal(err)
			}
			req.SetBody("application/sdp", offer.Bytes())
		}
		mustNotSing(t, method, req.Append(nil))
	}
	ack := d.NewAck(invite)
	InDialog(ack, nil, to)
	mustNotSing(t, "ACK", ack.Append(nil))
}

const plainOffer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8 101\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C\r\n"

func request(t testing.TB, start, seq string) *sip.Message {
	t.Helper()
	m, err := sip.Parse([]byte(start+"\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:+441632960001@h>;tag=f\r\nTo: <sip:t@h>\r\nCall-ID: c\r\nCSeq: "+seq+"\r\nContact: <sip:h>\r\nContent-Length: 0\r\n\r\n"), sip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTheCanaryTestHears proves that the ear works: what does cross is heard.
func TestTheCanaryTestHears(t *testing.T) {
	in := paint(t, "INVITE sip:+442079460123@uri.canary.example SIP/2.0", "12 INVITE")
	for name := range in.Headers() {
		if slices.Contains([]string{"max-forwards", "date", "timestamp", "session-expires", "p-early-media", "reason", "cseq", "retry-after", "allow", "supported", "min-se", "accept", "content-type", "content-length"}, strings.ToLower(name)) {
			continue // carry numbers and words of SIP alone
		}
		low := strings.ToLower(strings.Join(slices.Collect(in.Values(name)), " "))
		if !slices.ContainsFunc(canaries, func(c string) bool { return strings.Contains(low, strings.ToLower(c)) }) {
			t.Errorf("%s is not painted: %s", name, low)
		}
	}
}
