package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
)

// G.711 in packets of 20 ms: a header and 160 octets, the first eight of
// which are when it was sent. The system carries the octets unchanged, since
// both sides use the same codec.
const (
	payloadType = 8 // PCMA
	headerSize  = 12
	packetSize  = headerSize + 160
	packetTime  = 20 * time.Millisecond
	packetRate  = int(time.Second / packetTime)
	suite       = "AES_CM_128_HMAC_SHA1_80"
)

// slots spread the streams over the 20 ms, one each millisecond.
const slots = int(packetTime / time.Millisecond)

// player sends and hears the media of all calls.
type player struct {
	engine *rtp.Engine // RO
	epoch  time.Time   // RO: zero of the times in packets
	window atomic.Pointer[window]
	stop   chan struct{}
	done   sync.WaitGroup

	mu    sync.Mutex
	slots [slots][]*stream // mu
	next  int              // mu: the slot of the next stream
}

// window counts what was sent, and heard, of the packets sent in a span of time.
type window struct {
	from, to int64 // since the epoch; to is stored once, atomically
	skipped  atomic.Int64
	way      [2]struct {
		sent, heard atomic.Int64
		delay       histogram
	}
}

// stream is the media of one end of a call.
type stream struct {
	player *player
	port   *rtp.Port
	way    int       // RO: which way its packets go, an index of window.way
	keys   *rtp.Keys // RO: ours; nil = clear

	// mu of the player
	slot, index int // index is -1 while it does not play
	packet      [packetSize]byte
	seq         uint16
	time        uint32
}

func newPlayer(sides [2]rtp.Interface) (*player, error) {
	engine, err := rtp.New(rtp.Config{Threads: 1, Interfaces: sides[:]})
	if err != nil {
		return nil, fmt.Errorf("start the generator's media: %w", err)
	}
	p := &player{engine: engine, epoch: time.Now(), stop: make(chan struct{})}
	p.done.Go(p.play)
	return p, nil
}

func (p *player) close() {
	close(p.stop)
	p.done.Wait()
	_ = p.engine.Close()
}

// open makes a stream that does not play yet.
func (p *player) open(iface string, way int, srtp bool) (*stream, error) {
	port, err := p.engine.Open(iface)
	if err != nil {
		return nil, err
	}
	s := &stream{player: p, port: port, way: way, index: -1, seq: uint16(rand.Uint32())}
	if srtp {
		if s.keys, err = rtp.NewKeys(suite); err != nil {
			port.Close()
			return nil, err
		}
	}
	s.packet[0], s.packet[1] = 2<<6, payloadType
	binary.BigEndian.PutUint32(s.packet[8:], rand.Uint32())
	return s, nil
}

// pair opens two streams that play to each other, without a system between.
func (p *player) pair(ifaces [2]string) (ends [2]*stream, err error) {
	for i, name := range ifaces {
		if ends[i], err = p.open(name, i, i == 0); err != nil {
			break
		}
	}
	for i := range ends {
		if err == nil {
			err = ends[i].start(description{addr: ends[1-i].port.Addr(), keys: ends[1-i].keys})
		}
	}
	if err != nil {
		for _, s := range ends {
			if s != nil {
				s.end()
			}
		}
	}
	return ends, err
}

// start plays towards the far end that a description names.
func (s *stream) start(far description) error {
	s.port.Remote(far.addr, netip.AddrPort{})
	if err := s.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: far.keys, Sink: s.hear}); err != nil {
		return err
	}
	p := s.player
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.index >= 0 {
		return nil
	}
	s.slot = p.next % slots
	p.next++
	s.index = len(p.slots[s.slot])
	p.slots[s.slot] = append(p.slots[s.slot], s)
	return nil
}

// end stops and gives the port back.
func (s *stream) end() {
	p := s.player
	p.mu.Lock()
	if s.index >= 0 {
		slot := p.slots[s.slot]
		last := slot[len(slot)-1]
		slot[s.index], last.index = last, s.index
		p.slots[s.slot] = slot[:len(slot)-1]
		s.index = -1
	}
	p.mu.Unlock()
	s.port.Close()
}

// play sends each slot in its millisecond. When the machine held it up for
// longer than a packet's time, what was missed is left out and counted: the
// loss of the system shall not be the generator's.
func (p *player) play() {
	for tick := int64(0); ; tick++ {
		due := time.Duration(tick) * time.Millisecond
		wait := due - time.Since(p.epoch)
		if wait > 0 {
			select {
			case <-p.stop:
				return
			case <-time.After(wait):
			}
		}
		missed := wait < -packetTime
		p.mu.Lock()
		slot := p.slots[tick%int64(slots)]
		if w := p.window.Load(); missed && w != nil {
			w.skipped.Add(int64(len(slot)))
		}
		if !missed {
			for _, s := range slot {
				s.send()
			}
		}
		p.mu.Unlock()
	}
}

// send is called with the player's mu held.
func (s *stream) send() {
	s.seq++
	s.time += uint32(packetSize - headerSize)
	binary.BigEndian.PutUint16(s.packet[2:], s.seq)
	binary.BigEndian.PutUint32(s.packet[4:], s.time)
	now := int64(time.Since(s.player.epoch))
	binary.BigEndian.PutUint64(s.packet[headerSize:], uint64(now))
	w := s.player.window.Load() // before the packet is heard
	if s.port.Send(s.packet[:], s.keys) == nil && w.holds(now) {
		w.way[s.way].sent.Add(1)
	}
}

// hear counts a packet of the other end. It runs on the engine's loop.
func (s *stream) hear(pkt []byte, rtcp bool) {
	if rtcp || len(pkt) != packetSize {
		return
	}
	sent := int64(binary.BigEndian.Uint64(pkt[headerSize:]))
	w := s.player.window.Load()
	if !w.holds(sent) {
		return
	}
	way := &w.way[1-s.way]
	way.heard.Add(1)
	way.delay.add(time.Since(s.player.epoch) - time.Duration(sent))
}

func (w *window) holds(t int64) bool {
	return w != nil && t >= w.from && t < atomic.LoadInt64(&w.to)
}

// watch opens a window from now on.
func (p *player) watch() *window {
	w := &window{from: int64(time.Since(p.epoch)), to: math.MaxInt64}
	p.window.Store(w)
	return w
}

// shut ends a window; packets under way are still counted while it is there.
func (p *player) shut(w *window) { atomic.StoreInt64(&w.to, int64(time.Since(p.epoch))) }

// description is what an end of a stream says of itself.
type description struct {
	addr netip.AddrPort
	keys *rtp.Keys // nil: in the clear
	tag  string    // of the crypto line; an answer repeats the offer's
}

// write makes an offer or an answer: G.711 and telephone events, and one
// key with SRTP.
func (d description) write() []byte {
	var b bytes.Buffer
	proto, crypto := "RTP/AVP", ""
	if d.keys != nil {
		proto = "RTP/SAVP"
		crypto = "a=crypto:" + d.tag + " " + suite + " inline:" + base64.StdEncoding.EncodeToString(d.keys.Master) + "\r\n"
	}
	host := d.addr.Addr()
	fmt.Fprintf(&b, "v=0\r\no=- %d 1 IN IP4 %v\r\ns=-\r\nc=IN IP4 %v\r\nt=0 0\r\nm=audio %d %s 8 101\r\n%s",
		rand.Uint32(), host, host, d.addr.Port(), proto, crypto)
	b.WriteString("a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n")
	return b.Bytes()
}

var errDescription = errors.New("the description has no usable audio")

// understand reads as much of a description as the generator needs: its own
// eyes, and not those of the system.
func understand(body []byte) (d description, err error) {
	var host string
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, "\r\n")
		if v, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			host = v
		}
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			port, _, _ := strings.Cut(v, " ")
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return d, errDescription
			}
			d.addr = netip.AddrPortFrom(netip.Addr{}, uint16(n))
		}
		if v, ok := strings.CutPrefix(line, "a=crypto:"); ok && d.keys == nil {
			d.keys, d.tag = keysOf(v)
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || d.addr.Port() == 0 {
		return d, errDescription
	}
	d.addr = netip.AddrPortFrom(ip, d.addr.Port())
	return d, nil
}

// keysOf reads "1 SUITE inline:KEY|…", nil when it is another suite.
func keysOf(line string) (keys *rtp.Keys, tag string) {
	f := strings.Fields(line)
	if len(f) < 3 || f[1] != suite {
		return nil, ""
	}
	inline, _, _ := strings.Cut(strings.TrimPrefix(f[2], "inline:"), "|")
	master, err := base64.StdEncoding.DecodeString(inline)
	if err != nil {
		return nil, ""
	}
	return &rtp.Keys{Suite: suite, Master: master}, f[0]
}
