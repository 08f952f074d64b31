package call

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// ringing is what the far sides of a machine know of 100rel.
type ringing struct {
	profile [2]*interop.Profile
	asks    [][2]string // headers of the caller's INVITE

	told   map[string]*sip.Message // the last reliable response in each of the caller's dialogs, by tag
	open   map[string]bool         // it is not acknowledged
	rings  map[string]uint32       // the last number in each of the callee's, by Call-ID and tag
	pracks map[string]uint32       // the last one that we have acknowledged
}

// listen is the caller, who is told something (RFC 3262 section 3).
func (m *machine) listen(e respond, again bool) {
	g := &m.ringing
	if g.told == nil {
		g.told, g.open = map[string]*sip.Message{}, map[string]bool{}
	}
	sv := m.servers[e.tx]
	if rack, err := ua.RAckOf(sv.msg); sv.msg.Method == "PRACK" && e.msg.Status == 200 && err == nil {
		id := ua.IDOf(sv.msg)
		if last := g.told[id.LocalTag]; last == nil || last.Get("RSeq") != strconv.Itoa(int(rack.RSeq)) || !g.open[id.LocalTag] {
			m.t.Fatalf("a PRACK for nothing was taken:\n%s", sv.msg)
		}
		g.open[id.LocalTag] = false
	}
	if e.tx != 1 || e.msg.Status <= 100 {
		return
	}
	tag := ua.IDOf(e.msg).RemoteTag
	if e.msg.Status < 200 && !slices.ContainsFunc(m.far[relay.Caller], func(d *ua.Dialog) bool { return d.ID().RemoteTag == tag }) {
		m.meet(relay.Caller, sv.msg, e.msg)
	}
	last := g.told[tag]
	switch n, reliable := ua.RSeqOf(e.msg); {
	case e.msg.Status/100 == 2 && !again && g.open[tag] && len(last.Body) > 0:
		m.t.Fatalf("answered before the description was acknowledged:\n%s", last)
	case !reliable:
	case g.open[tag] && last != e.msg:
		m.t.Fatalf("two responses wait for a PRACK:\n%s\n%s", last, e.msg)
	case last != nil && last != e.msg:
		before, _ := ua.RSeqOf(last)
		if n != before+1 {
			m.t.Fatalf("RSeq %d follows %d", n, before)
		}
		fallthrough
	case last == nil:
		g.told[tag], g.open[tag] = e.msg, true
	}
}

// dressRequest completes a request of a far side by its method.
func (m *machine) dressRequest(msg *sip.Message) {
	switch msg.Method {
	case "PRACK":
		rack := "1 1 INVITE"
		if tags := slices.Sorted(maps.Keys(m.ringing.told)); len(tags) > 0 {
			tag := tags[m.next(len(tags))]
			if m.next(4) != 1 {
				tag = ua.IDOf(msg).LocalTag
			}
			if last := m.ringing.told[tag]; last != nil {
				rack = last.Get("RSeq") + " 1 INVITE"
			}
		}
		msg.Set("RAck", rack)
	case "INFO":
		if m.next(2) == 1 {
			msg.SetBody(relayed, []byte("Signal=5\r\nDuration=100\r\n"))
		}
	}
	if m.next(8) == 1 {
		msg.Set("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
	}
}

// ring makes a provisional response of the callee reliable, or not.
func (m *machine) ring(id int, req, resp *sip.Message) {
	g := &m.ringing
	if resp.Status <= 100 || resp.Status >= 200 || m.invites[id] == nil {
		return
	}
	if m.s.attempt != nil && m.s.attempt.id == id && m.s.seeking() {
		m.greet(req, ua.IDOf(resp).RemoteTag)
	}
	if m.next(2) == 1 {
		if g.rings == nil {
			g.rings = map[string]uint32{}
		}
		name := earlyName(resp)
		g.rings[name] += uint32(m.next(3)) // again, the next, or behind a gap
		resp.Set("Require", "100rel")
		resp.Set("RSeq", strconv.Itoa(int(g.rings[name])))
	}
	if m.next(4) == 1 {
		resp.Set("P-Early-Media", []string{"inactive", "sendrecv"}[m.next(2)])
	}
}

// greet makes the dialog of a callee.
func (m *machine) greet(req *sip.Message, tag string) {
	side := m.s.soughtSide()
	d, err := ua.ServerDialog(req.Clone(), tag)
	if err != nil || slices.ContainsFunc(m.far[side], func(x *ua.Dialog) bool { return x.ID() == d.ID() }) {
		return
	}
	m.far[side] = append(m.far[side], d)
}

func earlyName(msg *sip.Message) string { return msg.Get("Call-ID") + " " + ua.IDOf(msg).RemoteTag }

// acknowledged judges a PRACK of ours: in order, and nothing twice (RFC 3262
// section 4).
func (m *machine) acknowledged(msg *sip.Message) {
	if msg.Method != "PRACK" {
		return
	}
	g := &m.ringing
	if g.pracks == nil {
		g.pracks = map[string]uint32{}
	}
	rack, err := ua.RAckOf(msg)
	to, _ := msg.To()
	name := msg.Get("Call-ID") + " " + to.Tag()
	if before := g.pracks[name]; err != nil || before != 0 && rack.RSeq != before+1 || rack.RSeq > g.rings[name] {
		m.t.Fatalf("RAck %s (%v) follows %d, the callee has told %d", msg.Get("RAck"), err, before, g.rings[name])
	}
	g.pracks[name] = rack.RSeq
}

// ringer is a machine whose sides have all of early media switched on in some
// way.
func ringer(t *testing.T, data []byte) *machine {
	m := newMachine(t, data)
	for side := range m.ringing.profile {
		p := interop.IMS
		p.Early = []interop.EarlyMedia{interop.EarlyKeep, interop.EarlyFirst, interop.EarlyRinging, interop.EarlyRingback}[m.next(4)]
		p.Forks, p.BareRinging = m.next(2) == 1, m.next(4) == 1
		if m.next(2) == 1 {
			p.DTMF, p.Info = interop.DTMFInfo, true
		}
		m.ringing.profile[side] = &p
	}
	asks := []string{"100rel", "100rel, precondition", "timer"}[m.next(3)]
	m.ringing.asks = [][2]string{{[]string{"Supported", "Supported", "Require"}[m.next(3)], asks}, {"Allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"}}
	return m
}

// seek brings a call to where the callee is asked, so that the fuzzer's bytes
// are spent on what comes then.
func (m *machine) seek() {
	first := byte(min(m.next(4), 1))
	rest := m.bytes
	m.bytes = []byte{first} // the caller makes an offer, nearly always
	m.start()
	for len(m.script) > 0 && m.s.phase < talking {
		ev := m.script[0]
		m.script = m.script[1:]
		m.feed(ev)
	}
	m.bytes = rest
}

// ringOn lets the fuzzer have its way from where the callee is asked.
func (m *machine) ringOn() {
	m.seek()
	for len(m.bytes) > 0 && m.s.phase != over {
		switch m.next(6) {
		case 0:
			m.request(relay.Caller, []string{"PRACK", "PRACK", "UPDATE"}[m.next(3)], append(reservingBodies, "", "", "", coreSDP)[m.next(7)])
		case 1:
			m.answer(m.next(2), []int{180, 183}[m.next(2)], []string{"a", "b"}[m.next(2)], []string{"", coreAnswer, teamsSDP}[m.next(3)])
		case 2:
			m.feed(digit{relay.Side(m.next(2)), '5', 100 * time.Millisecond})
			m.request(relay.Callee, "UPDATE", []string{"", coreAnswer}[m.next(2)])
		default:
			m.act()
		}
	}
	m.windUp()
}

// reservingBodies are those that a mobile sends beside the others.
var reservingBodies = []string{reserving(1, "none"), reserving(2, "sendrecv"), reserving(3, "send")}

// FuzzRinging is FuzzStep for a caller and a callee that take 100rel, UPDATE
// and preconditions: no number is used twice or left out, nothing is told
// before what went before it is acknowledged, and the call ends.
func FuzzRinging(f *testing.F) {
	addRandom(f, 5, 6, 40, 400)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		ringer(t, data).ringOn()
	})
}

// The fuzzer's far sides must come to where it matters.
func TestTheRingersRing(t *testing.T) {
	seen := map[string]int{}
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		m := ringer(t, b)
		m.ringOn()
		for tag := range m.ringing.told {
			seen[fmt.Sprintf("told reliably, acknowledged: %v", !m.ringing.open[tag])]++
		}
		for _, sv := range m.servers {
			if m := sv.msg.Method; m == "PRACK" || m == "UPDATE" || m == "INFO" {
				seen[fmt.Sprintf("%s %d", m, sv.final)]++
			}
		}
		seen["PRACK of ours"] += len(m.ringing.pracks)
	}
	for _, what := range strings.Split("told reliably, acknowledged: true;told reliably, acknowledged: false;PRACK 200;PRACK 481;UPDATE 200;UPDATE 491;UPDATE 488;UPDATE 500;INFO 200;PRACK of ours", ";") {
		if seen[what] == 0 {
			t.Errorf("never seen: %s", what)
		}
	}
	t.Log(seen)
}
