package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

var (
	ourAt  = netip.MustParseAddrPort("10.0.0.1:5060")
	fromAt = netip.MustParseAddrPort("10.0.0.9:5060")
	coreAt = netip.MustParseAddrPort("10.0.0.2:5060")
	deadAt = netip.MustParseAddrPort("10.0.0.3:5060")

	far = &sip.Remote{Name: "core"} // to both
)

// isolated is a control point in a bubble between two hands of one core: the
// S-CSCF that sends, and the same S-CSCF that gets what comes back.
type isolated struct {
	t     *testing.T
	set   *Set
	net   *memnet.Network
	ours  *sip.Stack
	from  *sip.Stack // sends
	core  *sip.Stack // gets what comes back
	snap  *snapshot.Snapshot
	known *peer.Known

	mu      sync.Mutex
	asked   []string        // mu; bodies of questions
	came    []*sip.ServerTx // mu; what the core was given back
	heard   []string        // mu; what the sender was answered
	hops    map[string][]netip.AddrPort
	answer  func(r *http.Request) (*http.Response, error)
	respond func(*sip.ServerTx)
}

func (w *isolated) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, string(body))
	w.mu.Unlock()
	return w.answer(r)
}

// says is an answer of Microsoft's.
func says(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func (w *isolated) Of(src sip.Source) (*peer.Known, bool) {
	if src.Remote.Name == "stranger" {
		return peer.Nobody, false
	}
	return w.known, true
}

func (w *isolated) ResolveHop(_ context.Context, _ string, hop sip.URI) (all []sip.Target, err error) {
	for _, at := range w.hops[hop.Host] {
		all = append(all, sip.Target{Listener: "operator", Transport: sip.UDP, Addr: at, Remote: far})
	}
	return all, nil
}

func in(t *testing.T, f func(w *isolated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &isolated{t: t, net: memnet.New(), snap: snapOf(), hops: map[string][]netip.AddrPort{"10.0.0.2": {coreAt}}}
		w.answer = says(200, `{"subscriber": true, "routingNumber": "+448081570000"}`)
		w.respond = func(tx *sip.ServerTx) { w.give(tx, 180); w.give(tx, 200) }
		w.known = &peer.Known{Peer: snapshot.Peer{Name: "core"}, Group: snapshot.Group{Side: snapshot.Operator}}
		log := slog.New(slog.NewTextHandler(lines{t}, nil))
		w.set = New(Config{
			Region: "r1", Peers: w, Snapshot: func() *snapshot.Snapshot { return w.snap }, Log: log,
			Client: func(snapshot.TLS) (*http.Client, error) { return &http.Client{Transport: w}, nil },
		})
		all := func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{far} }
		stack := func(at netip.AddrPort, handle func(*sip.ServerTx)) *sip.Stack {
			s, err := sip.NewStack(sip.StackConfig{
				Network: w.net, Admit: all, Handle: handle, Passing: w.set.Passing, Log: log,
				Listeners: []sip.Listener{{Name: "operator", Side: "operator", Transport: sip.UDP, Bind: at}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		w.ours = stack(ourAt, func(tx *sip.ServerTx) {
			if !w.set.For(tx) {
				w.give(tx, 606) // a call, in a whole node
				return
			}
			w.set.Handle(tx)
		})
		w.set.Start(w.ours)
		w.from = stack(fromAt, nil)
		w.core = stack(coreAt, func(tx *sip.ServerTx) {
			w.mu.Lock()
			w.came = append(w.came, tx)
			w.mu.Unlock()
			w.respond(tx)
		})
		defer func() {
			w.set.Close()
			for _, s := range []*sip.Stack{w.ours, w.core, w.from} {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}()
		f(w)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if c := w.ours.Counters(); c.ClientTx != 0 || c.ServerTx != 0 || len(w.set.slots) != 0 {
			t.Errorf("half an hour later %d client and %d server transactions and %d slots are left", c.ClientTx, c.ServerTx, len(w.set.slots))
		}
	})
}

type lines struct{ t *testing.T }

func (l lines) Write(b []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

func (w *isolated) give(tx *sip.ServerTx, status int) {
	if req := tx.Request(); req != nil {
		_ = tx.Respond(sip.NewResponse(req, status, ""))
	}
}

// send is what the S-CSCF hands over.
func (w *isolated) send(change ...[2]string) *sip.ClientTx {
	w.t.Helper()
	text := isc
	for _, c := range change {
		if !strings.Contains(text, c[0]) {
			w.t.Fatalf("%q is not there", c[0])
		}
		text = strings.Replace(text, c[0], c[1], 1)
	}
	req := message(w.t, text)
	req.Del("Via")
	tx, err := w.from.Request(req, sip.Target{Listener: "operator", Transport: sip.UDP, Addr: ourAt, Remote: far}, func(ev sip.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if ev.Err != nil {
			w.heard = append(w.heard, ev.Err.Error())
			return
		}
		if ev.Msg.Status != 100 {
			w.heard = append(w.heard, fmt.Sprint(ev.Msg.Status))
		}
		if n := len(slices.Collect(ev.Msg.Values("Via"))); n != 1 {
			w.t.Errorf("%d bears %d Via values", ev.Msg.Status, n)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return tx
}

// wants compares what was asked, came back and was heard.
func (w *isolated) wants(asked int, on bool, heard string) {
	w.t.Helper()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) != asked {
		w.t.Errorf("Microsoft was asked %d times, not %d: %v", len(w.asked), asked, w.asked)
	}
	if got := strings.Join(w.heard, " "); got != heard {
		w.t.Errorf("the S-CSCF heard %q, not %q", got, heard)
	}
	if !on {
		if len(w.came) != 0 {
			w.t.Error("something went on")
		}
		return
	}
	if len(w.came) != 1 {
		w.t.Fatalf("%d requests went on", len(w.came))
	}
}

// on is what went on, taken before it was answered.
func (w *isolated) keep() (get func() *sip.Message) {
	var kept *sip.Message
	then := w.respond
	w.respond = func(tx *sip.ServerTx) { kept = tx.Request().Clone(); then(tx) }
	return func() *sip.Message { w.t.Helper(); return kept }
}

// RFC 3261 16.6, and Azure Communications Gateway docs, "Mobile Control Point
// in Azure Communications Gateway".
func TestASubscribersCallGoesToTeams(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		on := w.keep()
		w.send()
		w.wants(1, true, "180 200")
		m := on()
		if m.RequestURI != "sip:+448081570000@ims.example;user=phone" || m.Get("X-MS-FMC") != "MT" {
			t.Errorf("%s went on with X-MS-FMC: %s", m.RequestURI, m.Get("X-MS-FMC"))
		}
		if m.Get("Max-Forwards") != "65" || m.Get("Route") != "<sip:odi-77@10.0.0.2:5060;lr>" || m.Has("Record-Route") {
			t.Errorf("Max-Forwards %s, Route %s, Record-Route %s", m.Get("Max-Forwards"), m.Get("Route"), m.Get("Record-Route"))
		}
		if n := len(slices.Collect(m.Values("Via"))); n != 2 {
			t.Errorf("%d Via values", n)
		}
		for _, same := range []string{"From", "To", "Call-ID", "CSeq", "Contact", "P-Asserted-Identity"} {
			if was := message(t, isc); m.Get(same) != was.Get(same) {
				t.Errorf("%s is %q, and was %q", same, m.Get(same), was.Get(same))
			}
		}
		var q map[string]string
		if err := json.Unmarshal([]byte(w.asked[0]), &q); err != nil {
			t.Fatal(err)
		}
		if q["direction"] != "terminating" || q["subscriber"] != "+447700900002" || q["party"] != "+447700900001" || q["region"] != "r1" {
			t.Errorf("Microsoft was asked %v", q)
		}
		if c := w.set.Counters(); c != (Counters{Requests: 1, Asked: 1, Subscribers: 1}) {
			t.Errorf("%+v", c)
		}
	})
}

// The same docs: an error of Microsoft's, or no routing number, leaves the
// signalling as it is.
func TestWhateverMicrosoftAnswersTheCallGoesOn(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"no subscriber":     says(200, `{"subscriber": false}`),
		"404":               says(404, `what`),
		"500":               says(500, ``),
		"no JSON":           says(200, `<html>`),
		"too much":          says(200, `{"subscriber": true, "x": "`+strings.Repeat("x", longestAnswer)+`", "routingNumber": "+448081570000"}`),
		"no routing number": says(200, `{"subscriber": true}`),
		"not a number":      says(200, `{"subscriber": true, "routingNumber": "+44808157@evil.example"}`),
		"anybody's number":  says(200, `{"subscriber": true, "routingNumber": "+19005550100"}`),
		"a redirection":     says(302, ``),
		"nobody is there":   func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"silence":           func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"half, then silence": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: stuck{r.Context()}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(w *isolated) {
				w.answer = answer
				on := w.keep()
				w.send()
				w.wants(1, true, "180 200")
				if m := on(); m.RequestURI != "sip:+447700900002@ims.example;user=phone" || m.Has("X-MS-FMC") {
					t.Errorf("%s went on with X-MS-FMC: %s", m.RequestURI, m.Get("X-MS-FMC"))
				}
			})
		})
	}
}

type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s stuck) Close() error             { return nil }

func TestWhatIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	pai := "P-Asserted-Identity: <sip:+447700900001@ims.example>\n"
	for name, change := range map[string][2]string{
		"anchored already": {pai, pai + "X-MS-FMC: MT\n"},
		"emergency":        {"INVITE sip:+447700900002@", "INVITE sip:112@"},
		"in other letters": {"INVITE sip:+447700900002@", "INVITE sip:%31%31%32@"},
		"another method":   {"INVITE sip:+447700900002@", "MESSAGE sip:+447700900002@"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(w *isolated) {
				w.respond = func(tx *sip.ServerTx) { w.give(tx, 200) }
				changes := [][2]string{change}
				if name == "another method" {
					changes = append(changes, [2]string{"1 INVITE", "1 MESSAGE"})
				}
				w.send(changes...)
				w.wants(0, true, "200")
			})
		})
	}
}

// RFC 3261 16.3, 16.4: what is refused, and that the sentence says why.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for status, change := range map[string][2]string{
		"483": {"Max-Forwards: 66", "Max-Forwards: 0"},
		"420": {"Max-Forwards: 66", "Max-Forwards: 66\nProxy-Require: magic"},
		"400": {"Route: <sip:odi-77@10.0.0.2:5060;lr>\n", ""},
		"503": {"odi-77@10.0.0.2:5060", "odi-77@10.66.66.66:5060"}, // not an address of the peer's
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			in(t, func(w *isolated) {
				w.answer = says(404, "")
				w.send(change)
				asked := 0
				if status == "503" {
					asked = 1
				}
				w.wants(asked, false, status)
				if c := w.set.Counters(); c.Refused != 1 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// An S-CSCF whose iFC still name a control point that was turned off goes on
// by itself (DefaultHandling 0) once it hears 503.
func TestTurnedOff(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.snap.MCP = nil
		w.send()
		w.wants(0, false, "503")
	})
}

// RFC 3261 16.3: what was passed on may come back to us as a call (a spiral),
// while its other half waits, and is neither a loop nor merged.
func TestASpiralIsNoLoop(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.respond = func(tx *sip.ServerTx) {
			on := tx.Request().Clone()
			on.Del("Route")
			if _, err := w.core.Forward(on, sip.Target{Listener: "operator", Transport: sip.UDP, Addr: ourAt, Remote: far}, func(ev sip.Event) {
				if ev.Err == nil && ev.Msg.Status >= 200 {
					w.give(tx, ev.Msg.Status)
				}
			}); err != nil {
				t.Error(err)
			}
		}
		w.send()
		w.wants(1, true, "606")
	})
}

// RFC 3261 16.10: a CANCEL follows the INVITE; before that has gone on, it ends
// it here.
func TestCancel(t *testing.T) {
	t.Parallel()
	t.Run("while Microsoft is asked", func(t *testing.T) {
		t.Parallel()
		in(t, func(w *isolated) {
			w.answer = func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
			tx := w.send()
			time.Sleep(300 * time.Millisecond)
			tx.Cancel("")
			w.wants(1, false, "487")
		})
	})
	t.Run("while it rings", func(t *testing.T) {
		t.Parallel()
		in(t, func(w *isolated) {
			w.respond = func(tx *sip.ServerTx) {
				tx.OnCancel(func(*sip.Message) { w.give(tx, 487) })
				w.give(tx, 180)
			}
			tx := w.send()
			time.Sleep(3 * time.Second)
			tx.Cancel("SIP;cause=200")
			w.wants(1, true, "180 487")
		})
	})
}

// RFC 3261 16.7: one final response goes back, a 2xx of another fork after it
// too.
func TestResponsesGoBack(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		statuses []int
		heard    string
	}{
		{[]int{486}, "486"},
		{[]int{183, 180, 603}, "183 180 603"},
		{[]int{180, 302}, "180 302"},
		{[]int{180, 200, 200}, "180 200 200"},
		{[]int{180, 503}, "180 500"},
	} {
		t.Run(x.heard, func(t *testing.T) {
			t.Parallel()
			in(t, func(w *isolated) {
				w.respond = func(tx *sip.ServerTx) {
					req := tx.Request()
					for _, status := range x.statuses {
						_ = tx.Respond(sip.NewResponse(req, status, ""))
					}
				}
				w.send()
				w.wants(1, true, x.heard)
			})
		})
	}
}

// RFC 3263 4.3: the next address of the next hop, when one is silent.
func TestTheNextAddress(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.hops["10.0.0.2"] = []netip.AddrPort{deadAt, coreAt}
		w.send()
		time.Sleep(time.Minute)
		w.wants(1, true, "180 200")
	})
	in(t, func(w *isolated) {
		w.hops["10.0.0.2"] = []netip.AddrPort{deadAt}
		w.send()
		time.Sleep(time.Minute)
		w.wants(1, false, "408")
	})
}

// An address that has no time leads to the next one (RFC 3263 4.3).
func TestOneOverloadedAddressIsNotAll(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.hops["10.0.0.2"] = []netip.AddrPort{coreAt, coreAt}
		w.respond = func(tx *sip.ServerTx) {
			status := 503
			if len(w.came) > 1 {
				status = 200
			}
			w.give(tx, status)
		}
		w.send()
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := strings.Join(w.heard, " "); got != "200" || len(w.came) != 2 {
			t.Errorf("the S-CSCF heard %q after %d attempts", got, len(w.came))
		}
	})
}

// A Microsoft that is slow makes no queue: calls go on unasked.
func TestTooManyQuestionsAtOnce(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		for range asksAtOnce {
			w.set.asks <- struct{}{}
		}
		on := w.keep()
		w.send()
		w.wants(0, true, "180 200")
		if m := on(); m.Has(mark) {
			t.Error("it was marked")
		}
	})
}

// RFC 3261 16.6 item 11: timer C.
func TestNobodyRingsForEver(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.respond = func(tx *sip.ServerTx) {
			tx.OnCancel(func(*sip.Message) { w.give(tx, 487) })
			w.give(tx, 180)
		}
		w.send()
		time.Sleep(timerC + time.Minute)
		w.wants(1, true, "180 487")
	})
}

// Strangers of the core, and peers of the cloud, do not reach it: their
// requests are calls, or nothing.
func TestOnlyTheCoreReachesIt(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		w.known.Group.Side = snapshot.Cloud
		for _, m := range []*sip.Message{message(t, isc)} {
			if leadsHere(m, w.snap.MCP) != true {
				t.Error("the Route leads here")
			}
		}
		seen := false
		if err := w.ours.Close(); err != nil {
			t.Error(err)
		}
		stack, err := sip.NewStack(sip.StackConfig{
			Network: w.net, Admit: func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{far} },
			Handle: func(tx *sip.ServerTx) {
				seen = true
				if w.set.For(tx) {
					t.Error("the cloud reaches the control point")
				}
				w.give(tx, 404)
			},
			Listeners: []sip.Listener{{Name: "operator", Transport: sip.UDP, Bind: ourAt}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.ours = stack
		w.send()
		w.wants(0, false, "404")
		if !seen {
			t.Error("nothing came")
		}
	})
}

// More questions than may be asked at once: the S-CSCF is sent elsewhere.
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	in(t, func(w *isolated) {
		for range atOnce {
			w.set.slots <- struct{}{}
		}
		w.send()
		w.wants(0, false, "503")
		for range atOnce {
			<-w.set.slots
		}
	})
}

func BenchmarkRead(b *testing.B) {
	m := message(b, isc)
	routes, err := m.Addresses("Route")
	if err != nil {
		b.Fatal(err)
	}
	snap := snapOf()
	for b.Loop() {
		read(m, &routes[0], snap)
	}
}
