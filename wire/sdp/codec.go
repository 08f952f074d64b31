package sdp

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/wire/codec"
)

// gatewayCodecs is what the codec names of the gateway resource, and of what
// can be transcoded beside, stand for, with the number we give each when we are
// first to name it. AMR comes in both framings, the one that every IMS terminal
// has first (3GPP TS 26.114 5.2.1).
var gatewayCodecs = map[string][]Codec{
	"PCMA": {{PT: 8, Name: "PCMA", Rate: 8000}},
	"PCMU": {{PT: 0, Name: "PCMU", Rate: 8000}},
	"G722": {{PT: 9, Name: "G722", Rate: 8000}},
	"G729": {{PT: 18, Name: "G729", Rate: 8000, Fmtp: "annexb=no"}},
	"G722_2": {
		{PT: 96, Name: "AMR-WB", Rate: 16000, Fmtp: "mode-change-capability=2; max-red=0"},
		{PT: 98, Name: "AMR-WB", Rate: 16000, Fmtp: "octet-align=1; mode-change-capability=2; max-red=0"},
	},
	"AMR": {
		{PT: 97, Name: "AMR", Rate: 8000, Fmtp: "mode-change-capability=2; max-red=0"},
		{PT: 99, Name: "AMR", Rate: 8000, Fmtp: "octet-align=1; mode-change-capability=2; max-red=0"},
	},
	"OPUS":    {{PT: 111, Name: "opus", Rate: 48000, Channels: 2}}, // RFC 7587 7: always written 48000/2
	"SILK_8":  {{PT: 103, Name: "SILK", Rate: 8000}},
	"SILK_16": {{PT: 104, Name: "SILK", Rate: 16000}},
}

var (
	events = Codec{PT: 101, Name: "telephone-event", Rate: 8000, Fmtp: "0-16"}
	noise  = Codec{PT: 13, Name: "CN", Rate: 8000}
)

// allow keeps the codecs of the allow-list, and the events and comfort noise
// that go with their clock (RFC 4733 2.1: an event stream shares the clock of
// its audio). Each codec and each number comes once: a number given twice is
// answered with 488 by the cloud.
func (e End) allow(codecs []Codec) []Codec {
	kept := make([]Codec, 0, len(codecs))
	for _, c := range codecs {
		if c.voice() && !e.allows(c) {
			continue
		}
		twice := slices.ContainsFunc(kept, func(k Codec) bool { return k.PT == c.PT || same(k, c) })
		if c.Name != "" && !twice {
			c.Fmtp = parameters(c.Fmtp)
			kept = append(kept, c)
		}
	}
	return slices.DeleteFunc(kept, func(c Codec) bool {
		return !c.voice() && !slices.ContainsFunc(kept, func(v Codec) bool { return v.voice() && v.Rate == c.Rate })
	})
}

// parameters is fmtp text that may cross to the other side: names, numbers
// and lists. There is no dot in it, so no address and no host name; text with
// anything else says nothing about the codecs we carry and stays behind.
func parameters(fmtp string) string {
	for i := range len(fmtp) {
		c := fmtp[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', strings.IndexByte("-_=,; ", c) >= 0:
		default:
			return ""
		}
	}
	return fmtp
}

func (e End) allows(c Codec) bool { return names(e.Codecs, c) }

// names reports whether a codec has one of the gateway's names.
func names(list []string, c Codec) bool {
	return slices.ContainsFunc(list, func(name string) bool {
		return slices.ContainsFunc(gatewayCodecs[name], func(g Codec) bool {
			return strings.EqualFold(g.Name, c.Name) && g.Rate == c.Rate && max(g.Channels, 1) == max(c.Channels, 1)
		})
	})
}

// recodable: we can turn its audio into samples and back.
func recodable(c Codec) bool {
	_, ok := codec.Lookup(c.Name, c.Rate, c.Fmtp)
	return ok && (c.Channels <= 1 || strings.EqualFold(c.Name, "opus"))
}

// widen puts behind the voice codecs that both sides have those that we can
// turn into one of the other side's, and events of their clocks; so a side that
// can do without us does.
func (e End) widen(both, other []Codec) []Codec {
	var more []Codec
	if slices.ContainsFunc(other, recodable) && !(e.Sparing && slices.ContainsFunc(both, everywhere)) {
		for _, name := range e.Transcode {
			for _, g := range gatewayCodecs[name] {
				if _, has := find(both, g); !has && recodable(g) && e.mayAdd(g, both) {
					more = append(more, fresh(g, both, more))
				}
			}
		}
	}
	if len(more) == 0 {
		return both
	}
	rest := eventsOf(more, slices.DeleteFunc(slices.Clone(both), Codec.voice))
	voice := slices.DeleteFunc(both, func(c Codec) bool { return !c.voice() })
	return slices.Concat(voice, more, rest)
}

// everywhere: every telephone system of today speaks it.
func everywhere(c Codec) bool {
	return slices.ContainsFunc([]string{"PCMA", "PCMU", "G722"}, func(name string) bool { return strings.EqualFold(name, c.Name) })
}

// eventsOf is rest with events of the clock of every voice codec (RFC 4733
// 2.1); but those whose codec SILK is send events of 8000 with it.
func eventsOf(voice, rest []Codec) []Codec {
	for _, v := range voice {
		if !strings.EqualFold(v.Name, "SILK") && !hasEvents(rest, v.Rate) {
			ev := events
			ev.Rate = v.Rate
			rest = append(rest, fresh(ev, voice, rest))
		}
	}
	return rest
}

// mayAdd: during a session nothing is added that was not spoken of before, or
// every refresh would have something new in it; but when both have nothing, all
// is.
func (e End) mayAdd(c Codec, both []Codec) bool {
	if e.Sent == nil || c.voice() && !hasVoice(both) {
		return true
	}
	m := e.Sent.Carried()
	if m == nil {
		return true
	}
	_, has := find(m.Codecs, c)
	return has
}

// fresh is c under a number that nobody has.
func fresh(c Codec, lists ...[]Codec) Codec {
	taken := func(pt uint8) bool {
		has := func(c Codec) bool { return c.PT == pt }
		return slices.ContainsFunc(lists, func(l []Codec) bool { return slices.ContainsFunc(l, has) })
	}
	if taken(c.PT) {
		c.PT = free(taken)
	}
	return c
}

func hasEvents(codecs []Codec, rate int) bool {
	return slices.ContainsFunc(codecs, func(c Codec) bool { return c.events() && (rate == 0 || c.Rate == rate) })
}

// beside adds what a side is offered whatever the other one has: events, since
// the relay turns them into what that has, and comfort noise.
func (e End) beside(codecs []Codec) []Codec {
	has8000 := slices.ContainsFunc(codecs, func(c Codec) bool { return c.voice() && c.Rate == 8000 })
	if len(e.Transcode) > 0 && has8000 && !hasEvents(codecs, 0) && e.mayAdd(events, codecs) {
		codecs = append(codecs, events)
	}
	if _, has := find(codecs, noise); e.Noise && has8000 && !has && e.mayAdd(noise, codecs) {
		codecs = append(codecs, noise)
	}
	return codecs
}

// keypad leaves events out where digits come and go otherwise.
func (e End) keypad(codecs []Codec) []Codec {
	if !e.NoEvents {
		return codecs
	}
	return slices.DeleteFunc(codecs, Codec.events)
}

// settle is what of an offer we accept, when the other side has accepted
// theirs: the shared codecs, or else the first one offered that we can turn into
// one of the other side's. Events and comfort noise of its clock come along even
// when the other side has none.
func (e End) settle(offered, theirs []Codec) []Codec {
	both := shared(offered, e.allow(theirs))
	if !hasVoice(both) {
		both = e.translate(offered, theirs)
	}
	for _, c := range offered {
		ends := c.events() && len(e.Transcode) > 0 || c.noise() && e.Noise
		if _, has := find(both, c); !ends || has {
			continue
		}
		if slices.ContainsFunc(both, func(v Codec) bool { return v.voice() && v.Rate == c.Rate }) {
			both = append(both, c.crossing())
		}
	}
	// Telephones exist that know events of 8000 alone, whatever they speak.
	i := slices.IndexFunc(offered, func(c Codec) bool { return c.events() && c.Rate == events.Rate })
	if i >= 0 && len(e.Transcode) > 0 && !hasEvents(both, 0) {
		both = append(both, offered[i].crossing())
	}
	return both
}

// crossing is c with what of its parameters may cross.
func (c Codec) crossing() Codec {
	c.Fmtp = parameters(c.Fmtp)
	return c
}

// translate is the first codec offered that the side may have and that can be
// turned into one of the other side's.
func (e End) translate(offered, theirs []Codec) []Codec {
	if !slices.ContainsFunc(theirs, recodable) {
		return nil
	}
	i := slices.IndexFunc(offered, func(c Codec) bool { return names(e.Transcode, c) && recodable(c) })
	if i < 0 {
		return nil
	}
	c := offered[i]
	switch c.Fmtp = parameters(c.Fmtp); {
	case strings.HasPrefix(strings.ToUpper(c.Name), "AMR"): // RFC 4867 8.3.1: the configuration is accepted or refused as it is
	case strings.EqualFold(c.Name, "G729"): // RFC 4856 2.1.9: annex B is accepted or refused likewise
	default:
		c.Fmtp = "" // declares what the offerer receives, not us
	}
	return []Codec{c}
}

// number gives each codec its payload number on this leg: what it was called
// there before, since a number must never change its meaning during a session
// (RFC 3264 8.3.2), else the one it comes with, else a free one.
func (e End) number(codecs []Codec) []Codec {
	var past []Codec
	for _, s := range []*Session{e.Sent, e.Received} {
		if s == nil {
			continue
		}
		if i := s.audio(); i >= 0 {
			past = append(past, s.Media[i].Codecs...)
		}
	}
	out := make([]Codec, 0, len(codecs))
	taken := func(pt uint8) bool {
		has := func(c Codec) bool { return c.PT == pt }
		return slices.ContainsFunc(past, has) || slices.ContainsFunc(out, has)
	}
	for _, c := range codecs {
		if p, ok := find(past, c); ok && !slices.ContainsFunc(out, func(o Codec) bool { return o.PT == p.PT }) {
			c.PT = p.PT
		} else if taken(c.PT) || rtcpClash(c.PT) {
			c.PT = free(taken)
		}
		out = append(out, c)
	}
	return out
}

// rtcpClash: with the marker bit these numbers look like RTCP packets
// (RFC 5761 section 4).
func rtcpClash(pt uint8) bool { return pt >= 64 && pt <= 95 }

// free finds a dynamic number (RFC 3551 section 3: 96 to 127, then what is
// unassigned below). MaxCodecs keeps it from running dry within one offer.
func free(taken func(uint8) bool) uint8 {
	for pt := uint8(96); pt < 128; pt++ {
		if !taken(pt) {
			return pt
		}
	}
	for pt := uint8(63); pt > 34; pt-- {
		if !taken(pt) {
			return pt
		}
	}
	return 127
}

// shared is the offered codecs that were accepted, in the order and with the
// parameters of the acceptance, under the numbers of the offer.
func shared(offered, accepted []Codec) []Codec {
	out := make([]Codec, 0, len(accepted))
	for _, a := range accepted {
		o, ok := find(offered, a)
		if ok {
			o.Fmtp = a.Fmtp
			out = append(out, o)
		}
	}
	return out
}

func find(list []Codec, c Codec) (Codec, bool) {
	i := slices.IndexFunc(list, func(l Codec) bool { return same(l, c) })
	if i < 0 {
		return Codec{}, false
	}
	return list[i], true
}

// same reports whether two formats are one and the same codec, whatever their
// numbers.
func same(a, b Codec) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Name != "" && a.Rate == b.Rate &&
		max(a.Channels, 1) == max(b.Channels, 1) && octetAlign(a) == octetAlign(b)
}

// octetAlign: the two framings of AMR and AMR-WB cannot read each other
// (RFC 4867 section 8).
func octetAlign(c Codec) bool {
	if !strings.HasPrefix(strings.ToUpper(c.Name), "AMR") {
		return false
	}
	for p := range strings.SplitSeq(c.Fmtp, ";") {
		if strings.TrimSpace(p) == "octet-align=1" {
			return true
		}
	}
	return false
}

func (c Codec) events() bool { return strings.EqualFold(c.Name, "telephone-event") }

func (c Codec) noise() bool { return strings.EqualFold(c.Name, "CN") }

// voice: not an event and not comfort noise, which nobody can talk through.
func (c Codec) voice() bool {
	return !c.events() && !c.noise()
}

func hasVoice(codecs []Codec) bool {
	return slices.ContainsFunc(codecs, Codec.voice)
}
