package peer

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// secretCanary is a secret that must be seen nowhere but in the digests.
const secretCanary = "canary-7Yq0secret"

// registrar is a carrier's registrar. It computes its digests by itself, so
// that ours are judged by another's code.
type registrar struct {
	conn sip.PacketConn

	mu      sync.Mutex
	silent  bool          // mu
	auth    bool          // mu; demands a proof
	status  int           // mu; of whatever was proven, 200 when 0
	headers [][2]string   // mu; of that response
	least   int           // mu; Min-Expires, in seconds
	grants  int           // mu; seconds, 0: what was asked for
	nonce   int           // mu
	got     []got         // mu
	times   []time.Time   // mu; of REGISTERs that were accepted
	bound   string        // mu; Contact that is registered, "" none
	lasts   time.Duration // mu
}

type got struct {
	at     time.Time
	msg    *sip.Message
	status int
}

func (w *world) registrar(at string) *registrar {
	conn, err := w.net.ListenPacket(netip.MustParseAddrPort(at))
	if err != nil {
		w.t.Fatal(err)
	}
	r := &registrar{conn: conn, auth: true}
	w.conns = append(w.conns, conn)
	w.farWG.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			m, err := sip.Parse(bytes.Clone(buf[:n]), sip.Limits{})
			if err != nil {
				w.t.Error(err)
				continue
			}
			if resp := r.answer(m); resp != nil {
				_, _ = conn.WriteToUDPAddrPort(resp.Append(nil), from)
			}
		}
	})
	return r
}

func (r *registrar) set(f func(r *registrar)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *registrar) answer(m *sip.Message) *sip.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent {
		return nil
	}
	resp := r.decide(m)
	r.got = append(r.got, got{time.Now(), m, resp.Status})
	return resp
}

func (r *registrar) decide(m *sip.Message) *sip.Message {
	if r.auth && !r.proven(m) {
		resp := sip.NewResponse(m, 401, "")
		r.nonce++
		resp.Add("WWW-Authenticate", fmt.Sprintf(`Digest realm="carrier.example", nonce="n%d", qop="auth", algorithm=MD5`, r.nonce))
		return resp
	}
	if m.Method != "REGISTER" {
		return sip.NewResponse(m, 200, "")
	}
	if r.status != 0 {
		resp := sip.NewResponse(m, r.status, "")
		for _, h := range r.headers {
			resp.Add(h[0], h[1])
		}
		return resp
	}
	secs := int(seconds(m.Get("Expires")) / time.Second)
	if secs > 0 && secs < r.least {
		resp := sip.NewResponse(m, 423, "")
		resp.Set("Min-Expires", fmt.Sprint(r.least))
		return resp
	}
	c, _ := m.Contact()
	// Taking a contact back leaves the others (RFC 3261 10.2.2); the old one's
	// may come after the new one was registered.
	if secs > 0 || c.URI.String() == r.bound {
		r.bound, r.lasts = "", 0
	}
	resp := sip.NewResponse(m, 200, "")
	if secs > 0 {
		if r.grants > 0 {
			secs = r.grants
		}
		r.bound, r.lasts = c.URI.String(), time.Duration(secs)*time.Second
		resp.Add("Contact", fmt.Sprintf("<sip:other@192.0.2.99>;expires=7, <%s>;expires=%d", c.URI, secs))
		for _, h := range r.headers {
			resp.Add(h[0], h[1])
		}
		r.times = append(r.times, time.Now())
	}
	return resp
}

var parameterRE = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

// proven checks a digest as RFC 2617 has it.
func (r *registrar) proven(m *sip.Message) bool {
	p := map[string]string{}
	for _, x := range parameterRE.FindAllStringSubmatch(m.Get("Authorization"), -1) {
		p[x[1]] = x[2]
	}
	h := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	a1 := h("trunk:carrier.example:" + secretCanary)
	a2 := h(m.Method + ":" + m.RequestURI)
	want := h(a1 + ":" + p["nonce"] + ":" + p["nc"] + ":" + p["cnonce"] + ":auth:" + a2)
	n, _ := strconv.Atoi(strings.TrimPrefix(p["nonce"], "n"))
	return p["response"] == want && n > 0 && n <= r.nonce && p["uri"] == m.RequestURI
}

// took are the answers to REGISTER, as "status status".
func (r *registrar) took() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, g := range r.got {
		if g.msg.Method == "REGISTER" {
			all = append(all, fmt.Sprint(g.status))
		}
	}
	return strings.Join(all, " ")
}

func (r *registrar) last(method string) *sip.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range slices.Backward(r.got) {
		if g.msg.Method == method {
			return g.msg
		}
	}
	return nil
}

func (r *registrar) binding() (string, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bound, r.lasts
}

// trunk is a peer that we register with.
func trunk(t *testing.T, name, at string) snapshot.Peer {
	p := peerAt(name, at)
	p.Login = snapshot.Login{
		Prove:    &snapshot.Proof{Username: "trunk", Secret: "file:" + secretFile(t, secretCanary)},
		Register: &snapshot.Register{AOR: "sip:+441134960000@carrier.example", Expires: time.Hour},
	}
	return p
}

func secretFile(t *testing.T, secret string) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// begin starts the set with peers, the cloud's answering.
func (w *world) begin(peers ...snapshot.Peer) {
	w.far("10.2.0.1:5060")
	w.set.Apply(snap(peers...))
	w.set.Start(w.stack)
	after(time.Millisecond)
}

func TestARegistrationIsProvenKeptUpAndTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
		if got := r.took(); got != "401 200" && got != "200" { // OPTIONS may have been challenged first
			t.Fatalf("REGISTER was answered %s", got)
		}
		m := r.last("REGISTER")
		if m.RequestURI != "sip:carrier.example" || !m.Has("Authorization") || m.Get("Expires") != "3600" ||
			m.Get("Contact") != "<sip:+441134960000@r1.gw.example:5060>;expires=3600" || m.Get("Supported") != "path" {
			t.Errorf("%s", m)
		}
		if bound, _ := r.binding(); bound != "sip:+441134960000@r1.gw.example:5060" {
			t.Errorf("bound is %s", bound)
		}
		h := w.health("core-1").Registration
		if h == nil || h.Until == nil || h.Why != "" || time.Until(*h.Until).Round(time.Second) != time.Hour || h.AOR != "sip:+441134960000@carrier.example" {
			t.Errorf("%+v", h)
		}
		after(3 * time.Hour)
		times := r.times
		if len(times) < 6 || len(times) > 7 {
			t.Errorf("registered %d times in three hours", len(times))
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < 28*time.Minute+30*time.Second || gap > 31*time.Minute+30*time.Second {
				t.Errorf("%v between two", gap)
			}
		}
		if n := strings.Count(r.took(), "401"); n > 1 {
			t.Errorf("challenged %d times: later requests should bear their proof at once", n)
		}
		callID, seq := "", uint32(0)
		for _, g := range r.got {
			if g.msg.Method != "REGISTER" {
				continue
			}
			c, _ := g.msg.CSeq()
			if callID != "" && g.msg.Get("Call-ID") != callID || c.Seq <= seq && seq != 0 {
				t.Errorf("Call-ID %s, CSeq %d after %d", g.msg.Get("Call-ID"), c.Seq, seq)
			}
			callID, seq = g.msg.Get("Call-ID"), c.Seq
		}
		began := time.Now()
		w.set.Drain()
		if bound, _ := r.binding(); bound != "" || time.Since(began) > time.Second {
			t.Errorf("after %v %q is still registered", time.Since(began), bound)
		}
		if m := r.last("REGISTER"); m.Get("Contact") != "<sip:+441134960000@r1.gw.example:5060>;expires=0" {
			t.Errorf("%s", m)
		}
		if h := w.health("core-1").Registration; h.Until != nil || h.Why != "taken back" {
			t.Errorf("%+v", h)
		}
		took := r.took()
		w.set.Apply(snap(trunk(t, "core-1", "10.1.0.1:5060")))
		after(2 * time.Hour)
		if r.took() != took {
			t.Error("it registers again while it drains")
		}
	})
}

func TestRegistrarsHaveTheirOwnWill(t *testing.T) {
	for _, x := range []struct {
		name  string
		will  func(r *registrar)
		took  string
		lasts time.Duration
		why   string
	}{
		{"no proof wanted", func(r *registrar) { r.auth = false }, "200", time.Hour, ""},
		{"a longer time", func(r *registrar) { r.least = 7200 }, "401 423 200", 2 * time.Hour, ""},
		{"a shorter time", func(r *registrar) { r.grants = 60 }, "401 200", time.Minute, ""},
		{"an absurd time", func(r *registrar) { r.least = 4_000_000_000 }, "401 423", 0, "423"},
		{"no such account", func(r *registrar) { r.status = 404 }, "401 404", 0, "does not know the address of record"},
		{"barred", func(r *registrar) { r.status = 403 }, "401 403", 0, "check the name, the secret"},
		{"elsewhere", func(r *registrar) { r.status = 302 }, "401 302", 0, "wants us elsewhere"},
		{"overloaded", func(r *registrar) { r.status = 503 }, "401 503", 0, "503"},
		{"silent", func(r *registrar) { r.silent = true }, "", 0, "10.1.0.1:5060 (10.1.0.1:5060)"},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := w.registrar("10.1.0.1:5060")
				r.set(x.will)
				w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
				after(patience)
				// OPTIONS may have been challenged first.
				if got := r.took(); got != x.took && got != strings.TrimPrefix(x.took, "401 ") {
					t.Errorf("REGISTER was answered %q", got)
				}
				h := w.health("core-1").Registration
				left := time.Duration(0)
				if h.Until != nil {
					left = time.Until(*h.Until) + patience
				}
				if (left-x.lasts).Abs() > time.Second || !strings.Contains(h.Why, strings.Split(x.why, " (")[0]) || (x.why == "") != (h.Why == "") {
					t.Errorf("%+v, %v left", h, left)
				}
			})
		})
	}
}

// Who says no is asked seldom, who cannot be reached often.
func TestARegistrarThatSaysNoIsNotPressed(t *testing.T) {
	for status, most := range map[int]int{403: 7, 503: 25} {
		inWorld(t, func(w *world) {
			r := w.registrar("10.1.0.1:5060")
			r.set(func(r *registrar) { r.auth, r.status = false, status })
			w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
			after(time.Hour)
			if n := len(strings.Fields(r.took())); n > most || n < most/2 {
				t.Errorf("%d: %d REGISTERs in an hour", status, n)
			}
		})
	}
}

func TestAWrongSecretIsTriedSeldomAndTheRightOneTaken(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		p := trunk(t, "core-1", "10.1.0.1:5060")
		path := secretFile(t, "wrong")
		p.Login.Prove.Secret = "file:" + path
		w.begin(p)
		if h := w.health("core-1").Registration; h.Until != nil || !strings.Contains(h.Why, `does not accept the name "trunk"`) {
			t.Errorf("%+v", h)
		}
		after(time.Hour)
		// 1, 2, 4, 8, 16, 30 minutes: two or three requests
		// each, since OPTIONS are refused too.
		if n := len(strings.Fields(r.took())); n > 20 {
			t.Errorf("%d REGISTERs in an hour with a wrong secret", n)
		}
		if err := os.WriteFile(path, []byte(secretCanary), 0o600); err != nil {
			t.Fatal(err)
		}
		after(time.Hour)
		if h := w.health("core-1").Registration; h.Until == nil || h.Why != "" {
			t.Errorf("with the right one: %+v", h)
		}
	})
}

func TestASecretThatCannotBeReadIsSaid(t *testing.T) {
	inWorld(t, func(w *world) {
		w.registrar("10.1.0.1:5060")
		p := trunk(t, "core-1", "10.1.0.1:5060")
		if err := os.Chmod(strings.TrimPrefix(p.Login.Prove.Secret, "file:"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.begin(p)
		if h := w.health("core-1").Registration; h.Until != nil || !strings.Contains(h.Why, "chmod 600") {
			t.Errorf("%+v", h)
		}
		p.Login.Prove = nil
		w.set.Apply(snap(p))
		after(time.Second)
		if h := w.health("core-1").Registration; h.Until != nil || !strings.Contains(h.Why, "no auth for it under operator") {
			t.Errorf("%+v", h)
		}
	})
}

func TestAnotherAddressIsTriedAndKept(t *testing.T) {
	inWorld(t, func(w *world) {
		serveSRV(w, "_sip._udp.carrier.example. 300 IN SRV 0 0 5060 a.carrier.example.",
			"_sip._udp.carrier.example. 300 IN SRV 1 0 5060 b.carrier.example.",
			"a.carrier.example. 300 IN A 10.1.0.1", "b.carrier.example. 300 IN A 10.1.0.2")
		a, b := w.registrar("10.1.0.1:5060"), w.registrar("10.1.0.2:5060")
		a.set(func(r *registrar) { r.silent = true })
		p := trunk(t, "core-1", "10.1.0.1:5060")
		p.Host, p.Port, p.Sources = "carrier.example", 0, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}
		w.begin(p)
		after(time.Minute) // nothing is repeated any more
		if got := b.took(); got != "401 200" && got != "200" {
			t.Fatalf("the second address answered %q", got)
		}
		// Who has the binding is asked first, though the first one is back.
		a.set(func(r *registrar) { r.silent = false })
		after(2 * time.Hour)
		if a.took() != "" || strings.Count(b.took(), "200") < 4 {
			t.Errorf("the first address answered %q, the second %q", a.took(), b.took())
		}
		// When it fails, the other one takes over before the binding ends.
		b.set(func(r *registrar) { r.status = 503 })
		after(time.Hour)
		if !strings.HasSuffix(a.took(), "200") {
			t.Errorf("the first address answered %q", a.took())
		}
		if h := w.health("core-1").Registration; h.Until == nil || h.Why != "" {
			t.Errorf("%+v", h)
		}
	})
}

func TestARegistrarThatIsAwayIsFoundAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
		r.set(func(r *registrar) { r.silent = true })
		after(50 * time.Minute)
		h := w.health("core-1").Registration
		if h.Until == nil || !strings.Contains(h.Why, "no answer to REGISTER") {
			t.Errorf("while the old binding stands: %+v", h)
		}
		after(time.Hour)
		if h := w.health("core-1").Registration; h.Until != nil {
			t.Errorf("after it ended: %+v", h)
		}
		r.set(func(r *registrar) { r.silent = false })
		after(retryMax + retryMax/4 + patience)
		if h := w.health("core-1").Registration; h.Until == nil || h.Why != "" {
			t.Errorf("back again: %+v", h)
		}
	})
}

func TestARegistrarIsNotAskedEarlierThanItWants(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		r.set(func(r *registrar) {
			r.auth, r.status, r.headers = false, 503, [][2]string{{"Retry-After", "120 (maintenance);duration=60"}}
		})
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
		after(2*time.Minute - time.Second)
		if got := r.took(); got != "503" {
			t.Errorf("REGISTER was answered %s", got)
		}
		after(time.Minute)
		if got := r.took(); got != "503 503" {
			t.Errorf("REGISTER was answered %s", got)
		}
	})
}

func TestRequestsTakeTheWayTheRegistrarNames(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		r.set(func(r *registrar) {
			r.headers = [][2]string{{"Service-Route", "<sip:edge.carrier.example;lr>, <sip:core.carrier.example;lr>"}, {"Path", "<sip:x;lr>"}}
		})
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
		to, err := w.set.Resolve(t.Context(), "core-1")
		if err != nil {
			t.Fatal(err)
		}
		routes := func(req *sip.Message) string {
			w.set.Sign(req, to[0])
			return strings.Join(slices.Collect(req.Values("Route")), " ")
		}
		request := func(tag string) *sip.Message {
			m := sip.NewRequest("INVITE", "sip:x@y")
			m.Add("To", "<sip:x@y>"+tag)
			return m
		}
		if got := routes(request("")); got != "<sip:edge.carrier.example;lr> <sip:core.carrier.example;lr>" {
			t.Errorf("outside of dialogs: %s", got)
		}
		if got := routes(request(";tag=1")); got != "" {
			t.Errorf("inside: %s", got)
		}
		if r.last("REGISTER").Has("Route") {
			t.Error("on REGISTER itself")
		}
		r.set(func(r *registrar) { r.headers = [][2]string{{"Service-Route", "<sip:strict.carrier.example>"}} })
		after(time.Hour)
		if got := routes(request("")); got != "" {
			t.Errorf("through a strict router: %s", got)
		}
	})
}

func TestAPeerThatGoesIsNoLongerRegisteredWith(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		p := trunk(t, "core-1", "10.1.0.1:5060")
		w.begin(p)
		took := r.took()
		w.set.Apply(snap(p))
		after(time.Second)
		if got := r.took(); got != took {
			t.Errorf("after a snapshot that changed nothing: %s", got)
		}
		other := p
		other.Login.Register = &snapshot.Register{AOR: "sip:trunk@carrier.example", Contact: "sip:gw@192.0.2.1:5070", Expires: time.Minute}
		w.set.Apply(snap(other))
		after(time.Second)
		if bound, lasts := r.binding(); bound != "sip:gw@192.0.2.1:5070" || lasts != time.Minute {
			t.Errorf("after a change: %s for %v", bound, lasts)
		}
		w.set.Apply(snap())
		after(time.Second)
		if bound, _ := r.binding(); bound != "" {
			t.Errorf("%s is still registered", bound)
		}
		n := len(r.got)
		after(time.Hour)
		if len(r.got) != n {
			t.Errorf("it goes on: %s", r.got[n].msg)
		}
	})
}

func TestTheEndWaitsForNoRegistrarLong(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.registrar("10.1.0.1:5060"), w.registrar("10.1.0.2:5060")
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"), trunk(t, "core-2", "10.1.0.2:5060"))
		a.set(func(r *registrar) { r.silent = true })
		b.set(func(r *registrar) { r.silent = true })
		began := time.Now()
		w.set.Drain()
		if d := time.Since(began); d > farewell {
			t.Errorf("it took %v", d)
		}
	})
}

func TestOptionsAreProvenToo(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.registrar("10.1.0.1:5060")
		p := trunk(t, "core-1", "10.1.0.1:5060")
		p.Login.Register = nil
		w.begin(p)
		h := w.health("core-1")
		if h.State != up || h.Why != "" || h.Registration != nil || h.Sent != 1 {
			t.Errorf("%+v", h)
		}
		if m := r.last("OPTIONS"); m.Get("CSeq") != "2 OPTIONS" || !m.Has("Authorization") {
			t.Errorf("%s", m)
		}
		after(time.Hour)
		r.mu.Lock()
		defer r.mu.Unlock()
		n := 0
		for _, g := range r.got {
			if g.status == 401 {
				n++
			}
		}
		if n != 1 {
			t.Errorf("challenged %d times in an hour", n)
		}
	})
}

// What the operator can see of a peer never holds the secret.
func TestTheSecretIsSeenNowhere(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, func(w *world) {
		w.set.cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		r := w.registrar("10.1.0.1:5060")
		w.begin(trunk(t, "core-1", "10.1.0.1:5060"))
		r.set(func(r *registrar) { r.status = 403 })
		after(time.Hour)
		r.set(func(r *registrar) { r.status = 0; r.silent = true })
		after(time.Hour)
		health, err := json.Marshal(w.set.Health())
		if err != nil {
			t.Fatal(err)
		}
		log.Write(health)
		known, _ := w.set.Find("core-1")
		fmt.Fprintf(&log, "%+v %#v", known, known)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, g := range r.got {
			log.WriteString(g.msg.String())
		}
		w.set.Drain()
	})
	if !strings.Contains(log.String(), "not registered") || !strings.Contains(log.String(), "username") {
		t.Error("this test does not see what it should look at")
	}
	if strings.Contains(log.String(), secretCanary) {
		t.Errorf("the secret is seen:\n%s", log.String())
	}
}

func TestHeadersOfTheRegistrarAreReadWithCare(t *testing.T) {
	b := &binding{config: snapshot.Register{AOR: "sip:a@b", Contact: "sip:gw@192.0.2.1"}, asked: time.Hour}
	for _, x := range []struct {
		headers [][2]string
		want    time.Duration
	}{
		{nil, time.Hour},
		{[][2]string{{"Expires", "60"}}, time.Minute},
		{[][2]string{{"Expires", "60"}, {"Contact", "<sip:gw@192.0.2.1>;expires=120"}}, 2 * time.Minute},
		{[][2]string{{"Expires", "60"}, {"Contact", "<sip:gw@192.0.2.1:5060>;expires=120"}}, time.Minute},
		{[][2]string{{"Contact", "<sip:else@192.0.2.1>;expires=120, <sip:GW@192.0.2.1>;expires=1"}}, time.Hour},
		{[][2]string{{"Contact", "<sip:gw@192.0.2.1>;expires=x"}}, 0},
		{[][2]string{{"Expires", "99999999999"}}, 0},
		{[][2]string{{"Contact", "<<"}}, time.Hour},
	} {
		resp := sip.NewResponse(sip.NewRequest("REGISTER", "sip:b"), 200, "")
		for _, h := range x.headers {
			resp.Add(h[0], h[1])
		}
		if got := b.granted(resp); got != x.want {
			t.Errorf("%v: %v, want %v", x.headers, got, x.want)
		}
	}
	for in, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, " 7 ": 7 * time.Second, "3;duration=9": 3 * time.Second, "4(busy)": 4 * time.Second, "-1": 0, "x": 0} {
		resp := sip.NewResponse(sip.NewRequest("REGISTER", "sip:b"), 503, "")
		resp.Set("Retry-After", in)
		if got := retryAfter(resp); got != want {
			t.Errorf("Retry-After %q: %v, want %v", in, got, want)
		}
	}
}

// serveSRV gives the world a name server.
func serveSRV(w *world, records ...string) {
	at := netip.MustParseAddrPort("10.0.0.53:53")
	conn, err := w.net.ListenPacket(at)
	if err != nil {
		w.t.Fatal(err)
	}
	w.conns = append(w.conns, conn)
	resolver, err := sip.NewResolver(sip.ResolverConfig{Servers: []string{at.String()}, Network: w.net})
	if err != nil {
		w.t.Fatal(err)
	}
	w.set.Renew(snap(), Settings{Resolver: resolver})
	w.farWG.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			q, resp := new(dns.Msg), new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			resp.SetReply(q)
			for _, s := range records {
				rr, err := dns.NewRR(s)
				if err != nil {
					w.t.Error(err)
				} else if rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
					resp.Answer = append(resp.Answer, rr)
				}
			}
			out, _ := resp.Pack()
			_, _ = conn.WriteToUDPAddrPort(out, from)
		}
	})
}
