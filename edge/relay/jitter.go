package relay

import (
	"slices"
	"time"
)

// jitter puts the packets of one stream in order and in time, for a decoder
// that must have a frame at each beat. Time is the stream's own: next is the
// time stamp that is due. Owned by the voice that listens.
//
// It delays by as little as it can. It begins a little after the first packet. A
// packet that comes after its time, when nothing else is there to be played,
// moves all that follows back, so the delay grows by just as much as was
// missing; when others are, one is made up where that happens again. The delay shrinks when for a window of time even the packet that
// waited least has waited longer than a packet lasts: then one is left out,
// best a quiet one. The same two rules follow the clock of a sender that runs
// faster or slower than ours.
type jitter struct {
	clock   uint32        // of the time stamps
	delay   time.Duration // of the first packet
	waiting []held        // in order of their numbers
	free    [][]byte

	started bool   // the first packet has been played
	next    uint32 // time stamp due
	last    uint16 // number of the packet played last
	frame   uint32 // how long it lasted
	missing int    // beats since then without a packet

	tardy   int  // packets of this window that came when others had been played in their place
	stretch bool // the next beat is made up, to delay by more

	least time.Duration // waited by any packet played in this window
	until time.Time     // the window's end

	late, lost, left uint64 // packets come too late, never come, left out
}

// held is a packet that waits.
type held struct {
	seq     uint16
	stamp   uint32
	pt      uint8
	payload []byte
	at      time.Time // when it came
}

// verdict is what jitter has for a beat.
type verdict uint8

const (
	speech  verdict = iota // a packet
	missing                // one is lost: hide it
	pause                  // the far side is silent
)

const (
	startDelay = 15 * time.Millisecond
	most       = 200 * time.Millisecond // delay, beyond which packets are dropped instead
	window     = 8 * time.Second
	hidden     = 3 // beats that are made up before it is silence
	crowd      = 32
	stretching = 2 // of one window; a single one may be a stray
)

func (j *jitter) reset(clock uint32) {
	for _, h := range j.waiting {
		j.free = append(j.free, h.payload)
	}
	*j = jitter{clock: clock, delay: j.delay, waiting: j.waiting[:0], free: j.free, late: j.late, lost: j.lost, left: j.left}
}

// time is how long n units of the stream's clock last.
func (j *jitter) time(n uint32) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(j.clock)
}

// put takes a packet in, whose payload is copied.
func (j *jitter) put(h held) {
	if j.started {
		behind := j.time(uint32(max(0, int32(j.next-h.stamp))))
		switch {
		case behind == 0:
		case behind > most: // the far side has begun anew
			j.reset(j.clock)
		case len(j.waiting) == 0 && int16(h.seq-j.last) > 0:
			j.next = h.stamp
		default:
			j.late++
			j.tardy++
			j.stretch = j.tardy >= stretching
			return
		}
	}
	i := len(j.waiting)
	for i > 0 && int16(h.seq-j.waiting[i-1].seq) < 0 {
		i--
	}
	if i > 0 && j.waiting[i-1].seq == h.seq {
		return // twice
	}
	if len(j.waiting) == crowd {
		j.drop()
		i = max(0, i-1)
	}
	h.payload = append(j.buffer(), h.payload...)
	j.waiting = slices.Insert(j.waiting, i, h)
}

func (j *jitter) buffer() []byte {
	if n := len(j.free); n > 0 {
		b := j.free[n-1]
		j.free = j.free[:n-1]
		return b[:0]
	}
	return nil
}

// drop gives up the oldest packet.
func (j *jitter) drop() {
	j.left++
	j.free = append(j.free, j.waiting[0].payload)
	j.waiting = slices.Delete(j.waiting, 0, 1)
}

// beat tells what is due now. The payload of a packet is good until the next
// put. played must be called after it, with how long it lasted.
func (j *jitter) beat(now time.Time) (held, verdict) {
	if len(j.waiting) == 0 {
		return held{}, j.nothing()
	}
	first := j.waiting[0]
	waited := now.Sub(first.at)
	if !j.started {
		if waited < j.delay {
			return held{}, pause
		}
		j.started, j.next, j.last, j.until, j.least = true, first.stamp, first.seq-1, now.Add(window), most
	}
	if j.stretch {
		j.stretch, j.tardy = false, 0
		j.next -= j.frame // which played puts back
		return held{}, missing
	}
	if ahead := int32(first.stamp - j.next); ahead >= max(1, int32(j.frame)) && waited < most {
		if first.seq != j.last+1 { // those between are lost, or still to come: too late
			return held{}, j.nothing()
		}
		return held{}, pause
	}
	if n := first.seq - j.last - 1; n > 0 && n < 1<<15 {
		j.lost += uint64(n)
	}
	j.next, j.last, j.missing = first.stamp, first.seq, 0
	j.least = min(j.least, waited)
	j.free = append(j.free, first.payload)
	j.waiting = slices.Delete(j.waiting, 0, 1)
	return first, speech
}

// nothing is a beat without a packet, where one was due.
func (j *jitter) nothing() verdict {
	if !j.started {
		return pause
	}
	j.missing++
	if j.missing > hidden {
		return pause
	}
	return missing
}

// played moves on by what a beat has given.
func (j *jitter) played(v verdict, units uint32) {
	if !j.started {
		return
	}
	if v == speech && units > 0 {
		j.frame = units
	}
	j.next += units
}

// over reports whether a window has ended, so that spare is to be called.
func (j *jitter) over(now time.Time) bool { return j.started && !now.Before(j.until) }

// spare leaves a packet out when all of them wait longer than they need to.
// quiet tells that the one just played was.
func (j *jitter) spare(now time.Time, quiet bool) {
	unneeded := j.least - j.time(j.frame) - startDelay/2
	if unneeded > 0 && !quiet && unneeded < 2*j.time(j.frame) {
		return // wait for a pause
	}
	if unneeded > 0 && len(j.waiting) > 0 {
		j.next = j.waiting[0].stamp + j.frame
		j.last = j.waiting[0].seq
		j.drop()
	}
	j.until, j.least, j.tardy = now.Add(window), most, 0
}
