package trace

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ours   = netip.MustParseAddrPort("192.0.2.1:5063")
	theirs = netip.MustParseAddrPort("198.51.100.24:5061")
)

func packet(raw string) Packet {
	return Packet{
		At: time.Date(2026, 11, 20, 9, 0, 0, 123456789, time.UTC), Peer: "teams", Side: "cloud", Leg: "caller",
		Transport: "TLS", Local: ours, Remote: theirs, Raw: []byte(raw),
	}
}

func TestWhatWasAddedIsShownInOrder(t *testing.T) {
	r := New(Config{})
	r.Add("a", packet("INVITE"))
	r.Note("a", "route: core-a first")
	r.Add("b", packet("OPTIONS"))
	r.Add("a", packet("SIP/2.0 100 Trying"))
	got, ok := r.Get("a")
	if !ok || len(got.Packets) != 2 || got.Packets[0].Raw != "INVITE" || got.Packets[1].Raw != "SIP/2.0 100 Trying" {
		t.Fatalf("trace = %+v, %v", got, ok)
	}
	if got.Call.ID != "a" || len(got.Notes) != 1 || got.Missing != 0 {
		t.Errorf("trace = %+v", got)
	}
	if p := got.Packets[0]; p.Local != "192.0.2.1:5063" || p.Remote != "198.51.100.24:5061" || p.Peer != "teams" {
		t.Errorf("packet = %+v", p)
	}
	if _, ok := r.Get("c"); ok {
		t.Error("an unknown call has a trace")
	}
}

func TestAnAnswerAddedBeforeItsQuestionIsShownAfterIt(t *testing.T) {
	r := New(Config{})
	answer := packet("SIP/2.0 100 Trying")
	answer.At = answer.At.Add(time.Microsecond)
	r.Add("a", answer)
	r.Add("a", packet("INVITE"))
	if got, _ := r.Get("a"); got.Packets[0].Raw != "INVITE" {
		t.Errorf("first is %s", got.Packets[0].Raw)
	}
}

func TestALongCallKeepsItsBeginningAndItsNewest(t *testing.T) {
	r := New(Config{Messages: 40})
	for i := range 100 {
		r.Add("a", packet(fmt.Sprint(i)))
	}
	got, _ := r.Get("a")
	if len(got.Packets) != 40 || got.Missing != 60 {
		t.Fatalf("%d packets, %d missing", len(got.Packets), got.Missing)
	}
	if got.Packets[head-1].Raw != "31" || got.Packets[head].Raw != "92" || got.Packets[39].Raw != "99" {
		t.Errorf("kept %s, %s … %s", got.Packets[head-1].Raw, got.Packets[head].Raw, got.Packets[39].Raw)
	}
}

func TestOneCallIsBoundedInBytes(t *testing.T) {
	r := New(Config{PerCall: 10_000})
	for range 100 {
		r.Add("a", packet(strings.Repeat("x", 1000)))
	}
	for range 1000 {
		r.Note("a", strings.Repeat("n", 100))
	}
	r.Add("a", packet(strings.Repeat("y", 100_000)))
	got, _ := r.Get("a")
	if n := r.calls["a"].bytes; n > 10_000 || len(got.Packets) < 5 || got.Missing+len(got.Packets) != 101 {
		t.Errorf("%d bytes, %d packets, %d missing", n, len(got.Packets), got.Missing)
	}
}

func TestAllTogetherAreBoundedAndTheLastHeardOfWin(t *testing.T) {
	r := New(Config{Bytes: 100_000})
	r.Add("long", packet("INVITE"))
	for i := range 1000 {
		r.Add(fmt.Sprint(i), packet(strings.Repeat("x", 1000)))
		if i%20 == 0 {
			r.Add("long", packet("re-INVITE"))
		}
		if i%3 == 0 {
			r.End(fmt.Sprint(i))
		}
	}
	if r.bytes > 100_000 {
		t.Errorf("%d bytes", r.bytes)
	}
	checkShares(t, r)
	for _, id := range []string{"999", "950", "long"} {
		if _, ok := r.Get(id); !ok {
			t.Errorf("%s is forgotten", id)
		}
	}
	if _, ok := r.Get("500"); ok {
		t.Error("an old call is still there")
	}
	sum := 0
	for _, c := range r.calls {
		sum += c.bytes
	}
	if sum != r.bytes {
		t.Errorf("bytes = %d, the calls' own = %d", r.bytes, sum)
	}
}

// checkShares holds the peers' shares against the calls.
func checkShares(t *testing.T, r *Ring) {
	t.Helper()
	calls, bytes := 0, 0
	for name, s := range r.peers {
		if s.order.Len() == 0 {
			t.Errorf("%q has no calls and is kept", name)
		}
		calls, bytes = calls+s.order.Len(), bytes+s.bytes
	}
	if calls != len(r.calls) || bytes != r.bytes {
		t.Errorf("the peers have %d calls and %d bytes, of %d and %d", calls, bytes, len(r.calls), r.bytes)
	}
}

func TestAPeerGoneWildPushesOutItsOwnCalls(t *testing.T) {
	r := New(Config{Bytes: 200_000})
	quiet := packet(strings.Repeat("x", 1000))
	quiet.Peer = "quiet"
	for i := range 20 {
		id := fmt.Sprint("quiet-", i)
		r.Note(id, "before any message")
		r.Add(id, quiet)
	}
	wild := packet(strings.Repeat("x", 1000))
	wild.Peer = "wild"
	for i := range 5000 {
		r.Add(fmt.Sprint("wild-", i), wild)
	}
	checkShares(t, r)
	for i := range 20 {
		if _, ok := r.Get(fmt.Sprint("quiet-", i)); !ok {
			t.Errorf("call %d of the quiet peer is forgotten", i)
		}
	}
	if _, ok := r.Get("wild-4999"); !ok {
		t.Error("the newest call of the other is forgotten")
	}
	if _, ok := r.Get("wild-1"); ok || r.bytes > 200_000 {
		t.Errorf("its oldest is there, %d bytes", r.bytes)
	}
}

func TestTheBoundIsOneOfRealMemory(t *testing.T) {
	before := heap()
	r := New(Config{Bytes: 16 << 20})
	for i := range 20_000 {
		id := fmt.Sprint("call-", i)
		for range 10 {
			r.Add(id, Packet{Local: ours, Remote: theirs, Raw: make([]byte, 1000)})
		}
		r.End(id)
	}
	if r.ended.Len() > len(r.calls) {
		t.Errorf("%d ended calls are kept beside %d", r.ended.Len(), len(r.calls))
	}
	if grown := heap() - before; grown > 20<<20 {
		t.Errorf("a ring of 16 MiB takes %d KiB", grown>>10)
	}
	runtime.KeepAlive(r)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestACallIsForgottenSomeTimeAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Keep: time.Hour})
		r.Add("a", packet("INVITE"))
		r.Add("live", packet("INVITE"))
		r.End("a")
		r.End("a")
		r.End("unknown")
		time.Sleep(59 * time.Minute)
		r.Add("a", packet("a late 200"))
		if _, ok := r.Get("a"); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Minute)
		if _, ok := r.Get("a"); ok {
			t.Error("never forgotten")
		}
		time.Sleep(1000 * time.Hour)
		if _, ok := r.Get("live"); !ok {
			t.Error("a live call is forgotten")
		}
		if n := r.ended.Len(); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}

const offer = "INVITE sip:+442079460123@core SIP/2.0\r\n\r\nv=0\r\nm=audio 49170 RTP/SAVP 8\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n" +
	"a=crypto:2 AES_CM_128_HMAC_SHA1_32 INLINE:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj;inline:second\r\n"

func TestKeysAreBlankedAndLengthsKept(t *testing.T) {
	r := New(Config{})
	p := packet(offer)
	r.Add("a", p)
	got, _ := r.Get("a")
	var capture bytes.Buffer
	if _, err := r.Pcap(&capture, "a"); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{got.Packets[0].Raw, capture.String()} {
		for _, key := range []string{"WVNfX19", "d0RmdmcmV", "second"} {
			if strings.Contains(shown, key) {
				t.Errorf("key %s is shown", key)
			}
		}
		if !strings.Contains(shown, "*|2^20|1:4\r\n") || !strings.Contains(shown, "*;inline:******\r\n") {
			t.Errorf("more than the keys is blanked: %s", shown)
		}
	}
	if len(got.Packets[0].Raw) != len(offer) || string(p.Raw) != offer {
		t.Error("the message itself was changed")
	}
}

func FuzzBlank(f *testing.F) {
	for _, s := range []string{offer, "inline:", "iinline:x", "INLINE:abc", "inlineinline:abc inline:def", "", "i", "inline:a\x00b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got := blank(raw)
		if !bytes.Equal(raw, before) || len(got) != len(raw) {
			t.Fatal("the message was changed")
		}
		low := bytes.ToLower(got)
		for i := range low {
			if !bytes.HasPrefix(low[i:], inline) {
				continue
			}
			if rest := low[i+len(inline):]; len(rest) > 0 && !endsKey(rest[0]) && rest[0] != '*' {
				t.Fatalf("a key shows at %d: %q", i, got)
			}
		}
	})
}

func TestTheCaptureHoldsWhatWasSeen(t *testing.T) {
	r := New(Config{})
	in := packet("INVITE sip:a SIP/2.0\r\n\r\n")
	out := packet("SIP/2.0 100 Trying\r\n\r\n")
	out.Out = true
	six := packet(strings.Repeat("x", 70_000))
	six.Local = netip.MustParseAddrPort("[2001:db8::1]:5061")
	six.Remote = netip.MustParseAddrPort("[2001:db8::2]:5061")
	half := packet("BYE")
	half.Local = netip.AddrPort{}
	for _, p := range []Packet{in, out, six, half} {
		r.Add("a", p)
	}
	var b bytes.Buffer
	if ok, err := r.Pcap(&b, "a"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	rd, err := pcapgo.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"198.51.100.24:5061 192.0.2.1:5063 24",
		"192.0.2.1:5063 198.51.100.24:5061 22",
		"2001:db8::2:5061 2001:db8::1:5061 65507",
		"198.51.100.24:5061 0.0.0.0:0 3",
	}
	for _, w := range want {
		data, info, err := rd.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		first := gopacket.LayerType(layers.LayerTypeIPv4)
		if data[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(data, first, gopacket.Default)
		if p.ErrorLayer() != nil {
			t.Fatal(p.ErrorLayer().Error())
		}
		udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		flow := p.NetworkLayer().NetworkFlow()
		got := fmt.Sprintf("%v:%d %v:%d %d", flow.Src(), udp.SrcPort, flow.Dst(), udp.DstPort, len(udp.Payload))
		if got != w {
			t.Errorf("frame = %s, want %s", got, w)
		}
		if !info.Timestamp.Equal(in.At) {
			t.Errorf("time = %v, want %v", info.Timestamp, in.At)
		}
	}
	if _, _, err := rd.ReadPacketData(); err != io.EOF {
		t.Errorf("more than was seen: %v", err)
	}
	if ok, _ := r.Pcap(&b, "b"); ok {
		t.Error("an unknown call has a capture")
	}
}

func TestManyAtOnce(t *testing.T) {
	r := New(Config{Bytes: 50_000})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprint((g + i) % 50)
				r.Add(id, packet("x"))
				r.Note(id, "n")
				r.Get(id)
				r.Pcap(io.Discard, id)
				r.End(id)
			}
		})
	}
	wg.Wait()
}

// A call of 14 messages, as seen by both of its legs.
func BenchmarkAdd(b *testing.B) {
	r := New(Config{})
	p := packet(strings.Repeat("x", 1200))
	ids := make([]string, 4096)
	for i := range ids {
		ids[i] = fmt.Sprintf("0190a3c4-%012d", i)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r.Add(ids[n/14%len(ids)], p)
		if n%14 == 13 {
			r.End(ids[n/14%len(ids)])
		}
	}
}

func BenchmarkGet(b *testing.B) {
	r := New(Config{})
	for range 14 {
		r.Add("a", packet(offer))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Get("a"); !ok {
			b.Fatal("gone")
		}
	}
}
