package trace

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	link "github.com/tandemgw/tandem/link/record"
)

// The longest UDP payload an IPv4 packet has room for; a longer message of a
// stream is cut.
const maxPayload = 65535 - 20 - 8

// Pcap writes the messages of a call as a capture file of made-up IP and UDP
// frames, whatever the transport was, with the keys blanked. It reports false
// when nothing is remembered of the call.
func (r *Ring) Pcap(w io.Writer, callID string) (bool, error) {
	packets, _, ok := r.snapshot(callID)
	if !ok {
		return false, nil
	}
	return true, capture(w, packets)
}

// Capture is Pcap of what another node remembers.
func Capture(w io.Writer, t link.Trace) error {
	var packets []Packet
	for _, p := range t.Packets {
		local, _ := netip.ParseAddrPort(p.Local) // one that cannot be read is left out
		remote, _ := netip.ParseAddrPort(p.Remote)
		packets = append(packets, Packet{At: p.At, Out: p.Out, Local: local, Remote: remote, Raw: []byte(p.Raw)})
	}
	return capture(w, packets)
}

func capture(w io.Writer, packets []Packet) error {
	out := pcapgo.NewWriterNanos(w)
	if err := out.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	for _, p := range packets {
		b, err := frame(p)
		if err != nil {
			return fmt.Errorf("make frame: %w", err)
		}
		if err := out.WritePacket(gopacket.CaptureInfo{Timestamp: p.At, CaptureLength: len(b), Length: len(b)}, b); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	return nil
}

// frame dresses a message as a UDP packet.
func frame(p Packet) ([]byte, error) {
	src, dst := p.Remote, p.Local
	if p.Out {
		src, dst = p.Local, p.Remote
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	payload := blank(p.Raw)
	payload = payload[:min(len(payload), maxPayload)]
	ip, err := header(src.Addr().Unmap(), dst.Addr().Unmap(), udp)
	if err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	err = gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip, udp, gopacket.Payload(payload))
	return buf.Bytes(), err
}

type networkLayer interface {
	gopacket.SerializableLayer
	gopacket.NetworkLayer
}

// header makes the IP header. An address that is missing or of the other
// family becomes the unspecified one: better a frame that tells half than none.
func header(src, dst netip.Addr, udp *layers.UDP) (networkLayer, error) {
	if src.Is6() || dst.Is6() {
		ip := &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
			SrcIP: as(src, netip.Addr.Is6, netip.IPv6Unspecified()), DstIP: as(dst, netip.Addr.Is6, netip.IPv6Unspecified()),
		}
		return ip, udp.SetNetworkLayerForChecksum(ip)
	}
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: as(src, netip.Addr.Is4, netip.IPv4Unspecified()), DstIP: as(dst, netip.Addr.Is4, netip.IPv4Unspecified()),
	}
	return ip, udp.SetNetworkLayerForChecksum(ip)
}

func as(a netip.Addr, fits func(netip.Addr) bool, otherwise netip.Addr) []byte {
	if !fits(a) {
		a = otherwise
	}
	return a.AsSlice()
}
