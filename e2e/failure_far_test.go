package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// far is one proxy of Teams or one site of the core. It answers calls by its
// habit, and places calls as its kind does.
type far struct {
	b       *bubble
	name    string
	at      netip.AddrPort
	cert    *tls.Certificate // nil: the core, over UDP
	stack   *sip.Stack
	gateway *sip.Remote // RO
	habit   atomic.Pointer[habit]
	placed  atomic.Int32 // calls
	invites atomic.Int32 // received
	close   func()
}

// habit is what a far side does with INVITEs. The zero habit rings and answers
// at once.
type habit struct {
	mute   bool          // nothing but 100
	status int           // refuses them
	header [2]string     // of that
	pause  time.Duration // before its first response
	trying bool          // says 100 before the pause
}

// leg is one call as the far side sees it that was called.
type leg struct {
	from   *far
	dialog *ua.Dialog
	offer  *sdp.Session
	voice  *voice
	bye    time.Time // when it was hung up on
}

// legs are those of all far sides: proxies and sites share what they know.
type legs struct {
	mu     sync.Mutex
	byCall map[string]*leg // mu; by number called
	gone   map[string]bool // mu; Call-IDs of callers who have hung up
}

func (b *bubble) newFar(name string, at netip.AddrPort, cert *tls.Certificate) *far {
	f := &far{b: b, name: name, at: at, cert: cert, gateway: &sip.Remote{Name: "gateway", TLS: sip.TLSPolicy{Roots: b.ca.Roots()}}}
	f.habit.Store(&habit{})
	f.open()
	return f
}

func (f *far) open() {
	f.b.t.Helper()
	l := sip.Listener{Name: f.name, Transport: sip.UDP, Bind: f.at}
	if f.cloud() {
		l.Transport, l.Advertise = sip.TLS, f.name+"."+farDomain
		l.Certificate = func() (*tls.Certificate, error) { return f.cert, nil }
	}
	var err error
	f.stack, err = sip.NewStack(sip.StackConfig{
		Network: f.b.net, Listeners: []sip.Listener{l}, Handle: f.handle,
		Admit: func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{f.gateway} },
	})
	f.b.must(err)
	f.close = func() { _ = f.stack.Close() }
}

func (f *far) stop() {
	f.close()
	f.close = func() {}
}

func (f *far) cloud() bool { return f.cert != nil }

func (f *far) transport() sip.Transport {
	if f.cloud() {
		return sip.TLS
	}
	return sip.UDP
}

func (f *far) handle(tx *sip.ServerTx) {
	req := tx.Request()
	h := *f.habit.Load()
	if req.Method == "INVITE" {
		f.invites.Add(1)
		if h.mute {
			return // but for the 100 of the transaction (RFC 3261 17.2.1)
		}
		over := make(chan struct{})
		tx.OnCancel(func(*sip.Message) { close(over) })
		f.b.running.Go(func() { f.ring(req, h, over, func(m *sip.Message) { _ = tx.Respond(m) }) })
		return
	}
	_ = tx.Respond(f.settle(req))
}

// settle answers all but INVITE.
func (f *far) settle(req *sip.Message) *sip.Message {
	status := 200
	switch {
	case req.Method == "BYE":
		f.b.hungUp(req)
	case f.b.isGone(req):
		status = 481
	}
	resp := sip.NewResponse(req, status, "")
	resp.TagTo(sip.NewTag())
	return resp
}

// hungUp notes a BYE.
func (b *bubble) hungUp(bye *sip.Message) {
	b.legs.mu.Lock()
	defer b.legs.mu.Unlock()
	for _, l := range b.legs.byCall {
		if l.dialog.ID() == ua.IDOf(bye) {
			l.bye = time.Now()
			l.voice.close()
		}
	}
}

// isGone tells whether a request is for a call that its caller has left.
func (b *bubble) isGone(m *sip.Message) bool {
	b.legs.mu.Lock()
	defer b.legs.mu.Unlock()
	return b.legs.gone[ua.IDOf(m).CallID]
}

// ring is a called far side.
func (f *far) ring(req *sip.Message, h habit, over <-chan struct{}, respond func(*sip.Message)) {
	tag := sip.NewTag()
	say := func(status int, body []byte) {
		resp := sip.NewResponse(req, status, "")
		if status > 100 {
			resp.TagTo(tag)
			resp.Set("Contact", f.contact())
		}
		if f.cloud() {
			resp.Set("Record-Route", "<sip:"+farRoute+":5061;transport=tls;lr>")
		}
		if body != nil {
			resp.SetBody("application/sdp", body)
		}
		if h.header[0] != "" && status == h.status {
			resp.Set(h.header[0], h.header[1])
		}
		respond(resp)
	}
	switch {
	case h.status != 0:
		say(h.status, nil)
		return
	case h.pause == 0 || h.trying:
		say(100, nil)
	}
	if h.pause > 0 {
		select {
		case <-over:
			say(487, nil)
			return
		case <-time.After(h.pause):
		}
	}
	u, err := sip.ParseURI(req.RequestURI)
	f.b.must(err)
	l := &leg{from: f}
	l.offer, err = sdp.Parse(req.Body)
	f.b.must(err)
	l.dialog, err = ua.ServerDialog(req, tag)
	f.b.must(err)
	l.voice = f.b.newVoice(f, u.User)
	f.b.legs.mu.Lock()
	f.b.legs.byCall[u.User] = l
	f.b.legs.mu.Unlock()
	say(180, nil)
	say(200, l.voice.describe())
}

func (f *far) contact() string {
	if f.cloud() {
		return "<sip:api-du-a-euno." + farDomain + ":443;x-i=1>" // as that of Teams, which nobody can reach
	}
	return "<sip:" + f.at.String() + ">"
}

// ring is one call as its caller sees it.
type ring struct {
	began   time.Time
	took    time.Duration // to the answer, or to the refusal that ended it
	status  int           // last final status, 0 when none came
	reason  string        // its Reason
	heard   []string      // what the caller was told, and when
	gateway *gateway      // that answered
	caller  *far
	dialog  *ua.Dialog
	voice   *voice
	to      string
}

func (r *ring) hear(format string, args ...any) {
	r.heard = append(r.heard, fmt.Sprintf(format, args...)+" "+seconds(time.Since(r.began)))
}

func (r *ring) answered() bool { return r.dialog != nil }

// seconds is a duration in words of the document.
func seconds(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", d.Seconds()), "0"), ".") + " s"
}

// dial places a call by the rules of its kind (Microsoft Teams docs, "Direct
// Routing: trunk failover"; Azure Communications Gateway docs, "Reliability"):
// Teams goes to the next region when it has heard nothing but 100 for
// FailoverTimeSeconds, 10 s unless set; the core when there was no response at
// all for 4 s; both on 408, 503, 504 and when a region cannot be reached.
func (f *far) dial(voices bool, regions ...*gateway) *ring {
	n := f.placed.Add(1)
	r := &ring{began: time.Now(), caller: f, to: fmt.Sprintf("+1425555%s%05d", map[bool]string{true: "1", false: "2"}[f.cloud()]+fmt.Sprint(f.at.Addr().As4()[3]), n)}
	r.voice = f.b.newVoice(f, r.to)
	for i, g := range regions {
		if i > 0 {
			r.hear("on to %s", g.name)
		}
		if f.try(r, g) {
			break
		}
	}
	r.took = time.Since(r.began)
	if !voices || !r.answered() {
		r.voice.close()
	}
	return r
}

// try is one region; false when the next one is to be tried.
func (f *far) try(r *ring, g *gateway) bool {
	patience := 4 * time.Second
	if f.cloud() {
		patience = 10 * time.Second
	}
	invite := f.invite(r, g)
	events := make(chan sip.Event, 64)
	tx, err := f.stack.Request(invite, f.way(g), func(ev sip.Event) {
		select {
		case events <- ev:
		default:
		}
	})
	if err != nil {
		r.hear("unreachable")
		return false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case ev := <-events:
			switch {
			case ev.Err != nil:
				r.hear("unreachable")
				r.status = 0
				return false
			case ev.Msg.Status < 200:
				r.hear("%d", ev.Msg.Status)
				if ev.Msg.Status > 100 || !f.cloud() {
					timer.Stop()
				}
				continue
			}
			r.status, r.reason = ev.Msg.Status, ev.Msg.Get("Reason")
			r.hear("%d", r.status)
			if r.status < 300 {
				f.accepted(r, invite, ev.Msg, g)
			}
			return r.status != 408 && r.status != 503 && r.status != 504
		case <-timer.C:
			r.hear("nothing more:")
			tx.Cancel("")
			f.b.running.Go(func() { f.abandon(invite, g, events) })
			return false
		}
	}
}

// accepted acknowledges the answer.
func (f *far) accepted(r *ring, invite, ok *sip.Message, g *gateway) {
	var err error
	r.dialog, err = ua.ClientDialog(invite, ok)
	f.b.must(err)
	r.gateway = g
	_ = f.stack.Send(r.dialog.NewAck(invite), f.way(g))
	if answer, err := sdp.Parse(ok.Body); err == nil {
		r.voice.hearFrom(answer)
	}
}

// abandon releases a call that was answered after its caller had left.
func (f *far) abandon(invite *sip.Message, g *gateway, events chan sip.Event) {
	for ev := range events {
		switch {
		case ev.Err != nil || ev.Msg.Status >= 300:
			return
		case ev.Msg.Status >= 200:
			d, err := ua.ClientDialog(invite, ev.Msg)
			f.b.must(err)
			_ = f.stack.Send(d.NewAck(invite), f.way(g))
			_, _ = f.stack.Request(d.NewRequest("BYE"), f.way(g), func(sip.Event) {})
			return
		}
	}
}

func (f *far) way(g *gateway) sip.Target {
	to := sip.Target{Listener: f.name, Transport: f.transport(), Addr: g.core, Remote: f.gateway}
	if f.cloud() {
		to.Addr, to.Host = g.cloud, g.cloudName()
	}
	return to
}

func (f *far) invite(r *ring, g *gateway) *sip.Message {
	host, from := g.core.String(), "<sip:+442079460001@"+f.at.Addr().String()+";user=phone>"
	if f.cloud() {
		host, from = g.cloudName()+":5063", "<sip:+14255550101@sip."+farDomain+":5061;user=phone>"
	}
	m := sip.NewRequest("INVITE", "sip:"+r.to+"@"+host+";user=phone")
	m.Set("From", from+";tag="+sip.NewTag())
	m.Set("To", "<sip:"+r.to+"@"+host+";user=phone>")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 INVITE")
	m.Set("Contact", f.contact())
	if f.cloud() {
		m.Set("Record-Route", "<sip:"+farRoute+":5061;transport=tls;lr>")
	}
	m.SetBody("application/sdp", r.voice.describe())
	return m
}

// hangUp ends a call and tells when it was told so, and when the called side
// was: zero when never within two minutes.
func (f *far) hangUp(r *ring) (told, other time.Duration) {
	began := time.Now()
	f.b.legs.mu.Lock()
	f.b.legs.gone[r.dialog.ID().CallID] = true
	f.b.legs.mu.Unlock()
	answered := make(chan struct{}, 1)
	_, err := f.stack.Request(r.dialog.NewRequest("BYE"), f.way(r.gateway), func(ev sip.Event) {
		if ev.Err == nil && ev.Msg.Status >= 200 {
			answered <- struct{}{}
		}
	})
	f.b.must(err)
	told, other = -1, -1
	limit := time.After(2 * time.Minute)
	for told < 0 || other < 0 {
		select {
		case <-answered:
			told = time.Since(began)
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			return told, other
		}
		if at := f.b.callee(r.to).bye; other < 0 && !at.IsZero() {
			other = at.Sub(began)
		}
	}
	return told, other
}

// callee is the called side of a call.
func (b *bubble) callee(number string) leg {
	b.legs.mu.Lock()
	defer b.legs.mu.Unlock()
	if l := b.legs.byCall[number]; l != nil {
		return *l
	}
	return leg{}
}

// voice is one end of a call's media: it sends a packet each 20 ms and notes
// how long it has heard none.
type voice struct {
	port *rtp.Port
	key  string // ours, base64; empty: in the clear
	stop chan struct{}
	once sync.Once

	mu   sync.Mutex
	last time.Time     // mu; of the last packet heard
	gap  time.Duration // mu; the longest between two
}

func (b *bubble) newVoice(f *far, number string) *voice {
	iface := "core"
	if f.cloud() {
		iface = "teams"
	}
	port, err := b.ends.Open(iface)
	b.must(err)
	v := &voice{port: port, stop: make(chan struct{})}
	if f.cloud() {
		v.key = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%-30.30s", number))
	}
	return v
}

func (v *voice) close() {
	v.once.Do(func() {
		close(v.stop)
		v.port.Close()
	})
}

func (v *voice) describe() []byte {
	at := v.port.Addr()
	proto, crypto := "RTP/AVP", ""
	if v.key != "" {
		proto, crypto = "RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+v.key+"|2^31\r\n"
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d %s 8\r\n%s", at.Addr(), at.Addr(), at.Port(), proto, crypto)
}

// keys are those a description brings, nil when it brings none.
func keysOf(m *sdp.Media) *rtp.Keys {
	if len(m.Crypto) == 0 {
		return nil
	}
	master, err := m.Crypto[0].Master()
	if err != nil {
		return nil
	}
	return &rtp.Keys{Suite: m.Crypto[0].Suite, Master: master}
}

// hearFrom sets where the far end's media come from and go to.
func (v *voice) hearFrom(d *sdp.Session) {
	m := d.Carried()
	to := netip.AddrPortFrom(m.Conn.IP(), m.Port)
	v.port.Remote(to, netip.AddrPort{})
	_ = v.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: keysOf(m), Sink: func(_ []byte, rtcp bool) {
		if !rtcp {
			v.heard()
		}
	}})
}

func (v *voice) heard() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if !v.last.IsZero() {
		v.gap = max(v.gap, now.Sub(v.last))
	}
	v.last = now
}

// silence is the longest it has heard nothing.
func (v *voice) silence() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(v.gap, time.Since(v.last))
}

// speak sends until the voice is closed.
func (v *voice) speak() {
	var keys *rtp.Keys
	if v.key != "" {
		master, _ := base64.StdEncoding.DecodeString(v.key)
		keys = &rtp.Keys{Suite: "AES_CM_128_HMAC_SHA1_80", Master: master}
	}
	pkt := make([]byte, 172)
	pkt[0], pkt[1] = 0x80, 8
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seq := uint16(1); ; seq++ {
		select {
		case <-v.stop:
			return
		case <-tick.C:
		}
		binary.BigEndian.PutUint16(pkt[2:], seq)
		binary.BigEndian.PutUint32(pkt[4:], 160*uint32(seq))
		_ = v.port.Send(pkt, keys) // what is lost shows at the other end
	}
}
