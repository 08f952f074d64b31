package rtp

import (
	gocontext "context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// DTLS says how the keys of a port come about by handshakes with its far side
// (RFC 5764): one for RTP, and one for RTCP where that has a socket of its own.
type DTLS struct {
	Client bool          // we begin
	Remote []Fingerprint // of the far side's certificate; one must fit
	ID     string        // another one is another association (tls-id, RFC 8842 4)
	Suites []string      // that may come of it, the best liked first; none: Handshakable
}

// Fingerprint is that of a certificate (RFC 8122 5).
type Fingerprint struct {
	Hash  string // "sha-256"
	Value string // "4A:AD:B9:…"
}

// Secured is the keys that a port's handshakes have come to, Pending while they
// have not. RTCP without keys of its own has those of RTP.
type Secured struct{ In, Out, InRTCP, OutRTCP *Keys }

// Pending stands for keys that are to come: what arrives is not heard, and
// nothing leaves.
var Pending = &Keys{Suite: "pending"}

// profile is a suite as a handshake names it.
type profile struct {
	suite string
	id    dtls.SRTPProtectionProfile
}

// profiles are those of RFC 5764 4.1.2 and RFC 7714 14.2, the best liked first:
// GCM costs half of the others.
var profiles = []profile{
	{"AEAD_AES_128_GCM", dtls.SRTP_AEAD_AES_128_GCM},
	{"AES_CM_128_HMAC_SHA1_80", dtls.SRTP_AES128_CM_HMAC_SHA1_80},
	{"AEAD_AES_256_GCM", dtls.SRTP_AEAD_AES_256_GCM},
	{"AES_CM_128_HMAC_SHA1_32", dtls.SRTP_AES128_CM_HMAC_SHA1_32},
}

// Handshakable names the suites that a handshake may come to, where nothing
// else is wished.
func Handshakable() []string { return []string{profiles[0].suite, profiles[1].suite} }

// Why an attempt at a handshake failed.
var (
	ErrSilent      = errors.New("rtp: the far side makes no handshake")
	ErrFingerprint = errors.New("rtp: the far side's certificate is not the one that it has described")
	errTooMuch     = errors.New("rtp: the far side's handshake is too long")
	errBetter      = errors.New("rtp: the far side begins from the address that it has described")
)

const (
	// maxHandshakes bounds those at work; more wait. One takes 0.1 s on a way of
	// usual length, and maxFlight packets of memory at most: 32 MB in all.
	maxHandshakes = 256
	// maxFlight bounds the packets of the far side in one attempt: three times
	// those of a long chain of certificates, each sent twice.
	maxFlight = 64
	// handshakeTime bounds one attempt: seven repetitions.
	handshakeTime = 15 * time.Second
	// flight is when a flight is sent again, and then ever later. RFC 6347 4.2.4.1
	// would have a second; a caller would miss the first words. Our first flight
	// is often lost: it leaves with the answer, and who offered hears nothing
	// before it has read that.
	flight = 100 * time.Millisecond
	// remember is how long a finished server answers a repeated last flight
	// (RFC 6347 4.2.4).
	remember = 10 * time.Second
	// leastPause and mostPause are between attempts.
	leastPause, mostPause = time.Second, 16 * time.Second
)

// association is what a port and its far side make their keys in. Its goroutine
// waits for a reason to begin and makes an attempt, as often as need be. The
// keys that an attempt comes to count until another one, or another association,
// comes to others: who begins again without saying so is let, as long as his
// certificate is the same.
type association struct {
	port  *Port                // RO
	kind  int                  // RO
	terms DTLS                 // RO
	told  func(error)          // RO
	mail  chan letter          // packets of the far side
	kick  chan struct{}        // its address is known, or another one
	stop  gocontext.CancelFunc // RO

	in, out *Keys // port.rx
}

// letter is a packet of a handshake.
type letter struct {
	pkt    []byte
	src    netip.AddrPort
	ours   bool // it comes from where the far side is signalled to be
	direct bool // connectivity checks say where the far side is
}

// handshakes is what an engine has for them.
type handshakes struct {
	identity     identity      // RO
	slots        chan struct{} // as many as are at work
	done, failed atomic.Uint64
}

// Secure has the keys of the port come from handshakes, nil: from elsewhere. Told
// is called when they have come to others (nil), and when an attempt has failed,
// after which another one follows; it runs on a goroutine of the engine's. As a
// client we begin once Remote, or a check, has said where the far side is. While
// what the far side says of itself and of our role stays, the association and its
// keys do (RFC 8842 4).
func (p *Port) Secure(d *DTLS, mux bool, told func(error)) Secured {
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.closed {
		return Secured{}
	}
	for kind := range p.dtls {
		a, wanted := p.dtls[kind], d != nil && (kind == media || !mux)
		if a != nil && wanted && a.terms.same(d) {
			continue
		}
		if a != nil {
			a.stop()
			p.dtls[kind] = nil
		}
		if wanted {
			p.dtls[kind] = p.associate(kind, d, told)
		}
	}
	return p.keys()
}

// Secured tells what the handshakes have come to.
func (p *Port) Secured() Secured {
	p.rx.Lock()
	defer p.rx.Unlock()
	return p.keys()
}

func (p *Port) keys() (s Secured) {
	if a := p.dtls[media]; a != nil {
		s.In, s.Out = a.in, a.out
	}
	if a := p.dtls[control]; a != nil {
		s.InRTCP, s.OutRTCP = a.in, a.out
	}
	return s
}

func (d *DTLS) same(o *DTLS) bool {
	return d.Client == o.Client && d.ID == o.ID && slices.Equal(d.Remote, o.Remote) && slices.Equal(d.Suites, o.Suites)
}

// associate begins an association. The caller holds rx.
func (p *Port) associate(kind int, d *DTLS, told func(error)) *association {
	ctx, stop := gocontext.WithCancel(gocontext.Background())
	a := &association{
		port: p, kind: kind, terms: *d, told: told, stop: stop, in: Pending, out: Pending,
		mail: make(chan letter, maxFlight/2), kick: make(chan struct{}, 1),
	}
	if early := p.early[kind]; early.pkt != nil {
		a.mail <- early
		p.early[kind] = letter{}
	}
	p.engine.working.Go(func() {
		defer p.survive()
		a.run(ctx)
	})
	return a
}

// poke has a client begin.
func (a *association) poke() {
	if !a.terms.Client {
		return
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// located tells the associations that wait for one where the far side is: with
// ICE not before it has checked the way. The caller holds rx.
func (p *Port) located() {
	for kind, a := range p.dtls {
		_, checked := p.ice.best(kind)
		if a != nil && a.in == Pending && (checked || p.ice == nil && p.latches[kind].current.IsValid()) {
			a.poke()
		}
	}
}

// moved tells a client's association that the far side is signalled elsewhere,
// which without ICE means another association (RFC 5763 6.6); the keys stay until
// that has come to others, since not everybody knows. The caller holds rx.
func (p *Port) moved(kind int) {
	if a := p.dtls[kind]; a != nil && p.ice == nil {
		a.poke()
	}
}

// looksDTLS tells handshakes from RTP by the first octet (RFC 7983).
func looksDTLS(b []byte) bool { return len(b) >= recordHeader && b[0] >= 20 && b[0] <= 63 }

// handshakeFrom takes in a packet of a handshake: from whom RTP would be heard,
// and as many as of RTP, whose share they do not use up.
func (p *Port) handshakeFrom(s *socket, pkt []byte, src netip.AddrPort, now time.Time) Cause {
	p.rx.Lock()
	defer p.rx.Unlock()
	switch {
	case p.closed:
		return Late
	case !plausible(pkt):
		return BadVersion
	case !p.mayHear(src, s.kind):
		return Stranger
	case p.hellos.over(now):
		return Flood
	}
	at := letter{slices.Clone(pkt), src, src == p.latches[s.kind].signalled, p.ice != nil}
	a := p.dtls[s.kind]
	if a == nil {
		// Who answers may begin before his answer is here (RFC 5763 5).
		if p.route == nil && begins(pkt) {
			p.early[s.kind] = at
			return passed
		}
		return BadVersion // nobody expects anything but RTP
	}
	select {
	case a.mail <- at:
		return passed
	default:
		return Flood
	}
}

// Records of DTLS 1.2 (RFC 6347 4.1).
const (
	recordHeader = 13
	typeChange   = 20
	typeAlert    = 21
	typeShake    = 22
)

// plausible reports whether a datagram is whole records of a handshake. What is
// not would be taken for the end of one; and no data goes over ours.
func plausible(b []byte) bool {
	for len(b) > 0 {
		if len(b) < recordHeader || b[1] != 0xfe || b[3] != 0 {
			return false
		}
		n := int(b[11])<<8 | int(b[12])
		if n == 0 || len(b) < recordHeader+n {
			return false
		}
		body, clear := b[recordHeader:recordHeader+n], b[4] == 0
		switch b[0] {
		case typeShake:
		case typeChange:
			if clear && (n != 1 || body[0] != 1) {
				return false
			}
		case typeAlert:
			if clear && (n != 2 || body[0] != 1 && body[0] != 2) {
				return false
			}
		default:
			return false
		}
		b = b[recordHeader+n:]
	}
	return true
}

// begins reports whether a plausible datagram begins with a ClientHello.
func begins(b []byte) bool {
	return len(b) > recordHeader && b[0] == typeShake && b[4] == 0 && b[recordHeader] == 1
}

// run makes attempts until the association ends.
func (a *association) run(ctx gocontext.Context) {
	pause := leastPause
	for {
		first, ok := a.await(ctx)
		if !ok {
			return
		}
		err := errBetter
		for errors.Is(err, errBetter) {
			var next letter
			next, err = a.attempt(ctx, first)
			first = next
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = leastPause
		} else {
			a.port.engine.shakes.failed.Add(1)
			a.lament(err)
		}
		if !a.rest(ctx, pause) {
			return
		}
		if err != nil {
			pause = min(2*pause, mostPause)
			a.port.again(a)
		}
	}
}

// again has a client without keys begin once more.
func (p *Port) again(a *association) {
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.dtls[a.kind] == a {
		p.located()
	}
}

// await waits for a reason to begin: as a client the far side's address, as a
// server its ClientHello. False: the association is over. As long as there are no
// keys, silence is told now and then.
func (a *association) await(ctx gocontext.Context) (letter, bool) {
	silence := time.NewTimer(handshakeTime)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return letter{}, false
		case <-a.kick:
			return letter{}, true
		case at := <-a.mail:
			if !a.terms.Client && begins(at.pkt) {
				return at, true
			}
		case <-silence.C:
			a.lament(ErrSilent)
			silence.Reset(handshakeTime)
		}
	}
}

// lament tells a failure, unless there are keys already, which go on, or another
// association; RTCP alone may go without.
func (a *association) lament(err error) {
	if a.kind == media && a.keyless() {
		a.told(err)
	}
}

func (a *association) keyless() bool {
	a.port.rx.Lock()
	defer a.port.rx.Unlock()
	return a.port.dtls[a.kind] == a && a.in == Pending
}

// rest lets time pass between attempts, deaf; false: the association is over.
func (a *association) rest(ctx gocontext.Context, pause time.Duration) bool {
	over := time.NewTimer(pause)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-a.mail:
		case <-over.C:
			return true
		}
	}
}

// attempt makes one handshake. With errBetter the far side has begun from a
// better address, by the letter.
func (a *association) attempt(ctx gocontext.Context, first letter) (letter, error) {
	e := a.port.engine
	select {
	case e.shakes.slots <- struct{}{}:
	case <-ctx.Done():
		return letter{}, ctx.Err()
	}
	timed, cancel := gocontext.WithTimeout(ctx, handshakeTime)
	defer cancel()
	w := newWay(a, first)
	conn, err := a.open(w)
	if err == nil {
		defer conn.Close()
		defer w.mute() // close_notify would end the media of many a stack
		err = conn.HandshakeContext(timed)
	}
	if err == nil {
		err = a.settle(conn, w)
	}
	<-e.shakes.slots
	switch {
	case err == nil:
		e.shakes.done.Add(1)
		a.told(nil)
		return a.linger(ctx, w)
	case ctx.Err() != nil:
		return letter{}, ctx.Err()
	case w.failed() != nil: // what the reader ended with, whatever became of it
		return w.better, w.failed()
	case errors.Is(err, gocontext.DeadlineExceeded) && !w.from().IsValid():
		return letter{}, ErrSilent
	case errors.Is(err, ErrFingerprint):
		return letter{}, ErrFingerprint
	}
	return letter{}, fmt.Errorf("rtp: handshake: %w", err)
}

// linger lets a server repeat its last flight for a while; a client's was
// answered.
func (a *association) linger(ctx gocontext.Context, w *way) (letter, error) {
	if a.terms.Client {
		return letter{}, nil
	}
	over := time.NewTimer(remember)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-over.C:
	case <-w.ended:
	}
	if errors.Is(w.failed(), errBetter) {
		return w.better, errBetter
	}
	return letter{}, nil
}

// open makes our end of a handshake. Certificates are proven by their
// fingerprints alone, so they need no chain and no name (RFC 5763 5), on both
// sides.
func (a *association) open(w *way) (*dtls.Conn, error) {
	ids := a.terms.profiles()
	// Whatever authorities a server names, ours is the one that we have described.
	own := &a.port.engine.shakes.identity.certificate
	shared := []dtls.Option{
		dtls.WithCertificates(*own),
		dtls.WithGetClientCertificate(func(*dtls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }),
		dtls.WithSRTPProtectionProfiles(ids...),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(a.verify),
		dtls.WithFlightInterval(flight),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}),
	}
	to := net.UDPAddrFromAddrPort(w.peer)
	if a.terms.Client {
		options := make([]dtls.ClientOption, len(shared))
		for i, o := range shared {
			options[i] = o
		}
		return dtls.ClientWithOptions(w, to, options...)
	}
	options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range shared {
		options = append(options, o)
	}
	return dtls.ServerWithOptions(w, to, options...)
}

// profiles are the wished ones that a handshake can come to, else the usual.
func (d *DTLS) profiles() (ids []dtls.SRTPProtectionProfile) {
	for _, wished := range [...][]string{d.Suites, Handshakable()} {
		for _, suite := range wished {
			if at := slices.IndexFunc(profiles, func(p profile) bool { return p.suite == suite }); at >= 0 {
				ids = append(ids, profiles[at].id)
			}
		}
		if ids != nil {
			return ids
		}
	}
	return nil
}

// strongest is the hashes of fingerprints that we can make, the strongest
// first.
var strongest = []struct {
	name string
	sum  func([]byte) []byte
}{
	{"sha-512", func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
	{"sha-384", func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
	{"sha-256", func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
	{"sha-224", func(b []byte) []byte { s := sha256.Sum224(b); return s[:] }},
	{"sha-1", func(b []byte) []byte { s := sha1.Sum(b); return s[:] }},
}

// verify compares the far side's certificate with what it has described: one
// fingerprint of the strongest hash that it has used must fit (RFC 8122 5).
func (a *association) verify(raw [][]byte, _ [][]*x509.Certificate) error {
	if len(raw) == 0 {
		return ErrFingerprint
	}
	for _, h := range strongest {
		known := false
		for _, f := range a.terms.Remote {
			if f.Hash != h.name {
				continue
			}
			if known = true; f.Value == colons(h.sum(raw[0])) {
				return nil
			}
		}
		if known {
			return ErrFingerprint
		}
	}
	return ErrFingerprint
}

// colons writes octets as fingerprints are written.
func colons(sum []byte) string {
	return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("% X", sum)), " ", ":")
}

// settle puts what the handshake has come to in force, and where it came from.
func (a *association) settle(conn *dtls.Conn, w *way) error {
	in, out, err := a.derive(conn)
	if err != nil {
		return err
	}
	p := a.port
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.dtls[a.kind] != a {
		return gocontext.Canceled
	}
	a.in, a.out = in, out
	l := &p.latches[a.kind]
	if from := w.from(); p.ice == nil && from.IsValid() && l.current != from {
		l.move(from)
		p.publish()
	}
	return nil
}

// derive cuts the keys out of what the handshake exports (RFC 5764 4.2).
func (a *association) derive(conn *dtls.Conn) (in, out *Keys, err error) {
	id, ok := conn.SelectedSRTPProtectionProfile()
	at := slices.IndexFunc(profiles, func(p profile) bool { return p.id == id })
	state, known := conn.ConnectionState()
	if !ok || at < 0 || !known {
		return nil, nil, errors.New("rtp: handshake without a suite for SRTP")
	}
	name := profiles[at].suite
	key, salt := suites[name].key, suites[name].salt
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(key+salt))
	if err != nil {
		return nil, nil, fmt.Errorf("rtp: export keys: %w", err)
	}
	client := &Keys{Suite: name, Master: slices.Concat(m[:key], m[2*key:2*key+salt])}
	server := &Keys{Suite: name, Master: slices.Concat(m[key:2*key], m[2*key+salt:])}
	if a.terms.Client {
		return server, client, nil
	}
	return client, server, nil
}
