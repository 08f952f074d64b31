package lab

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// Verdict is what the lab found. Its JSON is for machines: durations are in
// milliseconds, levels in dBov.
type Verdict struct {
	OK         bool          `json:"ok"`
	Calls      []CallReport  `json:"calls"`
	Failover   Failover      `json:"failover"`
	Violations []string      `json:"violations"` // rules of the far sides that the gateway broke
	Problems   []string      `json:"problems"`   // everything that made the verdict bad, in words
	Took       time.Duration `json:"-"`
	TookMS     float64       `json:"tookMs"`
	// StalledMS is the longest time for which this machine let nothing run, as of
	// a ScenarioReport.
	StalledMS float64 `json:"stalledMs"`
}

// CallReport is one call as both its ends and the node's record saw it.
type CallReport struct {
	Name    string    `json:"name"`
	Region  string    `json:"region"`
	ID      string    `json:"id"` // of the node's record
	OK      bool      `json:"ok"`
	SetupMS float64   `json:"setupMs"` // from the caller's INVITE to its answer
	Caller  EarReport `json:"caller"`  // what the caller heard: tones
	Callee  EarReport `json:"callee"`  // what the called one heard: speech
	Status  int       `json:"status"`
	Problem string    `json:"problem,omitempty"`
	began   time.Time // of the INVITE
	call    *phone.Call
}

// EarReport is what one end of a call heard, and over what.
type EarReport struct {
	Side        string  `json:"side"`      // "Teams" or "core"
	Transport   string  `json:"transport"` // of its signalling
	Codec       string  `json:"codec"`
	Encryption  string  `json:"encryption"` // SRTP suite, "none" for RTP in the clear
	LevelDBov   float64 `json:"levelDbov"`
	DelayMS     float64 `json:"delayMs"` // mouth to ear
	Loss        float64 `json:"loss"`    // 0..1
	Correlation float64 `json:"correlation"`
	SNR         float64 `json:"snrDb"`
	Same        bool    `json:"same"` // it is what the other end said
	Problem     string  `json:"problem,omitempty"`
}

// Failover is what happened when a region was killed.
type Failover struct {
	Killed       string     `json:"killed"`
	CallsCut     int        `json:"callsCut"`    // calls in progress through it
	Tries        []Try      `json:"tries"`       // calls placed right after, until one each way succeeded
	RecoveredMS  float64    `json:"recoveredMs"` // from the kill until both ways had
	LimitMS      float64    `json:"limitMs"`     // the interval of OPTIONS
	RestartedMS  float64    `json:"restartedMs"`
	OrphanClosed int        `json:"orphansClosed"` // records of cut calls, closed as "node lost"
	BackInUse    CallReport `json:"backInUse"`     // a call through the restarted region
}

// Try is one call placed after a region was killed.
type Try struct {
	From    string  `json:"from"` // "Teams" or "core"
	OK      bool    `json:"ok"`
	AfterMS float64 `json:"afterMs"` // from the kill to its answer or failure
	Problem string  `json:"problem,omitempty"`
}

// What an ear must hear for a call to be good. G.711 alone leaves some 38 dB
// between signal and noise; a lab on a busy machine may lose a packet or two
// and add a jitter of tens of milliseconds, but not more.
const (
	minCorrelation = 0.9
	minSNR         = 20.0 // dB
	maxLoss        = 0.03
	maxDelay       = 400 * time.Millisecond
	minLevel       = -50.0 // dBov; speech and tones are sent near -20
)

// judge turns what the audio comparison found into a report with a problem in
// words when it is not good enough.
func judge(r audio.Report) EarReport {
	ear := EarReport{
		// Both ends' clocks start with a frame, so a delay is right to within
		// one; what comes out below nothing is nothing.
		LevelDBov: finite(r.Level), DelayMS: max(0, ms(r.Delay)), Loss: r.Loss,
		Correlation: r.Correlation, SNR: finite(r.SNR), Same: r.Same,
	}
	switch {
	case math.IsInf(r.Level, -1):
		ear.Problem = "heard nothing"
	case r.Level < minLevel:
		ear.Problem = fmt.Sprintf("heard silence (%.0f dBov)", r.Level)
	case !r.Same:
		ear.Problem = "heard something else: " + r.Reason
	case r.Correlation < minCorrelation:
		ear.Problem = fmt.Sprintf("heard it distorted (correlation %.2f)", r.Correlation)
	case r.SNR < minSNR:
		ear.Problem = fmt.Sprintf("heard it with noise (%.0f dB)", r.SNR)
	case r.Loss > maxLoss:
		ear.Problem = fmt.Sprintf("lost %.1f %% of it", r.Loss*100)
	case r.Delay > maxDelay:
		ear.Problem = fmt.Sprintf("heard it %d ms late", r.Delay.Milliseconds())
	}
	return ear
}

// finite keeps JSON and tables free of infinities: -120 dB is below anything
// 16 bits can hold.
func finite(db float64) float64 {
	return math.Max(-120, math.Min(120, db))
}

func ms(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}

// settle collects everything that makes the verdict bad.
func (v *Verdict) settle() {
	for _, c := range v.Calls {
		if !c.OK {
			v.Problems = append(v.Problems, c.Name+": "+c.Problem)
		}
	}
	v.Problems = append(v.Problems, v.Failover.problems()...)
	for _, broken := range v.Violations {
		v.Problems = append(v.Problems, "a far side's rule was broken: "+broken)
	}
	if v.OK = len(v.Problems) == 0; !v.OK && v.StalledMS >= ms(cushion) {
		v.Problems = append(v.Problems, blame(v.StalledMS))
	}
}

func (f Failover) problems() []string {
	var found []string
	if f.CallsCut != 2 {
		found = append(found, fmt.Sprintf("%d of 2 calls stood when %s was killed", f.CallsCut, f.Killed))
	}
	if f.RecoveredMS == 0 || f.RecoveredMS > f.LimitMS {
		found = append(found, fmt.Sprintf("after %s was killed, new calls both ways took %.0f ms to succeed; the limit is %.0f ms", f.Killed, f.RecoveredMS, f.LimitMS))
	}
	if f.OrphanClosed != f.CallsCut {
		found = append(found, fmt.Sprintf("%d of %d cut calls have a record closed as \"node lost\"", f.OrphanClosed, f.CallsCut))
	}
	if !f.BackInUse.OK {
		found = append(found, "the restarted region carried no call: "+f.BackInUse.Problem)
	}
	return found
}

func (v *Verdict) took(d time.Duration) { v.Took, v.TookMS = d, ms(d) }
func (v *Verdict) good() bool           { return v.OK }

// print shows the verdict at 80 columns.
func (v *Verdict) print(s *show) {
	s.line("")
	s.line("  what was heard            setup  codec  media    level  delay  loss  match")
	for _, c := range v.Calls {
		s.line("  %s %s", s.mark(c.OK), c.Name)
		if c.ID == "" {
			continue // never heard; the problem is told below
		}
		for _, e := range []struct {
			who string
			ear EarReport
		}{{"called hears speech", c.Callee}, {"caller hears tones", c.Caller}} {
			setup := ""
			if e.who == "caller hears tones" {
				setup = fmt.Sprintf("%.0f ms", c.SetupMS)
			}
			s.line("      %-5s %-14s %7s  %-5s  %-7s %4.0f dB %4.0f ms %4.1f%%  %.3f",
				e.ear.Side, e.who[7:], setup, e.ear.Codec, media(e.ear.Encryption), e.ear.LevelDBov, e.ear.DelayMS, e.ear.Loss*100, e.ear.Correlation)
		}
	}
	f := v.Failover
	s.line("")
	s.line("  region %s was killed with %d calls in progress; new calls both ways", f.Killed, f.CallsCut)
	s.line("  succeeded after %.0f ms (limit %.0f ms); it was back after %.0f ms, and %d of %d", f.RecoveredMS, f.LimitMS, f.RestartedMS, f.OrphanClosed, f.CallsCut)
	s.line("  records of the cut calls were closed with the cause \"node lost\"")
	s.line("")
	if v.OK {
		s.line("  %s all is well (%.0f s)", s.mark(true), v.Took.Seconds())
		return
	}
	for _, p := range v.Problems {
		s.line("  %s %s", s.mark(false), wrap(p, 74, "    "))
	}
}

// wrap breaks a sentence into lines of at most width columns, all but the
// first indented.
func wrap(text string, width int, indent string) string {
	var out strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch n := utf8.RuneCountInString(word); {
		case i == 0:
			column = n
		case column+1+n > width:
			out.WriteString("\n" + indent)
			column = n
		default:
			out.WriteByte(' ')
			column += 1 + n
		}
		out.WriteString(word)
	}
	return out.String()
}

// media is the encryption in a word that fits a column.
func media(suite string) string {
	switch suite {
	case "", "none":
		return "RTP"
	}
	return "SRTP"
}
