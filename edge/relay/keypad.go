package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
)

// keypad follows the telephone-events of one side (RFC 4733): one key at a
// time. The packets of an event say the same again and again, so any of them
// may be lost; an event whose end was never heard ends by itself.
type keypad struct {
	clock    uint32
	converts bool // what is pressed is sent to the other side by us
	down     func(digit byte)
	up       func(digit byte, lasted time.Duration)

	mu      sync.Mutex
	digit   byte          // mu; 0 = none is pressed
	stamp   uint32        // mu; of the event, to tell it from the next
	over    bool          // mu; the event at stamp has ended
	began   bool          // mu; stamp means something
	lasted  time.Duration // mu; in the events before of the same key: see segment
	so      time.Duration // mu; in this one
	updated time.Time     // mu
}

// unheard is how long after its last packet an event has surely ended: ten
// packets.
const unheard = 200 * time.Millisecond

// hear takes one event packet.
func (k *keypad) hear(p rtp.Packet, now time.Time) {
	e, err := codec.ParseEvent(p.Payload)
	if err != nil || e.Digit() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	same := k.began && p.Stamp == k.stamp
	if same && k.over || k.began && int32(p.Stamp-k.stamp) < 0 && now.Sub(k.updated) < unheard { // repeated, or overtaken
		return
	}
	const almost = segment - segment/16
	long := k.digit == e.Digit() && k.so >= k.units(almost) && p.Stamp-k.stamp <= segment+segment/16
	switch {
	case same:
	case long: // the same key in another event (RFC 4733 2.5.1.3)
		k.lasted += k.so
		k.stamp, k.so = p.Stamp, 0
	default:
		k.release()
		k.digit, k.stamp, k.began, k.over, k.lasted, k.so = e.Digit(), p.Stamp, true, false, 0, 0
		k.down(k.digit)
	}
	k.so, k.updated = max(k.so, k.units(int(e.Duration))), now
	if e.End {
		k.release()
		k.over = true
	}
}

func (k *keypad) units(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(k.clock)
}

// release ends the key that is pressed. The caller holds mu.
func (k *keypad) release() {
	if k.digit != 0 {
		digit := k.digit
		k.digit = 0
		k.up(digit, k.lasted+k.so)
	}
}

// expire ends a key whose end was lost.
func (k *keypad) expire(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.digit != 0 && now.Sub(k.updated) > unheard {
		k.release()
		k.over = true
	}
}

// watcher is whom the notices go to.
type watcher struct{ f atomic.Pointer[func(Notice)] }

func (w *watcher) tell(n Notice) {
	if f := w.f.Load(); f != nil {
		(*f)(n)
	}
}
