package rtp

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/tandemgw/tandem/base/fault"
)

// suites are the SDES suites (RFC 4568 §6.2, RFC 6188, RFC 7714) with the
// octets of their master key and salt.
var suites = map[string]suite{
	"AES_CM_128_HMAC_SHA1_80": {srtp.ProtectionProfileAes128CmHmacSha1_80, 16, 14},
	"AES_CM_128_HMAC_SHA1_32": {srtp.ProtectionProfileAes128CmHmacSha1_32, 16, 14},
	"AES_256_CM_HMAC_SHA1_80": {srtp.ProtectionProfileAes256CmHmacSha1_80, 32, 14},
	"AES_256_CM_HMAC_SHA1_32": {srtp.ProtectionProfileAes256CmHmacSha1_32, 32, 14},
	"AEAD_AES_128_GCM":        {srtp.ProtectionProfileAeadAes128Gcm, 16, 12},
	"AEAD_AES_256_GCM":        {srtp.ProtectionProfileAeadAes256Gcm, 32, 12},
}

type suite struct {
	profile   srtp.ProtectionProfile
	key, salt int
}

const (
	// overhead is what protection adds at most: a 16-octet tag, the 4-octet
	// SRTCP index and the master key identifier.
	overhead = 16 + 4 + maxMKI
	maxMKI   = 128 // RFC 4568 §6.1: the length field says 1 to 128
	// replayWindow is 2.5 s of 20 ms packets; RFC 3711 §3.3.2 asks for 64 at least.
	replayWindow = 128
	// maxSources bounds the SSRCs of one key. Each new one in a call comes from
	// a hold, a transfer or an announcement, so this is far above any call; the
	// state of an SSRC can never be forgotten, since its roll-over counter would
	// start again and the key stream repeat.
	maxSources = 128
	// maxContexts bounds the keys of one direction of one port: forks and
	// re-INVITEs that each bring their own.
	maxContexts = 8
)

// Keys are the SDES keys of one direction (RFC 4568). They print as ***.
type Keys struct {
	Suite  string
	Master []byte // key||salt
	MKI    []byte // master key identifier that packets of this key carry; nil = none
}

// NewKeys makes random keys for a suite.
func NewKeys(suite string) (*Keys, error) {
	s, ok := suites[suite]
	if !ok {
		return nil, (&Keys{Suite: suite}).Check()
	}
	k := &Keys{Suite: suite, Master: make([]byte, s.key+s.salt)}
	_, err := rand.Read(k.Master)
	return k, err
}

// Check says whether the suite is known and the key of its length. Nil keys,
// for clear RTP, are good.
func (k *Keys) Check() error {
	if k == nil || k == Pending {
		return nil
	}
	s, ok := suites[k.Suite]
	switch {
	case !ok:
		return &fault.Error{Kind: fault.Invalid, Err: fmt.Errorf("srtp: unknown suite %q", k.Suite)}
	case len(k.Master) != s.key+s.salt:
		return &fault.Error{Kind: fault.Invalid, Err: fmt.Errorf("srtp: %s takes %d octets of key and salt, not %d", k.Suite, s.key+s.salt, len(k.Master))}
	case len(k.MKI) > maxMKI:
		return &fault.Error{Kind: fault.Invalid, Err: fmt.Errorf("srtp: master key identifier of %d octets", len(k.MKI))}
	}
	return nil
}

// String hides the key, in every format verb but the plain ones of its fields.
func (k Keys) String() string { return "***" }

// GoString hides the key from %#v.
func (k Keys) GoString() string { return "***" }

func (k *Keys) equal(o *Keys) bool {
	return k.Suite == o.Suite && bytes.Equal(k.Master, o.Master) && bytes.Equal(k.MKI, o.MKI)
}

// context is the SRTP state of one key in one direction: roll-over counters
// and replay windows by SSRC. Guarded by the lock of the port half it belongs
// to.
type context struct {
	keys    Keys
	srtp    *srtp.Context
	header  rtp.Header // reused, so that the library need not make one per packet
	streams []stream
	latest  int // index of the stream last used
}

// stream is one SSRC under a key, with what was sent of it.
type stream struct {
	ssrc  uint32
	shift uint16 // from the sequence numbers that come to those that leave
	max   uint16 // highest one that left
	sent  uint64 // which of the 64 up to max left, that one in the lowest bit; 0 = none yet
	again uint32 // the number after one that was refused; noBad = none
}

// contexts are the keys a port half has seen, the latest first. They outlive
// plans: a key that comes back goes on with its roll-over counters.
type contexts []*context

// pending is the context of keys that are to come.
var pending = &context{}

// get finds or makes the context of keys; nil for nil keys.
func (c *contexts) get(keys *Keys) (*context, error) {
	switch keys {
	case nil:
		return nil, nil
	case Pending:
		return pending, nil
	}
	if i := slices.IndexFunc(*c, func(x *context) bool { return x.keys.equal(keys) }); i >= 0 {
		found := (*c)[i]
		copy((*c)[1:i+1], (*c)[:i])
		(*c)[0] = found
		return found, nil
	}
	made, err := newContext(keys)
	if err != nil {
		return nil, err
	}
	if len(*c) == maxContexts {
		*c = (*c)[:maxContexts-1]
	}
	*c = slices.Insert(*c, 0, made)
	return made, nil
}

func newContext(keys *Keys) (*context, error) {
	if err := keys.Check(); err != nil {
		return nil, err
	}
	s := suites[keys.Suite]
	options := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)}
	if len(keys.MKI) > 0 {
		options = append(options, srtp.MasterKeyIndicator(keys.MKI))
	}
	c, err := srtp.CreateContext(keys.Master[:s.key], keys.Master[s.key:], s.profile, options...)
	if err != nil {
		return nil, fmt.Errorf("srtp: %w", err)
	}
	// The copy keeps the comparison honest if the caller's buffer is reused.
	own := Keys{keys.Suite, bytes.Clone(keys.Master), bytes.Clone(keys.MKI)}
	return &context{keys: own, srtp: c}, nil
}

// find is the index of an SSRC; len(c.streams) when it is new, -1 when it is
// one too many.
func (c *context) find(ssrc uint32) int {
	if c.latest < len(c.streams) && c.streams[c.latest].ssrc == ssrc {
		return c.latest
	}
	i := slices.IndexFunc(c.streams, func(s stream) bool { return s.ssrc == ssrc })
	switch {
	case i < 0 && len(c.streams) == maxSources:
		return -1
	case i < 0:
		return len(c.streams)
	}
	c.latest = i
	return i
}

// unprotect decrypts in place.
func (c *context) unprotect(pkt []byte, h header) ([]byte, Cause) {
	if c == pending {
		return nil, Unkeyed
	}
	i := c.find(h.ssrc)
	if i < 0 {
		return nil, ManySources
	}
	var clear []byte
	var err error
	if h.rtcp {
		clear, err = c.srtp.DecryptRTCP(pkt, pkt, nil)
	} else {
		clear, err = c.srtp.DecryptRTP(pkt, pkt, &c.header)
	}
	if err != nil {
		return nil, causeOf(err)
	}
	// Only an authentic packet may take up one of the places.
	if i == len(c.streams) {
		c.streams = append(c.streams, stream{ssrc: h.ssrc})
	}
	return clear, passed
}

// protect encrypts in place; pkt has room for overhead octets more.
func (c *context) protect(pkt []byte, h header) ([]byte, Cause) {
	i := c.find(h.ssrc)
	if i < 0 {
		return nil, ManySources
	}
	if i == len(c.streams) {
		c.streams = append(c.streams, stream{ssrc: h.ssrc, again: noBad})
	}
	var sealed []byte
	var err error
	if h.rtcp {
		sealed, err = c.srtp.EncryptRTCP(pkt, pkt, nil)
	} else {
		if !c.streams[i].place(pkt, h.seq) {
			return nil, Replayed
		}
		sealed, err = c.srtp.EncryptRTP(pkt, pkt, &c.header)
	}
	if err != nil {
		return nil, SendFailed // the key is used up (RFC 3711 §9.2)
	}
	return sealed, passed
}

// place gives a packet its sequence number in what we send; false when it must
// not leave.
//
// Each packet index is used once: a second packet under one would be encrypted
// with the same key stream (RFC 3711 9.1). What has left before stays here, as
// the receiver would refuse it anyway. A stream that begins again further back,
// as announcement machines do under the SSRC they always have, goes on after
// what has left, under its SSRC, so that RTCP speaks of the same stream as
// ever. Two numbers in a row tell it from a straggler (RFC 3550 A.1), and the
// marker tells the receiver to settle on its new time stamps (RFC 3551 4.1).
func (s *stream) place(pkt []byte, seq uint16) bool {
	out := seq + s.shift
	ahead := int16(out - s.max)
	switch {
	case s.sent == 0:
		s.max, s.sent = out, 1
	case ahead > 0:
		s.max, s.sent = out, s.sent<<ahead|1
	case ahead > -64 && s.sent>>-ahead&1 == 0: // late
		s.sent |= 1 << -ahead
	case uint32(seq) == s.again:
		out = s.max + 1
		s.shift, s.max, s.sent = out-seq, out, s.sent<<1|1
		pkt[1] |= 0x80
	default:
		s.again = uint32(seq + 1)
		return false
	}
	s.again = noBad
	binary.BigEndian.PutUint16(pkt[2:], out)
	return true
}

func causeOf(err error) Cause {
	if errors.Is(err, srtp.ErrFailedToVerifyAuthTag) || errors.Is(err, srtp.ErrMKINotFound) {
		return AuthFailed
	}
	// The library does not export this one; a test watches the wording.
	if inner := errors.Unwrap(err); inner != nil && inner.Error() == "duplicated packet" {
		return Replayed
	}
	return TooShort
}
