package relay

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
)

// beat is how often the voices are looked after: a packet of ours leaves so
// late at most, and a worker's voices are spread over that many moments.
const beat = 5 * time.Millisecond

// crew is the goroutines that work on media: one a processor, each with its
// share of the voices. A worker runs while it has any, so that a node that only
// passes packets on pays nothing.
type crew struct {
	log     *slog.Logger // RO
	workers []*worker    // RO
	running sync.WaitGroup

	mu   sync.Mutex
	next int // mu
}

type worker struct {
	crew *crew // RO

	mu     sync.Mutex
	voices []*voice      // mu
	empty  chan struct{} // mu; closed when there are none left; nil = it does not run
	closed bool          // mu
}

func newCrew(log *slog.Logger) *crew {
	c := &crew{log: log}
	for range runtime.GOMAXPROCS(0) {
		c.workers = append(c.workers, &worker{crew: c})
	}
	return c
}

// pick gives the next worker.
func (c *crew) pick() *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = (c.next + 1) % len(c.workers)
	return c.workers[c.next]
}

// add has a voice looked after. The caller holds the voice's lock.
func (w *worker) add(v *voice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.voices = append(w.voices, v)
	if w.empty == nil && !w.closed {
		empty := make(chan struct{})
		w.empty = empty
		w.crew.running.Go(func() { w.run(empty) })
	}
}

// remove lets go of a voice. The caller holds the voice's lock.
func (w *worker) remove(v *voice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.voices = slices.DeleteFunc(w.voices, func(x *voice) bool { return x == v })
	if len(w.voices) == 0 {
		w.stop()
	}
}

// stop ends the goroutine. The caller holds mu.
func (w *worker) stop() {
	if w.empty != nil {
		close(w.empty)
		w.empty = nil
	}
}

// close ends all workers for ever.
func (c *crew) close() {
	for _, w := range c.workers {
		w.mu.Lock()
		w.closed = true
		w.stop()
		w.mu.Unlock()
	}
	c.running.Wait()
}

func (w *worker) run(empty chan struct{}) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var round []*voice
	for {
		select {
		case now := <-ticker.C:
			round = w.gather(round[:0])
			for _, v := range round {
				w.serve(v, now)
			}
		case <-empty:
			return
		}
	}
}

// serve has a voice do its work. What a far side sends is decoded in it: should
// that panic, this voice falls silent and the others go on.
func (w *worker) serve(v *voice, now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			w.crew.log.Error("panic in a voice, which falls silent", obs.KeyError, fmt.Sprint(p), "stack", string(debug.Stack()))
			v.abandon()
		}
	}()
	v.work(now)
}

func (w *worker) gather(round []*voice) []*voice {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(round, w.voices...)
}
