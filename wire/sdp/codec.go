package sdp

import (
	"slices"
	"strings"
)

// gatewayCodecs is what the codec names of the gateway resource stand for,
// with the number we give each when we are first to name it.
var gatewayCodecs = map[string]Codec{
	"PCMA":    {PT: 8, Name: "PCMA", Rate: 8000},
	"PCMU":    {PT: 0, Name: "PCMU", Rate: 8000},
	"G722":    {PT: 9, Name: "G722", Rate: 8000},
	"G722_2":  {PT: 96, Name: "AMR-WB", Rate: 16000},
	"SILK_8":  {PT: 103, Name: "SILK", Rate: 8000},
	"SILK_16": {PT: 104, Name: "SILK", Rate: 16000},
}

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

func (e End) allows(c Codec) bool {
	return slices.ContainsFunc(e.Codecs, func(name string) bool {
		g, ok := gatewayCodecs[name]
		return ok && strings.EqualFold(g.Name, c.Name) && g.Rate == c.Rate && c.Channels <= 1
	})
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

// voice: not an event and not comfort noise, which nobody can talk through.
func (c Codec) voice() bool {
	return !strings.EqualFold(c.Name, "telephone-event") && !strings.EqualFold(c.Name, "CN")
}

func hasVoice(codecs []Codec) bool {
	return slices.ContainsFunc(codecs, Codec.voice)
}
