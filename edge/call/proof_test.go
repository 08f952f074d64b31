package call

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// proofCanary is a secret that must be seen nowhere.
const proofCanary = "canary-7Yq0secret"

// carrier changes a world's core-1 into one that asks who we are.
func carrier(t *testing.T, secret string) func(*world) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(w *world) {
		w.snap.Groups[0].Peers[0].Login.Prove = &snapshot.Proof{Username: "trunk", Secret: "file:" + path}
	}
}

var proofParameter = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

func parameters(line string) map[string]string {
	p := map[string]string{}
	for _, x := range proofParameter.FindAllStringSubmatch(line, -1) {
		p[x[1]] = x[2]
	}
	return p
}

func sha(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// digest computes a response value by itself, so that ours is judged by
// another's code.
func digest(p map[string]string, method string) string {
	return sha(sha("trunk", "carrier", proofCanary), p["nonce"], p["nc"], p["cnonce"], "auth", sha(method, p["uri"]))
}

// proven checks a request's proof.
func (f *far) proven(m *sip.Message, header, nonce, nc string) {
	f.w.t.Helper()
	p := parameters(m.Get(header))
	if p["response"] != digest(p, m.Method) || p["nonce"] != nonce || p["nc"] != nc || p["uri"] != m.RequestURI {
		f.w.t.Errorf("nonce %s, nc %s: %s has the wrong proof:\n%s", nonce, nc, m.Method, m)
	}
}

func ask(header, nonce string) string {
	return header + `: Digest realm="carrier",nonce="` + nonce + `",qop="auth",algorithm=SHA-256`
}

// challenge answers a request with 401 or 407.
func (f *far) challenge(m *sip.Message, status int, nonce string) {
	f.w.t.Helper()
	header := "WWW-Authenticate"
	if status == 407 {
		header = "Proxy-Authenticate"
	}
	f.reply(m, status, "no", "", ask(header, nonce))
	if m.Method == "INVITE" {
		f.expect("ACK")
	}
}

func TestACallIsProvenFromTheFirstRequestToTheLast(t *testing.T) {
	inWorldOf(t, carrier(t, proofCanary), func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		first := w.core.expect("INVITE")
		w.core.challenge(first, 407, "n1")
		out := w.core.expect("INVITE")
		if out.Get("CSeq") != "2 INVITE" || out.Get("Call-ID") != first.Get("Call-ID") || out.Get("From") != first.Get("From") ||
			out.RequestURI != first.RequestURI || string(out.Body) != string(first.Body) || out.Get("To") != first.Get("To") {
			t.Errorf("the INVITE came again as\n%s\nafter\n%s", out, first)
		}
		w.core.proven(out, "Proxy-Authorization", "n1", "00000001")
		w.core.reply(out, 180, "c1", "")
		w.teams.expect("180")
		w.core.reply(out, 200, "c1", coreAnswer)
		ack := w.core.expect("ACK")
		if ack.Get("CSeq") != "2 ACK" || ack.Get("Proxy-Authorization") != out.Get("Proxy-Authorization") {
			t.Errorf("the ACK does not bear the proof of its INVITE (RFC 3261 22.1):\n%s", ack)
		}
		teams := w.teams.took(in, w.teams.expect("200"))
		teams.ack("")
		core := w.core.gave(out, "c1")

		// A change of the call, with a proof that is too old.
		teams.request("INVITE", turn(teamsOffer, "inactive", 2))
		w.teams.expect("100")
		again := w.core.expect("INVITE")
		if again.Get("CSeq") != "3 INVITE" {
			t.Errorf("%s", again.Get("CSeq"))
		}
		w.core.proven(again, "Proxy-Authorization", "n1", "00000002")
		w.core.reply(again, 407, "", "", ask("Proxy-Authenticate", "n2")+",stale=true")
		w.core.expect("ACK")
		again = w.core.expect("INVITE")
		if again.Get("CSeq") != "4 INVITE" {
			t.Errorf("%s", again.Get("CSeq"))
		}
		w.core.proven(again, "Proxy-Authorization", "n2", "00000001")
		w.core.reply(again, 200, "", turn(coreAnswer, "inactive", 2))
		if ack := w.core.expect("ACK"); ack.Get("CSeq") != "4 ACK" || ack.Get("Proxy-Authorization") != again.Get("Proxy-Authorization") {
			t.Errorf("%s", ack)
		}
		w.teams.expect("200")
		teams.ack("")
		synctest.Wait()

		// The release, which somebody behind the proxy wants proven as well.
		teams.bye()
		bye := w.core.expect("BYE")
		if err := core.Accept(bye); err != nil || bye.Get("CSeq") != "5 BYE" {
			t.Errorf("%s: %v", bye.Get("CSeq"), err)
		}
		w.core.challenge(bye, 401, "m1")
		bye = w.core.expect("BYE")
		w.core.proven(bye, "Proxy-Authorization", "n2", "00000003")
		w.core.proven(bye, "Authorization", "m1", "00000001")
		if bye.Get("CSeq") != "6 BYE" {
			t.Errorf("%s", bye.Get("CSeq"))
		}
		w.core.reply(bye, 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); len(r.Attempts) != 1 || r.Attempts[0].Status != 200 || r.Cause.Q850 != 16 {
			t.Errorf("%+v", r)
		}
		nowhere(w)
	})
}

// nowhere looks for the secret in all that left the node and all it keeps.
func nowhere(w *world) {
	w.t.Helper()
	for name, messages := range w.sent {
		for _, m := range messages {
			if strings.Contains(m, proofCanary) {
				w.t.Errorf("%s was sent the secret:\n%s", name, m)
			}
			if strings.HasPrefix(name, "10.2.") && strings.Contains(m, "uthorization") {
				w.t.Errorf("the cloud was sent a proof:\n%s", m)
			}
		}
	}
	kept := fmt.Sprintf("%+v %+v %+v", w.records.calls, w.snap, w.peers.Health())
	if tr, ok := w.traces.Get(w.records.last(w.t).ID); ok {
		kept += fmt.Sprintf("%+v", tr)
	}
	if strings.Contains(kept, proofCanary) {
		w.t.Error("the secret is kept in a record, a snapshot or a trace")
	}
}

func TestTheNextCallBearsItsProofAtOnce(t *testing.T) {
	inWorldOf(t, carrier(t, proofCanary), func(w *world) {
		for i, nc := range []string{"00000001", "00000002"} {
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			out := w.core.expect("INVITE")
			if i == 0 {
				w.core.challenge(out, 401, "n")
				out = w.core.expect("INVITE")
			}
			w.core.proven(out, "Authorization", "n", nc)
			w.core.reply(out, 486, "b", "")
			w.core.expect("ACK")
			w.teams.ackFailure(in, w.teams.expect("486"))
		}
	})
}

// Without a proof, or with one that does not help, it is as it was: the caller
// hears 403, and where there is another way it is tried by the old rules.
func TestProofsThatDoNotHelp(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(*world)
		nonces []string // of the challenges after the first
		note   string
	}{
		{"none", func(*world) {}, nil, ""},
		{"a wrong secret", carrier(t, "wrong"), []string{"n2"}, "does not accept the name"},
		{"the same nonce again", carrier(t, proofCanary), []string{"n1"}, "does not accept the name"},
		{"no secret", func(w *world) {
			w.snap.Groups[0].Peers[0].Login.Prove = &snapshot.Proof{Username: "trunk", Secret: "env:TANDEM_TEST_NOTHING"}
		}, nil, "set it for the process"},
		{"another realm", func(w *world) {
			carrier(t, proofCanary)(w)
			w.snap.Groups[0].Peers[0].Login.Prove.Realm = "else"
		}, nil, "ours is for"},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorldOf(t, x.change, func(w *world) {
				in := w.teams.invite("+442079460123", teamsOffer)
				w.teams.expect("100")
				w.core.challenge(w.core.expect("INVITE"), 401, "n1")
				for _, nonce := range x.nonces {
					w.core.challenge(w.core.expect("INVITE"), 401, nonce)
				}
				w.teams.ackFailure(in, w.teams.expect("403"))
				w.core.quiet()
				tr, _ := w.traces.Get(w.records.last(t).ID)
				if notes := fmt.Sprint(tr.Notes); !strings.Contains(notes, x.note) {
					t.Errorf("the trace does not tell why: %s", notes)
				}
				nowhere(w)
			})
		})
	}
}

// A caller who gives up while a challenge is under way rings nobody any more.
func TestACancelledCallIsNotProven(t *testing.T) {
	inWorldOf(t, carrier(t, proofCanary), func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 180, "c1", "")
		w.teams.expect("180")
		w.teams.cancel(in)
		w.teams.expect("200")
		w.teams.ackFailure(in, w.teams.expect("487"))
		w.core.reply(w.core.expect("CANCEL"), 200, "", "")
		w.core.challenge(out, 401, "n1")
		w.core.quiet()
	})
}

// The INVITE with the proof is the one that is cancelled.
func TestTheProvenCallIsCancelled(t *testing.T) {
	inWorldOf(t, carrier(t, proofCanary), func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		w.core.challenge(w.core.expect("INVITE"), 401, "n1")
		out := w.core.expect("INVITE")
		w.core.reply(out, 180, "c1", "")
		w.teams.expect("180")
		w.teams.cancel(in)
		w.teams.expect("200")
		w.teams.ackFailure(in, w.teams.expect("487"))
		cancel := w.core.expect("CANCEL")
		if cancel.Get("CSeq") != "2 CANCEL" || cancel.Get("Via") != out.Get("Via") {
			t.Errorf("%s", cancel)
		}
		w.core.reply(cancel, 200, "", "")
		w.core.reply(out, 487, "c1", "")
		w.core.expect("ACK")
	})
}

func TestAPeerThatMustProveItselfDoes(t *testing.T) {
	change := func(w *world) {
		carrier(t, proofCanary)(w)
		p := &w.snap.Groups[0].Peers[0]
		p.Login.Demand, p.Login.Prove = p.Login.Prove, nil
		p.Login.Demand.Realm = "carrier"
	}
	inWorldOf(t, change, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP)
		no := w.core.expect("401")
		w.core.ackFailure(in, no)
		w.teams.quiet()
		if len(w.records.order) != 0 {
			t.Error("a call was made of it")
		}
		answer := func(secretIsRight bool) string {
			p := parameters(no.Get("WWW-Authenticate"))
			p["uri"], p["nc"], p["cnonce"] = in.RequestURI, "00000001", "c"
			r := digest(p, "INVITE")
			if !secretIsRight {
				r = strings.Repeat("0", len(r))
			}
			return fmt.Sprintf(`Authorization: Digest username="trunk",realm="carrier",nonce="%s",uri="%s",response="%s",algorithm=SHA-256,qop=auth,nc=00000001,cnonce="c"`, p["nonce"], p["uri"], r)
		}
		in = w.core.invite("+442079460123", coreSDP, answer(false), "CSeq: 2 INVITE")
		w.core.ackFailure(in, w.core.expect("401"))
		in = w.core.invite("+442079460123", coreSDP, answer(true), "CSeq: 3 INVITE")
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		if out.Has("Authorization") {
			t.Errorf("the proof crossed:\n%s", out)
		}
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		core := w.core.took(in, w.core.expect("200"))
		core.ack("")
		synctest.Wait()
		// What was overheard opens nothing.
		replay := w.core.invite("+442079460123", coreSDP, answer(true), "CSeq: 4 INVITE")
		no2 := w.core.expect("401")
		if !strings.Contains(no2.Get("WWW-Authenticate"), "stale=true") {
			t.Errorf("%s", no2)
		}
		w.core.ackFailure(replay, no2)
		// Inside the call nobody is asked.
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		time.Sleep(time.Second)
		nowhere(w)
	})
}

// What asks a silent side takes numbers of its dialog too.
func TestAQuestionToASilentSideIsProven(t *testing.T) {
	change := carrier(t, proofCanary)
	inWorldOf(t, func(w *world) { change(w); w.cfg.Limits.Silence = time.Minute }, func(w *world) {
		core, teams := w.talk()
		question := w.core.expect("OPTIONS")
		w.core.challenge(question, 401, "n1")
		again := w.core.expect("OPTIONS")
		w.core.proven(again, "Authorization", "n1", "00000001")
		for _, m := range []*sip.Message{question, again} {
			if err := core.Accept(m); err != nil {
				t.Errorf("%s: %v", m.Get("CSeq"), err)
			}
		}
		w.core.reply(again, 200, "", "")
		teams.bye()
		bye := w.core.expect("BYE")
		if err := core.Accept(bye); err != nil {
			t.Errorf("%s after %s: %v", bye.Get("CSeq"), again.Get("CSeq"), err)
		}
		w.core.reply(bye, 200, "", "")
	})
}
