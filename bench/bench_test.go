package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/app"
)

// The test's own program is the node, when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

func serve(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := app.LoadConfig(file)
	if err == nil {
		var node *app.Node
		if node, err = app.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), "test"); err == nil {
			err = node.Run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// tiny is a load that takes seconds and proves nothing but that all works.
func tiny(out *bytes.Buffer) Options {
	o := Defaults()
	o.Out, o.Program, o.Rounds = out, []string{os.Args[0]}, 1
	o.Standing, o.Rate, o.Most, o.Span = []int{2, 10}, 10, 20, time.Second
	return o
}

func TestANodeIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a node")
	}
	var out bytes.Buffer
	opt := tiny(&out)
	opt.JSON = true
	if err := Run(t.Context(), opt); err != nil && !errors.Is(err, ErrVerdict) {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if len(r.Calls) != 2 || len(r.UDP) != 2 || len(r.Media) != 2 || len(r.Ramp) == 0 || len(r.Overload) != 3 {
		t.Fatalf("not all was measured: %s", &out)
	}
	for _, c := range slices.Concat(r.Calls, r.UDP) {
		if c.Offered != 10 || c.Completed != 10 || c.CPU <= 0 || c.SetupP50 <= 0 || c.SetupP99 < c.SetupP50 {
			t.Errorf("calls: %+v", c)
		}
	}
	for i, c := range r.Media {
		want := int64(2 * opt.Standing[i] * packetRate)
		if c.Answered != int64(opt.Standing[i]) || c.Sent+c.Skipped < want*9/10 || c.Sent > want*12/10 || c.Lost > c.Sent/20 {
			t.Errorf("media: %+v", c)
		}
		if c.CPU <= 0 || c.DelayP50[0] <= 0 || c.DelayP99[1] < c.DelayP50[1] {
			t.Errorf("media: %+v", c)
		}
	}
	if r.Direct == nil || r.Direct.P50 <= 0 || r.Direct.P99 < r.Direct.P50 {
		t.Errorf("direct: %+v", r.Direct)
	}
	if last := r.Overload[2]; last.Factor != 2 || last.Goodput <= 0 {
		t.Errorf("overload: %+v", last)
	}
}

func TestTheTablesFitATerminal(t *testing.T) {
	var out bytes.Buffer
	s := &show{out: &out}
	r := &Report{
		System: "Kamailio + rtpengine", Kernel: "6.18.44-something", CPUs: 128, Began: time.Now(), Saturation: 12345.6,
		Calls:    []CallCost{{Way: "cloud → core", Rate: 1000, Offered: 5000, Completed: 4999, CPU: 12.345, OwnCPU: 1.23, SetupP50: 123.4, SetupP99: 4000}},
		Media:    []MediaCost{{Calls: 5000, Sent: 100, Heard: 99, Lost: 1, CPU: 123.4, OwnCPU: 12.3, DelayP50: [2]float64{12.34, 12.34}, DelayP99: [2]float64{99.99, 99.99}, PerCall: 1234.5}},
		Overload: []LoadResult{{Factor: 2, Rate: 12345, Goodput: 12345, SetupP50: 4000, SetupP99: 4000, CPU: 12.34, Completed: 1}},
	}
	s.step("media of 5000 calls")("%.1f µs CPU a packet, %.0f KB a call", 123.4, 1234.5)
	s.report(r)
	c := &Comparison{Ours: []*Report{r, r}, Theirs: []*Report{r, r}}
	c.judge()
	s.comparison(c)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && !strings.Contains(line, "✗") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTheVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		r    Report
		want string
	}{
		"all is well": {Report{
			Calls: []CallCost{{Offered: 100, Completed: 100}}, Media: []MediaCost{{Calls: 2, Answered: 2, Sent: 100, Lost: 1}},
			Saturation: 100, Overload: []LoadResult{{Goodput: 100}, {Goodput: 95}},
		}, ""},
		"calls fail":        {Report{Calls: []CallCost{{Offered: 100, Completed: 98, Failures: "2× 503"}}}, "2 of 100 calls"},
		"a call is missing": {Report{Media: []MediaCost{{Calls: 2, Answered: 1}}}, "1 of 2 calls"},
		"packets are lost":  {Report{Media: []MediaCost{{Sent: 100, Lost: 2}}}, "2 of 100 packets"},
		"it collapses":      {Report{Saturation: 100, Overload: []LoadResult{{Goodput: 100}, {Goodput: 80}}}, "only 80 %"},
		"the peak was in the ramp": {
			Report{Saturation: 200, Overload: []LoadResult{{Goodput: 100}, {Goodput: 100}}}, "only 50 %",
		},
	} {
		c.r.judge()
		if got := strings.Join(c.r.Problems, "; "); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheComparisonIsBadWhenWeAreDearer(t *testing.T) {
	with := func(call, packet float64) []*Report {
		return []*Report{{Calls: []CallCost{{CPU: call}}, Media: []MediaCost{{CPU: packet}}}}
	}
	for _, c := range []struct {
		ours, theirs []*Report
		want         int
	}{
		{with(1, 5), with(2, 10), 0},
		{with(3, 5), with(2, 10), 1},
		{with(3, 11), with(2, 10), 2},
	} {
		got := &Comparison{Ours: c.ours, Theirs: c.theirs}
		got.judge()
		if len(got.Problems) != c.want {
			t.Errorf("%v", got.Problems)
		}
	}
}

func TestOptionsWithoutSenseOrEndAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"measure": func(o *Options) { o.Measures = []string{"weather"} },
		"calls":   func(o *Options) { o.Standing = []int{0} },
		"rate":    func(o *Options) { o.Rate = 0 },
		"most":    func(o *Options) { o.Most = 1e9 },
		"share":   func(o *Options) { o.Share = -1 },
		"span":    func(o *Options) { o.Span = time.Hour },
		"rounds":  func(o *Options) { o.Rounds = 0 },
	} {
		o := Defaults()
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		if change(&o); o.Check() == nil {
			t.Errorf("%s is not checked", name)
		}
	}
}

func TestPlacesAreRead(t *testing.T) {
	places, err := ParsePlaces("tls=127.0.0.1:5061,udp=127.0.0.2:5060")
	if err != nil || places[0].Transport.String() != "TLS" || places[1].host() != "127.0.0.2:5060" {
		t.Errorf("%v, %v", places, err)
	}
	for _, s := range []string{"", "tls=127.0.0.1:5061", "tls=a:1,udp=b:2", "tcp=127.0.0.1:1,udp=127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2", "udp=127.0.0.1:1,udp=127.0.0.1:2,udp=127.0.0.1:3"} {
		if _, err := ParsePlaces(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestProcessNumbersAreRead(t *testing.T) {
	if pids, err := ParsePIDs("12, 7"); err != nil || len(pids) != 2 || pids[1] != 7 {
		t.Errorf("%v, %v", pids, err)
	}
	for _, s := range []string{"", "a", "1,", "-1", "0"} {
		if _, err := ParsePIDs(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestAProgramThatDoesNotStartIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	var out bytes.Buffer
	opt := tiny(&out)
	opt.Program = []string{program}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := Run(ctx, opt); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("%v", err)
	}
}
