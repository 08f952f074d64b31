package e2e

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sipp is a SIPp that runs a scenario of testdata at a site of the operator's
// core. It answers OPTIONS whatever it plays.
type sipp struct {
	*program
	scenario string
	stats    string // its statistics, CSV
	messages string // every message it sent and received
}

func needSIPp(t *testing.T) { t.Helper(); need(t, "sipp", "sip-tester") }

// echoPort is where SIPp returns RTP to where it came from.
const echoPort = 26000

// sipp starts a scenario. Scenarios whose name begins with "uac" call the
// gateway.
func (w *world) sipp(scenario string, at netip.AddrPort, args ...string) *sipp {
	w.t.Helper()
	file, err := filepath.Abs(filepath.Join("testdata", scenario+".xml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.programs++
	stem := fmt.Sprintf("%s-%d", scenario, w.programs)
	s := &sipp{scenario: scenario, stats: filepath.Join(w.dir, stem+".csv"), messages: filepath.Join(w.dir, stem+".log")}
	ip := at.Addr().String()
	if at.Addr().Is6() {
		ip = "[" + ip + "]"
	}
	all := []string{
		"-sf", file, "-i", ip, "-p", strconv.Itoa(int(at.Port())), "-bind_local",
		"-mi", ip, "-mp", strconv.Itoa(echoPort), "-ci", at.Addr().String(), "-t", map[string]string{"udp": "u1", "tcp": "t1"}[w.transport],
		"-nostdin", "-timeout", strconv.Itoa(int(perTest / time.Second)), "-timeout_error",
		"-trace_stat", "-stf", s.stats, "-fd", "1",
		"-trace_msg", "-message_file", s.messages, "-trace_err", "-error_file", filepath.Join(w.dir, stem+".err"),
	}
	if strings.HasPrefix(scenario, "uac") {
		ooc, err := filepath.Abs("testdata/options.xml")
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, "-oocsf", ooc, "-s", user, w.gatewayCore().String())
	}
	s.program = w.start("sipp", append(all, args...)...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(w.dir, stem+".err")) // there is none without errors
			w.t.Logf("errors of SIPp's %s:\n%s", scenario, log)
		}
	})
	return s
}

// core starts a scenario that is called, at a site, and waits until the node
// holds the site for alive.
func (w *world) core(scenario string, site int, args ...string) *sipp {
	w.t.Helper()
	s := w.sipp(scenario, w.site(site), args...)
	// Not all that stood there before was this SIPp.
	w.until(15*time.Second, func() string {
		if s.saw("OPTIONS") == 0 {
			return "SIPp has seen no OPTIONS"
		}
		return ""
	})
	w.peerUp(fmt.Sprintf("site-%d", site))
	return s
}

// succeeded waits for the end of a SIPp that calls, and fails the test unless
// all its calls went as the scenario has it.
func (s *sipp) succeeded(within time.Duration) {
	s.t.Helper()
	if code := s.wait(within); code != 0 {
		s.t.Errorf("SIPp's %s ended with code %d, %s", s.scenario, code, s.tally())
	}
}

// finish lets a SIPp that is called end its calls, and fails the test when one
// of them went otherwise than the scenario has it.
func (s *sipp) finish() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGUSR1) // what wait finds tells whether it arrived
	// 99: ended without having been given a number of calls.
	if code := s.wait(10 * time.Second); code != 0 && code != 99 {
		s.t.Errorf("SIPp's %s ended with code %d, %s", s.scenario, code, s.tally())
	}
	if n := s.count("FailedCall(C)"); n != 0 {
		s.t.Errorf("SIPp's %s counts %d failed calls", s.scenario, n)
	}
}

// count is a figure of the last line of the statistics.
func (s *sipp) count(column string) int {
	s.t.Helper()
	f, err := os.Open(s.stats)
	if err != nil {
		s.t.Fatalf("statistics of SIPp: %v", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		s.t.Fatalf("statistics of SIPp have %d lines: %v", len(rows), err)
	}
	for i, name := range rows[0] {
		if name == column {
			n, err := strconv.Atoi(rows[len(rows)-1][i])
			if err != nil {
				s.t.Fatalf("%s of SIPp's statistics: %v", column, err)
			}
			return n
		}
	}
	s.t.Fatalf("SIPp's statistics have no column %s", column)
	return 0
}

func (s *sipp) tally() string {
	return fmt.Sprintf("%d calls good, %d failed", s.count("SuccessfulCall(C)"), s.count("FailedCall(C)"))
}

// saw counts the messages that SIPp received and whose first line begins so.
func (s *sipp) saw(begin string) int {
	s.t.Helper()
	log, err := os.ReadFile(s.messages)
	if err != nil {
		return 0 // it makes the file with the first message
	}
	n := 0
	for _, m := range strings.Split(string(log), "message received")[1:] {
		if _, m, ok := strings.Cut(m, "\n\n"); ok && strings.HasPrefix(m, begin) {
			n++
		}
	}
	return n
}
