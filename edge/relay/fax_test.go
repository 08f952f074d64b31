package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// T.38 between two cores whose calls a cloud user has joined: datagrams of real
// sockets cross the media of both calls (ITU-T T.38 9.1), each way, and none
// after the fax.
func TestAFaxThroughTwoCallsOnRealSockets(t *testing.T) {
	engine, err := rtp.New(rtp.Config{Threads: 2, Interfaces: []rtp.Interface{
		{Name: "operator", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 37000, PortMax: 37399},
		{Name: "cloud", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 37400, PortMax: 37799},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	r := New(Config{Engine: engine})
	t.Cleanup(r.Close)
	var machines [2]*net.UDPConn
	var calls [2]*Media
	var at [2][2]netip.AddrPort // of each call: towards the core, and the other call
	for i := range calls {
		if machines[i], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = machines[i].Close() })
		if calls[i], err = r.Open("operator", "cloud"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(calls[i].Close)
		if at[i], err = calls[i].OpenFax(); err != nil {
			t.Fatal(err)
		}
		if again, err := calls[i].OpenFax(); err != nil || again != at[i] {
			t.Errorf("%v, %v: there is one pair", again, err)
		}
	}
	for i, m := range calls {
		machine := machines[i].LocalAddr().(*net.UDPAddr).AddrPort()
		set(t, m, Caller, Negotiated{Direction: sdp.Inactive, Fax: machine})
		set(t, m, Callee, Negotiated{Direction: sdp.Inactive, Fax: at[1-i][Callee]})
	}
	const datagrams = 500
	buf := make([]byte, 2048)
	for from := range machines {
		for seq := range uint16(datagrams) {
			sent := append(binary.BigEndian.AppendUint16(nil, seq), make([]byte, 3+seq%300)...)
			if _, err := machines[from].WriteToUDPAddrPort(sent, at[from][Caller]); err != nil {
				t.Fatal(err)
			}
			_ = machines[1-from].SetReadDeadline(time.Now().Add(2 * time.Second))
			n, src, err := machines[1-from].ReadFromUDPAddrPort(buf)
			if err != nil || string(buf[:n]) != string(sent) || src != at[1-from][Caller] {
				t.Fatalf("datagram %d: %v, %d octets from %v", seq, err, n, src)
			}
		}
	}
	for _, m := range calls {
		for _, s := range []Side{Caller, Callee} {
			if in, out := m.Fax(s); in != datagrams || out != datagrams {
				t.Errorf("the %s has sent %d and was sent %d", s, in, out)
			}
		}
	}
	if err := calls[0].Set(Caller, Negotiated{Fax: at[0][Callee]}); err == nil {
		t.Error("the call would fax itself")
	}
	set(t, calls[1], Callee, Negotiated{Direction: sdp.Inactive}) // the fax is over
	_, _ = machines[0].WriteToUDPAddrPort(make([]byte, 20), at[0][Caller])
	_ = machines[1].SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, _, err := machines[1].ReadFromUDPAddrPort(buf); err == nil {
		t.Errorf("%d octets after the fax", n)
	}
	calls[0].Close()
	if n := engine.Counters().Open; n != 4 {
		t.Errorf("%d ports are open", n)
	}
}

// Without ports there is no fax, and the call goes on.
func TestNoPortsForAFax(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		if _, err := m.OpenFax(); fault.Of(err) != fault.Exhausted {
			t.Error(err)
		}
		if n := m.relay.engine.Counters().Open; n != 2 {
			t.Errorf("%d ports are open", n)
		}
		a, b := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
		set(t, m, Caller, a.agreed(sdp.SendRecv))
		set(t, m, Callee, b.agreed(sdp.SendRecv))
		hears(t, a, b, true)
	})
}
