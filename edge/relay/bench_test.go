package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// BenchmarkRecode is one packet of 20 ms through the inbox, the jitter buffer,
// decoder, resampler, encoder and SRTP, up to and with the call into the
// kernel: what a direction of a transcoded call costs beside the receiving of
// its packets (wire/rtp.BenchmarkRelay). streams/core is directions that one
// processor could do if it did nothing else.
func BenchmarkRecode(b *testing.B) {
	of := func(pt uint8, name string, rate, channels int, fmtp string) sdp.Agreed {
		return sdp.Agreed{Codec: sdp.Codec{PT: pt, Name: name, Rate: rate, Channels: channels, Fmtp: fmtp}, In: pt, Out: pt, Receives: fmtp}
	}
	amr, wide := of(97, "AMR", 8000, 1, ""), of(96, "AMR-WB", 16000, 1, "")
	opus, g729 := of(111, "opus", 48000, 2, ""), of(18, "G729", 8000, 1, "annexb=no")
	for _, c := range []struct{ from, to sdp.Agreed }{
		{pcma, pcmu},
		{pcma, g722},
		{g722, pcma},
		{pcma, opus},
		{opus, pcma},
		{pcma, wide},
		{wide, pcma},
		{pcma, amr},
		{amr, pcma},
		{pcma, g729},
		{g729, pcma},
	} {
		b.Run(c.from.Name+"-"+c.to.Name, func(b *testing.B) { benchRecode(b, c.from, c.to) })
	}
}

func benchRecode(b *testing.B, from, to sdp.Agreed) {
	payloads := encoded(b, from)
	e, err := rtp.New(rtp.Config{Threads: 1, Interfaces: []rtp.Interface{{Name: "test", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 31000, PortMax: 31999}}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	r := New(Config{Engine: e})
	defer r.Close()
	m, err := r.Open("test", "test")
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	keys, err := rtp.NewKeys(suite)
	if err != nil {
		b.Fatal(err)
	}
	at := netip.MustParseAddrPort(sink.LocalAddr().String())
	sides := [2]Negotiated{
		{RTP: at, PT: rtp.PassPT(), Codecs: []sdp.Agreed{from}, Recode: true},
		{RTP: at, PT: rtp.PassPT(), Codecs: []sdp.Agreed{to}, Recode: true, Out: keys},
	}
	for s, n := range sides {
		if err := m.Set(Side(s), n); err != nil {
			b.Fatal(err)
		}
	}
	r.crew.close() // the benchmark is the worker
	v := m.voices[Callee]
	if v.format.Name == "" || len(v.ear.inputs) == 0 {
		b.Skip("the codec is not on this machine")
	}
	pkt := []byte{0x80, from.In, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}
	now := time.Now()
	v.due = now
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	b.ResetTimer()
	spent := threadTime(b)
	for i := range b.N {
		binary.BigEndian.PutUint16(pkt[2:], uint16(i))
		binary.BigEndian.PutUint32(pkt[4:], uint32(i*from.Rate/50))
		v.inbox.put(append(pkt[:12], payloads[i%len(payloads)]...))
		now = now.Add(20 * time.Millisecond)
		v.inbox.mail[len(v.inbox.mail)-1].at = now
		v.work(now)
	}
	b.StopTimer()
	perFrame := float64(threadTime(b)-spent) / float64(b.N)
	b.ReportMetric(perFrame, "cpu-ns/frame")
	b.ReportMetric(20e6/perFrame, "streams/core")
	if sent := m.Stats(Callee).Sent.Packets; b.N > 100 && sent < uint64(b.N)*9/10 {
		b.Errorf("%d of %d packets were sent", sent, b.N)
	}
}

// threadTime is the processor time of the calling thread, which other work on
// the machine does not count in.
func threadTime(b *testing.B) time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thread, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// encoded is speech in packets of 20 ms.
func encoded(b *testing.B, a sdp.Agreed) (out [][]byte) {
	f, ok := codec.Lookup(a.Name, a.Rate, a.Fmtp)
	if !ok {
		b.Skip("the codec is not on this machine")
	}
	enc, err := f.NewEncoder()
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	pcm := audio.Speech(1)
	if f.Rate != 8000 {
		pcm = codec.NewResampler(8000, f.Rate).Resample(nil, pcm)
	}
	for n := f.Rate / 50; len(pcm) >= n; pcm = pcm[n:] {
		p, err := enc.Encode(nil, pcm[:n])
		if err != nil {
			b.Fatal(err)
		}
		if len(p) > 0 {
			out = append(out, p)
		}
	}
	return out
}
