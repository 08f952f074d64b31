package rtp

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Lite is our half of ICE with a far side that checks how it reaches us
// (RFC 8445, lite implementation): we answer checks, make none, and send where
// the far side decides. Its zero value, and nil, are no ICE: checks are dropped.
type Lite struct {
	Ufrag, Pwd string // ours, as described
	Remote     string // ufrag of the far side that is answered; "": any, while forks still check at once
}

// maxPairs bounds the addresses that forks may check from.
const maxPairs = 32

// pair is an address of the far side from which a check has come that knew our
// password.
type pair struct {
	remote    string // ufrag of the far side
	addr      netip.AddrPort
	priority  uint32
	nominated time.Time // zero = it has not been
}

// lite is what a port knows of the checks; guarded by rx.
type lite struct {
	Lite
	key   string // HMAC key of short-term credentials: the password (RFC 8489 9.1.1)
	pairs [2][]pair
}

// Check says what checks are to be answered from now on, nil for none. While
// Ufrag and Pwd stay, what has been checked stays; new ones are an ICE restart
// (RFC 8445 9): the far side checks anew, and is heard where it was until then.
func (p *Port) Check(l *Lite) {
	p.rx.Lock()
	defer p.rx.Unlock()
	switch {
	case l == nil || l.Ufrag == "" || l.Pwd == "":
		p.ice = nil
		return
	case p.ice == nil || p.ice.Ufrag != l.Ufrag || p.ice.Pwd != l.Pwd:
		p.ice = &lite{key: l.Pwd}
	}
	p.ice.Lite = *l
	for kind := range p.sockets {
		p.follow(kind)
	}
}

// checked reports whether a check has come from an address.
func (i *lite) checked(src netip.AddrPort, kind int) bool {
	return i != nil && slices.ContainsFunc(i.pairs[kind], func(x pair) bool { return x.addr == src })
}

// best is the pair to send by: of the far side that is answered the one it has
// nominated last, else the one of the highest priority (RFC 8445 8.1.1, and
// Microsoft Teams docs, "Plan for media bypass").
func (i *lite) best(kind int) (pair, bool) {
	var found []pair
	if i == nil {
		return pair{}, false
	}
	for _, x := range i.pairs[kind] {
		if i.Remote == "" || x.remote == i.Remote {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		return pair{}, false
	}
	return slices.MaxFunc(found, func(a, b pair) int {
		return cmp.Or(a.nominated.Compare(b.nominated), cmp.Compare(a.priority, b.priority))
	}), true
}

// follow sends where the checks say. The caller holds rx.
func (p *Port) follow(kind int) {
	x, ok := p.ice.best(kind)
	if l := &p.latches[kind]; ok && l.current != x.addr {
		l.move(x.addr)
		p.publish()
	}
}

// STUN (RFC 8489), as far as checks need it.
const (
	stunHeader      = 20
	stunCookie      = 0x2112A442
	stunRequest     = 0x0001 // Binding
	stunSuccess     = 0x0101
	stunError       = 0x0111
	stunFingerprint = 0x5354554e

	attrUsername    = 0x0006
	attrIntegrity   = 0x0008
	attrMapped      = 0x0020 // XOR-MAPPED-ADDRESS
	attrPriority    = 0x0024
	attrUse         = 0x0025 // USE-CANDIDATE
	attrFingerprint = 0x8028
	attrControlled  = 0x8029
	attrError       = 0x0009
)

// looksSTUN tells checks from RTP by the first two bits (RFC 7983).
func looksSTUN(b []byte) bool { return len(b) >= stunHeader && b[0] < 4 }

// check is a Binding request that knows our password.
type check struct {
	id       [12]byte
	remote   string // ufrag of who sent it
	priority uint32
	use      bool
	role     bool // who sent it takes itself for the controlled one
}

// Divert gives what looks like STUN to f, and Check no more, for a far side that
// makes checks itself; nil ends it. f runs on the loop that serves the port: it
// must not block, must not keep pkt, and of the port may call Emit alone.
func (p *Port) Divert(f func(pkt []byte, src netip.AddrPort)) {
	p.rx.Lock()
	defer p.rx.Unlock()
	p.diverted = f
}

// Emit sends a packet as it is, from the RTP address to anywhere.
func (p *Port) Emit(pkt []byte, to netip.AddrPort) error {
	p.tx.Lock()
	defer p.tx.Unlock()
	if p.tx.closed {
		return ErrClosed
	}
	return p.engine.tier.send(p.sockets[media], pkt, to)
}

// checkFrom answers a check. What is malformed or does not know our password
// is dropped without an answer: it has no claim on one, and none can be
// multiplied by forged addresses.
func (p *Port) checkFrom(s *socket, pkt []byte, src netip.AddrPort, now time.Time) Cause {
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.closed {
		return Late
	}
	if p.diverted != nil {
		p.diverted(pkt, src)
		return passed
	}
	if p.ice == nil {
		return BadVersion // nobody expects anything but RTP
	}
	c, ok := parseCheck(pkt, p.ice)
	if !ok {
		return BadCheck
	}
	if p.flooded(now) {
		return Flood
	}
	if c.role { // RFC 8445 7.3.1.1: we are lite and never anything else
		var room [128]byte
		if err := p.engine.tier.send(s, appendConflict(room[:0], c.id, p.ice.key), src); err != nil {
			return SendFailed
		}
		return passed
	}
	x := p.ice.seen(s.kind, c, src)
	if x == nil {
		return Flood
	}
	if c.use {
		x.nominated = now
	}
	p.follow(s.kind)
	var room [128]byte
	if err := p.engine.tier.send(s, appendSuccess(room[:0], c.id, src, p.ice.key), src); err != nil {
		return SendFailed
	}
	return passed
}

// seen finds or makes the pair of a check; nil when there are too many.
func (i *lite) seen(kind int, c check, src netip.AddrPort) *pair {
	list := i.pairs[kind]
	at := slices.IndexFunc(list, func(x pair) bool { return x.addr == src && x.remote == c.remote })
	if at < 0 {
		if len(list) == maxPairs {
			return nil
		}
		list = append(list, pair{remote: c.remote, addr: src})
		i.pairs[kind], at = list, len(list)-1
	}
	list[at].priority = c.priority
	return &list[at]
}

// parseCheck reads a Binding request and proves it: its user name begins with
// our ufrag, its MESSAGE-INTEGRITY fits our password, and its FINGERPRINT, if
// there is one, is right. Attributes that nobody knows are ignored (Microsoft
// Teams docs, "Media bypass"; RFC 8489 6.3.1 would refuse some).
func parseCheck(b []byte, i *lite) (c check, ok bool) {
	if len(b) < stunHeader || len(b)%4 != 0 || binary.BigEndian.Uint16(b) != stunRequest ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return c, false
	}
	copy(c.id[:], b[8:])
	named, proven := false, false
	for at := stunHeader; at < len(b); {
		if len(b)-at < 4 {
			return c, false
		}
		kind, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		end := at + 4 + (n+3)&^3
		if end > len(b) {
			return c, false
		}
		v := b[at+4 : at+4+n]
		switch {
		case kind == attrFingerprint:
			return c, n == 4 && end == len(b) && binary.BigEndian.Uint32(v) == fingerprint(b[:at]) && named && proven
		case proven: // nothing but the fingerprint counts behind the proof (RFC 8489 14.5)
		case kind == attrUsername:
			own, remote, found := strings.Cut(string(v), ":")
			if !found || own != i.Ufrag || remote == "" || n > 513 {
				return c, false
			}
			c.remote, named = remote, true
		case kind == attrPriority && n == 4:
			c.priority = binary.BigEndian.Uint32(v)
		case kind == attrUse:
			c.use = true
		case kind == attrControlled:
			c.role = true
		case kind == attrIntegrity:
			mac := integrity(b[:at], i.key)
			if n != len(mac) || !hmac.Equal(v, mac[:]) {
				return c, false
			}
			proven = true
		}
		at = end
	}
	return c, named && proven
}

// integrity is the HMAC of a message up to its MESSAGE-INTEGRITY, with the
// length that the message has with it (RFC 8489 14.5).
func integrity(head []byte, key string) (mac [sha1.Size]byte) {
	h := hmac.New(sha1.New, []byte(key))
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(head)-stunHeader+4+sha1.Size))
	h.Write(head[:2])
	h.Write(length[:])
	h.Write(head[4:])
	h.Sum(mac[:0])
	return mac
}

// fingerprint is the CRC of a message up to its FINGERPRINT, whose length the
// message has counted already (RFC 8489 14.7).
func fingerprint(head []byte) uint32 { return crc32.ChecksumIEEE(head) ^ stunFingerprint }

// appendSuccess writes the answer to a check behind dst, which is empty.
func appendSuccess(dst []byte, id [12]byte, src netip.AddrPort, key string) []byte {
	addr := src.Addr().Unmap()
	n := 4
	if addr.Is6() {
		n = 16
	}
	dst = appendHeader(dst, stunSuccess, id)
	dst = appendAttribute(dst, attrMapped, 4+n)
	dst = append(dst, 0, byte(1+n/16))
	dst = binary.BigEndian.AppendUint16(dst, src.Port()^uint16(stunCookie>>16))
	for i, b := range addr.AsSlice() { // XORed with cookie and transaction, which stand behind each other
		dst = append(dst, b^dst[4+i])
	}
	return appendProof(dst, key)
}

// appendConflict writes 487 Role Conflict (RFC 8445 7.3.1.1, RFC 8489 14.8)
// behind dst, which is empty.
func appendConflict(dst []byte, id [12]byte, key string) []byte {
	const reason = "Role clashes" // in whole words of four octets
	dst = appendHeader(dst, stunError, id)
	dst = appendAttribute(dst, attrError, 4+len(reason))
	dst = append(dst, 0, 0, 4, 87)
	return appendProof(append(dst, reason...), key)
}

func appendHeader(dst []byte, kind uint16, id [12]byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, stunCookie)
	return append(dst, id[:]...)
}

func appendAttribute(dst []byte, kind uint16, length int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(length))
}

// appendProof ends a message: MESSAGE-INTEGRITY, FINGERPRINT, and its length.
func appendProof(dst []byte, key string) []byte {
	mac := integrity(dst, key)
	dst = appendAttribute(dst, attrIntegrity, len(mac))
	dst = append(dst, mac[:]...)
	binary.BigEndian.PutUint16(dst[2:], uint16(len(dst)-stunHeader+8))
	sum := fingerprint(dst)
	dst = appendAttribute(dst, attrFingerprint, 4)
	return binary.BigEndian.AppendUint32(dst, sum)
}
