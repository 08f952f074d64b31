package call

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// machine runs step on its own: it carries effects out in its head, keeps
// account of what was taken and given back, and lets the fuzzer choose what
// happens next.
type machine struct {
	t     *testing.T
	s     *state
	now   time.Time
	bytes []byte // of the fuzzer

	script  []event             // results of effects, to be delivered in any order
	first   event               // one to be delivered at once; nil = none
	servers map[txn]*serverSide // every request it was given
	last    txn
	clients map[int]*sip.Message // requests that have no final response yet
	invites map[int]*sip.Message // INVITEs of attempts, for ever
	acked   map[string]int       // 2xx to acknowledge, by dialog
	asked   map[int]*sip.Message // requests that a proof was asked for
	numbers map[ua.ID]uint32     // of the last request in each dialog
	hung    map[ua.ID]bool       // dialogs that a BYE has ended
	due     [timers]time.Time

	begun, ended, plugs int
	opened, closed      bool
	coming              bool                        // a peer is counted for a transfer
	far                 [2][]*ua.Dialog             // as the far sides see them, the newest last
	invitesIn           map[*ua.Dialog]*sip.Message // the last one in each
	joining             map[txn]relay.Side          // INVITEs with Replaces
	inviteOut           *sip.Message
	sounds              []string
	repeated            map[int]bool // INVITEs that were accepted, and may be again
	ringing             ringing
}

// dialog is one that a far side has with us, nearly always the newest one; nil
// when it has none.
func (m *machine) dialog(leg relay.Side) *ua.Dialog {
	all := m.far[leg]
	if len(all) == 0 {
		return nil
	}
	if m.next(4) == 1 {
		return all[m.next(len(all))]
	}
	return all[len(all)-1]
}

type serverSide struct {
	msg   *sip.Message
	final int // status, 0 when none yet
}

func newMachine(t *testing.T, data []byte) *machine {
	m := &machine{
		t: t, now: time.Unix(1e9, 0), bytes: data,
		servers: map[txn]*serverSide{}, clients: map[int]*sip.Message{}, invites: map[int]*sip.Message{}, acked: map[string]int{},
		asked: map[int]*sip.Message{}, numbers: map[ua.ID]uint32{}, hung: map[ua.ID]bool{},
		invitesIn: map[*ua.Dialog]*sip.Message{}, joining: map[txn]relay.Side{}, repeated: map[int]bool{},
	}
	limits := Limits{Duration: time.Hour}.withDefaults()
	m.s = &state{
		legs:   [2]leg{{peer: peer.Nobody}, {peer: peer.Nobody}},
		limits: &limits, vouching: &Vouching{}, region: "r1", random: rand.NewChaCha8([32]byte{7}),
		record: record.Call{ID: "fuzz"},
	}
	return m
}

// next is a number in [0, n), of the fuzzer's choice.
func (m *machine) next(n int) int {
	if len(m.bytes) == 0 {
		return 0
	}
	b := m.bytes[0]
	m.bytes = m.bytes[1:]
	return int(b) % n
}

func (m *machine) known(side relay.Side) *peer.Known {
	snap := snapOf()
	g := snap.Groups[side]
	return &peer.Known{Peer: g.Peers[0], Group: g}
}

func (m *machine) dress(side relay.Side) interop.Leg {
	l := interop.Leg{Profile: &interop.Core, Local: "r1.gw.example:5060", Remote: coreAt, Transport: sip.UDP}
	if side == relay.Callee {
		l.Profile, l.Local, l.Remote = &interop.Teams, "1r1.gw.example:5063", teamsAt
	}
	if p := m.ringing.profile[side]; p != nil {
		l.Profile = p
	}
	return l
}

// feed runs one event and does in its head what is to be done.
func (m *machine) feed(ev event) {
	m.now = m.now.Add(time.Millisecond)
	for _, e := range m.s.step(m.now, ev) {
		m.do(e)
	}
	if ev := m.first; ev != nil { // comes before all else
		m.first = nil
		m.feed(ev)
	}
}

func (m *machine) do(e effect) {
	switch e := e.(type) {
	case respond:
		m.respond(e)
	case open:
		m.opened = true
		ev := opened{}
		for i := range ev.rtp {
			ev.rtp[i] = netip.AddrPortFrom(netip.MustParseAddr("10.0.1.1"), uint16(20000+10*i))
			ev.rtcp[i] = netip.AddrPortFrom(netip.MustParseAddr("10.0.1.1"), uint16(20001+10*i))
		}
		if m.next(16) == 1 {
			ev = opened{err: errors.New("no ports")}
		}
		m.script = append(m.script, ev)
	case openFax:
		ev := faxOpened{asked: e}
		for i := range ev.at {
			ev.at[i] = netip.AddrPortFrom(netip.MustParseAddr("10.0.1.1"), uint16(21000+10*i))
		}
		if m.next(8) == 1 {
			ev.err = errors.New("no ports")
		}
		m.first = ev
	case begin:
		m.begun++
		ev := begun{}
		if m.next(16) == 1 {
			ev.err = errors.New("disk full")
		}
		m.script = append(m.script, ev)
	case ended:
		m.ended++
	case resolve:
		side := m.s.soughtSide()
		m.coming = m.coming || e.beside
		ev := resolved{peer: m.known(side), dress: m.dress(side), hops: []sip.Target{{
			Transport: sip.UDP, Addr: netip.MustParseAddrPort(teamsAt), Remote: &sip.Remote{Name: "teams-1"},
		}}}
		if m.next(8) == 1 {
			ev = resolved{err: errors.New("no such name")}
		}
		m.script = append(m.script, ev)
	case invite:
		if m.begun == 0 {
			m.t.Fatal("an INVITE left before the record was begun")
		}
		m.inviteOut = e.msg
		m.clients[e.id], m.invites[e.id] = e.msg, e.msg
	case send:
		if m.hung[turnedID(e.msg)] {
			m.t.Fatalf("%s in a dialog that a BYE has ended", e.msg.Method)
		}
		m.hung[turnedID(e.msg)] = e.msg.Method == "BYE"
		m.acknowledged(e.msg)
		m.send(e.id, e.msg)
	case sendDirect:
		if e.id == 0 {
			m.acknowledge(e.msg)
		} else {
			m.acknowledged(e.msg)
			m.send(e.id, e.msg)
		}
	case ack:
		m.acknowledge(e.msg)
	case sendAside:
		if e.id == 0 {
			m.acknowledge(e.msg)
		} else {
			m.send(e.id, e.msg)
		}
	case play:
		m.sounds = append(m.sounds, e.what.Sound.String()+" to "+e.leg.String())
	case stop:
		m.sounds = append(m.sounds, "nothing to "+e.leg.String())
	case part:
		if e.tx == 0 && !m.coming {
			m.t.Fatal("a leg takes a place without being counted at its peer")
		}
		m.coming = m.coming && e.tx != 0
	case forgo:
		m.coming = false
	case settled:
		if sv := m.servers[e.tx]; sv != nil && sv.final == 0 {
			m.t.Fatalf("%s is forgotten without an answer", sv.msg.Method)
		}
	case resend:
		m.resend(e)
	case plug:
		if m.closed || !m.opened {
			m.t.Fatal("the relay was set after its ports were given back")
		}
		m.plugs++
	case count:
		m.script = append(m.script, counted{e.leg, uint64(m.next(3))})
	case listen:
		m.script = append(m.script, heard{relay.Side(m.next(2)), time.Duration(m.next(3)) * time.Minute})
	case unplug:
		m.closed = true
	case arm:
		m.due[e.timer] = time.Time{}
		if e.after > 0 {
			m.due[e.timer] = m.now.Add(e.after)
		} else if e.after < 0 {
			m.t.Fatalf("timer %d is armed for the past", e.timer)
		}
	}
}

func (m *machine) send(id int, msg *sip.Message) {
	if m.s.phase == over {
		m.t.Fatalf("%s was sent when the call was over", msg.Method)
	}
	if err := checkRequest(msg); err != nil {
		m.t.Fatalf("%v:\n%s", err, msg)
	}
	m.count(msg)
	m.clients[id] = msg
}

// count sees that no number of a dialog is used twice (RFC 3261 12.2.1.1).
func (m *machine) count(msg *sip.Message) {
	cseq, _ := msg.CSeq()
	id := ua.IDOf(msg)
	if id.LocalTag != "" && cseq.Seq <= m.numbers[id] {
		m.t.Fatalf("%s follows number %d of its dialog:\n%s", msg.Get("CSeq"), m.numbers[id], msg)
	}
	m.numbers[id] = cseq.Seq
}

// resend sends a request again, as with a proof.
func (m *machine) resend(e resend) {
	msg := m.asked[e.id].Clone()
	msg.Set("CSeq", sip.CSeq{Seq: e.seq, Method: msg.Method}.String())
	m.send(e.id, msg)
	if m.invites[e.id] != nil {
		m.inviteOut, m.invites[e.id] = msg, msg
	}
}

func checkRequest(msg *sip.Message) error {
	c := msg.Clone()
	c.Prepend("Via", "SIP/2.0/UDP h;branch=z9hG4bKx")
	return c.Check()
}

func (m *machine) acknowledge(msg *sip.Message) {
	m.acked[dialogOf(msg)] = 0
}

// dialogOf names the transaction of a 2xx or its ACK.
func dialogOf(msg *sip.Message) string {
	cseq, _ := msg.CSeq()
	id := ua.IDOf(msg)
	if msg.IsRequest() {
		id = turnedID(msg)
	}
	return fmt.Sprint(id, cseq.Seq)
}

// turnedID is the dialog of a message as its sender names it.
func turnedID(msg *sip.Message) ua.ID {
	id := ua.IDOf(msg)
	id.LocalTag, id.RemoteTag = id.RemoteTag, id.LocalTag
	return id
}

func (m *machine) respond(e respond) {
	sv := m.servers[e.tx]
	if sv == nil {
		m.t.Fatalf("a request nobody sent is answered %d", e.msg.Status)
	}
	again := sv.final != 0
	if again && (sv.msg.Method != "INVITE" || sv.final/100 != 2 || e.msg.Status != sv.final) {
		m.t.Fatalf("%s was answered %d and then %d", sv.msg.Method, sv.final, e.msg.Status)
	}
	m.listen(e, again)
	if e.msg.Status >= 200 {
		sv.final = e.msg.Status
		if err := e.msg.Check(); err != nil {
			m.t.Fatalf("%v:\n%s", err, e.msg)
		}
	}
	if e.tx == 1 && e.msg.Status > 100 && e.msg.Status < 300 && m.far[relay.Caller] == nil {
		m.meet(relay.Caller, sv.msg, e.msg)
	}
	if side, ok := m.joining[e.tx]; ok && !again && sv.final/100 == 2 {
		m.meet(side, sv.msg, e.msg)
	}
}

// meet makes the dialog of an INVITE to us.
func (m *machine) meet(side relay.Side, invite, resp *sip.Message) {
	d, err := ua.ClientDialog(invite, resp)
	if err != nil {
		m.t.Fatal(err)
	}
	m.far[side] = append(m.far[side], d)
	m.invitesIn[d] = invite
}

// request gives the call a request inside a leg's dialog.
func (m *machine) request(leg relay.Side, method, body string) {
	d := m.dialog(leg)
	if d == nil || m.s.phase == over {
		return
	}
	msg := d.NewRequest(method)
	if method == "REFER" {
		msg.Set("Refer-To", []string{"<" + toUser + ">", "<" + toNumber + ">", "<tel:+441632960123>", "<sip:x?Replaces=a>"}[m.next(4)])
		msg.Set("Referred-By", "<sip:x>")
	}
	msg.Add("Via", "SIP/2.0/UDP h;branch="+sip.NewBranch())
	msg.Set("Contact", "<sip:10.1.0.1>")
	m.time(msg)
	if body != "" {
		msg.SetBody("application/sdp", []byte(body))
	}
	m.dressRequest(msg)
	m.last++
	m.servers[m.last] = &serverSide{msg: msg}
	if method == "INVITE" {
		m.invitesIn[d] = msg
	}
	m.feed(requested{leg: leg, tx: m.last, msg: msg})
	if method == "BYE" && m.servers[m.last].final == 200 {
		m.hung[ua.IDOf(msg)] = true
	}
}

// join gives the call an INVITE that wants the place of a leg.
func (m *machine) join(leg relay.Side, body string) {
	rep := ua.Replaces{CallID: "in", To: "x", From: "f", EarlyOnly: m.next(8) == 1}
	if d := m.dialog(leg); d != nil {
		rep = ua.Replaces{CallID: d.ID().CallID, To: d.ID().RemoteTag, From: d.ID().LocalTag}
	} else if m.inviteOut != nil {
		from, _ := m.inviteOut.From()
		rep = ua.Replaces{CallID: m.inviteOut.Get("Call-ID"), To: from.Tag(), From: "a"}
	}
	m.last++
	in := sip.NewRequest("INVITE", "sip:+442079460123@gw.example")
	in.Add("Via", "SIP/2.0/UDP h;branch="+sip.NewBranch())
	in.Add("From", fmt.Sprintf("<sip:+441632960009@10.2.0.1>;tag=j%d", m.last))
	in.Add("To", "<sip:+442079460123@gw.example>")
	in.Add("Call-ID", fmt.Sprintf("join-%d", m.last))
	in.Add("CSeq", "1 INVITE")
	in.Add("Contact", "<sip:10.2.0.1>")
	in.Add("Require", "replaces")
	m.time(in)
	if body != "" {
		in.SetBody("application/sdp", []byte(body))
	}
	m.servers[m.last], m.joining[m.last] = &serverSide{msg: in}, leg
	m.feed(replacing{
		leg: leg, tx: m.last, msg: in, replaces: rep, addr: netip.MustParseAddrPort(teamsAt), remote: &sip.Remote{Name: "teams-1"},
		transport: sip.UDP, peer: m.known(leg), dress: m.dress(leg),
	})
}

// time puts a session timer on a message, or not.
func (m *machine) time(msg *sip.Message) {
	switch m.next(8) {
	case 1:
		msg.Set("Session-Expires", "1800;refresher=uac")
		msg.Set("Supported", "timer")
	case 2:
		msg.Set("Session-Expires", "90;refresher=uas")
	case 3:
		msg.Set("Session-Expires", "60")
		msg.Set("Supported", "timer")
	case 4:
		msg.Set("Min-SE", "7200")
	}
}

// answer gives the call a response to one of its requests.
func (m *machine) answer(which, status int, tag, body string) {
	ids := m.pending()
	if len(ids) == 0 {
		return
	}
	id := ids[which%len(ids)]
	req := m.clients[id]
	resp := sip.NewResponse(req, status, "")
	resp.TagTo(tag)
	if m.next(8) != 1 {
		resp.Set("Contact", "<sip:api.example:443;x=1>")
	}
	if status/100 == 3 {
		resp.Set("Contact", []string{"<sip:+442079460999@api.example>", "<sip:+442079460998@10.1.0.1>", "<tel:112>", "<sip:x>"}[m.next(4)])
	}
	m.time(resp)
	if body != "" {
		resp.SetBody("application/sdp", []byte(body))
	}
	m.ring(id, req, resp)
	if status >= 200 && !(status < 300 && req.Method == "INVITE") {
		delete(m.clients, id)
	}
	if status/100 == 2 && req.Method == "INVITE" {
		delete(m.clients, id)
		m.takeNext(req)
		if m.next(2) == 1 {
			m.clients[id], m.repeated[id] = req, true // another fork, or a repetition, may follow
		}
		m.acked[dialogOf(resp)]++
		if m.invites[id] != nil && m.s.attempt != nil && m.s.attempt.id == id && m.s.seeking() {
			m.greet(req, tag)
		}
	}
	if status == 401 {
		m.asked[id] = req
		m.feed(challenged{id, resp})
		return
	}
	m.feed(responded{id, resp})
}

// pending are the requests that wait for an answer, in order.
func (m *machine) pending() []int { return slices.Sorted(maps.Keys(m.clients)) }

// takeNext: who takes the next INVITE of a dialog repeats no 2xx to the one
// before.
func (m *machine) takeNext(req *sip.Message) {
	this, _ := req.CSeq()
	for id, old := range m.clients {
		if seq, _ := old.CSeq(); m.repeated[id] && old.Get("Call-ID") == req.Get("Call-ID") && seq.Seq < this.Seq {
			delete(m.clients, id)
		}
	}
}

var bodies = []string{"", coreSDP, teamsSDP, teamsOffer, coreAnswer, "junk", turn(coreSDP, "sendonly", 9), turn(teamsSDP, "inactive", 3), faxSDP, coreSDP + "m=image 7000 udptl t38\r\n"}

const faxSDP = "v=0\r\no=core 1 4 IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 10.1.0.1\r\nt=0 0\r\nm=image 7000 udptl t38\r\na=T38FaxVersion:0\r\n"

// act lets one thing happen.
func (m *machine) act() {
	side := relay.Side(m.next(2))
	body := bodies[m.next(len(bodies))]
	switch m.next(16) {
	case 0, 1:
		if len(m.script) > 0 {
			i := m.next(len(m.script))
			ev := m.script[i]
			m.script = append(m.script[:i:i], m.script[i+1:]...)
			m.feed(ev)
		}
	case 2:
		m.answer(m.next(8), []int{100, 180, 183, 199}[m.next(4)], []string{"a", "b", "c"}[m.next(3)], body)
	case 3, 4:
		m.answer(m.next(8), 200, []string{"a", "b", "c"}[m.next(3)], body)
	case 5:
		m.answer(m.next(8), []int{302, 408, 481, 486, 487, 488, 491, 500, 503, 603, 401, 401}[m.next(12)], "a", "")
	case 6:
		if ids := m.pending(); len(ids) > 0 {
			id := ids[m.next(len(ids))]
			delete(m.clients, id)
			m.feed(failed{id, []error{sip.ErrTimeout, sip.ErrClosed, &sip.TransportError{Op: "dial", Err: errors.New("refused")}}[m.next(3)]})
		}
	case 7:
		m.request(side, "INVITE", body)
	case 8:
		m.request(side, []string{"BYE", "OPTIONS", "INFO", "UPDATE", "NOTIFY", "REFER", "PRACK", "UPDATE", "PRACK"}[m.next(9)], body)
	case 14:
		m.request(side, "REFER", "")
	case 15:
		if m.s.phase != over {
			m.join(side, body)
		}
	case 9:
		m.feed(acked{side, m.ackOf(side, body)})
	case 10:
		m.feed(cancelled{tx: txn(m.next(int(m.last) + 1)), msg: sip.NewRequest("CANCEL", "sip:x")})
	case 11:
		m.feed(expired{timer(m.next(int(timers)))})
	case 12:
		m.feed(unreachable{txn(m.next(int(m.last) + 1)), errors.New("reset")})
	case 13:
		side := relay.Side(m.next(2))
		switch m.next(8) {
		case 1:
			m.feed(hangup{commandCause})
		case 2:
			m.feed(digit{side, "0123456789*#ABCD"[m.next(16)], time.Duration(m.next(256)) * 10 * time.Millisecond})
		case 3:
			m.feed(muted{side, time.Minute})
		case 4:
			m.feed(unplayed{side, errors.New("no codec")})
		case 5:
			m.feed(keyed{side, sdp.Suite})
		case 6:
			m.feed(unkeyed{side, []error{rtp.ErrSilent, rtp.ErrFingerprint}[m.next(2)]})
		}
	}
}

func (m *machine) ackOf(side relay.Side, body string) *sip.Message {
	msg := sip.NewRequest("ACK", "sip:x")
	if d := m.dialog(side); d != nil && m.invitesIn[d] != nil {
		msg = d.NewAck(m.invitesIn[d])
	}
	if body != "" {
		msg.SetBody("application/sdp", []byte(body))
	}
	return msg
}

// windUp lets everything that is still expected happen in the dullest way,
// and checks that the call ends and owes nothing.
func (m *machine) windUp() {
	for range 1000 {
		if m.s.phase == over {
			break
		}
		switch {
		case len(m.script) > 0:
			ev := m.script[0]
			m.script = m.script[1:]
			m.feed(ev)
		case len(m.clients) > 0:
			id := m.pending()[0]
			delete(m.clients, id)
			m.feed(failed{id, sip.ErrTimeout})
		default:
			if !m.expireFirst() {
				m.feed(hangup{drainCause})
			}
		}
	}
	m.check()
}

// expireFirst lets the clock run to the first timer.
func (m *machine) expireFirst() bool {
	first := -1
	for i, at := range m.due {
		if !at.IsZero() && (first < 0 || at.Before(m.due[first])) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	m.now, m.due[first] = m.due[first], time.Time{}
	m.feed(expired{timer(first)})
	return true
}

func (m *machine) check() {
	m.t.Helper()
	if m.s.phase != over {
		m.t.Fatalf("the call does not end: phase %d, %d requests, accepted %v %v", m.s.phase, len(m.s.requests), m.s.caller().accepted, m.s.callee().accepted)
	}
	for tx, sv := range m.servers {
		if sv.final == 0 {
			m.t.Fatalf("%s (%d) was never answered", sv.msg.Method, tx)
		}
	}
	if m.opened && !m.closed {
		m.t.Fatal("the ports were not given back")
	}
	if m.s.verdict != nil || !m.due[toneOver].IsZero() {
		m.t.Fatal("somebody is still told why the call ends")
	}
	if m.s.transfer != nil || m.s.aside[0] != nil || m.s.aside[1] != nil {
		m.t.Fatal("a leg beside the call is left")
	}
	if m.ended > 1 || m.begun > 1 {
		m.t.Fatalf("the record was begun %d times and ended %d times", m.begun, m.ended)
	}
	for d, n := range m.acked {
		if n > 0 {
			m.t.Fatalf("a 2xx in dialog %s was not acknowledged", d)
		}
	}
}

func (m *machine) run() {
	m.start()
	for len(m.bytes) > 0 {
		m.act()
		if m.s.phase == over {
			break
		}
	}
	m.windUp()
}

// start begins the call.
func (m *machine) start() {
	in := sip.NewRequest("INVITE", "sip:+442079460123@gw.example")
	in.Add("Via", "SIP/2.0/UDP h;branch=z9hG4bKin")
	in.Add("From", "<sip:+441632960001@10.1.0.1>;tag=f")
	in.Add("To", "<sip:+442079460123@gw.example>")
	in.Add("Call-ID", "in")
	in.Add("CSeq", "1 INVITE")
	in.Add("Contact", "<sip:10.1.0.1>")
	if body := bodies[m.next(3)]; body != "" {
		in.SetBody("application/sdp", []byte(body))
	}
	for _, h := range m.ringing.asks {
		in.Add(h[0], h[1])
	}
	m.last = 1
	m.servers[1] = &serverSide{msg: in}
	m.feed(invited{
		tx: 1, msg: in, addr: netip.MustParseAddrPort(coreAt), remote: &sip.Remote{Name: "core-1"}, transport: sip.UDP,
		peer: m.known(relay.Caller), dress: m.dress(relay.Caller), snapshot: snapOf(),
	})
}

// FuzzStep: whatever happens in whatever order, the call ends, answers every
// request once, acknowledges every 2xx, and gives back what it took.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	addRandom(f, 1, 2, 40, 400)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		newMachine(t, data).run()
	})
}

// talk brings a call to where its legs talk, so that the fuzzer's bytes are
// spent on what comes then.
func (m *machine) talk() {
	m.bytes = []byte{1} // the caller makes an offer
	m.start()
	for len(m.script) > 0 {
		ev := m.script[0]
		m.script = m.script[1:]
		m.feed(ev)
	}
	m.answer(0, 200, "a", teamsSDP)
	if m.s.phase == talking {
		m.feed(acked{relay.Caller, m.ackOf(relay.Caller, "")})
	}
}

// addRandom gives a fuzz target 64 seeds, the same each time, of a least length and
// up to so many more.
func addRandom(f *testing.F, one, two uint64, least, more int) {
	r := rand.New(rand.NewPCG(one, two))
	for range 64 {
		b := make([]byte, least+r.IntN(more))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
}

// FuzzTalking is FuzzStep for a call that is answered already.
func FuzzTalking(f *testing.F) {
	addRandom(f, 3, 4, 40, 400)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		m := newMachine(t, nil)
		m.talk()
		m.s.callee().inner = len(data)%2 == 1 // then T.38 may cross
		m.bytes = data
		for len(m.bytes) > 0 && m.s.phase != over {
			m.act()
		}
		m.windUp()
	})
}
