package relay

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// These tests go the whole way: what two phones say in SDP is negotiated, the
// relay is set accordingly, and packets cross on real sockets. The phones keep
// their SRTP contexts with the library itself, so that no idea of ours about a
// roll-over counter is its own judge.

// profiles are the suites as the library knows them.
var profiles = map[string]struct {
	profile   srtp.ProtectionProfile
	key, salt int
}{
	"AES_CM_128_HMAC_SHA1_80": {srtp.ProtectionProfileAes128CmHmacSha1_80, 16, 14},
	"AES_CM_128_HMAC_SHA1_32": {srtp.ProtectionProfileAes128CmHmacSha1_32, 16, 14},
	"AES_256_CM_HMAC_SHA1_80": {srtp.ProtectionProfileAes256CmHmacSha1_80, 32, 14},
	"AES_256_CM_HMAC_SHA1_32": {srtp.ProtectionProfileAes256CmHmacSha1_32, 32, 14},
	"AEAD_AES_128_GCM":        {srtp.ProtectionProfileAeadAes128Gcm, 16, 12},
	"AEAD_AES_256_GCM":        {srtp.ProtectionProfileAeadAes256Gcm, 32, 12},
}

// line is a crypto line of a phone.
type line struct {
	suite string
	key   byte   // every octet of its key and salt
	mki   string // "1:4"
}

func (l line) master() []byte {
	p := profiles[l.suite]
	return bytes.Repeat([]byte{l.key}, p.key+p.salt)
}

func (l line) String() string {
	s := l.suite + " inline:" + base64.StdEncoding.EncodeToString(l.master()) + "|2^31"
	if l.mki != "" {
		s += "|" + l.mki
	}
	return s
}

// context is the library's state for the keys of a line; nil without a suite.
func context(t *testing.T, suite string, master []byte, mki string) *srtp.Context {
	t.Helper()
	if suite == "" {
		return nil
	}
	options := []srtp.ContextOption{srtp.SRTPReplayProtection(64), srtp.SRTCPReplayProtection(64)}
	if value, octets, ok := strings.Cut(mki, ":"); ok {
		var id big.Int
		id.SetString(value, 10)
		var n int
		if _, err := fmt.Sscan(octets, &n); err != nil {
			t.Fatal(err)
		}
		options = append(options, srtp.MasterKeyIndicator(id.FillBytes(make([]byte, n))))
	}
	p := profiles[suite]
	c, err := srtp.CreateContext(master[:p.key], master[p.key:], p.profile, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// phone is a far side.
type phone struct {
	t        *testing.T
	side     Side
	rtp      *net.UDPConn
	rtcp     *net.UDPConn
	mux      bool
	lines    []line // what it says; none: it speaks clear RTP
	end      sdp.End
	in, out  *srtp.Context
	inMaster []byte // of in
	ssrc     uint32
	seq      uint16
}

func newPhone(t *testing.T, side Side, lines ...line) *phone {
	p := &phone{t: t, side: side, lines: lines, ssrc: 7 + uint32(side)}
	p.rtp, p.rtcp = socket(t), socket(t)
	return p
}

func socket(t *testing.T) *net.UDPConn {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// describe is what the phone says, with only the line of one tag when it
// answers.
func (p *phone) describe(tag int) *sdp.Session {
	proto := "RTP/AVP"
	if len(p.lines) > 0 {
		proto = "RTP/SAVP"
	}
	text := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d %s 8\r\na=rtcp:%d\r\n",
		p.rtp.LocalAddr().(*net.UDPAddr).Port, proto, p.rtcp.LocalAddr().(*net.UDPAddr).Port)
	for i, l := range p.lines {
		if tag == 0 {
			text += fmt.Sprintf("a=crypto:%d %s\r\n", i+1, l)
		} else if i == 0 {
			text += fmt.Sprintf("a=crypto:%d %s\r\n", tag, l)
		}
	}
	if p.mux {
		text += "a=rtcp-mux\r\n"
	}
	s, err := sdp.Parse([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// learn takes the keys of a round: ours out of our text, its own. Contexts of
// keys that stay live on.
func (p *phone) learn(ours *sdp.Session) {
	p.t.Helper()
	m := ours.Carried()
	for _, c := range m.Crypto {
		for _, l := range p.lines {
			if c.Suite != l.suite {
				continue
			}
			master, err := c.Master()
			if err != nil {
				p.t.Fatal(err)
			}
			if !bytes.Equal(master, p.inMaster) {
				p.in, p.inMaster = context(p.t, c.Suite, master, c.MKI), master
			}
			return
		}
	}
	if len(p.lines) > 0 {
		p.t.Fatalf("no line of ours is of its suites: %+v", m.Crypto)
	}
}

// rekey gives the phone another line, and the key with it.
func (p *phone) rekey(l line) {
	p.lines = []line{l}
	p.out = context(p.t, l.suite, l.master(), l.mki)
}

// seal makes the phone's next packet.
func (p *phone) seal() []byte {
	p.t.Helper()
	p.seq++
	pkt := make([]byte, 12+160)
	pkt[0], pkt[1] = 0x80, 8
	binary.BigEndian.PutUint16(pkt[2:], p.seq)
	binary.BigEndian.PutUint32(pkt[8:], p.ssrc)
	binary.BigEndian.PutUint16(pkt[12:], p.seq)
	if p.out == nil {
		return pkt
	}
	sealed, err := p.out.EncryptRTP(nil, pkt, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return sealed
}

// trunk is a call between two phones.
type trunk struct {
	t     *testing.T
	media *Media
	ends  [2]*phone
}

// connect opens a call that the caller's offer makes, and joins it.
func connect(t *testing.T, caller, callee *phone) *trunk {
	t.Helper()
	e, err := rtp.New(rtp.Config{Threads: 1, Interfaces: []rtp.Interface{
		{Name: "operator", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 21000, PortMax: 21999},
		{Name: "cloud", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 22000, PortMax: 22999},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	r := New(Config{Engine: e})
	t.Cleanup(r.Close)
	m, err := r.Open("operator", "cloud")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	x := &trunk{t: t, media: m, ends: [2]*phone{caller, callee}}
	for _, p := range x.ends {
		p.end = sdp.End{
			ID: 1, Codecs: []string{"PCMA"}, Suites: sdp.Suites(), Mux: p.end.Mux,
			RTP: m.Local(p.side), RTCP: m.LocalRTCP(p.side),
		}
		if len(p.lines) > 0 {
			p.end.Secret = make([]byte, sdp.SecretSize)
			for i := range p.end.Secret {
				p.end.Secret[i] = byte(int(p.side)*100 + i)
			}
			p.rekey(p.lines[0])
		}
	}
	x.negotiate(caller)
	return x
}

// negotiate is a round that one side offers, a re-INVITE when it is not the
// first: both legs speak, the relay is set.
func (x *trunk) negotiate(from *phone) {
	x.t.Helper()
	must := func(err error) {
		x.t.Helper()
		if err != nil {
			x.t.Fatal(err)
		}
	}
	to := x.ends[from.side.Other()]
	offer := from.describe(0)
	sent, err := sdp.Offer(offer, to.end)
	must(err)
	tag := 0
	for _, c := range sent.Carried().Crypto {
		if len(to.lines) > 0 && c.Suite == to.lines[0].suite {
			_, err := fmt.Sscan(c.Tag, &tag)
			must(err)
		}
	}
	answer := to.describe(tag)
	if !sent.Carried().Mux {
		answer.Carried().Mux = false
	}
	far, err := sdp.Agree(sent, answer)
	must(err)
	back, err := sdp.Answer(offer, answer, from.end)
	must(err)
	near, err := sdp.Agree(back, offer)
	must(err)
	n, err := sdp.Bridge(near, far)
	must(err)
	must(x.media.Set(from.side, Of(n.Near, n.NearToFar)))
	must(x.media.Set(to.side, Of(n.Far, n.FarToNear)))
	from.end.Sent, from.end.Received = back, offer
	to.end.Sent, to.end.Received = sent, answer
	from.learn(back)
	to.learn(sent)
}

// send puts octets on the wire towards us.
func (x *trunk) send(from *phone, pkt []byte) {
	x.t.Helper()
	if _, err := from.rtp.WriteToUDPAddrPort(pkt, x.media.Local(from.side)); err != nil {
		x.t.Fatal(err)
	}
}

// next reads the next packet that reaches a phone.
func next(t *testing.T, c *net.UDPConn) []byte {
	t.Helper()
	var buf [2048]byte
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(buf[:])
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// crosses: a packet is the next one the other side hears, whole, under an SSRC.
func (x *trunk) crosses(from *phone, pkt []byte, seq uint16) {
	x.t.Helper()
	x.send(from, pkt)
	x.arrives(from, seq)
}

func (x *trunk) arrives(from *phone, seq uint16) {
	x.t.Helper()
	to := x.ends[from.side.Other()]
	got := next(x.t, to.rtp)
	if to.in != nil {
		clear, err := to.in.DecryptRTP(nil, got, nil)
		if err != nil {
			x.t.Fatalf("packet %d to the %v: %v", seq, to.side, err)
		}
		got = clear
	}
	if len(got) != 172 || binary.BigEndian.Uint16(got[12:]) != seq || binary.BigEndian.Uint32(got[8:]) != from.ssrc {
		x.t.Fatalf("the %v heard %x, want packet %d of %d", to.side, got[:14], seq, from.ssrc)
	}
}

// talk has both speak.
func (x *trunk) talk() {
	x.t.Helper()
	for _, p := range x.ends {
		x.crosses(p, p.seal(), p.seq)
	}
}

// report has both send a compound report, and the others read it.
func (x *trunk) report() {
	x.t.Helper()
	for _, p := range x.ends {
		to := x.ends[p.side.Other()]
		pkt := []byte{0x80, 201, 0, 1, 0, 0, 0, byte(p.ssrc), 0x81, 203, 0, 1, 0, 0, 0, byte(p.ssrc)} // RR, BYE
		sealed := pkt
		if p.out != nil {
			var err error
			if sealed, err = p.out.EncryptRTCP(nil, pkt, nil); err != nil {
				x.t.Fatal(err)
			}
		}
		mine, theirs, at := p.rtcp, to.rtcp, x.media.LocalRTCP(p.side)
		if p.mux {
			mine, at = p.rtp, x.media.Local(p.side)
		}
		if to.mux {
			theirs = to.rtp
		}
		if _, err := mine.WriteToUDPAddrPort(sealed, at); err != nil {
			x.t.Fatal(err)
		}
		got := next(x.t, theirs)
		if to.in != nil {
			clear, err := to.in.DecryptRTCP(nil, got, nil)
			if err != nil {
				x.t.Fatalf("report to the %v: %v", to.side, err)
			}
			got = clear
		}
		if !bytes.Equal(got, pkt) {
			x.t.Fatalf("the %v read %x, want %x", to.side, got, pkt)
		}
	}
}

func (x *trunk) drops(s Side, want map[rtp.Cause]uint64) {
	x.t.Helper()
	for cause, n := range x.media.Stats(s).Drops {
		if n != want[rtp.Cause(cause)] {
			x.t.Errorf("%v: %d packets of the %v dropped, want %d", rtp.Cause(cause), n, s, want[rtp.Cause(cause)])
		}
	}
}

var cloudLine = line{suite: suite, key: 0xc1}

func TestEverySuiteCrosses(t *testing.T) {
	for _, s := range append(sdp.Suites(), "") {
		for _, mki := range []string{"", "1:1", "66051:4"} {
			var lines []line
			if s != "" {
				lines = []line{{suite: s, key: 0xa1, mki: mki}}
			} else if mki != "" {
				continue
			}
			t.Run(s+" "+mki, func(t *testing.T) {
				for _, coreCalls := range []bool{true, false} {
					core, cloud := newPhone(t, Caller, lines...), newPhone(t, Callee, cloudLine)
					if !coreCalls {
						core, cloud = newPhone(t, Callee, lines...), newPhone(t, Caller, cloudLine)
					}
					x := connect(t, map[bool]*phone{true: core, false: cloud}[coreCalls], map[bool]*phone{true: cloud, false: core}[coreCalls])
					for range 3 {
						x.talk()
						x.report()
					}
					for _, p := range x.ends {
						x.drops(p.side, nil)
					}
				}
			})
		}
	}
}

func TestRollOverCountersSurviveAReINVITEWithTheSameKey(t *testing.T) {
	for _, s := range []string{suite, "AEAD_AES_256_GCM"} {
		core, cloud := newPhone(t, Caller, line{suite: s, key: 0xa1}), newPhone(t, Callee, cloudLine)
		core.seq, cloud.seq = 65500, 40000
		x := connect(t, core, cloud)
		for i := range 3 * 65536 / 997 {
			if i%16 == 0 {
				x.negotiate(x.ends[i/16%2])
			}
			core.seq += 996 // the others are lost
			cloud.seq += 996
			x.talk()
			if i%50 == 0 {
				x.report()
			}
		}
		x.drops(Caller, nil)
		x.drops(Callee, nil)
	}
}

func TestAReINVITEWithANewKey(t *testing.T) {
	for _, change := range [][2]string{{suite, suite}, {suite, "AES_CM_128_HMAC_SHA1_32"}, {suite, "AEAD_AES_256_GCM"}, {"AEAD_AES_128_GCM", suite}} {
		t.Run(change[0]+" to "+change[1], func(t *testing.T) {
			core, cloud := newPhone(t, Caller, line{suite: change[0], key: 0xa1}), newPhone(t, Callee, cloudLine)
			core.seq, cloud.seq = 65534, 65534
			x := connect(t, core, cloud)
			for range 4 { // over the wrap: every roll-over counter is 1
				x.talk()
			}
			onTheirWay := [][]byte{core.seal(), core.seal(), core.seal()}

			core.rekey(line{suite: change[1], key: 0xa2})
			x.negotiate(core)
			x.crosses(core, onTheirWay[0], core.seq-2)
			x.crosses(core, onTheirWay[1], core.seq-1)
			core.seq = 65000 // and it begins anew in other respects too
			x.send(core, core.seal())
			x.send(core, onTheirWay[2]) // too late
			x.send(core, core.seal())
			// The cloud's key has not changed, so for it the stream goes on: the first
			// of the two numbers that jump back only tells that they do.
			x.arrives(core, 65002)
			x.talk()
			x.report()
			x.drops(Caller, map[rtp.Cause]uint64{rtp.AuthFailed: 1, rtp.Replayed: 1})
			x.drops(Callee, nil)
		})
	}
}

func TestAReINVITEFromAnotherDevice(t *testing.T) {
	core, cloud := newPhone(t, Caller, line{suite: suite, key: 0xa1}), newPhone(t, Callee, cloudLine)
	x := connect(t, core, cloud)
	x.talk()
	old, stray := core.rtp, core.seal()
	core.rtp = socket(t)
	core.rekey(line{suite: suite, key: 0xa2})
	x.negotiate(core)
	if _, err := old.WriteToUDPAddrPort(stray, x.media.Local(Caller)); err != nil {
		t.Fatal(err)
	}
	x.talk()
	x.report()
	x.drops(Caller, map[rtp.Cause]uint64{rtp.Stranger: 1})
}

func TestANewSourceInMidCall(t *testing.T) {
	core, cloud := newPhone(t, Caller, line{suite: suite, key: 0xa1}), newPhone(t, Callee, cloudLine)
	core.seq = 65533
	x := connect(t, core, cloud)
	for range 5 {
		x.talk()
	}
	before := core.seq
	core.ssrc, core.seq = 77, 65534 // music on hold
	for range 4 {
		x.talk()
	}
	x.report()
	core.ssrc, core.seq = 7, before
	x.talk()
	x.drops(Caller, nil)
}

func TestLateAndReplayedPackets(t *testing.T) {
	for _, s := range []string{suite, "AEAD_AES_128_GCM", ""} {
		var lines []line
		if s != "" {
			lines = []line{{suite: s, key: 0xa1}}
		}
		core, cloud := newPhone(t, Caller, lines...), newPhone(t, Callee, cloudLine)
		core.seq = 65500
		x := connect(t, core, cloud)
		var sealed [][]byte
		for range 200 {
			sealed = append(sealed, core.seal())
		}
		number := func(i int) uint16 { return uint16(65501 + i) }
		for _, i := range []int{0, 1, 50, 2, 49, 30, 51} { // late, on both sides of the wrap
			x.crosses(core, sealed[i], number(i))
		}
		x.send(core, sealed[49]) // replayed
		x.send(core, sealed[51])
		x.crosses(core, sealed[199], number(199))
		x.send(core, sealed[3]) // far too late
		x.talk()
		x.drops(Caller, map[rtp.Cause]uint64{rtp.Replayed: 3})
	}
}

func TestControlOnThePortOfMedia(t *testing.T) {
	for _, c := range []struct {
		name        string
		core, cloud bool // wants it
		offered     bool // by us, to the callee
	}{
		{"nobody", false, false, false},
		{"the caller alone", true, false, false},
		{"the caller, and the callee was not asked", true, true, false},
		{"the callee", false, true, true},
		{"both", true, true, true},
		{"the callee was asked and does not", true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, cloud := newPhone(t, Caller, line{suite: suite, key: 0xa1}), newPhone(t, Callee, cloudLine)
			core.mux, cloud.mux, cloud.end.Mux = c.core, c.cloud && c.offered, c.offered
			x := connect(t, core, cloud)
			for range 2 {
				x.talk()
				x.report()
				x.negotiate(cloud) // what was agreed stays agreed
			}
			// It is taken back.
			core.mux = false
			x.negotiate(core)
			x.talk()
			x.report()
			x.drops(Caller, nil)
			x.drops(Callee, nil)
		})
	}
}
