package interop

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// forwardedBy is an INVITE with headers that tell of forwarding.
func forwardedBy(t testing.TB, headers ...string) *sip.Message {
	t.Helper()
	return message(t, strings.Replace(fromCore, "Content-Length", strings.Join(append(headers, "Content-Length"), "\n"), 1))
}

func TestForwardingIsRead(t *testing.T) {
	one := func(number string, cause int) Forward { return Forward{Number: number, Cause: cause, Times: 1} }
	private := func(f Forward) Forward { f.Private = true; return f }
	const a, b, c = "+14255550123", "+442079460199", "+442079460123"
	for _, tc := range []struct {
		name    string
		headers []string
		want    []Forward
	}{
		{"nothing", nil, nil},
		// Microsoft Teams docs, "Configure SIP trunk: forward call history": in plain words.
		{"History-Info of Teams, unescaped", []string{`History-Info: <sip:` + a + `@sip.pstnhub.example:5061;user=phone?Reason=SIP;cause=302;text="Moved temporarily">;index=1,<sip:` + b + `@sip.pstnhub.example;user=phone>;index=1.1`}, []Forward{one(a, 302)}},
		// Azure Communication Services docs, "Direct routing SIP specification": escaped.
		{"History-Info of Teams, escaped", []string{`HISTORY-INFO: <sip:` + a + `@sip.pstnhub.example:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1,<sip:` + b + `@sip.pstnhub.example>;index=1.1`}, []Forward{one(a, 302)}},
		{"a busy that the vendor writes as 496", []string{`History-Info: <sip:` + a + `@h?Reason=SIP%3Bcause%3D496>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{one(a, 486)}},
		// RFC 7044 appendix B, RFC 4458: the cause in the new target.
		{"the cause in the new target", []string{`History-Info: <sip:` + a + `@h>;index=1`, `History-Info: <sip:` + b + `@h;cause=408>;index=1.1;mp=1`}, []Forward{one(a, 408)}},
		{"two, oldest first", []string{`History-Info: <sip:` + a + `@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:` + b + `@h?Reason=SIP%3Bcause%3D486>;index=1.1, <sip:` + c + `@h>;index=1.1.1`}, []Forward{one(a, 302), one(b, 486)}},
		{"a target that was merely looked up", []string{`History-Info: <sip:` + a + `@h>;index=1, <sip:` + a + `@gw>;index=1.1;rc=1`}, nil},
		{"looked up, then forwarded by the one before (mp)", []string{`History-Info: <sip:` + a + `@h>;index=1, <sip:x@contact>;index=1.1;rc=1, <sip:` + b + `@h;cause=480>;index=1.2;mp=1`}, []Forward{one(a, 480)}},
		{"a reason that stands in the new target, as 3GPP had it once", []string{`History-Info: <sip:` + a + `@h>;index=1, <sip:` + b + `@h?Reason=SIP;cause=302>;index=1.1, <sip:` + c + `@h?Reason=SIP;cause=486>;index=1.2`}, []Forward{one(a, 302), one(b, 486)}},
		{"a private entry", []string{`History-Info: <sip:` + a + `@h?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{private(one(a, 302))}},
		{"an entry that may be seen", []string{`History-Info: <sip:` + a + `@h?Privacy=none&Reason=SIP%3Bcause%3D302>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{one(a, 302)}},
		{"all private by the caller's wish", []string{`Privacy: history`, `History-Info: <sip:` + a + `@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{private(one(a, 302))}},
		{"header privacy covers it (RFC 7044 10.1.1)", []string{`Privacy: header`, `Diversion: <sip:` + a + `@h>;reason=unknown`}, []Forward{private(one(a, 404))}},
		{"a reason of ISUP alone is none", []string{`History-Info: <sip:` + a + `@h?Reason=Q.850%3Bcause%3D16>;index=1, <sip:` + b + `@h>;index=1.1`}, nil},
		{"an entry that was anonymised", []string{`History-Info: <sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{one("", 302)}},
		{"entries that cannot be read", []string{`History-Info: rubbish, <sip:` + a + `@h?Reason=SIP%3Bcause%3D302>;index=1, <>;index=2, <sip:` + b + `@h>;index=1.1`}, []Forward{one(a, 302)}},
		// RFC 5806 section 4: the latest stands first.
		{"Diversion, latest first", []string{`Diversion: <tel:` + b + `>;reason=user-busy;counter=1, <sip:` + a + `@h>;reason=unconditional`}, []Forward{one(a, 302), one(b, 486)}},
		{"Diversion over two lines", []string{`Diversion: <sip:` + b + `@h>;reason="no-answer"`, `Diversion: <sip:` + a + `@h>;reason=UNAVAILABLE;privacy=full`}, []Forward{private(one(a, 503)), one(b, 408)}},
		{"Diversion with a counter", []string{`Diversion: <sip:02079460199@h>;reason=do-not-disturb;counter=3;privacy=off`}, []Forward{{Number: b, Cause: 404, Times: 3}}},
		{"Diversion without a reason, and one that cannot be read", []string{`Diversion: <sip:` + a + `@h>, <sip:`}, []Forward{one(a, 404)}},
		{"a name that is no number", []string{`Diversion: <sip:alice@h>;reason=away`}, []Forward{one("", 404)}},
		{"both: History-Info says more", []string{`Diversion: <sip:` + c + `@h>;reason=away`, `History-Info: <sip:` + a + `@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:` + b + `@h>;index=1.1`}, []Forward{one(a, 302)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := forwards(forwardedBy(t, tc.headers...), coreLeg())
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// RFC 7544 sections 4 and 5: each way, the order kept, and nothing private to
// a side that is not trusted.
func TestForwardingIsTold(t *testing.T) {
	history := coreLeg()
	history.Profile = &IMS
	stranger := coreLeg()
	no := false
	stranger.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{History: "history-info", Trusted: &no}})
	strangersDiversion := coreLeg()
	strangersDiversion.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{Trusted: &no}})
	silent := coreLeg()
	silent.Profile = Of(&snapshot.Group{Side: snapshot.Operator, Interworking: snapshot.Interworking{History: "none"}})

	two := []string{`Diversion: <tel:+442079460199>;reason=user-busy, <sip:+14255550123@h>;reason=unconditional;privacy=full`}
	for _, tc := range []struct {
		name    string
		headers []string
		to      Leg
		header  string
		want    []string
		uri     string
	}{
		{"Diversion as Diversion", two, coreLeg(), "Diversion", []string{
			"<sip:+442079460199@r1.gw.example;user=phone>;reason=user-busy;counter=1",
			"<sip:+14255550123@r1.gw.example;user=phone>;reason=unconditional;counter=1;privacy=full",
		}, "sip:+442079460123@core.example:5060;user=phone;transport=tcp"},
		{"Diversion as History-Info", two, history, "History-Info", []string{
			"<sip:+14255550123@r1.gw.example;user=phone?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1",
			"<sip:+442079460199@r1.gw.example;user=phone;cause=302?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1",
			"<sip:+442079460123@core.example;user=phone;cause=486>;index=1.1.1;mp=1.1",
		}, "sip:+442079460123@core.example:5060;user=phone;transport=tcp;cause=486"},
		{"to a side that is not trusted", two, stranger, "History-Info", []string{
			"<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1",
			"<sip:+442079460199@r1.gw.example;user=phone;cause=302?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1",
			"<sip:+442079460123@core.example;user=phone;cause=486>;index=1.1.1;mp=1.1",
		}, "sip:+442079460123@core.example:5060;user=phone;transport=tcp;cause=486"},
		{"to a side that is not trusted, as Diversion", two, strangersDiversion, "Diversion", []string{
			"<sip:+442079460199@r1.gw.example;user=phone>;reason=user-busy;counter=1",
			"<sip:anonymous@anonymous.invalid>;reason=unconditional;counter=1;privacy=full",
		}, "sip:+442079460123@core.example:5060;user=phone;transport=tcp"},
		{"what nobody knows gets its place (RFC 7544 section 5)", []string{`Diversion: <sip:+14255550123@h>;reason=no-answer;counter=2`}, history, "History-Info", []string{
			"<sip:unknown@unknown.invalid?Reason=SIP%3Bcause%3D404>;index=1",
			"<sip:+14255550123@r1.gw.example;user=phone;cause=404?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
			"<sip:+442079460123@core.example;user=phone;cause=408>;index=1.1.1;mp=1.1",
		}, "sip:+442079460123@core.example:5060;user=phone;transport=tcp;cause=408"},
		{"to a side that wants none", two, silent, "Diversion", nil, "sip:+442079460123@core.example:5060;user=phone;transport=tcp"},
		{"to Teams, which does not read it", two, cloudLeg(), "History-Info", nil, "sip:+442079460123@sip.pstnhub.example:5061;user=phone;transport=tls"},
		{"nothing to tell", nil, history, "History-Info", nil, "sip:+442079460123@core.example:5060;user=phone;transport=tcp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := forwardedBy(t, tc.headers...)
			m := Invite(in, identify(t, in, coreLeg()), tc.to, Names{"id", "tag"})
			if d := cmp.Diff(tc.want, slices.Collect(m.Values(tc.header))); d != "" {
				t.Error(d)
			}
			if m.RequestURI != tc.uri {
				t.Errorf("Request-URI %s", m.RequestURI)
			}
			for _, other := range []string{"Diversion", "History-Info"} {
				if other != tc.header && m.Has(other) {
					t.Errorf("%s: %s", other, m.Get(other))
				}
			}
		})
	}
}

// The cause of a forwarded call comes in the Request-URI alone when the side
// tells no history (RFC 4458; Azure Communication Services docs).
func TestTheCauseOfTheRequestURI(t *testing.T) {
	ims := coreLeg()
	ims.Profile = &IMS
	for _, tc := range []struct{ param, want string }{
		{";cause=302", ";cause=302"}, {";cause=486", ";cause=486"}, {";cause=200", ""}, {";cause=abc", ""}, {"", ""}, {";cause=99999", ""},
	} {
		in := message(t, fromCloud)
		in.RequestURI += tc.param
		m := Invite(in, identify(t, in, cloudLeg()), ims, Names{"id", "tag"})
		if got := strings.TrimPrefix(m.RequestURI, "sip:+442079460123@core.example:5060;user=phone;transport=tcp"); got != tc.want {
			t.Errorf("%s became %s", tc.param, m.RequestURI)
		}
	}
}

func TestForwardingInCirclesEnds(t *testing.T) {
	diversion := func(number, counter string) string {
		return "Diversion: <sip:" + number + "@h>;reason=unconditional;counter=" + counter
	}
	for _, tc := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"ten times by others", []string{diversion("+14255550123", "10")}, 0},
		{"eleven times", []string{diversion("+14255550123", "10"), diversion("+14255550124", "1")}, 483},
		{"a counter that is absurd", []string{diversion("+14255550123", "999")}, 483},
		{"a call handed back", []string{diversion("+442079460123", "1"), diversion("+14255550123", "1")}, 0},
		{"a call handed back for the third time", []string{
			diversion("+442079460123", "1"), diversion("+14255550123", "1"), diversion("+442079460123", "1"),
			diversion("+14255550123", "1"), diversion("+442079460123", "1"),
		}, 482},
	} {
		_, err := Identify(forwardedBy(t, tc.headers...), coreLeg())
		status := 0
		if e, ok := errors.AsType[*sip.ParseError](err); ok {
			status = e.Status
		}
		if status != tc.status {
			t.Errorf("%s: %v, want %d", tc.name, err, tc.status)
		}
	}
}

func TestForwardedByUs(t *testing.T) {
	id := identify(t, message(t, fromCore), coreLeg())
	was := id.Forwarded("+442079460123", 302)
	was.Called = "+442079460199"
	if len(id.Forwards) != 0 || !slices.Equal(was.Forwards, []Forward{{Number: "+442079460123", Cause: 302, Times: 1}}) || was.Cause != 302 {
		t.Errorf("%+v", was)
	}
	if odd := id.Forwarded("", 777); odd.Cause != 404 {
		t.Errorf("%+v", odd)
	}
}

// FuzzForwarding reads any two headers; what is told of them can be read
// again, and says the same.
func FuzzForwarding(f *testing.F) {
	f.Add(`<sip:+14255550123@h?Reason=SIP;cause=302;text="x y">;index=1,<sip:+442079460199@h>;index=1.1`, "")
	f.Add(`<sip:a@h?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1;mp=1,<sip:b@h;cause=486>;index=1.1;rc=1`, "")
	f.Add("", `<sip:+14255550123@h>;reason=user-busy;counter=3;privacy=full, <tel:+44>`)
	f.Add("<sip:*61%23@h?Reason=SIP;cause=302>,<sip:1@h>", `"x" <sip:1;phone-context=+49@h>`)
	f.Fuzz(func(t *testing.T, hi, div string) {
		in := forwardedBy(t)
		in.Set("History-Info", hi)
		in.Set("Diversion", div)
		id, err := Identify(in, coreLeg())
		if err != nil {
			return
		}
		for _, p := range []*Profile{&Core, &IMS} {
			leg := coreLeg()
			leg.Profile = p
			out := Invite(in, id, leg, Names{"id", "tag"})
			out.Prepend("Via", "SIP/2.0/TLS gw.example;branch=z9hG4bK1")
			back, err := sip.Parse(out.Append(nil), sip.Limits{})
			if err != nil {
				t.Fatalf("%v\n%s", err, wire(out))
			}
			if again := forwards(back, leg); times(again) != times(id.Forwards) {
				t.Fatalf("%+v became %+v\n%s", id.Forwards, again, wire(out))
			}
		}
	})
}
