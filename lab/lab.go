// Package lab runs the whole world on one machine: two nodes of the gateway as
// processes of their own, a Teams phone system, an operator's core with two
// sites, DNS and a private certificate authority, all on loopback. It places
// calls, listens to them, kills a region, and says what it found.
//
// Run is the whole of it. world.go builds the far sides and the configuration
// of the nodes, node.go starts and kills them, scenario.go places the calls,
// verdict.go judges, show.go is what a person sees. The lab knows a node only
// as an operator does: its configuration file, its control socket, its signals.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Options are what `tandem lab` takes.
type Options struct {
	Once    bool          // end with the verdict instead of staying up
	JSON    bool          // print the verdict as JSON and nothing else on Out
	Out     io.Writer     // what a person reads, or the JSON
	Err     io.Writer     // what goes wrong on the way
	Node    []string      // the command that runs a node; "serve -c FILE" is appended
	Dir     string        // where files go; empty: a temporary folder, removed at the end
	Options time.Duration // interval of OPTIONS everywhere; 0: 2 s
	// Scenarios are names of what to play instead of the usual calls; "all"
	// stands for all.
	Scenarios []string
	// Raw leaves the gateway as it is when it is Complete: not onboarded to
	// Operator Connect. Its calls fail.
	Raw      bool
	Store    string       // database of the control nodes, "postgres://…"; empty: a file of the one that there is
	Controls int          // control nodes, 1 or 3; several share a Store; 0: 1
	Log      *slog.Logger // of the sandbox; nil discards
}

// ErrVerdict is returned by Run when the world ran and the verdict is bad.
var ErrVerdict = errors.New("the lab's verdict is bad")

// optionsInterval is how often everybody asks everybody in the lab: short
// enough that a dead region is noticed within seconds, long enough that two
// cores do not notice.
const optionsInterval = 2 * time.Second

// outcome is what the lab found: a verdict on the usual calls, or what scenarios
// showed.
type outcome interface {
	took(time.Duration)
	print(*show)
	good() bool
}

// Run builds the world, tries it, prints the verdict and, unless Once, keeps
// the world up until ctx is done. Everything it started is ended when it
// returns.
func Run(ctx context.Context, opt Options) error {
	if opt.Options == 0 {
		opt.Options = optionsInterval
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Controls == 0 {
		opt.Controls = 1
	}
	if opt.Controls != 1 && (opt.Controls != 3 || opt.Store == "") {
		return errors.New("there is one control node with a file of its own, or there are three that share a PostgreSQL database")
	}
	chosen, err := choose(opt.Scenarios)
	if err != nil {
		return err
	}
	show := newShow(opt.Out, opt.JSON)
	defer show.close()

	began := time.Now()
	world, err := build(ctx, opt, show)
	if err != nil {
		return err
	}
	defer world.close()

	var found outcome
	if len(chosen) > 0 {
		found = world.perform(ctx, chosen, show)
	} else if found, err = world.try(ctx, show); err != nil {
		return err
	}
	found.took(time.Since(began))
	if opt.JSON {
		enc := json.NewEncoder(opt.Out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(found); err != nil {
			return fmt.Errorf("write verdict: %w", err)
		}
	} else {
		found.print(show)
	}
	if !opt.Once && ctx.Err() == nil {
		world.openNumbers()
		if !world.board(ctx, show) {
			world.guide(show)
			<-ctx.Done()
		}
		show.line("")
		show.line("ending the world …")
	}
	if !found.good() {
		return ErrVerdict
	}
	return nil
}
