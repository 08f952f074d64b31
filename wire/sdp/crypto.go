package sdp

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Suite is the SRTP suite that every far side of the gateway has (RFC 4568
// 6.2.1), and the only one of an End that names none.
const Suite = "AES_CM_128_HMAC_SHA1_80"

// suites are those we have (RFC 4568 6.2, RFC 6188 4, RFC 7714 14.2), with the
// octets of key and salt. Our own keys lie in an End's Secret in this order.
var suites = [...]struct {
	name string
	size int
}{
	{Suite, 30},
	{"AES_CM_128_HMAC_SHA1_32", 30},
	{"AES_256_CM_HMAC_SHA1_80", 46},
	{"AES_256_CM_HMAC_SHA1_32", 46},
	{"AEAD_AES_128_GCM", 28},
	{"AEAD_AES_256_GCM", 44},
}

// SecretSize is how many random bytes the keys of all suites need.
const SecretSize = 30 + 30 + 46 + 46 + 28 + 44

// Suites names the suites we have.
func Suites() []string {
	all := make([]string, len(suites))
	for i, s := range suites {
		all[i] = s.name
	}
	return all
}

// Crypto is one a=crypto line (RFC 4568).
type Crypto struct {
	Tag    string // kept as text: "0" and duplicates are seen in the field
	Suite  string
	Inline string // base64 of key||salt
	// Lifetime is "2^31", or a number of packets; empty when absent. It binds
	// who sends with the key. Ours says 2^31, at 50 packets a second sixteen
	// months, and SRTCP stops there (RFC 3711 9.2); what a far side
	// says of its own key it has to keep by a new offer, and nothing is lost by
	// hearing it longer.
	Lifetime string
	MKI      string // "1:1", value and octets; empty when absent
	Params   string // further keys and session parameters, as written
}

// Master decodes key||salt and checks its length against the suite.
func (c Crypto) Master() ([]byte, error) {
	want := 0
	for _, s := range suites {
		if s.name == c.Suite {
			want = s.size
		}
	}
	if want == 0 {
		return nil, errors.New("sdp: unknown SRTP suite")
	}
	// RFC 4568 6.1 asks for padding; it is often left off.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(c.Inline, "="))
	if err != nil || len(key) != want {
		return nil, errors.New("sdp: SRTP key of the wrong length")
	}
	return key, nil
}

// Keys is one direction's SRTP master key, in the shape of rtp.Keys.
type Keys struct {
	Suite  string
	Master []byte // key||salt
	MKI    []byte // what its packets carry to name it; nil = nothing
}

// keys is what a line says of the packets its writer sends; false when they
// could not be read. Of several keys in one line the first counts: a far side
// that changes to another one is not understood until it says so in an offer.
func (c Crypto) keys() (Keys, bool) {
	master, err := c.Master()
	mki, ok := c.identifier()
	return Keys{c.Suite, master, mki}, err == nil && ok && c.ordinary()
}

// identifier decodes the MKI: a decimal value as an integer of so many octets
// (RFC 4568 6.1).
func (c Crypto) identifier() ([]byte, bool) {
	if c.MKI == "" {
		return nil, true
	}
	value, octets, _ := cut(c.MKI, ':')
	n, ok := number(octets, 128)
	if !ok || n == 0 || value == "" {
		return nil, false
	}
	id := make([]byte, n)
	for i := range len(value) {
		carry := int(value[i]) - '0'
		if carry < 0 || carry > 9 {
			return nil, false
		}
		for k := n - 1; k >= 0; k-- {
			carry += 10 * int(id[k])
			id[k], carry = byte(carry), carry>>8
		}
		if carry != 0 {
			return nil, false // it does not fit
		}
	}
	return id, true
}

// ordinary: no session parameter asks for packets of another make, such as
// UNENCRYPTED_SRTP or a key derivation rate. WSH only advises, and a dash marks
// what may be ignored (RFC 4568 6.3).
func (c Crypto) ordinary() bool {
	for p := range strings.FieldsSeq(c.Params) {
		further := strings.HasPrefix(p, ";")
		if !further && !strings.HasPrefix(p, "WSH=") && !strings.HasPrefix(p, "-") && p != "KDR=0" {
			return false
		}
	}
	return true
}

// suites are those we may use on the leg, the best liked first.
func (e End) suites() []string {
	if len(e.Suites) == 0 {
		return []string{Suite}
	}
	return e.Suites
}

// crypto is our line of a suite; false when we do not have it. Each suite has
// a key of its own: those of one key and different tags encrypt alike, so that
// a re-INVITE that changed between them would use up a key stream twice.
func (e End) crypto(tag, suite string) (Crypto, bool) {
	at := 0
	for _, s := range suites {
		if s.name == suite {
			return Crypto{
				Tag: tag, Suite: suite, Lifetime: "2^31",
				Inline: base64.StdEncoding.EncodeToString(e.Secret[at : at+s.size]),
			}, true
		}
		at += s.size
	}
	return Crypto{}, false
}

// offers are the lines of our first offer, one for each suite.
func (e End) offers() []Crypto {
	var lines []Crypto
	for _, suite := range e.suites() {
		if c, ok := e.crypto(strconv.Itoa(len(lines)+1), suite); ok {
			lines = append(lines, c)
		}
	}
	return lines
}

// answers is our line in answer to those offered: the first of a suite that
// we may use, in the offer's order of preference (RFC 4568 5.1.2); one whose
// packets carry no MKI rather than one whose packets do.
func (e End) answers(offered []Crypto) (Crypto, bool) {
	var found *Crypto
	for i := range offered {
		c := &offered[i]
		k, ok := c.keys()
		if !ok || !slices.Contains(e.suites(), c.Suite) {
			continue
		}
		if found == nil || found.MKI != "" && k.MKI == nil {
			found = c
		}
	}
	if found == nil {
		return Crypto{}, false
	}
	return e.crypto(found.Tag, found.Suite)
}

// match finds the keys of a round in the lines of both sides, one of which has
// answered. The suite decides; the tag only breaks ties, and after it the want
// of an MKI.
func match(ours, theirs []Crypto) (out, in Keys, ok bool) {
	score := 0
	for _, t := range theirs {
		keys, usable := t.keys()
		for _, o := range ours {
			if !usable || o.Suite != t.Suite {
				continue
			}
			n := 1
			if t.MKI == "" {
				n++
			}
			if t.Tag == o.Tag {
				n += 2
			}
			if n > score {
				own, _ := o.keys() // it is our own text
				out, in, score = own, keys, n
			}
		}
	}
	return out, in, score > 0
}
