package sdp

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// peerSDP draws what some equipment would say: codecs in any order, dynamic
// numbers of its own liking, an event stream or none, a crypto line if it
// must have one.
func peerSDP(t *rapid.T, who string, secure bool) *Session {
	names := rapid.Permutation([]string{"PCMA/8000", "PCMU/8000", "G722/8000", "AMR-WB/16000", "SILK/16000", "telephone-event/8000", "telephone-event/16000", "CN/8000"}).Draw(t, who+" codecs")
	names = names[:rapid.IntRange(1, len(names)).Draw(t, who+" how many")]
	numbers := rapid.Permutation([]int{96, 97, 98, 99, 100, 101, 35, 77}).Draw(t, who+" numbers")
	static := map[string]int{"PCMA/8000": 8, "PCMU/8000": 0, "G722/8000": 9, "CN/8000": 13}
	m, maps := "", ""
	for i, n := range names {
		pt, ok := static[n]
		if !ok {
			pt = numbers[i]
		}
		m += " " + strconv.Itoa(pt)
		maps += "a=rtpmap:" + strconv.Itoa(pt) + " " + n + "\n"
	}
	proto, key := "RTP/AVP", ""
	if secure {
		proto, key = "RTP/SAVP", "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+\n"
	}
	text := "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 " + proto + m + "\n" + maps + key
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// answers makes a well-behaved peer's answer: some of the offered codecs, in
// its own order, dynamic ones perhaps under numbers of its own.
func answers(t *rapid.T, offer *Session, secure bool) *Session {
	own := peerSDP(t, "callee", secure)
	o := offer.Carried()
	renumber := rapid.Bool().Draw(t, "renumbers")
	var kept []Codec
	for _, c := range own.Media[0].Codecs {
		if f, ok := find(o.Codecs, c); ok {
			if !renumber {
				c = f
			}
			kept = append(kept, c)
		}
	}
	own.Media[0].Codecs = kept
	return own
}

// TestTwoLegsAgree: whatever caller and callee like, each packet that crosses
// means the same codec on both sides, and every voice codec of the answer
// crosses both ways.
func TestTwoLegsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nearEnd, farEnd := core(), cloud()
		if rapid.Bool().Draw(t, "transcodes") {
			nearEnd.Transcode, farEnd.Transcode = allCodecs, allCodecs
			farEnd.Noise = rapid.Bool().Draw(t, "noise")
		}
		near := peerSDP(t, "caller", false)
		sent, err := Offer(near, farEnd)
		if err != nil {
			return // nothing but events
		}
		answer := answers(t, sent, true)
		far, err := Agree(sent, answer)
		if err != nil {
			return // nothing in common
		}
		back, err := Answer(near, answer, nearEnd)
		if err != nil {
			t.Fatalf("agreed with the callee, not with the caller: %v\n%s\n%s", err, text(near), text(answer))
		}
		side, err := Agree(back, near)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, text(back), text(near))
		}
		n, err := Bridge(side, far)
		if err != nil {
			t.Fatal(err)
		}
		meaning := func(s *Session, pt uint8) Codec {
			for _, c := range s.Carried().Codecs {
				if c.PT == pt {
					return c
				}
			}
			t.Fatalf("number %d is not in\n%s", pt, text(s))
			return Codec{}
		}
		for in, out := range n.NearToFar {
			if out != 0xff && !same(meaning(near, uint8(in)), meaning(answer, out)) {
				t.Fatalf("to the callee %d becomes %d\n%s\n%s", in, out, text(near), text(answer))
			}
		}
		for in, out := range n.FarToNear {
			if out == 0xff {
				continue
			}
			ours := back.Carried().Codecs
			fits := func(c Codec) bool { return same(c, meaning(near, out)) }
			// It may send by our offer's numbers, or by its own.
			if c, ok := byNumber(sent.Carried().Codecs, uint8(in)); ok && fits(c) {
				continue
			}
			if c, ok := byNumber(answer.Carried().Codecs, uint8(in)); ok && fits(c) {
				continue
			}
			t.Fatalf("to the caller %d becomes %d\n%s\n%s\n%v", in, out, text(sent), text(answer), ours)
		}
		_, has := findAgreed(far.Codecs, side.Codecs[0].Codec)
		if foreign := n.Transcode != nil && n.Transcode.Foreign; has == foreign {
			t.Fatalf("transcoding: %+v\n%s\n%s", n.Transcode, text(back), text(answer))
		}
		for _, c := range back.Carried().Codecs {
			if _, has := findAgreed(far.Codecs, c); !has && (n.Transcode != nil || !c.voice()) {
				continue // the relay converts it
			}
			if n.NearToFar[c.PT] == 0xff {
				t.Fatalf("accepted %v, yet it is dropped\n%s", c, text(back))
			}
		}
	})
}

func byNumber(list []Codec, pt uint8) (Codec, bool) {
	for _, c := range list {
		if c.PT == pt {
			return c, true
		}
	}
	return Codec{}, false
}
