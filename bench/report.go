package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what was found of one system.
type Report struct {
	System     string       `json:"system"`
	Began      time.Time    `json:"began"`
	CPUs       int          `json:"cpus"`
	Kernel     string       `json:"kernel"`
	Direct     *DirectDelay `json:"direct,omitempty"`
	Media      []MediaCost  `json:"media,omitempty"`
	Calls      []CallCost   `json:"calls,omitempty"`
	UDP        []CallCost   `json:"udp,omitempty"` // calls with UDP on both sides, and no TLS
	Ramp       []LoadResult `json:"ramp,omitempty"`
	Saturation float64      `json:"saturation,omitempty"` // calls/s
	Share      float64      `json:"share,omitempty"`      // of a processor, while it was overloaded; 0: unlimited
	Overload   []LoadResult `json:"overload,omitempty"`
	Problems   []string     `json:"problems,omitempty"`
}

// CallCost is what a short call without media costs.
type CallCost struct {
	Way       string  `json:"way"`
	Rate      float64 `json:"rate"`
	Offered   int64   `json:"offered"`
	Completed int64   `json:"completed"`
	CPU       float64 `json:"cpuMs"`    // of the system, a call
	OwnCPU    float64 `json:"ownCpuMs"` // of the generator, a call
	SetupP50  float64 `json:"setupP50Ms"`
	SetupP99  float64 `json:"setupP99Ms"`
	Failures  string  `json:"failures,omitempty"`
}

// DirectDelay is that of packets between the far sides without a gateway, the
// worse of both ways.
type DirectDelay struct {
	P50 float64 `json:"p50Ms"`
	P99 float64 `json:"p99Ms"`
}

// MediaCost is what media costs with so many concurrent calls.
type MediaCost struct {
	Calls    int        `json:"calls"`
	Answered int64      `json:"answered"`
	Sent     int64      `json:"sent"`
	Heard    int64      `json:"heard"`
	Lost     int64      `json:"lost"`
	Skipped  int64      `json:"skipped"`    // packets the generator was too late for
	CPU      float64    `json:"cpuUs"`      // of the system, a packet
	OwnCPU   float64    `json:"ownCpuUs"`   // of the generator, a packet
	DelayP50 [2]float64 `json:"delayP50Ms"` // from the cloud side, from the core's
	DelayP99 [2]float64 `json:"delayP99Ms"`
	Memory   int64      `json:"pssBytes"`
	PerCall  float64    `json:"perCallKB"` // above what the system held before, in units of 1000 bytes
	Failures string     `json:"failures,omitempty"`
}

// LoadResult is what became of a rate of calls.
type LoadResult struct {
	Factor    float64 `json:"factor,omitempty"` // of the saturation
	Asked     float64 `json:"asked"`            // calls/s
	Rate      float64 `json:"rate"`             // that the generator managed to offer
	Goodput   float64 `json:"goodput"`          // completed calls/s while it was offered
	Completed float64 `json:"completed"`        // share, in the end
	CPU       float64 `json:"cpuMs"`            // of the system, a completed call
	OwnCPU    float64 `json:"ownCpuMs"`
	SetupP50  float64 `json:"setupP50Ms"`
	SetupP99  float64 `json:"setupP99Ms"`
	Failures  string  `json:"failures,omitempty"`
}

func newReport(name string) *Report {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // unknown is said as nothing
	return &Report{System: name, Began: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Kernel: strings.TrimSpace(string(kernel))}
}

// What is allowed before a result counts as bad.
const (
	failedShare  = 0.01 // of calls, and of packets, without overload
	collapseKept = 0.9  // of the peak, at twice the saturation
)

// judge finds what is wrong with a system, as opposed to slow.
func (r *Report) judge() {
	say := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	for _, c := range slices.Concat(r.Calls, r.UDP) {
		if float64(c.Completed) < (1-failedShare)*float64(c.Offered) {
			say("%d of %d calls %s failed at %.0f/s: %s", c.Offered-c.Completed, c.Offered, c.Way, c.Rate, c.Failures)
		}
	}
	for _, c := range r.Media {
		if c.Answered < int64(c.Calls) {
			say("%d of %d calls with media failed: %s", int64(c.Calls)-c.Answered, c.Calls, c.Failures)
		}
		if float64(c.Lost) > failedShare*float64(c.Sent) {
			say("%d of %d packets of %d calls were lost", c.Lost, c.Sent, c.Calls)
		}
	}
	if kept := r.kept(); len(r.Overload) > 0 && kept < collapseKept {
		say("at twice the saturation only %.0f %% of the peak is completed", 100*kept)
	}
}

// kept is the share of the peak that is completed at the highest load.
func (r *Report) kept() float64 {
	peak, last := 0.0, 0.0
	for _, l := range r.Overload {
		peak, last = max(peak, l.Goodput), l.Goodput
	}
	return per(last, max(peak, r.Saturation))
}

// callCPU is the cost of a call over both ways, in ms.
func (r *Report) callCPU() float64 { return meanCPU(r.Calls) }

func meanCPU(calls []CallCost) float64 {
	var sum float64
	for _, c := range calls {
		sum += c.CPU
	}
	return per(sum, float64(len(calls)))
}

// within tells of the limit.
func (r *Report) within() string {
	if r.Share == 0 {
		return ""
	}
	return fmt.Sprintf(" within %g of a processor", r.Share)
}

// growth is how much dearer a packet is with the most calls than with the
// fewest.
func (r *Report) growth() float64 {
	if len(r.Media) == 0 {
		return 0
	}
	return per(r.Media[len(r.Media)-1].CPU, r.Media[0].CPU)
}

// show is what a person sees.
type show struct {
	out   io.Writer
	quiet bool
}

// step tells what is being done; the function it returns, what came of it.
func (s *show) step(name string) (done func(format string, args ...any)) {
	began := time.Now()
	return func(format string, args ...any) {
		s.line("  %5.1fs  %-30s %s", time.Since(began).Seconds(), name, fmt.Sprintf(format, args...))
	}
}

func (s *show) line(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(s.out, format+"\n", args...)
	}
}

// report prints the tables, within 80 columns.
func (s *show) report(r *Report) {
	s.line("\n%s · %s · %d CPUs · Linux %s", r.System, r.Began.Format("2006-01-02"), r.CPUs, r.Kernel)
	for i, calls := range [...][]CallCost{r.Calls, r.UDP} {
		if len(calls) == 0 {
			continue
		}
		s.line("\n  %-22s CPU/call  set-up p50      p99  completed  (load's CPU)", [...]string{"calls without media", "UDP both ways"}[i])
		for _, c := range calls {
			s.line("  %-13s %5.0f/s  %5.2f ms  %7.1f ms %5.0f ms  %8.1f%%  %8.2f ms",
				c.Way, c.Rate, c.CPU, c.SetupP50, c.SetupP99, 100*per(float64(c.Completed), float64(c.Offered)), c.OwnCPU)
		}
	}
	if len(r.Media) > 0 {
		s.line("\n  calls  CPU/packet  memory/call  delay p50/p99 in ms      lost  (load's CPU)")
		s.line("                                  from cloud from core")
		for _, c := range r.Media {
			s.line("  %5d  %7.1f µs  %8.1f KB  %4.2f/%5.2f %4.2f/%5.2f  %5.2f%%  %8.1f µs", c.Calls, c.CPU, c.PerCall,
				c.DelayP50[0], c.DelayP99[0], c.DelayP50[1], c.DelayP99[1], 100*per(float64(c.Lost), float64(c.Sent)), c.OwnCPU)
		}
	}
	if r.Direct != nil {
		s.line("  without a gateway                 %4.2f/%5.2f  (%d calls' streams)", r.Direct.P50, r.Direct.P99, directCalls)
	}
	if len(r.Overload) > 0 {
		s.line("\n  saturation %.0f calls/s%s", r.Saturation, r.within())
		s.line("  offered        completed in time  set-up p50      p99  CPU/call  in the end")
		for _, l := range r.Overload {
			s.line("  %3.1f×  %5.0f/s          %6.0f/s    %5.0f ms %5.0f ms  %5.2f ms      %5.1f%%",
				l.Factor, l.Rate, l.Goodput, l.SetupP50, l.SetupP99, l.CPU, 100*l.Completed)
		}
	}
	for _, p := range r.Problems {
		s.line("\n  ✗ %s", p)
	}
}
