package ua

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// teamsRefer is a REFER as Microsoft Teams docs, "Direct Routing - SIP
// protocol", show one: no user in Refer-To, parameters with colons, and an
// escaped replacement URI whose letter case matters.
const teamsRefer = "REFER sip:+13035550177@c042.gw.example:5061;transport=tls SIP/2.0\r\n" +
	"FROM: <sip:+14255550123@sip.pstnhub.example;user=phone>;tag=forkB\r\n" +
	"TO: <sip:+13035550177@c042.gw.example;user=phone>;tag=f1\r\n" +
	"CSEQ: 7 REFER\r\nCALL-ID: in-1@r1\r\nMAX-FORWARDS: 70\r\n" +
	"VIA: SIP/2.0/TLS 198.51.100.99:5061;branch=z9hG4bK9404\r\n" +
	"REFER-TO: <sip:sip.pstnhub.example:5061;transport=tls;x-m=8:orgid:11111111-1111-4111-8111-111111111111>\r\n" +
	"REFERRED-BY: <sip:sip.pstnhub.example:5061;x-m=8:orgid:2222;x-t=c042;x-ti=b712;x-tt=aHR0cHM6Ly9hcGktZHUuZXhhbXBsZS92MS9uZ2MvY2I%2FZGNpPTE%3D>\r\n" +
	"CONTENT-LENGTH: 0\r\n\r\n"

func referOf(t *testing.T, change ...string) (Refer, error) {
	t.Helper()
	m, err := sip.Parse([]byte(strings.NewReplacer(change...).Replace(teamsRefer)), sip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return ReferOf(m)
}

func TestWhatIsReferredToStaysByteForByte(t *testing.T) {
	r, err := referOf(t)
	if err != nil {
		t.Fatal(err)
	}
	if r.Target != "sip:sip.pstnhub.example:5061;transport=tls;x-m=8:orgid:11111111-1111-4111-8111-111111111111" {
		t.Errorf("target %q", r.Target)
	}
	if !strings.HasSuffix(r.By, "x-tt=aHR0cHM6Ly9hcGktZHUuZXhhbXBsZS92MS9uZ2MvY2I%2FZGNpPTE%3D>") || !strings.HasPrefix(r.By, "<sip:") {
		t.Errorf("by %q", r.By)
	}
	if r.ID != 7 || r.Silent || r.Replaces != nil {
		t.Errorf("%+v", r)
	}
	// Up to 4 KiB of it.
	long := strings.Repeat("x%2F", 900)
	if r, err := referOf(t, "x-m=8", "x-q="+long+";x-m=8"); err != nil || !strings.Contains(r.Target, long) {
		t.Errorf("%v: %d bytes", err, len(r.Target))
	}
}

func TestWhatAReferMayAsk_3515(t *testing.T) {
	const to = "<sip:sip.pstnhub.example:5061;transport=tls;x-m=8:orgid:11111111-1111-4111-8111-111111111111>"
	for _, tc := range []struct {
		name, to string
		status   int
		target   string
	}{
		{"a number", "<sip:+442079460123@h.example;user=phone>", 0, "sip:+442079460123@h.example;user=phone"},
		{"a telephone URI", "<tel:+442079460123>", 0, "tel:+442079460123"},
		{"an address without brackets", "sip:a@h.example;x=1", 0, "sip:a@h.example"},
		{"a call by name", "<sip:a@h.example;method=INVITE>", 0, "sip:a@h.example;method=INVITE"},
		{"headers that it would have us write", "<sip:a@h.example;user=phone?Subject=x&Replaces=1%40b%3Bto-tag%3Dt%3Bfrom-tag%3Df>", 0, "sip:a@h.example;user=phone"},
		{"something else than a call", "<sip:a@h.example;method=BYE>", 403, ""},
		{"a page", "<https://h.example/>", 416, ""},
		{"a damaged Replaces", "<sip:a@h.example?Replaces=x>", 400, ""},
		{"nothing", "<>", 400, ""},
		{"too much", "<sip:a@h.example;x=" + strings.Repeat("y", 4096) + ">", 413, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := referOf(t, to, tc.to)
			status := 0
			if e, ok := errors.AsType[*sip.ParseError](err); ok {
				status = e.Status
			}
			if status != tc.status || r.Target != tc.target {
				t.Errorf("%q, %v; want %d %q", r.Target, err, tc.status, tc.target)
			}
		})
	}
	if _, err := referOf(t, "REFER-TO: "+to+"\r\n", ""); err == nil {
		t.Error("a REFER without Refer-To is taken")
	}
	if r, err := referOf(t, "CONTENT-LENGTH", "Refer-Sub: false\r\nCONTENT-LENGTH"); err != nil || !r.Silent {
		t.Errorf("RFC 4488: %+v, %v", r, err)
	}
}

func TestReplaces_3891(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Replaces
		bad  bool
	}{
		{"in-1@r1;from-tag=forkB;to-tag=f1", Replaces{"in-1@r1", "f1", "forkB", false}, false},
		{"98732@sip.example.com ;from-tag=r33th4x0r\t; to-tag=ff87ff", Replaces{"98732@sip.example.com", "ff87ff", "r33th4x0r", false}, false},
		{"1@h;to-tag=a;from-tag=b;early-only;x=y", Replaces{"1@h", "a", "b", true}, false},
		{"1@h;to-tag=a;from-tag=0", Replaces{"1@h", "a", "", false}, false},
		{"1@h;to-tag=a", Replaces{}, true},
		{"1@h;to-tag=a;to-tag=b;from-tag=c", Replaces{}, true},
		{"1@h;to-tag=a;from-tag=c;from-tag=b", Replaces{}, true},
		{";to-tag=a;from-tag=b", Replaces{}, true},
		{"1@h;to-tag=a b;from-tag=b", Replaces{}, true},
		{"a\"b;to-tag=a;from-tag=b", Replaces{}, true},
		{"", Replaces{}, true},
	} {
		r, err := ParseReplaces(tc.in)
		if r != tc.want || (err != nil) != tc.bad {
			t.Errorf("%q: %+v, %v", tc.in, r, err)
		}
	}
	if s := (Replaces{"1@h", "a", "b", true}).String(); s != "1@h;to-tag=a;from-tag=b;early-only" {
		t.Error(s)
	}
	m := sip.NewRequest("INVITE", "sip:x")
	if r, err := ReplacesOf(m); r != nil || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	m.Add("Replaces", "1@h;to-tag=a;from-tag=b")
	if r, err := ReplacesOf(m); err != nil || r.ID() != (ID{"1@h", "a", "b"}) {
		t.Errorf("%v, %v", r, err)
	}
	m.Add("Replaces", "2@h;to-tag=a;from-tag=b")
	if _, err := ReplacesOf(m); err == nil {
		t.Error("two dialogs are to be replaced at once")
	}
}

func TestNotify_3515(t *testing.T) {
	r := Refer{ID: 7}
	for _, tc := range []struct {
		status      int
		state, frag string
	}{
		{100, "active;expires=190", "SIP/2.0 100 Trying"},
		{180, "active;expires=190", "SIP/2.0 180 Ringing"},
		{200, "terminated;reason=noresource", "SIP/2.0 200 OK"},
		{603, "terminated;reason=noresource", "SIP/2.0 603 Decline"},
	} {
		m := sip.NewRequest("NOTIFY", "sip:x")
		m.Add("CSeq", "4 NOTIFY")
		r.Notify(m, tc.status, 190*time.Second)
		if m.Get("Event") != "refer;id=7" || m.Get("Subscription-State") != tc.state || string(m.Body) != tc.frag || m.Get("Content-Type") != "message/sipfrag;version=2.0" {
			t.Errorf("%d:\n%s", tc.status, m)
		}
	}
}

func FuzzRefer(f *testing.F) {
	f.Add("<sip:h;x-m=8:orgid:1>", "<sip:h;x-t=%2F>", "1@h;to-tag=a;from-tag=b")
	f.Add("<sip:a@h?Replaces=1%40b%3Bto-tag%3D2%3Bfrom-tag%3D3>", "", "1;early-only;to-tag=;from-tag=0")
	f.Add("\"x<\" <sip:a@h>;x", "y", ";")
	f.Fuzz(func(t *testing.T, to, by, rep string) {
		m := sip.NewRequest("REFER", "sip:x")
		m.Add("CSeq", "1 REFER")
		m.Set("Refer-To", to)
		m.Set("Referred-By", by)
		if r, err := ReferOf(m); err == nil {
			if strings.ContainsAny(r.Target, "<>?\r\n") || r.Target == "" || !strings.Contains(to, r.Target) {
				t.Errorf("%q gives %q", to, r.Target)
			}
		}
		if r, err := ParseReplaces(rep); err == nil {
			back, err := ParseReplaces(r.String())
			if r.From != "" && (err != nil || back != r) {
				t.Errorf("%q: %+v, %v, %+v", rep, r, err, back)
			}
		}
	})
}
