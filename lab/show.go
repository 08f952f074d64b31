package lab

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// show is what a person sees while the lab works: one line a step, redrawn
// with the time it takes on a terminal, written once it is done elsewhere.
type show struct {
	out   io.Writer // RO
	quiet bool      // RO: JSON wanted, say nothing
	live  bool      // RO: a terminal that can redraw
	color bool      // RO
	began time.Time // RO
	stop  chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex // the ticker redraws while the scenario writes
	step  string     // mu: the step under way, "" when none
	since time.Time  // mu
	note  string     // mu: how far it is
}

func newShow(out io.Writer, quiet bool) *show {
	s := &show{out: out, quiet: quiet, began: time.Now(), stop: make(chan struct{})}
	if f, ok := out.(*os.File); ok && !quiet {
		s.live = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
		s.color = s.live && os.Getenv("NO_COLOR") == ""
	}
	if s.live {
		s.done.Go(s.redraw)
	}
	return s
}

func (s *show) close() {
	close(s.stop)
	s.done.Wait()
}

// redraw keeps the running step's clock moving.
func (s *show) redraw() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.mu.Lock()
			if s.step != "" {
				s.draw()
			}
			s.mu.Unlock()
		}
	}
}

// draw writes the running step over itself. mu is held.
func (s *show) draw() {
	line := fmt.Sprintf("  … %-31s %5.1fs  %s", s.step, time.Since(s.since).Seconds(), s.note)
	fmt.Fprintf(s.out, "\r\x1b[2K%s", clip(line, 78))
}

// begin starts a step.
func (s *show) begin(step string) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step, s.note, s.since = step, "", time.Now()
	if s.live {
		s.draw()
	}
}

// progress says how far the running step is.
func (s *show) progress(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = fmt.Sprintf(format, args...)
}

// took says that the running step began so long ago.
func (s *show) took(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now().Add(-d)
}

// end closes the running step with a mark and what came of it.
func (s *show) end(ok bool, format string, args ...any) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("  %s %-31s %5.1fs  %s", s.mark(ok), s.step, time.Since(s.since).Seconds(), fmt.Sprintf(format, args...))
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[2K")
	}
	fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	s.step = ""
}

// line writes one plain line.
func (s *show) line(format string, args ...any) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live && s.step != "" {
		fmt.Fprint(s.out, "\r\x1b[2K")
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

// mark is the sign of good or bad, in colour where that is seen.
func (s *show) mark(ok bool) string {
	sign, code := "✓", "32"
	if !ok {
		sign, code = "✗", "31"
	}
	if !s.color {
		return sign
	}
	return "\x1b[" + code + "m" + sign + "\x1b[0m"
}

// clip cuts a line to n columns, so that a redrawn one never wraps.
func clip(line string, n int) string {
	runes := []rune(line)
	if len(runes) <= n {
		return line
	}
	return string(runes[:n-1]) + "…"
}
