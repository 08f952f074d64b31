package sip

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
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
	// lie has a datagram wait, and gives what is told of it and what is true
	// at the most.
	lie := func(wait time.Duration) (told, most time.Duration) {
		began := time.Now()
		if _, err := out.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		<-time.After(wait)
		buf := make([]byte, 10)
		n, from, told, err := l.readPacket(buf)
		if err != nil || string(buf[:n]) != "hello" || from.String() != out.LocalAddr().String() {
			t.Fatalf("%q from %v, %v", buf[:n], from, err)
		}
		return told, time.Since(began)
	}
	// The kernel begins to stamp a moment after it was asked to, and the clock
	// of its stamps is the wall's, which may be slewed.
	const pause, slew = 30 * time.Millisecond, time.Millisecond
	told, most := lie(pause)
	for tries := 0; told < pause-slew && tries < 20; tries++ {
		told, most = lie(pause)
	}
	if told < pause-slew || told > most+slew {
		t.Errorf("it says %v, which is not between %v and %v", told, pause, most)
	}
	if told, most := lie(0); told > most+slew {
		t.Errorf("it says %v, and it was %v at the most", told, most)
	}
}

func TestTheLagIsThatOfTheSlowestListenerAndDoesNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &listener{}, &listener{}
		s := &Stack{listeners: map[string]*listener{"a": a, "b": b}, start: time.Now()}
		read := func(l *listener, waited time.Duration) {
			l.lag.Store(int64(waited))
			l.read.Store(int64(s.now()))
		}
		read(a, 300*time.Millisecond)
		read(b, time.Millisecond)
		if lag := s.Lag(); lag != 300*time.Millisecond {
			t.Errorf("%v", lag)
		}
		read(a, 0)
		if lag := s.Lag(); lag != time.Millisecond {
			t.Errorf("%v when the queue is empty again", lag)
		}
		<-time.After(lagStands)
		if lag := s.Lag(); lag != 0 {
			t.Errorf("%v when nothing came any more", lag)
		}
	})
}
