package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Timers of RFC 3261 over UDP; a TLS side repeats only its 200.
const (
	t1      = 500 * time.Millisecond
	t2      = 4 * time.Second
	linger  = 5 * time.Second // a leg given up still acknowledges what comes late
	leaving = 4 * time.Second // for the answer to BYE
)

// silent is the port in descriptions of calls without media.
const silent = 19998

// calls places and answers calls between two sides.
type calls struct {
	sides  [2]*side // RO: cloud and core
	player *player  // RO
	media  atomic.Bool
	heard  atomic.Int64 // OPTIONS of the system, a sign that it lives
}

// tally is what became of a load's calls.
type tally struct {
	offered, answered, completed atomic.Int64
	live                         atomic.Int64
	setup                        histogram

	mu       sync.Mutex
	failures map[string]int // mu: by cause
}

func newTally() *tally { return &tally{failures: map[string]int{}} }

func (t *tally) failed(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures[cause]++
}

// phase is how far a caller is.
type phase uint8

const (
	inviting  phase = iota
	ringing         // a provisional response came
	talking         // acknowledged
	hangingUp       // BYE is under way
	abandoned       // failed, but a late 200 is still to be released
	over
)

// caller is the calling end of one call.
type caller struct {
	calls    *calls        // RO
	tally    *tally        // RO
	from     *side         // RO
	way      way           // RO
	id       string        // RO: Call-ID
	hold     time.Duration // RO: from answer to BYE; 0: until hangUp
	patience time.Duration // RO: for the answer

	mu       sync.Mutex
	phase    phase
	began    time.Time
	deadline time.Time     // of the phase
	interval time.Duration // to the next retransmission
	invite   *sip.Message
	last     *sip.Message // what is retransmitted
	ack      *sip.Message
	dialog   *ua.Dialog
	timer    *time.Timer
	stream   *stream
}

// place starts a call. from is an index of sides.
func (c *calls) place(t *tally, from int, hold, patience time.Duration) *caller {
	side := c.sides[from]
	l := &caller{calls: c, tally: t, from: side, way: side.way(), id: sip.NewCallID(), hold: hold, patience: patience}
	t.offered.Add(1)
	t.live.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	body, err := c.describe(side, &l.stream, "1")
	if err != nil {
		l.fail("no media port")
		return l
	}
	l.invite = invite(side, l.id, from == 0, body)
	l.last, l.interval = l.invite, t1
	l.began = time.Now()
	l.deadline = l.began.Add(patience)
	side.put(l.id, l)
	l.timer = time.AfterFunc(min(t1, patience), l.tick)
	l.way.send(l.invite)
	return l
}

// describe opens a stream when there is to be media, and describes it. tag is
// that of the crypto line.
func (c *calls) describe(s *side, into **stream, tag string) ([]byte, error) {
	d := description{addr: netip.AddrPortFrom(s.addr.Addr(), silent), tag: tag}
	way, srtp := 0, s.transport == sip.TLS
	if s == c.sides[1] {
		way = 1
	}
	if c.media.Load() {
		st, err := c.player.open(s.name, way, srtp)
		if err != nil {
			return nil, err
		}
		*into, d.addr, d.keys = st, st.port.Addr(), st.keys
	} else if srtp {
		d.keys, _ = rtp.NewKeys(suite) // a suite we know
	}
	return d.write(), nil
}

// invite writes the INVITE of a side, with the headers that one meets there.
func invite(s *side, callID string, cloud bool, body []byte) *sip.Message {
	user, number := fmt.Sprintf("+1425555%04d", rand.IntN(10000)), fmt.Sprintf("+44207946%04d", rand.IntN(10000))
	from, to := number, user
	if cloud {
		from, to = user, number
	}
	m := sip.NewRequest("INVITE", "sip:"+to+"@"+s.peerHost+";user=phone"+s.param())
	m.Set("Via", s.via())
	m.Set("From", "<sip:"+from+"@"+s.host+";user=phone>;tag="+sip.NewTag())
	m.Set("To", "<sip:"+to+"@"+s.peerHost+";user=phone>")
	m.Set("Call-ID", callID)
	m.Set("CSeq", "1 INVITE")
	m.Set("Contact", s.contact())
	m.Set("Allow", "INVITE,ACK,OPTIONS,CANCEL,BYE")
	if cloud {
		m.Set("Min-SE", "300")
		m.Set("Supported", "timer")
		m.Set("P-Asserted-Identity", "<tel:"+from+">,<sip:bench@contoso.example>")
	} else {
		m.Set("P-Asserted-Identity", "<sip:"+from+"@"+s.host+";user=phone>")
	}
	m.SetBody("application/sdp", body)
	return m
}

// receive takes the system's messages for a call we placed.
func (l *caller) receive(m *sip.Message, by way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.IsRequest() {
		if m.Method != "ACK" {
			by.send(l.from.response(m, 200))
		}
		if m.Method == "BYE" && l.phase == talking {
			l.fail("hung up by the system")
		}
		return
	}
	cseq, err := m.CSeq()
	switch {
	case err != nil:
	case cseq.Method == "INVITE" && m.Status < 200:
		if l.phase == inviting {
			l.phase = ringing
		}
	case cseq.Method == "INVITE" && m.Status < 300:
		l.answered(m)
	case cseq.Method == "INVITE":
		l.refused(m)
	case cseq.Method == "BYE" && m.Status >= 200 && l.phase == hangingUp:
		if m.Status < 300 {
			l.tally.completed.Add(1)
		} else {
			l.tally.failed(fmt.Sprintf("BYE: %d", m.Status))
		}
		l.end()
	}
}

func (l *caller) answered(m *sip.Message) {
	if l.ack != nil { // repeated
		l.way.send(l.ack)
		return
	}
	late := l.phase == abandoned
	if l.phase > ringing && !late {
		return
	}
	setup := time.Since(l.began)
	d, err := ua.ClientDialog(l.invite, m)
	if err != nil {
		l.fail("200 without a dialog")
		return
	}
	l.dialog = d
	l.ack = l.request(d.NewAck(l.invite))
	l.way.send(l.ack)
	if late {
		l.way.send(l.request(d.NewRequest("BYE")))
		return
	}
	l.phase = talking
	l.tally.answered.Add(1)
	l.tally.setup.add(setup)
	if l.stream != nil {
		far, err := understand(m.Body)
		if err == nil { // SRTP without keys would be heard as noise, and lost
			err = l.stream.start(far)
		}
		if err != nil {
			l.tally.failed("description: " + err.Error())
		}
	}
	if l.hold > 0 {
		l.timer.Reset(l.hold)
	} else {
		l.timer.Stop()
	}
}

// request puts on what all of ours in a dialog have.
func (l *caller) request(m *sip.Message) *sip.Message {
	m.Prepend("Via", l.from.via())
	return m
}

// refused acknowledges a failure (RFC 3261 17.1.1.3).
func (l *caller) refused(m *sip.Message) {
	ack := sip.NewRequest("ACK", l.invite.RequestURI)
	ack.Prepend("Via", l.invite.Get("Via"))
	ack.Set("From", l.invite.Get("From"))
	ack.Set("To", m.Get("To"))
	ack.Set("Call-ID", l.id)
	ack.Set("CSeq", "1 ACK")
	l.way.send(ack)
	if l.phase <= ringing {
		l.fail(fmt.Sprint(m.Status))
	}
}

// tick retransmits and gives up.
func (l *caller) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := !time.Now().Before(l.deadline)
	switch l.phase {
	case talking:
		l.bye()
	case abandoned:
		l.end()
	case inviting, ringing:
		if late {
			if l.phase == ringing {
				l.way.send(l.cancel())
			}
			l.fail("no answer in time")
			return
		}
		l.again()
	case hangingUp:
		if late {
			l.fail("BYE: no answer in time")
			return
		}
		l.again()
	}
}

// again retransmits over UDP what no response has come to.
func (l *caller) again() {
	if l.from.transport == sip.UDP && l.phase != ringing {
		l.way.send(l.last)
	}
	l.interval = min(2*l.interval, t2)
	l.timer.Reset(max(0, min(l.interval, time.Until(l.deadline))))
}

func (l *caller) cancel() *sip.Message {
	m := sip.NewRequest("CANCEL", l.invite.RequestURI)
	m.Prepend("Via", l.invite.Get("Via"))
	for _, name := range []string{"From", "To", "Call-ID"} {
		m.Set(name, l.invite.Get(name))
	}
	m.Set("CSeq", "1 CANCEL")
	return m
}

// hangUp ends a call that was placed to stand.
func (l *caller) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == talking {
		l.bye()
	}
}

func (l *caller) bye() {
	l.phase = hangingUp
	if l.stream != nil {
		l.stream.end()
		l.stream = nil
	}
	l.last = l.request(l.dialog.NewRequest("BYE"))
	l.interval, l.deadline = t1, time.Now().Add(leaving)
	l.timer.Reset(t1)
	l.way.send(l.last)
}

// fail counts a call as failed; it stays for a while to release what comes
// late.
func (l *caller) fail(cause string) {
	l.tally.failed(cause)
	if l.timer == nil || l.phase >= talking {
		l.end()
		return
	}
	l.phase = abandoned
	l.tally.live.Add(-1)
	l.timer.Reset(linger)
	l.silence()
}

func (l *caller) end() {
	if l.phase != abandoned {
		l.tally.live.Add(-1)
	}
	l.phase = over
	if l.timer != nil {
		l.timer.Stop()
	}
	l.silence()
	l.from.forget(l.id)
}

func (l *caller) silence() {
	if l.stream != nil {
		l.stream.end()
		l.stream = nil
	}
}

// callee is the called end of one call: it answers at once.
type callee struct {
	calls *calls // RO
	side  *side  // RO
	id    string // RO
	way   way    // RO

	mu       sync.Mutex
	ok       *sip.Message
	acked    bool
	interval time.Duration
	deadline time.Time
	timer    *time.Timer
	stream   *stream
}

// answer takes an INVITE: 180 and 200 at once.
func (c *calls) answer(s *side, m *sip.Message, by way) {
	l := &callee{calls: c, side: s, id: m.Get("Call-ID"), way: by}
	l.mu.Lock()
	defer l.mu.Unlock()
	far, err := understand(m.Body)
	if err != nil || (far.keys == nil) == (s.transport == sip.TLS) {
		by.send(s.response(m, 488))
		return
	}
	body, err := c.describe(s, &l.stream, far.tag)
	if err != nil {
		by.send(s.response(m, 503))
		return
	}
	if l.stream != nil {
		if err := l.stream.start(far); err != nil {
			l.stream.end()
			by.send(s.response(m, 488))
			return
		}
	}
	s.put(l.id, l)
	by.send(s.response(m, 180))
	l.ok = s.response(m, 200)
	l.ok.SetBody("application/sdp", body)
	l.interval, l.deadline = t1, time.Now().Add(64*t1)
	l.timer = time.AfterFunc(t1, l.tick)
	by.send(l.ok)
}

func (l *callee) receive(m *sip.Message, by way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch m.Method {
	case "INVITE":
		if !l.acked {
			by.send(l.ok)
		}
	case "ACK":
		l.acked = true
		l.timer.Stop()
	case "CANCEL": // crossed our 200
		by.send(l.side.response(m, 200))
	case "BYE":
		by.send(l.side.response(m, 200))
		l.end()
	}
}

// tick repeats the 200 until its ACK comes (RFC 3261 13.3.1.4).
func (l *callee) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.acked:
	case !time.Now().Before(l.deadline):
		l.end()
	default:
		l.way.send(l.ok)
		l.interval = min(2*l.interval, t2)
		l.timer.Reset(l.interval)
	}
}

// end is called with mu held.
func (l *callee) end() {
	l.timer.Stop()
	if l.stream != nil {
		l.stream.end()
		l.stream = nil
	}
	l.side.forget(l.id)
}
