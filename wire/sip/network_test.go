package sip

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestTheKernelTellsHowLongADatagramWaited(t *testing.T) {
	in, err := OS.ListenPacket(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := net.Dial("udp", in.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	l := &listener{packets: in}
	const pause = 30 * time.Millisecond
	for _, wait := range []time.Duration{pause, 0} {
		began := time.Now()
		if _, err := out.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		<-time.After(wait)
		buf := make([]byte, 10)
		n, from, waited, err := l.readPacket(buf)
		if err != nil || string(buf[:n]) != "hello" || from.String() != out.LocalAddr().String() {
			t.Fatalf("%q from %v, %v", buf[:n], from, err)
		}
		// The clock of the stamps is the wall's, which may be slewed.
		if most := time.Since(began); waited > most+pause/10 || waited < wait-pause/10 {
			t.Errorf("it says %v, which is not between %v and %v", waited, wait, most)
		}
	}
}
