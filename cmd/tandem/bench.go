package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/bench"
)

func newBench() *cobra.Command {
	opt, flags := bench.Defaults(), benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a gateway under load: this one, or another",
		Long: `Place calls from SIP over TLS with SRTP to SIP over UDP with RTP and the reverse,
and measure what they cost the gateway: processor time a call and a packet,
memory a call, set-up time, added delay, loss, and what is left of it beyond
saturation.

Without --target a node of Tandem is started on loopback addresses of its own.
With --compare Kamailio and rtpengine, when installed, do the same work in turn.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.Out = cmd.OutOrStdout()
			if err := flags.apply(&opt); err != nil {
				return err
			}
			if flags.compare {
				return bench.Compare(cmd.Context(), opt)
			}
			return bench.Run(cmd.Context(), opt)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.self, "self", false, "load a node of its own; so it is without --target")
	f.BoolVar(&flags.compare, "compare", false, "load a node of its own and Kamailio with rtpengine, in turn")
	f.IntVar(&opt.Rounds, "rounds", opt.Rounds, "with --compare: how often each")
	f.StringVar(&flags.program, "program", "", "the tandem program whose node is loaded; this one unless told otherwise")
	f.StringVar(&flags.at, "target", "", "load what listens at tls=HOST:PORT,udp=HOST:PORT, cloud side first")
	f.StringVar(&flags.far, "far", "", "with --target: where its far sides are, played here; the same form")
	f.StringVar(&flags.pids, "pid", "", "with --target: numbers of its processes, with commas")
	f.StringVar(&flags.target.Chain, "chain", "", "with --target: file of our certificate")
	f.StringVar(&flags.target.Key, "key", "", "with --target: file of its key")
	f.StringVar(&flags.target.Roots, "roots", "", "with --target: file of the roots we trust")
	f.StringVar(&flags.target.TLSName, "name", "", "with --target: name in its certificate")
	f.StringSliceVar(&opt.Measures, "measure", nil, "only some of "+strings.Join(bench.Measures, ", "))
	f.IntSliceVar(&opt.Standing, "calls", opt.Standing, "concurrent calls with media")
	f.Float64Var(&opt.Rate, "rate", opt.Rate, "calls a second for the cost of a call")
	f.Float64Var(&opt.Most, "most", opt.Most, "calls a second at which the ramp ends")
	f.Float64Var(&opt.Share, "share", opt.Share, "share of one processor the system has in the ramp (root); 0: all there is")
	f.DurationVar(&opt.Span, "time", opt.Span, "length of each measurement")
	f.BoolVar(&opt.JSON, "json", false, "print the result as JSON")
	cmd.MarkFlagsMutuallyExclusive("self", "target", "compare")
	return cmd
}

// benchFlags are those that become something else.
type benchFlags struct {
	self, compare          bool
	program, at, far, pids string
	target                 bench.Target
}

func (b *benchFlags) apply(opt *bench.Options) (err error) {
	if b.at == "" {
		if b.program == "" {
			if b.program, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program, to start a node from it: %w", err)
			}
		}
		opt.Program = []string{b.program}
		return nil
	}
	b.target.Name = b.at
	if b.target.At, err = bench.ParsePlaces(b.at); err != nil {
		return fmt.Errorf("--target: %w", err)
	}
	if b.target.Far, err = bench.ParsePlaces(b.far); err != nil {
		return fmt.Errorf("--far: %w", err)
	}
	if b.target.PIDs, err = bench.ParsePIDs(b.pids); err != nil {
		return fmt.Errorf("--pid: %w", err)
	}
	opt.Target = &b.target
	return nil
}
