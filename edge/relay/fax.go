package relay

import (
	"errors"
	"net/netip"

	"github.com/tandemgw/tandem/wire/rtp"
)

// A fax is a second pair of ports, opened when a side first asks for T.38: few
// calls ever do. Its datagrams pass as they come, while both sides have agreed
// to them (Negotiated.Fax), whatever becomes of the audio.

// OpenFax takes a port for T.38 on each side, once, and tells their addresses.
func (m *Media) OpenFax() (at [2]netip.AddrPort, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faxes == nil {
		var faxes [2]*rtp.Port
		for s, iface := range m.ifaces {
			if faxes[s], err = m.relay.engine.OpenUDPTL(iface); err != nil {
				break
			}
		}
		if err != nil {
			if faxes[Caller] != nil {
				faxes[Caller].Close()
			}
			return at, err
		}
		m.faxes = &faxes
	}
	for s, p := range m.faxes {
		at[s] = p.Addr()
	}
	return at, nil
}

// arrangeFax lets datagrams pass when both sides want them. The caller holds mu.
func (m *Media) arrangeFax() error {
	if m.faxes == nil {
		return nil
	}
	both := m.sides[Caller] != nil && m.sides[Callee] != nil && m.sides[Caller].Fax.IsValid() && m.sides[Callee].Fax.IsValid()
	var errs []error
	for s, p := range m.faxes {
		var plan *rtp.Plan
		if both {
			plan = &rtp.Plan{To: m.faxes[Side(s).Other()]}
		}
		errs = append(errs, p.Receive(plan))
		if n := m.sides[s]; n != nil {
			p.Remote(n.Fax, netip.AddrPort{})
		}
	}
	return errors.Join(errs...)
}

// Fax is how many datagrams of a fax a side has sent, and was sent.
func (m *Media) Fax(s Side) (received, sent uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faxes == nil {
		return 0, 0
	}
	st := m.faxes[s].Stats()
	return st.Received.Packets, st.Sent.Packets
}
