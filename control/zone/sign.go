package zone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// signer signs the answers of one zone as they are asked for (RFC 4035), with
// one key for all (ECDSA P-256, RFC 6605).
type signer struct {
	apex string            // RO
	key  *dns.DNSKEY       // RO
	priv *ecdsa.PrivateKey // RO

	mu     sync.Mutex
	cached map[signature]*dns.RRSIG // mu
}

// signature is what a cached one is found by. The records of a name and a type
// are fixed as long as the signer lives.
type signature struct {
	name string
	kind uint16
}

// maxCached bounds the cache: a wildcard has as many names as are asked for.
const maxCached = 8192

func newKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

func newSigner(apex, private string) (*signer, error) {
	block, _ := pem.Decode([]byte(private))
	if block == nil {
		return nil, errors.New("the stored signing key is damaged")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the stored signing key: %w", err)
	}
	priv, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || priv.Curve != elliptic.P256() {
		return nil, errors.New("the stored signing key is not for P-256")
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("read the stored signing key: %w", err)
	}
	return &signer{apex: apex, priv: priv, key: publicKey(apex, point), cached: map[signature]*dns.RRSIG{}}, nil
}

// publicKey is the DNSKEY record of a point in its uncompressed form, of which
// the record leaves the first octet out (RFC 6605 §4).
func publicKey(apex string, point []byte) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   header(apex, dns.TypeDNSKEY, soaTTL),
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256, PublicKey: base64.StdEncoding.EncodeToString(point[1:]),
	}
}

// sign gives the signature of a set of records, nil when it cannot be made: the
// answer is then refused by those who check.
func (s *signer) sign(set []dns.RR) *dns.RRSIG {
	h := set[0].Header()
	at := signature{canonical(h.Name), h.Rrtype}
	// The SOA has one TTL as an answer and another in a denial; NSEC differs
	// with what is denied.
	keep := h.Rrtype != dns.TypeSOA && h.Rrtype != dns.TypeNSEC
	if now := time.Now(); keep {
		s.mu.Lock()
		sig := s.cached[at]
		s.mu.Unlock()
		if sig != nil && now.Sub(time.Unix(int64(sig.Inception), 0)) < signedBack+signedKeep {
			return sig
		}
	}
	sig := s.make(set, at.name)
	if sig == nil || !keep {
		return sig
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cached) >= maxCached {
		clear(s.cached) // made again in 30 µs each
	}
	s.cached[at] = sig
	return sig
}

func (s *signer) make(set []dns.RR, name string) *dns.RRSIG {
	now := time.Now()
	sig := &dns.RRSIG{
		Hdr:       header(name, dns.TypeRRSIG, set[0].Header().Ttl),
		Inception: uint32(now.Add(-signedBack).Unix()), Expiration: uint32(now.Add(signedFor).Unix()),
		KeyTag: s.key.KeyTag(), SignerName: s.apex, Algorithm: s.key.Algorithm,
	}
	plain := make([]dns.RR, len(set))
	for i, rr := range set {
		plain[i] = renamed(rr, name)
	}
	if err := sig.Sign(s.priv, plain); err != nil {
		return nil
	}
	return sig
}

// typeNXNAME says in an NSEC record that the name does not exist (RFC 9824
// §2).
const typeNXNAME = 128

// nothing denies a name, or the other types of one, without telling of any
// other name (RFC 9824 §3).
func (z *content) nothing(name string, exists bool) *dns.NSEC {
	nsec := &dns.NSEC{Hdr: header(name, dns.TypeNSEC, negativeTTL), NextDomain: "\\000." + name}
	bits := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	if exists {
		node, _ := z.look(name)
		bits = append(bits, types(node)...)
	} else {
		bits = append(bits, typeNXNAME)
	}
	slices.Sort(bits)
	nsec.TypeBitMap = bits
	return nsec
}

// DS are the records with which the parent zone vouches for a signed one.
func (s *Set) DS() (lines []string) {
	for _, z := range s.served.Load().zones {
		if z.signer != nil {
			lines = append(lines, z.signer.key.ToDS(dns.SHA256).String())
		}
	}
	slices.Sort(lines)
	return lines
}
