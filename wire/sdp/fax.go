package sdp

import (
	"net/netip"
	"slices"
	"strings"
)

// T.38 over UDPTL (ITU-T T.38 Annex D) is carried as it comes: the datagrams
// pass, what a side can take is told to the other, the address is ours. Only
// in the clear: UDPTL knows no SDES, and over DTLS (RFC 7345) it is not had
// here.

// Fax is the section that carries T.38; nil when there is none.
func (s *Session) Fax() *Media {
	if i := s.fax(); i >= 0 {
		return &s.Media[i]
	}
	return nil
}

func (s *Session) fax() int {
	return slices.IndexFunc(s.Media, func(m Media) bool { return m.Port != 0 && m.fax() })
}

func (m *Media) fax() bool {
	return m.Kind == "image" && strings.EqualFold(m.Proto, "udptl") &&
		slices.ContainsFunc(m.Formats, func(f string) bool { return strings.EqualFold(f, "t38") })
}

// fax is the section of a description that the leg may carry as T.38, -1 when
// it may not.
func (e End) fax(s *Session) int {
	if !e.Fax.IsValid() {
		return -1
	}
	return s.fax()
}

// image is our section of T.38, with what src says of its writer.
func (e End) image(src *Media) Media {
	m := Media{
		Kind: src.Kind, Port: e.Fax.Port(), Proto: src.Proto, Formats: []string{"t38"},
		Conn: ConnOf(e.Fax.Addr()), Direction: src.Direction,
	}
	for _, l := range src.Lines {
		if l.Type == 'a' && faxAttribute(l.Value) {
			m.Lines = append(m.Lines, l)
		}
	}
	return m
}

// faxAttribute: the line is one of ITU-T T.38 (2015) Annex D 2.3, and names
// nobody. T38VendorInfo says who made the equipment, and does not cross.
func faxAttribute(line string) bool {
	name, value, _ := strings.Cut(line, ":")
	known := slices.ContainsFunc(faxAttributes[:], func(a string) bool { return strings.EqualFold(a, name) })
	return known && parameters(value) == value
}

var faxAttributes = [...]string{
	"T38FaxVersion", "T38MaxBitRate", "T38FaxFillBitRemoval", "T38FaxTranscodingMMR", "T38FaxTranscodingJBIG",
	"T38FaxRateManagement", "T38FaxMaxBuffer", "T38FaxMaxDatagram", "T38FaxMaxIFP", "T38FaxUdpEC", "T38FaxUdpECDepth",
	"T38FaxUdpFECMaxSpan", "T38ModemType",
}

// agreeFax reads what a round has said of T.38: where the side wants the
// datagrams; not valid when there are to be none.
func agreeFax(sent, received *Session) (netip.AddrPort, error) {
	i := sent.fax()
	if i < 0 || i >= len(received.Media) || !received.Media[i].fax() || received.Media[i].Port == 0 {
		return netip.AddrPort{}, nil
	}
	m := &received.Media[i]
	ip := m.Conn.IP()
	if !ip.IsValid() || ip.IsMulticast() || ip.IsUnspecified() {
		return netip.AddrPort{}, ErrNoAddress
	}
	return netip.AddrPortFrom(ip, m.Port), nil
}
