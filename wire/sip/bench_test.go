package sip

import (
	"strconv"
	"strings"
	"testing"
)

// teamsInvite is an INVITE of a Teams user to the telephone network as the
// public documents and traces show it, with the call history that ForwardCallHistory adds.
var teamsInvite = func() []byte {
	body := strings.ReplaceAll(`v=0
o=- 90311 0 IN IP4 127.0.0.1
s=session
c=IN IP4 198.51.100.77
t=0 0
m=audio 49210 RTP/SAVP 104 9 103 0 8 18 97 13 118 101
c=IN IP4 198.51.100.77
a=rtcp:49211
a=label:main-audio
a=mid:1
a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C|2^31
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31
a=sendrecv
a=rtpmap:104 SILK/16000
a=rtpmap:9 G722/8000
a=rtpmap:103 SILK/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:97 RED/8000
a=rtpmap:13 CN/8000
a=rtpmap:118 CN/16000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
`, "\n", "\r\n")
	head := `INVITE sip:+442079460123@c042.r1.teams.carrier.example:5061;user=phone;transport=tls SIP/2.0
FROM: John Doe<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;tag=240cd7a5e1c94e1e8e0b6c6bd2b3f1a4
TO: <sip:+442079460123@c042.r1.teams.carrier.example:5061;user=phone>
CSEQ: 1 INVITE
CALL-ID: 64ce308b0f8d5b6fa1a6e6f0a7f3d1c2
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 198.51.100.24:5061;branch=z9hG4bK5873e2ac
RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>
CONTACT: <sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f7c1e-0000-4000-8000-000000000001;x-c=64ce308b0f8d5b6fa1a6e6f0a7f3d1c2/d/8/0a1b2c3d4e5f60718293a4b5c6d7e8f9>
HISTORY-INFO: <sip:+442079460777@c042.r1.teams.carrier.example;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20Temporarily%22>;index=1
HISTORY-INFO: <sip:+442079460778@c042.r1.teams.carrier.example;user=phone?Reason=SIP%3Bcause%3D480%3Btext%3D%22Temporarily%20Unavailable%22>;index=1.1
HISTORY-INFO: <sip:+442079460779@c042.r1.teams.carrier.example;user=phone?Reason=SIP%3Bcause%3D408%3Btext%3D%22Request%20Timeout%22>;index=1.2
HISTORY-INFO: <sip:+442079460123@c042.r1.teams.carrier.example:5061;user=phone;transport=tls>;index=1.3
REFERRED-BY: <sip:+442079460779@c042.r1.teams.carrier.example;user=phone>
MIN-SE: 300
SUPPORTED: histinfo,timer
USER-AGENT: Microsoft.PSTNHub.SIPProxy v.2026.1.1.1 i.EUNO.7
CONTENT-TYPE: application/sdp
ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY
P-ASSERTED-IDENTITY: <tel:+14255550123>,<sip:john.doe@contoso.example>
PRIVACY: id
SESSION-EXPIRES: 3600
X-MS-USERLOCATION: External
X-MS-TENANTID: 00000000-0000-4000-8000-00000000c042
CONTENT-LENGTH: ` + strconv.Itoa(len(body)) + "\n\n"
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + body)
}()

// readForCall reads what a B2BUA needs of a new INVITE.
func readForCall(tb testing.TB, b []byte, lim Limits) {
	m, err := Parse(b, lim)
	if err != nil {
		tb.Fatal(err)
	}
	_, e1 := m.Via()
	_, e2 := m.From()
	_, e3 := m.To()
	_, e4 := m.CallID()
	_, e5 := m.CSeq()
	_, e6 := m.Contact()
	_, e7 := m.Addresses("Record-Route")
	_, e8 := m.MaxForwards()
	_, e9 := ParseURI(m.RequestURI)
	ids, e10 := m.Addresses("P-Asserted-Identity")
	for _, err := range [...]error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	if len(ids) != 2 {
		tb.Fatalf("%d identities, want 2", len(ids))
	}
}

func BenchmarkParseTeamsInvite(b *testing.B) {
	b.SetBytes(int64(len(teamsInvite)))
	b.ReportAllocs()
	for b.Loop() {
		readForCall(b, teamsInvite, Limits{})
	}
}

func BenchmarkWriteTeamsInvite(b *testing.B) {
	m, err := Parse(teamsInvite, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.SetBytes(int64(len(teamsInvite)))
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
}

func BenchmarkCheckTeamsInvite(b *testing.B) {
	m, err := Parse(teamsInvite, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewBranch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = NewBranch()
	}
}

func TestTheBenchmarkedInviteIsOfTheSizeItClaims(t *testing.T) {
	if n := len(teamsInvite); n < 2350 || n > 2500 {
		t.Errorf("%d bytes, want about 2400", n)
	}
	readForCall(t, teamsInvite, Limits{})
}
