package call

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/trace"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
	"github.com/tandemgw/tandem/wire/ua"
)

var update = flag.Bool("update", false, "write the golden ladders anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The addresses of the world.
const (
	gwOperator = "10.0.1.1:5060"
	gwCloud    = "10.0.1.2:5063"
	coreAt     = "10.1.0.1:5060"
	core2At    = "10.1.0.2:5060"
	teamsAt    = "10.2.0.1:5061"
	teams2At   = "10.2.0.2:5061"
)

// world is a gateway between a core and a cloud, all in memory and in one
// bubble. The far sides are scripts: they do what the test says and nothing
// else.
type world struct {
	t       *testing.T
	net     *memnet.Network
	engine  *rtp.Engine
	media   *rtp.Network
	peers   *peer.Set
	stack   *sip.Stack
	set     *Set
	traces  *trace.Ring
	records *ledger
	snap    *snapshot.Snapshot
	start   time.Time
	cfg     Config

	core, core2, teams, teams2 *far

	mu     sync.Mutex
	ladder []rung              // mu
	sent   map[string][]string // mu; every message sent, by where to
}

// ledger keeps records in memory.
type ledger struct {
	mu     sync.Mutex
	refuse error                  // mu; what Begin says
	delay  time.Duration          // mu; of Begin
	calls  map[string]record.Call // mu
	order  []string               // mu
	log    []string               // mu
}

func (l *ledger) put(what string, c record.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.calls[c.ID]; !ok {
		l.order = append(l.order, c.ID)
	}
	l.calls[c.ID] = c
	l.log = append(l.log, what)
}

func (l *ledger) Begin(c record.Call, done func(error)) {
	l.mu.Lock()
	err, delay := l.refuse, l.delay
	l.mu.Unlock()
	if err == nil {
		l.put("begin", c)
	}
	if done != nil {
		time.AfterFunc(delay, func() { done(err) })
	}
}
func (l *ledger) Answer(c record.Call, _ func(error)) { l.put("answer", c) }
func (l *ledger) Progress(c record.Call)              { l.put("progress", c) }
func (l *ledger) End(c record.Call, _ func(error))    { l.put("end", c) }

// last is the newest record.
func (l *ledger) last(t *testing.T) record.Call {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) == 0 {
		t.Fatal("no call was recorded")
	}
	return l.calls[l.order[len(l.order)-1]]
}

func snapOf() *snapshot.Snapshot {
	far := func(name, at string, srtp bool, prio int) snapshot.Peer {
		ap := netip.MustParseAddrPort(at)
		return snapshot.Peer{
			Name: name, Transport: "UDP", Host: ap.Addr().String(), Port: ap.Port(), SRTP: srtp,
			Priority: map[string]int{"r1": prio}, Sources: []netip.Prefix{netip.PrefixFrom(ap.Addr(), 32)},
			Options: time.Hour,
		}
	}
	return &snapshot.Snapshot{
		Revision: 7, Gateway: "lab",
		Regions: []snapshot.Region{{Name: "r1"}},
		Groups: []snapshot.Group{
			{
				Name: "core", Side: snapshot.Operator, Profile: "core", Codecs: []string{"PCMA", "PCMU", "G722"},
				Peers: []snapshot.Peer{far("core-1", coreAt, false, 0), far("core-2", core2At, false, 1)},
			},
			{
				Name: "teams", Side: snapshot.Cloud, Profile: "teams", Codecs: []string{"PCMA", "PCMU", "G722"},
				// Hours pass here without a word: no noise for each fiftieth of a second.
				Interworking: snapshot.Interworking{Fill: new(bool)},
				Services:     []snapshot.Service{snapshot.OperatorConnect},
				Peers:        []snapshot.Peer{far("teams-1", teamsAt, true, 0), far("teams-2", teams2At, true, 1)},
			},
		},
		Emergency: []string{"112"},
		Policy:    snapshot.Policy{GroupService: map[string]snapshot.Service{"core": snapshot.OperatorConnect}},
	}
}

// inWorld runs f in a fresh world, and sees to it that nothing is left of it.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorldOf(t, func(*world) {}, f)
}

func inWorldOf(t *testing.T, change, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		defer w.shut()
		f(w)
		w.end()
	})
}

func newWorld(t *testing.T, change func(*world)) *world {
	w := &world{
		t: t, net: memnet.New(), media: rtp.NewNetwork(), traces: trace.New(trace.Config{}),
		records: &ledger{calls: map[string]record.Call{}}, snap: snapOf(), start: time.Now(),
		sent: map[string][]string{},
	}
	w.core, w.core2 = w.newFar("core", coreAt), w.newFar("core2", core2At)
	w.teams, w.teams2 = w.newFar("teams", teamsAt), w.newFar("teams2", teams2At)
	listeners := []sip.Listener{
		{Name: "operator", Side: "operator", Transport: sip.UDP, Bind: netip.MustParseAddrPort(gwOperator), Advertise: "r1.gw.example:5060"},
		{Name: "cloud", Side: "cloud", Transport: sip.UDP, Bind: netip.MustParseAddrPort(gwCloud), Advertise: "1r1.gw.example:5063"},
	}
	var err error
	w.engine, err = rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{
		{Name: "operator", Bind: netip.MustParseAddr("10.0.1.1"), PortMin: 20000, PortMax: 20999},
		{Name: "cloud", Bind: netip.MustParseAddr("10.0.1.2"), PortMin: 30000, PortMax: 30999},
	}})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := sip.NewResolver(sip.ResolverConfig{Network: w.net})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = Config{
		Node: "r1-a", Region: "r1", Relay: relay.New(relay.Config{Engine: w.engine}),
		Interfaces: map[record.Side]string{"operator": "operator", "cloud": "cloud"},
		Snapshot:   func() *snapshot.Snapshot { return w.snap },
		Records:    w.records, Traces: w.traces, Product: "Tandem/Gateway/test",
		// What these bring has tests of its own.
		Limits: Limits{Silence: 24 * time.Hour, Progress: 24 * time.Hour},
		Log:    slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	change(w)
	w.peers = peer.NewSet(peer.Config{
		Region: "r1", Listeners: listeners, Resolver: resolver, Product: "Tandem/Gateway/test", Log: w.cfg.Log,
	})
	w.peers.Apply(w.snap)
	w.cfg.Peers = w.peers
	w.set = NewSet(w.cfg)
	w.stack, err = sip.NewStack(sip.StackConfig{
		Network: w.net, Listeners: listeners, Admit: w.peers.Admit,
		Handle: w.set.Handle, HandleAck: w.set.HandleAck, HandleStray: w.set.HandleStray,
		Urgent: w.set.Urgent, Overloaded: w.set.Overloaded,
		Tap: func(tap sip.Tap) { w.tap(tap); w.set.Tap(tap) }, Log: w.cfg.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.set.Start(w.stack)
	w.peers.Start(w.stack)
	synctest.Wait() // OPTIONS have been answered
	w.start = time.Now()
	return w
}

// end lets time pass until all must be over, and looks for what is left.
func (w *world) end() {
	w.t.Helper()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	c := w.set.Counters()
	if c.Live != 0 || len(w.set.dialogs) != 0 || len(w.set.threads) != 0 {
		w.t.Errorf("left after the end: %d calls, %d dialogs, %d threads", c.Live, len(w.set.dialogs), len(w.set.threads))
	}
	if n := w.engine.Counters().Open; n != 0 {
		w.t.Errorf("%d media ports are still open", n)
	}
	for _, h := range w.peers.Health() {
		if h.Calls != 0 {
			w.t.Errorf("peer %s still counts %d calls", h.Peer, h.Calls)
		}
	}
	s := w.stack.Counters()
	if s.ClientTx != 0 || s.ServerTx != 0 {
		w.t.Errorf("%d client and %d server transactions are left", s.ClientTx, s.ServerTx)
	}
}

// shut closes everything, also after a failure.
func (w *world) shut() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.set.Drain(now)
	w.peers.Close()
	if err := w.stack.Close(); err != nil {
		w.t.Error(err)
	}
	for _, f := range []*far{w.core, w.core2, w.teams, w.teams2} {
		f.close()
	}
	if err := w.engine.Close(); err != nil {
		w.t.Error(err)
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// tap draws the ladder.
func (w *world) tap(tap sip.Tap) {
	if tap.Msg == nil {
		return
	}
	cseq, _ := tap.Msg.CSeq()
	if cseq.Method == "OPTIONS" && w.isProbe(tap.Msg) {
		return
	}
	if !tap.In {
		w.mu.Lock()
		w.sent[tap.Remote.String()] = append(w.sent[tap.Remote.String()], string(tap.Raw))
		w.mu.Unlock()
	}
	name := map[string]string{coreAt: "core", core2At: "core2", teamsAt: "teams", teams2At: "teams2"}[tap.Remote.String()]
	what := tap.Msg.Method
	if !tap.Msg.IsRequest() {
		what = fmt.Sprintf("%d (%s)", tap.Msg.Status, cseq.Method)
	}
	if d := describeShort(tap.Msg); d != "" {
		what += " " + d
	}
	if tap.Msg.Has("RSeq") {
		what += " reliable"
	}
	if r := tap.Msg.Get("Reason"); r != "" {
		what += " [" + r + "]"
	}
	at := time.Since(w.start)
	step := rung{at: at, core: strings.HasPrefix(name, "core")}
	if step.core {
		step.text = fmt.Sprintf("%9.3f  %-6s %s gw           %s", at.Seconds(), name, arrow(tap.In), what)
	} else {
		step.text = fmt.Sprintf("%9.3f            gw %s %-6s %s", at.Seconds(), arrow(!tap.In), name, what)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ladder = append(w.ladder, step)
}

func arrow(right bool) string {
	if right {
		return "->"
	}
	return "<-"
}

// rung is one message of the ladder.
type rung struct {
	at   time.Duration
	core bool
	text string
}

// drawn is the ladder. What happens at one moment on the two sides happens in
// no order: the core's side is written first.
func (w *world) drawn() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.ladder, func(a, b rung) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.core == b.core {
			return c
		}
		if a.core {
			return -1
		}
		return 1
	})
	var out strings.Builder
	for _, r := range w.ladder {
		out.WriteString(r.text + "\n")
	}
	return out.String()
}

func (w *world) isProbe(m *sip.Message) bool {
	to, _ := m.To()
	return to.Tag() == "" || !strings.Contains(m.Get("To"), "+")
}

// describeShort is what matters of a description in one word.
func describeShort(m *sip.Message) string {
	if len(m.Body) == 0 {
		return ""
	}
	if state, _, _ := strings.Cut(m.Get("Subscription-State"), ";"); state != "" {
		return fmt.Sprintf("{%s, %s}", m.Body, state)
	}
	var proto, formats, dir string
	dir = "sendrecv"
	for line := range strings.Lines(string(m.Body)) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			f := strings.Fields(v)
			proto, formats = strings.TrimPrefix(f[1], "RTP/"), strings.Join(f[2:], ",")
		}
		switch line {
		case "a=sendonly", "a=recvonly", "a=inactive":
			dir = line[2:]
		}
	}
	return fmt.Sprintf("{%s %s %s}", proto, formats, dir)
}

// golden compares the ladder with the one on disk.
func (w *world) golden(name string) {
	w.t.Helper()
	synctest.Wait()
	got := w.drawn()
	path := filepath.Join("testdata", "ladders", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		w.t.Errorf("ladder differs from %s (-want +got):\n%s", path, diff)
	}
}

// far is one scripted far side.
type far struct {
	w    *world
	name string
	at   netip.AddrPort
	gw   netip.AddrPort
	conn sip.PacketConn
	in   chan *sip.Message
	done chan struct{}
	tags int
	mute bool // does not even answer OPTIONS
}

func (w *world) newFar(name, at string) *far {
	ap := netip.MustParseAddrPort(at)
	conn, err := w.net.ListenPacket(ap)
	if err != nil {
		w.t.Fatal(err)
	}
	gw := netip.MustParseAddrPort(gwOperator)
	if strings.HasPrefix(name, "teams") {
		gw = netip.MustParseAddrPort(gwCloud)
	}
	f := &far{w: w, name: name, at: ap, gw: gw, conn: conn, in: make(chan *sip.Message, 1024), done: make(chan struct{})}
	go f.read()
	return f
}

func (f *far) read() {
	defer close(f.done)
	buf := make([]byte, 65536)
	for {
		n, _, err := f.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m, err := sip.Parse(append([]byte(nil), buf[:n]...), sip.Limits{})
		if err != nil {
			f.w.t.Errorf("%s got what it cannot read: %v\n%s", f.name, err, buf[:n])
			continue
		}
		if err := m.Check(); err != nil {
			f.w.t.Errorf("%s got a bad message: %v\n%s", f.name, err, buf[:n])
		}
		if m.Method == "OPTIONS" && ua.IDOf(m).LocalTag == "" {
			if !f.mute {
				f.send(sip.NewResponse(m, 200, ""))
			}
			continue
		}
		f.in <- m
	}
}

func (f *far) close() {
	f.conn.Close()
	<-f.done
}

func (f *far) send(m *sip.Message) {
	f.w.t.Helper()
	if _, err := f.conn.WriteToUDPAddrPort(m.Append(nil), f.gw); err != nil {
		f.w.t.Fatal(err)
	}
}

// expect gives the next message, which must be the request or status named.
func (f *far) expect(what string) *sip.Message {
	f.w.t.Helper()
	select {
	case m := <-f.in:
		synctest.Wait() // the ladder has it too
		got := m.Method
		if !m.IsRequest() {
			got = strconv.Itoa(m.Status)
		}
		if got != what {
			f.w.t.Fatalf("%s waits for %s and gets\n%s", f.name, what, m)
		}
		return m
	case <-time.After(2 * time.Minute):
		f.w.t.Fatalf("%s waits for %s in vain", f.name, what)
		return nil
	}
}

// quiet checks that nothing more has come.
func (f *far) quiet() {
	f.w.t.Helper()
	synctest.Wait()
	select {
	case m := <-f.in:
		f.w.t.Fatalf("%s expects silence and gets\n%s", f.name, m)
	default:
	}
}

// drop forgets what has come.
func (f *far) drop() {
	for {
		select {
		case <-f.in:
		default:
			return
		}
	}
}

const coreSDP = "v=0\r\no=core 1 1 IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 10.1.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"

const teamsSDP = "v=0\r\no=- 41187 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 10.2.0.77\r\nt=0 0\r\nm=audio 49168 RTP/SAVP 8 101\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+|2^31\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

const teamsOffer = "v=0\r\no=- 90311 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 10.2.0.77\r\nt=0 0\r\nm=audio 49210 RTP/SAVP 104 9 0 8 101\r\n" +
	"a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C|2^31\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31\r\n" +
	"a=rtpmap:104 SILK/16000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"

const coreAnswer = "v=0\r\no=core 5 1 IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 10.1.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP 8 101\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\n"

// turn is a description with another direction and version.
func turn(desc, dir string, version int) string {
	var out strings.Builder
	for line := range strings.Lines(desc) {
		if f := strings.Fields(line); strings.HasPrefix(line, "o=") {
			f[2] = strconv.Itoa(version)
			line = strings.Join(f, " ") + "\r\n"
		}
		if line != "a=sendrecv\r\n" {
			out.WriteString(line)
		}
	}
	return out.String() + "a=" + dir + "\r\n"
}

// invite begins a call from this far side.
func (f *far) invite(to, body string, headers ...string) *sip.Message {
	f.w.t.Helper()
	f.tags++
	id := fmt.Sprintf("%s-%d", f.name, f.tags)
	m := sip.NewRequest("INVITE", "sip:"+to+"@"+f.gw.String()+";user=phone")
	m.Add("Via", "SIP/2.0/UDP "+f.at.String()+";branch=z9hG4bK"+id)
	m.Add("From", "<sip:+441632960001@"+f.at.Addr().String()+">;tag=f"+id)
	m.Add("To", "<sip:"+to+"@"+f.gw.Addr().String()+">")
	m.Add("Call-ID", "call-"+id)
	m.Add("CSeq", "1 INVITE")
	m.Add("Contact", "<sip:"+f.at.String()+">")
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	f.send(m)
	return m
}

// reply answers a request with a tag of its own.
func (f *far) reply(req *sip.Message, status int, tag, body string, headers ...string) *sip.Message {
	f.w.t.Helper()
	m := sip.NewResponse(req, status, "")
	if tag != "" {
		m.TagTo(tag)
		m.Set("Contact", "<sip:"+f.at.String()+">")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	f.send(m)
	return m
}

// dialog is a far side's view of its dialog.
type dialog struct {
	*ua.Dialog
	f      *far
	invite *sip.Message // last one sent
}

// took makes the dialog of a call this far side placed.
func (f *far) took(invite, resp *sip.Message) *dialog {
	f.w.t.Helper()
	d, err := ua.ClientDialog(invite, resp)
	if err != nil {
		f.w.t.Fatal(err)
	}
	return &dialog{d, f, invite}
}

// gave makes the dialog of a call it accepted.
func (f *far) gave(invite *sip.Message, tag string) *dialog {
	f.w.t.Helper()
	d, err := ua.ServerDialog(invite, tag)
	if err != nil {
		f.w.t.Fatal(err)
	}
	return &dialog{d, f, invite}
}

func (d *dialog) ack(body string) {
	d.f.w.t.Helper()
	m := d.NewAck(d.invite)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	d.f.send(m)
}

// bye hangs up.
func (d *dialog) bye() {
	d.f.w.t.Helper()
	d.request("BYE", "")
	d.f.expect("200")
}

func (d *dialog) request(method, body string) *sip.Message {
	d.f.w.t.Helper()
	m := d.NewRequest(method)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.Set("Contact", "<sip:"+d.f.at.String()+">")
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	if method == "INVITE" {
		d.invite = m
	}
	d.f.send(m)
	return m
}

// ackFailure acknowledges a non-2xx.
func (f *far) ackFailure(invite, resp *sip.Message) {
	m := sip.NewRequest("ACK", invite.RequestURI)
	m.Add("Via", invite.Get("Via"))
	m.Add("From", invite.Get("From"))
	m.Add("To", resp.Get("To"))
	m.Add("Call-ID", invite.Get("Call-ID"))
	cseq, _ := invite.CSeq()
	m.Add("CSeq", fmt.Sprintf("%d ACK", cseq.Seq))
	f.send(m)
}

// cancel cancels an INVITE of its own.
func (f *far) cancel(invite *sip.Message) {
	m := sip.NewRequest("CANCEL", invite.RequestURI)
	for _, h := range []string{"Via", "From", "To", "Call-ID"} {
		m.Add(h, invite.Get(h))
	}
	m.Add("CSeq", "1 CANCEL")
	f.send(m)
}

// place lets the core call a number, up to the INVITE that Teams has of it.
func (w *world) place() (in, out *sip.Message) {
	w.t.Helper()
	in = w.core.invite("+442079460123", coreSDP)
	w.core.expect("100")
	return in, w.teams.expect("INVITE")
}

// talk makes an answered call from core to teams.
func (w *world) talk() (core, teams *dialog) {
	w.t.Helper()
	in, out := w.place()
	w.teams.reply(out, 100, "", "")
	w.teams.reply(out, 180, "t1", "")
	w.core.expect("180")
	w.teams.reply(out, 200, "t1", teamsSDP)
	w.teams.expect("ACK")
	ok := w.core.expect("200")
	core, teams = w.core.took(in, ok), w.teams.gave(out, "t1")
	core.ack("")
	synctest.Wait()
	return core, teams
}
