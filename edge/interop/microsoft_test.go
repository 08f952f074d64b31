package interop

import (
	"strconv"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/wire/sip"
)

// Microsoft Teams docs, "Microsoft and SIP response codes" and its pages by
// SIP status.
func TestMicrosoftsReasonsAreUnderstood(t *testing.T) {
	const guid = "9810e5a9-667c-4513-8d3a-510532e1c71a"
	text := func(s string) string { return `Q.850;cause=63;text="` + guid + ";" + s + `"` }
	for _, tc := range []struct {
		name   string
		status int
		reason string
		code   int
		says   string
	}{
		{"a phrase that stands for a code", 403, text("Current call site state prevents fork to this entity."), 10500, "location-based routing"},
		{"declined", 486, text("Call was declined"), 0, "declined"},
		{"no codec", 488, text("InternalDiagCode: CannotSupportAnyMedia, InternalErrorPhrase: Invalid SDP offer: no media acceptable"), 531000, "codecs"},
		{"no SRTP, by the same code", 488, text("InternalDiagCode: SrtpEncryptionRequired, InternalErrorPhrase: Remote participant did not offer required SRTP support"), 531000, "SRTP"},
		{"0.0.0.0", 488, text("Cannot negotiate a new modality with blackhole media"), 531052, "0.0.0.0"},
		{"no ICE", 488, text("There are no ICE candidates in the SDP. Non-ice endpoints cannot use bypass"), 531027, "media bypass"},
		{"no trunk", 403, text("No trunk config was found"), 510532, "Contact"},
		{"the same phrase with 500 is another code", 500, text("Get Outbound Direct routing - no trunk config found"), 510544, "voice routes"},
		{"not enabled", 403, text("User is not Enterprise Voice enabled"), 510560, "licence"},
		{"signed in nowhere", 480, text("No callee endpoints were found"), 10037, "signed in"},
		{"a certificate that has expired", 504, text("Unable to deliver INVITE: Outgoing TLS negotiation failed. Remote certificate expired; HRESULT=0x80090328 SEC_E_CERT_EXPIRED"), 569008, "expired"},
		{"an authority that is not trusted", 504, text("Unable to deliver INVITE: outgoing TLS negotiation failed; HRESULT=0x80090325 SEC_E_UNTRUSTED_ROOT"), 569009, "authority"},
		{"a name without an address", 504, text("Unable to deliver INVITE/ACK: The requested name is valid, but no data of the requested type was found"), 569016, "A record"},
		{"ICE failed, in a BYE", 0, text("IceConnectivityChecksFailed"), 531004, "firewalls"},
		{"a code in the text", 404, text("Getting user info by number failed (511404)"), 511404, "assigned in Teams"},
		{"a code alone", 488, `Q.850;cause=88;text="531000"`, 531000, "session description"},
		{"the gateway's own", 403, `SIP;cause=403;text="560403"`, 560403, "the gateway answered 403"},
		{"the gateway's own that is not listed", 486, `SIP;cause=486;text="560486"`, 560486, "gateway itself gave the final response with 486 Busy Here"},
		{"one that is not listed", 403, `SIP;cause=403;text="510599"`, 510599, "Microsoft's phone system decided"},
		{"words that stand for nothing", 500, text("something new"), 0, ""},
		{"a GUID alone, which looks like a code", 403, `Q.850;cause=63;text="` + guid + `"`, 0, ""},
		{"no GUID", 403, `Q.850;cause=63;text="User is not allowed to make outbound PSTN Calls"`, 510562, "may not call"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := sip.NewResponse(message(t, fromCore), max(tc.status, 200), "")
			if tc.status == 0 {
				m = request(t, "BYE sip:h SIP/2.0", "2 BYE")
			}
			m.Set("Reason", tc.reason)
			d, ok := Diagnose(m)
			if !ok || d.Code != tc.code || !strings.Contains(d.Explanation, tc.says) || tc.says == "" && d.Explanation != "" {
				t.Errorf("%v: %+v", ok, d)
			}
			if strings.Contains(tc.reason, guid) != (d.Correlation == guid) || strings.Contains(d.Phrase, guid) {
				t.Errorf("correlation %q, phrase %q", d.Correlation, d.Phrase)
			}
		})
	}
}

func TestWhatSaysNothingOfMicrosofts(t *testing.T) {
	for _, headers := range [][2]string{
		{"Reason", "Q.850;cause=16"}, {"Reason", `Q.850;cause=16;text=""`}, {"Warning", `399 h "531000"`}, {"ms-diagnostics", ""},
	} {
		m := sip.NewResponse(message(t, fromCore), 403, "")
		m.Set(headers[0], headers[1])
		if d, ok := Diagnose(m); ok {
			t.Errorf("%v: %+v", headers, d)
		}
	}
	m := sip.NewResponse(message(t, fromCore), 403, "")
	m.Set("ms-diagnostics", `10500;source="x";reason="Current call site state prevents fork to this entity."`)
	if d, ok := Diagnose(m); !ok || d.Code != 10500 || !strings.Contains(d.Explanation, "location-based") {
		t.Errorf("%v: %+v", ok, d)
	}
}

// Every published code is found by each of its phrases, and by itself.
func TestEveryCodeIsFound(t *testing.T) {
	for _, k := range known {
		find := func(text string) Diagnosis {
			m := sip.NewResponse(message(t, fromCore), max(k.status, 400), "")
			m.Set("Reason", sip.Reason{Protocol: "Q.850", Cause: 1, Text: text}.String())
			d, _ := Diagnose(m)
			return d
		}
		if k.phrase != "" {
			if k.phrase != strings.ToLower(k.phrase) {
				t.Errorf("%q is not in lower case", k.phrase)
			}
			if d := find("xx " + strings.ToUpper(k.phrase) + " yy"); d.Explanation == "" {
				t.Errorf("%d %q: %+v", k.code, k.phrase, d)
			}
		}
		if k.code == 0 {
			continue
		}
		if d := find(strconv.Itoa(k.code) + " " + k.phrase); d.Code != k.code || d.Explanation != k.text {
			t.Errorf("%d %q: %+v, want %q", k.code, k.phrase, d, k.text)
		}
		if d := find(strconv.Itoa(k.code)); d.Code != k.code || d.Explanation == "" {
			t.Errorf("%d: %+v", k.code, d)
		}
	}
}

func FuzzDiagnose(f *testing.F) {
	f.Add(`Q.850;cause=34;text="0d7c1a52-0000-4000-8000-000000000009;Call was declined"`, `10500;reason="x"`)
	f.Add(`SIP;cause=403;text="560403 599999 5 50000 4294967296560403"`, "531000")
	f.Fuzz(func(t *testing.T, reason, diagnostics string) {
		m := sip.NewResponse(message(t, fromCore), 403, "")
		m.Set("Reason", reason)
		m.Set("ms-diagnostics", diagnostics)
		d, ok := Diagnose(m)
		if ok == (d == Diagnosis{}) || d.Code < 0 || d.Code > 999999 || len(d.Phrase) > maxPhrase {
			t.Fatalf("%v: %+v", ok, d)
		}
	})
}
