package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/wire/sip/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here  = netip.MustParseAddr("10.0.0.1")
	there = netip.MustParseAddrPort("10.0.0.2:5060")
)

// connected gives the two ends of a stream.
func connected(t *testing.T, n *memnet.Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Listen(there)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = n.Dial(context.Background(), "tcp", here, there); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestBytesArriveInOrderAfterTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.Set(here, there.Addr(), memnet.Weather{Latency: 30 * time.Millisecond})
		start := time.Now()
		near, far := connected(t, n)
		if d := time.Since(start); d != 60*time.Millisecond {
			t.Errorf("dialling took %v, want a round trip", d)
		}
		start = time.Now()
		near.Write([]byte("one "))
		near.Write([]byte("two"))
		near.Close()
		b, err := io.ReadAll(far)
		if string(b) != "one two" || err != nil || time.Since(start) != 30*time.Millisecond {
			t.Errorf("read %q, %v after %v", b, err, time.Since(start))
		}
		far.Close()
		if n.Streams() != 0 {
			t.Errorf("%d streams stand", n.Streams())
		}
	})
}

func TestAWriterBlocksWhenNobodyReadsUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connected(t, memnet.New())
		defer far.Close()
		defer near.Close()
		near.SetWriteDeadline(time.Now().Add(time.Second))
		sent, err := near.Write(make([]byte, 1<<20))
		if sent != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", sent, err)
		}
	})
}

func TestACutConnectionIsResetAtBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		near, far := connected(t, n)
		defer far.Close()
		defer near.Close()
		if hit := n.Cut(here, netip.Addr{}); hit != 1 {
			t.Errorf("%d connections were cut", hit)
		}
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
	})
}

func TestAHoleHoldsWhatIsSentUntilItIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		near, far := connected(t, n)
		defer far.Close()
		defer near.Close()
		n.Set(here, there.Addr(), memnet.Weather{Hole: true})
		near.Write([]byte("x"))
		far.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read in a hole: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", here, there); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("dial into a hole: %v", err)
		}
		far.SetReadDeadline(time.Time{})
		n.Set(here, there.Addr(), memnet.Weather{})
		if got, err := far.Read(make([]byte, 1)); got != 1 || err != nil {
			t.Errorf("read behind it: %d, %v", got, err)
		}
	})
}

func TestDatagramsAreLostAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a, err := n.ListenPacket(netip.AddrPortFrom(here, 0))
		if err != nil {
			t.Fatal(err)
		}
		b, err := n.ListenPacket(there)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		defer b.Close()
		count := func(w memnet.Weather) (got int) {
			n.Set(here, there.Addr(), w)
			for i := range 100 {
				a.WriteToUDPAddrPort([]byte{byte(i)}, there)
			}
			<-time.After(time.Second)
			b.(net.Conn).SetReadDeadline(time.Now())
			for {
				if _, _, err := b.ReadFromUDPAddrPort(make([]byte, 1)); err != nil {
					return got
				}
				got++
			}
		}
		even := func(b []byte) bool { return b[0]%2 == 0 }
		if x, y, z := count(memnet.Weather{}), count(memnet.Weather{Drop: even, Latency: time.Millisecond}), count(memnet.Weather{Hole: true}); x != 100 || y != 50 || z != 0 {
			t.Errorf("arrived: %d, %d, %d", x, y, z)
		}
		if x := count(memnet.Weather{Loss: 0.5}); x < 30 || x > 70 {
			t.Errorf("of 100 at half loss arrived %d", x)
		}
	})
}

func TestNobodyListeningRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := memnet.New().Dial(context.Background(), "tcp", here, there); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
	})
}
