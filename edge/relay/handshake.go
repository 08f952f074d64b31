package relay

import (
	"errors"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Keyed tells that the handshake with a side has come to keys.
type Keyed struct {
	Side  Side
	Suite string
}

// Unkeyed tells that an attempt at a handshake has failed, and that there are no
// keys yet; another attempt follows. Without keys a side hears nothing, and is not
// heard.
type Unkeyed struct {
	Side Side
	Err  error
}

func (Keyed) notice()   {}
func (Unkeyed) notice() {}

// Fingerprint is that of the certificate which sides are shown in handshakes.
func (r *Relay) Fingerprint() sdp.Fingerprint { return sdp.Fingerprint(r.engine.Fingerprint()) }

func dtlsOf(d *sdp.DTLS) *rtp.DTLS {
	if d == nil {
		return nil
	}
	terms := &rtp.DTLS{Client: d.Client, ID: d.ID}
	for _, f := range d.Remote {
		terms.Remote = append(terms.Remote, rtp.Fingerprint(f))
	}
	return terms
}

// secure has the keys of a side come from where it was negotiated. The caller
// holds mu.
func (m *Media) secure(s Side, n *Negotiated) {
	keys := m.ports[s].Secure(n.DTLS, n.Mux, func(err error) { m.shaken(s, err) })
	if n.DTLS != nil {
		n.keyed(keys)
	}
}

func (n *Negotiated) keyed(k rtp.Secured) {
	n.In, n.Out, n.inRTCP, n.outRTCP = k.In, k.Out, k.InRTCP, k.OutRTCP
}

// forReports is what RTCP to the side is protected with.
func (n *Negotiated) forReports() *rtp.Keys {
	if n.outRTCP != nil {
		return n.outRTCP
	}
	return n.Out
}

// shaken puts in force what a handshake has come to.
func (m *Media) shaken(s Side, err error) {
	if err != nil {
		m.watch.tell(Unkeyed{s, err})
		return
	}
	suite, fresh, err := m.rekey(s)
	switch {
	case err != nil:
		m.watch.tell(Unkeyed{s, err})
	case fresh:
		m.watch.tell(Keyed{s, suite})
	}
}

// rekey takes over the keys of a side's port; fresh: those of RTP are others.
func (m *Media) rekey(s Side) (suite string, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.sides[s]
	if before == nil || before.DTLS == nil {
		return "", false, nil // it has been negotiated away
	}
	n := *before
	n.keyed(m.ports[s].Secured())
	m.sides[s] = &n
	err = errors.Join(m.publish(s), m.publish(s.Other()))
	m.arrange(s)
	return n.In.Suite, n.In != before.In && n.In != rtp.Pending, err
}
