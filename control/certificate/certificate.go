// Package certificate sees to it that edges show certificates that bear the
// names their gateway is called by, and renews them.
//
// There are three ways. An edge whose listeners have files of their own keeps
// them, and only its own warnings speak of their end. An edge whose listeners
// say `managed` makes a key, which never leaves it, and a request: an authority
// signs it by ACME, having seen a token in our own zone; or it waits here until
// the operator brings the chain. The chain goes down and is shown from the next
// handshake on.
//
// A certificate is a row. One control node at a time attends to it, under a
// lease, and each step can be done again. Start reading at Set.attend.
package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/link"
)

// Config is what a Set is made of.
type Config struct {
	Store *store.Store
	Edges edges
	ACME  *ACME          // nil: requests wait for the operator
	Roots *x509.CertPool // that a signed chain must lead to; nil: it is not followed
	Log   *slog.Logger
}

// edges asks edges, by link.
type edges interface {
	Ask(ctx context.Context, node, question string, in, out any) error
}

// State is how the certificate of an edge stands.
type State string

// The states.
const (
	Wanted   State = "wanted"   // to be looked at
	Ordering State = "ordering" // at the authority
	Waiting  State = "waiting"  // for the operator, who has the request signed
	Signed   State = "signed"   // and not yet on the edge
	Shown    State = "shown"    // by the edge
	Files    State = "files"    // of the edge's own: not ours
	Failing  State = "failing"  // tried again at Due
)

// Certificate is the row of one edge.
type Certificate struct {
	Node     string
	Names    []string
	State    State
	Request  string // PEM, to be signed
	Begins   time.Time
	Ends     time.Time // of what the edge shows; zero: nothing
	Attempts int
	Problem  string
	Due      time.Time // when it is looked at next

	chain   string    // signed, on its way to the edge
	lease   time.Time // until when this control node is at it; zero: none is
	changed int64     // that the row bears
}

// Set is all of them.
type Set struct {
	cfg  Config       // RO
	log  *slog.Logger // RO
	poke chan struct{}
	life context.Context // RO
	die  context.CancelFunc
	wait sync.WaitGroup
}

// Times.
const (
	look    = 30 * time.Second // between looks for what is due
	again   = time.Minute      // to an edge that is away
	leased  = 15 * time.Minute // longer than an order takes
	atOnce  = 4                // orders
	recheck = 10 * time.Minute // what an edge shows
)

// New makes a Set. Nothing is ordered before Start.
func New(cfg Config) (*Set, error) {
	if cfg.ACME != nil {
		if err := cfg.ACME.open(); err != nil {
			return nil, err
		}
	}
	s := &Set{cfg: cfg, log: cfg.Log, poke: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.life, s.die = context.WithCancel(context.Background())
	return s, nil
}

// Start begins to attend to what is due.
func (s *Set) Start() {
	s.wait.Go(func() {
		if err := s.release(); err != nil && s.life.Err() == nil {
			s.log.Warn("certificates that were being ordered wait for a while", obs.KeyError, err)
		}
		s.run()
	})
}

// Close ends it. What is under way goes on after the next Start.
func (s *Set) Close() {
	s.die()
	s.wait.Wait()
}

// Order has an edge get a certificate for names, unless it has one, and does
// not wait for it. The error says what is in the way, once there is something.
func (s *Set) Order(ctx context.Context, node string, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var now Certificate
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) (err error) {
		now, err = find(ctx, tx, node)
		switch {
		case errors.Is(err, errNone):
			return insert(ctx, tx, node, names)
		case err != nil:
			return err
		case slices.Equal(now.Names, names):
			return lookAgain(ctx, tx, node)
		}
		now = Certificate{}
		return rename(ctx, tx, node, names)
	})
	if err != nil {
		return fmt.Errorf("order a certificate for edge %s: %w", node, err)
	}
	s.look()
	switch now.State {
	case Waiting:
		return &fault.Error{Kind: fault.Unavailable, Public: fmt.Sprintf("edge %s waits for a certificate: have its request signed by an authority that the far sides trust, and bring the chain", node)}
	case Files:
		return &fault.Error{Kind: fault.Conflict, Public: fmt.Sprintf("edge %s has its certificates from files, which are for whoever keeps them to renew", node)}
	case Failing:
		return &fault.Error{Kind: fault.Unavailable, Public: fmt.Sprintf("edge %s has no certificate yet: %s; it is tried again at %s", node, now.Problem, now.Due.Format(time.TimeOnly))}
	}
	return nil
}

// Forget ends the care for an edge's certificate: it serves no gateway any
// more. What it shows stays until it is told otherwise.
func (s *Set) Forget(ctx context.Context, tx *store.Tx, node string) error {
	_, err := tx.Exec(ctx, "DELETE FROM certificate WHERE node = ?", node)
	return err
}

// List is all certificates, by node.
func (s *Set) List(ctx context.Context) (all []Certificate, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		all, err = list(ctx, tx)
		return err
	})
	return all, err
}

// Trouble is one sentence about each certificate that is not as it should be:
// it waits for the operator, cannot be had, or nears its end all the same.
func (s *Set) Trouble(ctx context.Context, now time.Time) (all []Trouble, err error) {
	list, err := s.List(ctx)
	for _, c := range list {
		if text := c.trouble(now); text != "" {
			all = append(all, Trouble{Node: c.Node, State: c.State, Text: "the certificate of edge " + c.Node + " " + text})
		}
	}
	return all, err
}

// Trouble is such a sentence.
type Trouble struct {
	Node  string
	State State
	Text  string
}

func (c Certificate) trouble(now time.Time) string {
	end := ""
	if !c.Ends.IsZero() {
		end = ", and the one it shows ends on " + c.Ends.UTC().Format(time.DateOnly)
	}
	switch {
	case c.State == Waiting:
		return "waits to be signed" + end + ": tandem certificate request " + c.Node
	case c.State == Failing:
		return "cannot be had" + end + ": " + c.Problem
	case c.State != Files && c.renewable(now.Add(-c.Ends.Sub(c.Begins)/6)):
		return "should have been renewed by now" + end + ": the edge is away, or does not take it"
	}
	return ""
}

// Install takes the chain that an authority has signed for the operator, as
// PEM, leaf first. A chain that does not fit the request is refused with a
// sentence.
func (s *Set) Install(ctx context.Context, node, chain string) error {
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		c, err := find(ctx, tx, node)
		switch {
		case errors.Is(err, errNone):
			return fault.New(fault.NotFound, "no certificate is wanted for edge "+node)
		case err != nil:
			return err
		case c.Request == "":
			return fault.New(fault.Conflict, "edge "+node+" waits for no certificate")
		}
		if _, err := judge(chain, c, s.cfg.Roots, time.Now()); err != nil {
			return &fault.Error{Kind: fault.Invalid, Public: err.Error()}
		}
		c.State, c.chain, c.Problem, c.Attempts, c.Due = Signed, chain, "", 0, time.Time{}
		return update(ctx, tx, &c)
	})
	s.look()
	return err
}

// Retry has what failed tried again now: somebody has mended the cause. The
// pauses after further failures go on where they were.
func (s *Set) Retry(ctx context.Context, node string) error {
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := find(ctx, tx, node)
		if errors.Is(err, errNone) {
			return fault.New(fault.NotFound, "no certificate is wanted for edge "+node)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE certificate SET due = 0 WHERE node = ?", node)
		return err
	})
	s.look()
	return err
}

// look has the loop look now.
func (s *Set) look() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// run attends to what is due, a few at a time.
func (s *Set) run() {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var busy sync.WaitGroup
	defer busy.Wait()
	places := make(chan struct{}, atOnce)
	for {
		for _, c := range s.claim() {
			select {
			case places <- struct{}{}:
			case <-s.life.Done():
				return
			}
			busy.Go(func() {
				defer func() { <-places }()
				s.attendSafely(c)
			})
		}
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
		case <-s.poke:
		}
	}
}

// attendSafely attends to one certificate and keeps what became of it.
func (s *Set) attendSafely(c Certificate) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("seeing to a certificate broke", obs.KeyNode, c.Node, obs.KeyError, p)
		}
	}()
	before := c
	ctx, cancel := context.WithTimeout(s.life, leased-time.Minute)
	defer cancel()
	err := s.attend(ctx, &c)
	if s.life.Err() != nil {
		return // the lease ends, and the next start goes on
	}
	if errors.Is(err, errLost) {
		s.look()
		return
	}
	s.settle(&c, before, err, time.Now())
	c.lease = time.Time{}
	if err := s.keep(&c); errors.Is(err, errLost) {
		s.look()
	} else if err != nil {
		s.log.Error("keep the state of a certificate", obs.KeyNode, c.Node, obs.KeyError, err)
	}
}

// attend takes a certificate as far as it goes now. The error is why it does
// not go further; one that is about the edge being away is no failure.
func (s *Set) attend(ctx context.Context, c *Certificate) error {
	if c.chain != "" {
		if err := s.install(ctx, c); err != nil {
			return err
		}
	}
	var on link.CertificateState
	if err := s.cfg.Edges.Ask(ctx, c.Node, link.AskCertificate, link.CertificateWanted{Names: c.Names, Renew: c.renewable(time.Now())}, &on); err != nil {
		return err
	}
	if on.Current != nil {
		c.Begins, c.Ends = on.Current.Begins, on.Current.Ends
	}
	switch {
	case !on.Managed:
		c.State, c.Request = Files, ""
		return nil
	case on.Request == nil:
		c.State, c.Request = Shown, ""
		return nil
	}
	if err := checkRequest(on.Request.CSR, c.Names); err != nil {
		return fmt.Errorf("the request of edge %s is not signed: %w", c.Node, err)
	}
	c.Request = on.Request.CSR
	if s.cfg.ACME == nil {
		c.State = Waiting
		return nil
	}
	chain, err := s.cfg.ACME.obtain(ctx, *c, s.cfg.Roots)
	if err != nil {
		return err
	}
	c.State, c.chain = Signed, chain
	// Kept before the edge is told: an authority gives a few a week and no more.
	if err := s.keep(c); err != nil {
		return err
	}
	return s.install(ctx, c)
}

// install brings the chain to the edge.
func (s *Set) install(ctx context.Context, c *Certificate) error {
	if _, err := judge(c.chain, *c, s.cfg.Roots, time.Now()); err != nil {
		c.chain = "" // it has become too old meanwhile, or other names are wanted
		return err
	}
	var shown link.Certificate
	if err := s.cfg.Edges.Ask(ctx, c.Node, link.InstallCertificate, c.chain, &shown); err != nil {
		if fault.Of(err) != fault.Unavailable {
			c.chain = "" // the edge refuses it, as when it has lost the key
		}
		return fmt.Errorf("bring the certificate to edge %s: %w", c.Node, err)
	}
	c.State, c.chain, c.Request = Shown, "", ""
	c.Begins, c.Ends = shown.Begins, shown.Ends
	s.log.Info("edge shows a new certificate", obs.KeyNode, c.Node, "names", c.Names, "ends", shown.Ends)
	return nil
}

// settle decides when a certificate is looked at again.
func (s *Set) settle(c *Certificate, before Certificate, err error, now time.Time) {
	switch {
	case err == nil:
		c.Attempts, c.Problem, c.Due = 0, "", c.next(now)
		if c.State == Waiting && before.State != Waiting {
			s.log.Warn("an edge waits for a certificate: have its request signed and bring the chain", obs.KeyNode, c.Node, "names", c.Names)
		}
		return
	case fault.Of(err) == fault.Unavailable:
		c.Due, c.Problem = now.Add(again), sentence(err)
		return
	}
	c.Attempts++
	c.State, c.Problem, c.Due = Failing, sentence(err), now.Add(pause(c.Attempts, err))
	level := slog.LevelWarn
	if !c.Ends.IsZero() && c.Ends.Sub(now) < alarm {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "a certificate could not be had", obs.KeyNode, c.Node, "names", c.Names, "attempt", c.Attempts, "again", c.Due, "ends", c.Ends, obs.KeyError, c.Problem)
}

// alarm is when a certificate that cannot be renewed becomes an error.
const alarm = 7 * 24 * time.Hour

// renewable tells whether two thirds of a certificate's life are over.
func (c Certificate) renewable(now time.Time) bool {
	return !c.Ends.IsZero() && !now.Before(c.renewal())
}

// renewal is the time of it.
func (c Certificate) renewal() time.Time {
	return c.Begins.Add(c.Ends.Sub(c.Begins) / 3 * 2)
}

// next is when something that is in order is looked at again.
func (c Certificate) next(now time.Time) time.Time {
	due := now.Add(recheck)
	switch {
	case c.State == Waiting:
		return now.Add(recheck) // the edge may have been made anew, with another key
	case c.State == Shown && c.renewable(now):
		return now.Add(again) // the edge has not asked for another, as it should have
	case c.State == Shown && !c.Ends.IsZero() && c.renewal().Before(due):
		return c.renewal()
	}
	return due
}
