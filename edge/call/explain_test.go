package call

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/link/snapshot"
)

const pastedInvite = `
INVITE sip:9442079460123@10.0.1.1;user=phone SIP/2.0
Max-Forwards: 70
From: <sip:+441632960123@10.1.0.1;user=phone>;tag=f1
To: <sip:9442079460123@10.0.1.1;user=phone>
Call-ID: 1@core
CSeq: 1 INVITE
Contact: <sip:10.1.0.1:5060>
Content-Type: application/sdp
Content-Length: 3

v=0
o=- 1 1 IN IP4 10.1.0.1
s=-
c=IN IP4 10.1.0.1
t=0 0
m=audio 4000 RTP/AVP 8
a=rtpmap:8 PCMA/8000`

func TestAnInviteIsExplainedWithoutACall(t *testing.T) {
	inWorldOf(t, withRules([]snapshot.Rule{
		{Name: "outside-line", Direction: "in", Do: []snapshot.Action{{Do: "replace", Target: "request.user", Match: "^9", Value: "+"}}},
	}, []snapshot.Rule{
		{Name: "mark", Direction: "out", Do: []snapshot.Action{{Do: "set", Target: "header.X-Mark", Value: "1"}}},
	}), func(w *world) {
		e, err := w.set.Explain("core-1", []byte(pastedInvite))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.teams.quiet()
		w.core.quiet()
		if len(w.records.order) != 0 || w.set.Counters().Live != 0 || w.engine.Counters().Open != 0 {
			t.Error("a call was made")
		}
		if e.Profile == "" || e.Service != "OperatorConnect" || e.From != "+441632960123" || e.To != "+442079460123" || e.Status != 0 {
			t.Errorf("%+v", e)
		}
		if len(e.Targets) != 2 || e.Targets[0].Peer != "teams-1" || e.Targets[0].Why == "" || e.Targets[0].Profile == "" {
			t.Errorf("targets %+v", e.Targets)
		}
		for _, want := range []string{"INVITE sip:+442079460123@10.2.0.1", "X-Mark: 1\r\n", "m=audio ", "a=crypto:"} {
			if !strings.Contains(e.Message, want) {
				t.Errorf("the INVITE that would leave lacks %q:\n%s", want, e.Message)
			}
		}
		if notes := strings.Join(e.Notes, "\n"); !strings.Contains(notes, "rule outside-line changed the INVITE") || !strings.Contains(notes, "rule mark changed the INVITE to teams-1") {
			t.Errorf("notes %q", e.Notes)
		}
	})
}

func TestARefusalIsExplained(t *testing.T) {
	inWorld(t, func(w *world) {
		e, err := w.set.Explain("core-1", []byte(strings.ReplaceAll(pastedInvite, "9442079460123", "112")))
		if err != nil {
			t.Fatal(err)
		}
		if e.Status != 404 || !strings.Contains(e.Why, "emergency") || !strings.HasPrefix(e.Answer, "SIP/2.0 404") || e.Message != "" {
			t.Errorf("%+v", e)
		}
	})
}

// What is done about Identity headers (RFC 8224) is explained too, and no
// certificate is fetched for it.
func TestVerifyingAndSigningAreExplained(t *testing.T) {
	shelf := newShelf(t)
	shelf.silence = true
	head, _, _ := strings.Cut(pastedInvite, "\n\n")
	toCore := strings.NewReplacer("+441632960123@10.1.0.1", "+14255550123@10.2.0.1", "9442079460123", "+442079460123").Replace(head) + "\n\n" + teamsOffer
	signed := strings.Replace(toCore, "Call-ID", shelf.identity(t, "+14255550123", "+442079460123")+"\nCall-ID", 1)
	for name, c := range map[string]struct {
		text   string
		change func(*Vouching)
		status int
		notes  []string
		leaves string // in the INVITE
	}{
		"no Identity":                  {toCore, nil, 0, []string{"no Identity header", "the caller is vouched for, attestation B"}, "verstat=No-TN-Validation"},
		"no Identity, one is required": {toCore, func(v *Vouching) { v.Require = true }, 428, []string{"no Identity header"}, ""},
		"an Identity":                  {signed, func(v *Vouching) { v.Refuse = true }, 0, []string{"its Identity headers would be verified", "Identity is believed"}, "\r\nIdentity: "},
		"an Identity nobody looks at":  {signed, func(v *Vouching) { v.Verify = nil }, 0, []string{"the caller is vouched for"}, ""},
		"nobody looks, nobody vouches": {signed, func(v *Vouching) { *v = Vouching{} }, 0, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, func(w *world) { shelf.vouching(w, c.change) }, func(w *world) {
				e, err := w.set.Explain("teams-1", []byte(c.text))
				if err != nil {
					t.Fatal(err)
				}
				if e.Status != c.status || (e.Message == "") != (c.status != 0) || !strings.Contains(e.Message, c.leaves) {
					t.Errorf("%+v", e)
				}
				notes := strings.Join(e.Notes, "\n")
				for _, want := range c.notes {
					if !strings.Contains(notes, want) {
						t.Errorf("no note says %q:\n%s", want, notes)
					}
				}
				if n := w.cfg.Vouching.Set; n != nil && n.Counters() != (attest.Counters{}) {
					t.Errorf("it was counted: %+v", n.Counters())
				}
			})
		})
	}
}

func TestWhatCannotBeExplained(t *testing.T) {
	inWorld(t, func(w *world) {
		for text, c := range map[string]struct {
			from string
			kind fault.Kind
		}{
			pastedInvite: {"core-9", fault.NotFound},
			"":           {"core-1", fault.Invalid},
			"hello":      {"core-1", fault.Invalid},
			strings.Replace(pastedInvite, "CSeq: 1 INVITE\n", "", 1): {"core-1", fault.Invalid},
			strings.ReplaceAll(pastedInvite, "INVITE", "BYE"):        {"core-1", fault.Invalid},
			pastedInvite + strings.Repeat("a=x\n", maxExplained/4):   {"core-1", fault.Invalid},
		} {
			if _, err := w.set.Explain(c.from, []byte(text)); fault.Of(err) != c.kind {
				t.Errorf("%.40q from %s: %v", text, c.from, err)
			}
		}
	})
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte(pastedInvite))
	f.Add([]byte(strings.ReplaceAll(pastedInvite, "\n", "\r\n")))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := pasted(text); err == nil && m.Method != "INVITE" {
			t.Fatal(m.Method)
		}
	})
}
