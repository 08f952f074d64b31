package tester

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/sdp"
)

// The tone that is sent: of a frequency that no network plays by itself, in
// bursts, so that what comes back cannot be mistaken for a held note.
const (
	toneHz    = 1237
	toneLevel = -16 // dBm0
	burst     = 15  // packets of tone, then as many of silence
)

const (
	rate       = 8000
	packetTime = 20 * time.Millisecond
	samples    = 160
	window     = 5 * samples // over which what comes is judged
	// audible is louder than comfort noise and the quiet of a line.
	audible = -45 // dBm0
	// alike is how near the tone's level comes to that of all, when there is
	// little beside it.
	alike = 3 // dB
)

// line is the telephone's media: it sends a tone and listens.
type line struct {
	rtp, rtcp netip.AddrPort
	conn      *net.UDPConn // RTP
	beside    *net.UDPConn // RTCP: it is taken and not read
	here      netip.Addr
	runs      sync.WaitGroup
	stop      chan struct{}
	once      sync.Once

	mu    sync.Mutex
	to    netip.AddrPort // mu
	law   codec.Law      // mu
	pt    uint8          // mu
	began bool           // mu
	heard heard          // mu
	pcm   []int16        // mu: of the window that is being filled
}

// heard is what became of the media.
type heard struct {
	sent, received uint64
	sound, echo    bool
}

// open takes two ports at an address of the node's media.
func open(here netip.Addr) (*line, error) {
	if here.IsUnspecified() {
		here = loopback
	}
	l := &line{here: here, stop: make(chan struct{})}
	for _, c := range []struct {
		conn **net.UDPConn
		at   *netip.AddrPort
	}{{&l.conn, &l.rtp}, {&l.beside, &l.rtcp}} {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
		if err != nil {
			l.close()
			return nil, err
		}
		*c.conn, *c.at = conn, netip.AddrPortFrom(here, uint16(conn.LocalAddr().(*net.UDPAddr).Port))
	}
	return l, nil
}

// talk sends the tone to a side, and begins to listen.
func (l *line) talk(side sdp.Side) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if side.First != nil {
		for _, a := range side.Codecs {
			if a.Name == side.First.Name {
				l.pt = a.Out
			}
		}
		l.law = codec.MuLaw
		if side.First.Name == "PCMA" {
			l.law = codec.ALaw
		}
	}
	// The node is behind no translation to itself: its port, at its own address.
	l.to = netip.AddrPortFrom(l.here, side.RTP.Port())
	if !l.began {
		l.began = true
		l.runs.Go(l.send)
		l.runs.Go(l.receive)
	}
}

// hush stops and tells what was heard.
func (l *line) hush() heard {
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

func (l *line) end() {
	l.once.Do(func() { close(l.stop) })
	if l.conn != nil {
		_ = l.conn.Close() // nothing is owed
	}
	l.runs.Wait()
}

func (l *line) close() {
	l.end()
	if l.beside != nil {
		_ = l.beside.Close()
	}
}

// send sends a packet every 20 ms.
func (l *line) send() {
	tick := time.NewTicker(packetTime)
	defer tick.Stop()
	tone, frame := codec.NewSine(toneHz, toneLevel, rate), make([]int16, samples)
	seq, at, source := uint16(rand.Uint32()), rand.Uint32(), rand.Uint32()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		clear(frame)
		if n/burst%2 == 0 {
			tone.Fill(frame)
		}
		l.mu.Lock()
		to, law, pt := l.to, l.law, l.pt
		l.mu.Unlock()
		p := binary.BigEndian.AppendUint16([]byte{0x80, pt}, seq) // RFC 3550 5.1
		if n == 0 {
			p[1] |= 0x80
		}
		p = binary.BigEndian.AppendUint32(p, at)
		p = law.Encode(binary.BigEndian.AppendUint32(p, source), frame)
		seq, at = seq+1, at+samples
		if _, err := l.conn.WriteToUDPAddrPort(p, to); err == nil {
			l.mu.Lock()
			l.heard.sent++
			l.mu.Unlock()
		}
	}
}

// receive listens until the port is closed.
func (l *line) receive() {
	b := make([]byte, 2048)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		l.take(b[:n], from)
	}
}

// take judges one packet. Only the node's own are heard.
func (l *line) take(p []byte, from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from.Addr().Unmap() != l.here.Unmap() || len(p) < 12 || p[0]>>6 != 2 || p[1]&0x7f != l.pt {
		return
	}
	head := 12 + 4*int(p[0]&0x0f)
	if p[0]&0x10 != 0 && len(p) >= head+4 {
		head += 4 + 4*int(binary.BigEndian.Uint16(p[head+2:]))
	}
	if len(p) <= head {
		return
	}
	l.heard.received++
	l.pcm = l.law.Decode(l.pcm, p[head:])
	for len(l.pcm) >= window {
		part := l.pcm[:window]
		if level := codec.DBm0(part); level > audible {
			l.heard.sound = true
			l.heard.echo = l.heard.echo || codec.ToneLevel(part, toneHz, rate) > level-alike
		}
		l.pcm = append(l.pcm[:0], l.pcm[window:]...)
	}
}
