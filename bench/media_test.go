package bench

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func testPlayer(t *testing.T) *player {
	t.Helper()
	var sides [2]rtp.Interface
	for i, name := range []string{"cloud", "core"} {
		sides[i] = rtp.Interface{
			Name: name, Bind: loopback, PortMin: 42000 + uint16(i)*1000, PortMax: 42998 + uint16(i)*1000,
			Allow: []netip.Prefix{netip.PrefixFrom(loopback, 32)},
		}
	}
	p, err := newPlayer(sides)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func TestWhatIsDescribedIsUnderstood(t *testing.T) {
	keys, err := rtp.NewKeys(suite)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []description{
		{addr: netip.MustParseAddrPort("127.0.0.9:20002")},
		{addr: netip.MustParseAddrPort("127.0.0.9:20002"), keys: keys, tag: "7"},
	} {
		got, err := understand(want.write())
		if err != nil {
			t.Fatal(err)
		}
		if got.addr != want.addr || got.tag != want.tag || (got.keys == nil) != (want.keys == nil) {
			t.Errorf("%v %q, not %v %q", got.addr, got.tag, want.addr, want.tag)
		}
		if want.keys != nil && string(got.keys.Master) != string(want.keys.Master) {
			t.Error("another key")
		}
	}
}

func TestTheKeyOfOurSuiteIsFoundAmongOthers(t *testing.T) {
	body := strings.ReplaceAll(`v=0
c=IN IP4 127.0.0.9
m=audio 20002 RTP/SAVP 8
a=crypto:1 AEAD_AES_256_GCM inline:AAAA
a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
`, "\n", "\r\n")
	d, err := understand([]byte(body))
	if err != nil || d.tag != "2" || string(d.keys.Master) != "YS___semctl () {\t220;}\n}\nunles" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestADescriptionWithoutAudioIsRefused(t *testing.T) {
	for _, body := range []string{"", "v=0\r\n", "c=IN IP4 127.0.0.1\r\n", "c=IN IP4 127.0.0.1\r\nm=audio 0 RTP/AVP 8\r\n", "c=IN IP4 x\r\nm=audio 4000 RTP/AVP 8\r\n", "m=audio 70000 RTP/AVP 8\r\nc=IN IP4 127.0.0.1\r\n"} {
		if d, err := understand([]byte(body)); err == nil {
			t.Errorf("%q was understood as %v", body, d.addr)
		}
	}
}

func FuzzUnderstand(f *testing.F) {
	f.Add([]byte("c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA|2^31\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if d, err := understand(body); err == nil && (!d.addr.IsValid() || d.addr.Port() == 0) {
			t.Errorf("%q gives %v", body, d.addr)
		}
	})
}

// joined are two streams that play to each other, one with SRTP.
func joined(t *testing.T, p *player) [2]*stream {
	t.Helper()
	s, err := p.pair([2]string{"cloud", "core"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPacketsAreCountedAndTimedEachWay(t *testing.T) {
	p := testPlayer(t)
	s := joined(t, p)
	w := p.watch()
	waitFor(t, func() bool { return w.way[0].heard.Load() >= 10 && w.way[1].heard.Load() >= 10 })
	p.shut(w)
	waitFor(t, func() bool {
		return w.way[0].heard.Load() == w.way[0].sent.Load() && w.way[1].heard.Load() == w.way[1].sent.Load()
	})
	for i := range w.way {
		if d := w.way[i].delay.quantile(0.5); d <= 0 || d > time.Second {
			t.Errorf("way %d takes %v", i, d)
		}
	}
	for _, s := range s {
		s.end()
	}
	for i, slot := range p.slots {
		if len(slot) > 0 {
			t.Errorf("slot %d still plays", i)
		}
	}
}

func TestAStreamThatHasEndedLeavesTheOthersPlaying(t *testing.T) {
	p := testPlayer(t)
	var all [][2]*stream
	for range 2 * slots { // each slot holds several
		all = append(all, joined(t, p))
	}
	for i := 0; i < len(all); i += 2 {
		all[i][0].end()
		all[i][1].end()
	}
	p.mu.Lock()
	playing := 0
	for n, slot := range p.slots {
		playing += len(slot)
		for i, s := range slot {
			if s.index != i || s.slot != n {
				t.Errorf("a stream at %d/%d takes itself for %d/%d", n, i, s.slot, s.index)
			}
		}
	}
	p.mu.Unlock()
	if playing != len(all) {
		t.Errorf("%d streams play, not %d", playing, len(all))
	}
}

// waitFor looks again and again, for ten seconds at most.
func waitFor(t *testing.T, good func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for !good() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not come")
		}
	}
}
