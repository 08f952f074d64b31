package sip

import (
	"testing"
	"time"
)

func TestInAnOverloadThoseAreRefusedWhoMakeIt(t *testing.T) {
	for name, c := range map[string]struct {
		rates  []int // requests a second of each peer
		modest []bool
	}{
		"one gone wild":          {[]int{1000, 5, 20}, []bool{false, true, true}},
		"all alike":              {[]int{100, 110, 90}, []bool{false, false, false}},
		"one alone":              {[]int{1000}, []bool{false}},
		"a small one among many": {[]int{100, 100, 100, 100, 30}, []bool{false, false, false, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var s shares
			peers := make([]*Remote, len(c.rates))
			for i := range peers {
				peers[i] = &Remote{}
			}
			got := make([]bool, len(peers))
			now := time.Unix(0, 0)
			for ms := range 3000 {
				for i, rate := range c.rates {
					if (ms+1)*rate/1000 > ms*rate/1000 {
						got[i] = s.modest(peers[i], now)
					}
				}
				now = now.Add(time.Millisecond)
			}
			for i, want := range c.modest {
				if got[i] != want {
					t.Errorf("the peer of %d/s: modest %t", c.rates[i], got[i])
				}
			}
			if s.modest(peers[0], now.Add(time.Hour)) || len(s.last) != 0 {
				t.Error("an hour later the past still counts")
			}
		})
	}
}
