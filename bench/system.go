package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Place is where something listens.
type Place struct {
	Transport sip.Transport
	Addr      netip.AddrPort
	Name      string // host:port it goes by; empty: Addr
}

func (p Place) host() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Addr.String()
}

// ParsePlaces reads "tls=HOST:PORT,udp=HOST:PORT": the cloud side, then the
// core's. SRTP goes with TLS.
func ParsePlaces(s string) (both [2]Place, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != len(both) {
		return both, fmt.Errorf("%q must name two places, the cloud side and the core's: tls=HOST:PORT,udp=HOST:PORT", s)
	}
	for i, part := range parts {
		name, at, _ := strings.Cut(part, "=")
		transport, known := sip.ParseTransport(name)
		if !known || transport == sip.TCP {
			return both, fmt.Errorf("%q must begin with tls= or udp=", part)
		}
		addr, err := netip.ParseAddrPort(at)
		if err != nil {
			return both, fmt.Errorf("%q: the address must be written as 127.0.0.1:5060", part)
		}
		both[i] = Place{Transport: transport, Addr: addr}
	}
	return both, nil
}

// ParsePIDs reads "N,N".
func ParsePIDs(s string) (pids []int, err error) {
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is not a process number", part)
		}
		pids = append(pids, n)
	}
	return pids, nil
}

// Target is a system under test that already runs: it takes calls at At and
// gives those of one side to the far side of the other, which is played here.
type Target struct {
	Name string
	At   [2]Place // cloud side, core side
	Far  [2]Place // the far sides, played here
	PIDs []int    // its processes; their descendants count too
	// Files of the certificate that the far TLS side presents, and of the
	// roots it trusts.
	Chain, Key, Roots string
	TLSName           string // the system's in its certificate; empty: the host of At's TLS place
}

// system is what is measured, and the far sides it was joined to.
type system struct {
	Target
	own   secrets
	calls *calls
	end   func() // ends what was started with it
}

// Media ports of each far side; a call takes two.
const firstMediaPort, lastMediaPort = 20000, 49999

// join opens the far sides of a target.
func join(t Target, own secrets) (*system, error) {
	s := &system{Target: t, own: own, calls: &calls{}, end: func() {}}
	names := [2]string{"cloud", "core"}
	var media [2]rtp.Interface
	for i := range s.calls.sides {
		side := &side{
			name: names[i], transport: t.Far[i].Transport, addr: t.Far[i].Addr, host: t.Far[i].host(),
			peer: t.At[i].Addr, peerHost: t.At[i].host(), calls: s.calls,
		}
		if side.transport != t.At[i].Transport {
			s.close()
			return nil, errors.New("a side of the system and its far side must have the same transport")
		}
		if err := side.listen(own); err != nil {
			s.close()
			return nil, err
		}
		s.calls.sides[i] = side
		media[i] = rtp.Interface{
			Name: side.name, Bind: side.addr.Addr(), PortMin: firstMediaPort, PortMax: lastMediaPort,
			Allow: []netip.Prefix{netip.PrefixFrom(t.At[0].Addr.Addr(), 32), netip.PrefixFrom(t.At[1].Addr.Addr(), 32)},
		}
	}
	var err error
	if s.calls.player, err = newPlayer(media); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// ready waits until a call succeeds each way.
func (s *system) ready(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	why := "it does not answer"
	for way := 0; way < len(s.calls.sides); {
		if err := s.calls.sides[way].connect(ctx, s.own); err != nil {
			why = err.Error()
		} else if t := s.calls.try(ctx, way); t.completed.Load() == 1 {
			way++
			continue
		} else {
			why = "a call from the " + s.calls.sides[way].name + " side failed: " + t.causes()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s", s.Name, why)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

func (s *system) close() {
	for _, side := range s.calls.sides {
		if side != nil {
			side.close()
		}
	}
	if s.calls.player != nil {
		s.calls.player.close()
	}
	s.end()
}

// load reads the files of a target.
func (t *Target) load() (own secrets, err error) {
	tlsSide := -1
	for i, p := range t.At {
		if p.Transport == sip.TLS {
			tlsSide = i
		}
	}
	if tlsSide < 0 {
		return own, nil
	}
	if t.Chain == "" || t.Key == "" || t.Roots == "" {
		return own, errors.New("a TLS side needs a certificate, its key and the roots it trusts")
	}
	cert, err := tls.LoadX509KeyPair(t.Chain, t.Key)
	if err != nil {
		return own, fmt.Errorf("read the certificate of the far side: %w", err)
	}
	text, err := os.ReadFile(t.Roots)
	if err != nil {
		return own, fmt.Errorf("read the roots: %w", err)
	}
	own = secrets{certificate: &cert, roots: x509.NewCertPool(), name: t.TLSName}
	if !own.roots.AppendCertsFromPEM(text) {
		return own, fmt.Errorf("%s holds no certificate", t.Roots)
	}
	if own.name == "" {
		own.name = t.At[tlsSide].Addr.Addr().String()
	}
	return own, nil
}
