package peer

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ourOperator = "10.0.1.1:5060"
	ourCloud    = "10.0.1.2:5060"
)

// world is a set of peers on a stack in memory, with far sides that answer
// OPTIONS as they are told.
type world struct {
	t     *testing.T
	net   *memnet.Network
	set   *Set
	stack *sip.Stack
	farWG sync.WaitGroup
	conns []sip.PacketConn
}

// far answers OPTIONS with the status it is told; 0 says nothing.
type far struct {
	mu     sync.Mutex
	conn   sip.PacketConn
	status int            // mu
	header [2]string      // mu
	asked  []time.Time    // mu
	last   *sip.Message   // mu
	heard  []*sip.Message // mu; responses
}

func (f *far) set(status int, header ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.header = status, [2]string{}
	if len(header) == 2 {
		f.header = [2]string(header)
	}
}

func (w *world) far(at string) *far {
	conn, err := w.net.ListenPacket(netip.MustParseAddrPort(at))
	if err != nil {
		w.t.Fatal(err)
	}
	f := &far{conn: conn, status: 200}
	w.conns = append(w.conns, conn)
	w.farWG.Go(func() { f.read(w.t) })
	return f
}

func (f *far) read(t *testing.T) {
	buf := make([]byte, 65536)
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m, err := sip.Parse(append([]byte(nil), buf[:n]...), sip.Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		f.mu.Lock()
		status, header := f.status, f.header
		if m.IsRequest() {
			f.asked, f.last = append(f.asked, time.Now()), m
		} else {
			f.heard = append(f.heard, m)
		}
		f.mu.Unlock()
		if !m.IsRequest() || status == 0 {
			continue
		}
		resp := sip.NewResponse(m, status, "")
		if header[0] != "" {
			resp.Set(header[0], header[1])
		}
		if _, err := f.conn.WriteToUDPAddrPort(resp.Append(nil), from); err != nil {
			t.Error(err)
		}
	}
}

func (f *far) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func peerAt(name, at string) snapshot.Peer {
	ap := netip.MustParseAddrPort(at)
	return snapshot.Peer{
		Name: name, Transport: "UDP", Host: ap.Addr().String(), Port: ap.Port(),
		Priority: map[string]int{"r1": 0}, Sources: []netip.Prefix{netip.PrefixFrom(ap.Addr(), 32)},
	}
}

func snap(peers ...snapshot.Peer) *snapshot.Snapshot {
	return &snapshot.Snapshot{Groups: []snapshot.Group{
		{Name: "core", Side: snapshot.Operator, Profile: "core", Peers: peers},
		{Name: "teams", Side: snapshot.Cloud, Profile: "teams", Peers: []snapshot.Peer{peerAt("teams-1", "10.2.0.1:5060")}},
	}}
}

func inWorld(t *testing.T, f func(w *world), edits ...func([]sip.Listener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: memnet.New()}
		listeners := []sip.Listener{
			{Name: "operator", Side: "operator", Transport: sip.UDP, Bind: netip.MustParseAddrPort(ourOperator), Advertise: "r1.gw.example:5060"},
			{Name: "cloud", Side: "cloud", Transport: sip.UDP, Bind: netip.MustParseAddrPort(ourCloud), Advertise: "1r1.gw.example:5063"},
		}
		for _, edit := range edits {
			edit(listeners)
		}
		resolver, err := sip.NewResolver(sip.ResolverConfig{Network: w.net})
		if err != nil {
			t.Fatal(err)
		}
		w.set = NewSet(Config{
			Region: "r1", Listeners: listeners, Resolver: resolver, Product: "Tandem/Gateway/test",
			Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		})
		w.stack, err = sip.NewStack(sip.StackConfig{
			Network: w.net, Listeners: listeners, Admit: w.set.Admit, Handle: w.set.Answer,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			w.set.Close()
			if err := w.stack.Close(); err != nil {
				t.Error(err)
			}
			for _, c := range w.conns {
				c.Close()
			}
			w.farWG.Wait()
		}()
		f(w)
	})
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (w *world) health(name string) record.PeerHealth {
	w.t.Helper()
	for _, h := range w.set.Health() {
		if h.Peer == name {
			return h
		}
	}
	w.t.Fatalf("no peer %s", name)
	return record.PeerHealth{}
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOptionsKeepAPeerUp(t *testing.T) {
	inWorld(t, func(w *world) {
		f := w.far("10.1.0.1:5060")
		teams := w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		if h := w.health("core-1"); h.State != unknown {
			t.Errorf("before anything: %+v", h)
		}
		w.set.Start(w.stack)
		after(0)
		if h := w.health("core-1"); h.State != up || h.Answered != 1 || h.RTT == "" {
			t.Errorf("after one answer: %+v", h)
		}
		after(10*time.Minute + time.Second)
		times := f.times()
		if len(times) < 11 || len(times) > 13 {
			t.Errorf("%d OPTIONS in ten minutes", len(times))
		}
		even := true
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			if gap < 54*time.Second || gap > time.Minute {
				t.Errorf("gap %v", gap)
			}
			even = even && gap == time.Minute
		}
		if even {
			t.Error("the OPTIONS are not spread")
		}
		// The cloud finds us by the FQDN in Contact.
		if got := teams.last.Get("Contact"); got != "<sip:1r1.gw.example:5063>" {
			t.Errorf("Contact: %s", got)
		}
		if teams.last.Get("X-MS-SBC") == "" || teams.last.Get("Allow") == "" {
			t.Errorf("%s", teams.last)
		}
		if f.last.Has("X-MS-SBC") {
			t.Errorf("the core gets X-MS-SBC:\n%s", f.last)
		}
	})
}

func TestAMissTakesAPeerDownAndIsFollowedUpFast(t *testing.T) {
	inWorld(t, func(w *world) {
		f := w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(0)
		f.set(0)
		after(time.Minute + patience)
		h := w.health("core-1")
		if h.State != down || !strings.Contains(h.Why, "10.1.0.1:5060") || !strings.Contains(h.Why, "no answer") {
			t.Errorf("%+v", h)
		}
		if !w.set.Suspended("core-1") || w.set.Suspended("teams-1") {
			t.Error("suspension")
		}
		f.set(200)
		began := time.Now()
		for w.health("core-1").State != up {
			after(100 * time.Millisecond)
		}
		if d := time.Since(began); d > 8*time.Second {
			t.Errorf("back up after %v only", d)
		}
		if w.set.Suspended("core-1") || w.health("core-1").Why != "" {
			t.Errorf("%+v", w.health("core-1"))
		}
	})
}

func TestAPeerThatNeverAnswersIsAskedLessAndLess(t *testing.T) {
	inWorld(t, func(w *world) {
		f := w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		f.set(0)
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(time.Hour)
		// 2, 4, 8, 16, 32, 60, 60 … s between: some 60 in an hour, not 500.
		if n := w.health("core-1").Sent; n < 50 || n > 75 {
			t.Errorf("%d OPTIONS in an hour", n)
		}
	})
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		status       int
		state, words string
	}{
		{200, up, ""},
		{403, up, "403"},
		{404, up, "404"},
		{405, up, ""},
		{501, up, ""},
		{408, down, "408"},
		{503, down, "503"},
		{504, down, "504"},
	} {
		t.Run(sip.StatusText(tc.status), func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := w.far("10.1.0.1:5060")
				w.far("10.2.0.1:5060")
				f.set(tc.status, "Reason", `Q.850;cause=63;text="Contact and Record-Route are missing"`)
				w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
				w.set.Start(w.stack)
				after(time.Millisecond)
				h := w.health("core-1")
				if h.State != tc.state || !strings.Contains(h.Why, tc.words) || (tc.words == "") != (h.Why == "") {
					t.Errorf("%+v", h)
				}
				if tc.words != "" && !strings.Contains(h.Why, "Contact and Record-Route are missing") {
					t.Errorf("the peer's own words are lost: %s", h.Why)
				}
			})
		})
	}
}

func TestAdmit(t *testing.T) {
	inWorld(t, func(w *world) {
		secure := peerAt("core-tls", "10.1.0.9:5061")
		secure.Transport = "TLS"
		twin := peerAt("core-2", "10.1.0.1:5070")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060"), twin, secure))
		op := &sip.Listener{Side: "operator", Transport: sip.UDP}
		tcp := &sip.Listener{Side: "operator", Transport: sip.TCP}
		tls := &sip.Listener{Side: "operator", Transport: sip.TLS}
		cloud := &sip.Listener{Side: "cloud", Transport: sip.UDP}
		for _, tc := range []struct {
			name string
			l    *sip.Listener
			src  string
			want string
		}{
			{"two peers behind one address", op, "10.1.0.1", "core-1 core-2"},
			{"UDP and TCP are one kind", tcp, "10.1.0.1", "core-1 core-2"},
			{"mapped IPv4", op, "::ffff:10.1.0.1", "core-1 core-2"},
			{"the other side's listener", cloud, "10.1.0.1", ""},
			{"a TLS peer in the clear", op, "10.1.0.9", ""},
			{"a TLS peer", tls, "10.1.0.9", "core-tls"},
			{"a stranger", op, "192.0.2.1", ""},
			{"the zero address", op, "0.0.0.0", ""},
		} {
			var got []string
			for _, r := range w.set.Admit(tc.l, netip.MustParseAddr(tc.src)) {
				got = append(got, r.Name)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, s, tc.want)
			}
		}
		if n := w.set.Strangers(); n != 4 {
			t.Errorf("%d strangers counted", n)
		}
	})
}

func TestASnapshotKeepsWhatDidNotChange(t *testing.T) {
	inWorld(t, func(w *world) {
		w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060"), peerAt("core-2", "10.1.0.2:5060")))
		w.set.Start(w.stack)
		after(0)
		op := &sip.Listener{Side: "operator", Transport: sip.UDP}
		before := w.set.Admit(op, netip.MustParseAddr("10.1.0.1"))[0]
		old := w.set.Admit(op, netip.MustParseAddr("10.1.0.2"))[0]
		same := peerAt("core-1", "10.1.0.1:5060")
		same.CountryCode = "44"
		same.Sources = append(same.Sources, netip.MustParsePrefix("10.1.1.0/24"))
		moved := peerAt("core-2", "10.1.0.2:5090")
		release := w.set.Hold("core-1")
		w.set.Apply(snap(same, moved))
		if got := w.set.Admit(op, netip.MustParseAddr("10.1.1.7")); len(got) != 1 || got[0] != before {
			t.Errorf("core-1 lost its Remote: %v", got)
		}
		if got := w.set.Admit(op, netip.MustParseAddr("10.1.0.2")); got[0] == old {
			t.Error("core-2 is somewhere else and keeps its Remote")
		}
		if h := w.health("core-1"); h.State != up || h.Calls != 1 {
			t.Errorf("%+v", h)
		}
		if known, ok := w.set.Find("core-1"); !ok || known.CountryCode != "44" {
			t.Errorf("%+v", known)
		}
		release()
		after(aftermath)
		w.set.Apply(snap())
		if got := w.set.Admit(op, netip.MustParseAddr("10.1.0.1")); got != nil {
			t.Error("a removed peer is admitted")
		}
		sent := w.health("teams-1").Sent
		after(5 * time.Minute)
		if n := w.health("teams-1").Sent - sent; n < 5 || n > 6 {
			t.Errorf("%d OPTIONS to the peer that stayed", n)
		}
	})
}

func TestWeAnswerOptions(t *testing.T) {
	inWorld(t, func(w *world) {
		teams := w.far("10.2.0.1:5060")
		w.set.Apply(snap())
		w.set.Start(w.stack)
		after(0)
		ask := func(seq string) *sip.Message {
			m := sip.NewRequest("OPTIONS", "sip:1r1.gw.example:5063")
			m.Add("Via", "SIP/2.0/UDP 10.2.0.1:5060;branch=z9hG4bK"+seq)
			m.Add("From", "<sip:sip-du-a-eu.example:5061>;tag=8eb9")
			m.Add("To", "<sip:1r1.gw.example>")
			m.Add("Call-ID", "o"+seq)
			m.Add("CSeq", "1 OPTIONS")
			if _, err := teams.conn.WriteToUDPAddrPort(m.Append(nil), netip.MustParseAddrPort(ourCloud)); err != nil {
				t.Fatal(err)
			}
			after(0)
			teams.mu.Lock()
			defer teams.mu.Unlock()
			return teams.heard[len(teams.heard)-1]
		}
		ok := ask("1")
		if ok.Status != 200 || ok.Get("Contact") != "<sip:1r1.gw.example:5063>" || ok.Get("Allow") == "" || ok.Get("X-MS-SBC") == "" {
			t.Errorf("%s", ok)
		}
		if to, _ := ok.To(); to.Tag() == "" {
			t.Error("no To tag")
		}
		if h := w.health("teams-1"); h.Received != 1 || h.LastSeen == nil {
			t.Errorf("%+v", h)
		}
		w.set.Drain()
		if no := ask("2"); no.Status != 503 || no.Get("Retry-After") == "" {
			t.Errorf("%s", no)
		}
	})
}

func TestResolve(t *testing.T) {
	inWorld(t, func(w *world) {
		lonely := peerAt("lonely", "10.1.0.3:5061")
		lonely.Transport = "TLS"
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060"), lonely))
		got, err := w.set.Resolve(context.Background(), "core-1")
		if err != nil || len(got) != 1 || got[0].Listener != "operator" || got[0].Addr.String() != "10.1.0.1:5060" || got[0].Remote.Name != "core-1" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := w.set.Resolve(context.Background(), "lonely"); err == nil || !strings.Contains(err.Error(), "sip.listeners") {
			t.Errorf("%v", err)
		}
		if _, err := w.set.Resolve(context.Background(), "nobody"); err == nil {
			t.Error("nobody was found")
		}
		hop := func(s string) []sip.Target {
			u, err := sip.ParseURI(s)
			if err != nil {
				t.Fatal(err)
			}
			targets, err := w.set.ResolveHop(context.Background(), "core-1", u)
			if err != nil {
				t.Fatal(err)
			}
			return targets
		}
		if got := hop("sip:10.1.0.1:5099;lr"); len(got) != 1 {
			t.Errorf("%v", got)
		}
		if got := hop("sip:169.254.169.254:80;lr"); len(got) != 0 {
			t.Errorf("a route set leads to %v", got)
		}
		if h := w.health("lonely"); !strings.Contains(h.Why, "listener") {
			t.Errorf("%+v", h)
		}
	})
}

func TestCallsOpenTheCircuit(t *testing.T) {
	inWorld(t, func(w *world) {
		w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(0)
		w.set.Report("core-1", Outcome{Status: 503, RetryAfter: 3 * time.Second})
		if !w.set.Suspended("core-1") {
			t.Error("Retry-After is not honoured")
		}
		after(3 * time.Second)
		if w.set.Suspended("core-1") {
			t.Error("suspended for longer than asked")
		}
		release := w.set.Hold("core-1") // the trial
		defer release()
		if !w.set.Suspended("core-1") {
			t.Error("others go along with the trial")
		}
		w.set.Report("core-1", Outcome{Status: 486})
		if w.set.Suspended("core-1") {
			t.Error("a good trial does not close the circuit")
		}
		for range trip {
			w.set.Report("core-1", Outcome{Err: errors.New("reset")})
		}
		h := w.health("core-1")
		if h.State != suspended || !strings.Contains(h.Why, "reset") {
			t.Errorf("%+v", h)
		}
	})
}
