package relay

import (
	"slices"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// listen has a plan give us what we must hear of a side's packets: all of them
// when they are recoded or digits come as tones, else the events alone. The
// caller holds mu.
func (m *Media) listen(plan *rtp.Plan, from Side) {
	n, hears := m.sides[from], m.voices[from.Other()]
	whole := n.Recode || m.tapped(from)
	if n.Recode {
		plan.PT = kept(n.Codecs)
	}
	events, _ := ours(plan, n, isEvents)
	_, noise := ours(plan, n, isNoise)
	pad := m.keypads[from]
	if pad == nil && !whole && noise == (numbers{}) {
		return
	}
	recode := n.Recode
	plan.Sink = func(pkt []byte, rtcp bool) {
		switch pt := pkt[1] & 0x7f; {
		case rtcp:
		case pad != nil && events.has(pt):
			if p, ok := rtp.Read(pkt); ok {
				pad.hear(p, time.Now())
			}
		case noise.has(pt) && !recode:
			if p, ok := rtp.Read(pkt); ok {
				hears.background(p.Payload)
			}
		case whole:
			hears.inbox.put(pkt)
		}
	}
}

// kept is a payload map that passes nothing on.
func kept(codecs []sdp.Agreed) (pt [128]uint8) {
	for i := range pt {
		pt[i] = rtp.Drop
	}
	for _, c := range codecs {
		pt[c.In&0x7f], pt[c.Out&0x7f] = rtp.Keep, rtp.Keep
	}
	return pt
}

// ours tells by which numbers the Sink of a plan sees packets of a kind: seen
// those of all, kept those that the other side has not agreed to, which end
// here.
func ours(plan *rtp.Plan, n *Negotiated, kind func(sdp.Agreed) bool) (seen, kept numbers) {
	for _, c := range n.Codecs {
		if !kind(c) {
			continue
		}
		in := c.In & 0x7f
		switch image := plan.PT[in]; {
		case image < 128:
			seen.add(image)
		case image == rtp.Keep, !slices.Contains(plan.PT[:], in): // else it would be taken for another
			plan.PT[in] = rtp.Keep
			seen.add(in)
			kept.add(in)
		}
	}
	return seen, kept
}

// numbers is a set of payload numbers: small, since each call keeps some.
type numbers [2]uint64

func (s *numbers) add(pt uint8)      { s[pt>>6&1] |= 1 << (pt & 63) }
func (s *numbers) has(pt uint8) bool { return s[pt>>6&1]>>(pt&63)&1 != 0 }

// tapped: digits come as tones and the other side wants another form.
func (m *Media) tapped(from Side) bool {
	n, to := m.sides[from], m.sides[from.Other()]
	return n != nil && to != nil && n.Digits == Tones && to.takes() != Tones
}

// takes is the form of digits that a side can be sent.
func (n *Negotiated) takes() Digits {
	if n.Digits == Events && eventsOf(n.Codecs, 0) == nil {
		return Tones
	}
	return n.Digits
}

// arrange gives the voice towards a side its terms. The caller holds mu.
func (m *Media) arrange(to Side) {
	n, far := m.sides[to], m.sides[to.Other()]
	if n == nil {
		return
	}
	t := terms{
		keys: n.Out, codecs: n.Codecs, ptime: n.Ptime, tones: n.takes() == Tones,
		deaf: !n.Direction.Receives(), likely: m.likely(to), unbroken: n.Unbroken,
	}
	var e *ear
	if far != nil && (far.Recode || m.tapped(to.Other())) {
		e = m.newEar(to.Other())
	}
	m.voices[to].adapt(t, e)
}

func (m *Media) newEar(from Side) *ear {
	n := m.sides[from]
	codecs := n.Codecs
	if !n.Recode { // its packets are seen with the numbers they leave with
		codecs = slices.Clone(codecs)
		for i, c := range codecs {
			codecs[i].In = n.PT[c.In&0x7f]
			codecs[i].Out = codecs[i].In
		}
	}
	e := newEar(codecs)
	e.recodes, e.wish = n.Recode, m.voices[from].wish
	if m.tapped(from) {
		hears := m.voices[from.Other()]
		events := m.sides[from.Other()].takes() == Events
		e.detector = codec.NewDetector(detectorRate)
		e.told = func(h codec.Heard) { // under the lock of hears
			switch {
			case h.End:
				if events {
					hears.release(h.Duration)
				}
				m.watch.tell(Digit{from, h.Digit, h.Duration})
			case events:
				hears.hold(h.Digit)
			}
		}
	}
	return e
}

// likely is the number by which a side is hearing the other one now.
func (m *Media) likely(to Side) uint8 {
	far := m.sides[to.Other()]
	if far == nil || far.Recode {
		return rtp.Drop
	}
	s := m.ports[to.Other()].Stats()
	if s.Received.Packets == 0 {
		return rtp.Drop
	}
	return far.PT[s.PayloadType&0x7f]
}

// arrangeKeypad has the events of a side followed: told to whoever watches,
// and sent to the other side when its packets do not reach that. The caller
// holds mu.
func (m *Media) arrangeKeypad(from Side) {
	n, to := m.sides[from], m.sides[from.Other()]
	if n == nil {
		return
	}
	events := eventsOf(n.Codecs, int(n.clock()))
	if events == nil {
		m.keypads[from] = nil
		return
	}
	image := n.PT[events.In&0x7f]
	passed := !n.Recode && image < 128
	convert := to != nil && !passed && to.takes() != Signalled
	if old := m.keypads[from]; old != nil && old.clock == uint32(events.Rate) && old.converts == convert {
		return
	}
	hears := m.voices[from.Other()]
	pad := &keypad{clock: uint32(events.Rate), converts: convert}
	pad.down = func(digit byte) {
		if convert {
			hears.keyDown(digit)
		}
	}
	pad.up = func(digit byte, lasted time.Duration) {
		if convert {
			hears.keyUp(lasted)
		}
		m.watch.tell(Digit{from, digit, lasted})
	}
	m.keypads[from] = pad
}
