package directory

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// The bounds of what is counted. Signing in is what strangers may try as often
// as they like, so it must not be a row each time.
const (
	tallyWindow = time.Hour       // lines of the same kind within it are one
	tallyFlush  = 5 * time.Second // how late a count may be in the trail
	tallyLines  = 1000            // of one window and node, twice that while none can be written; from there on addresses are not told apart
)

// Several is the source of a line whose addresses are too many to be told.
const Several = "several"

// The actions that are counted.
const (
	PersonSignsIn  = "microsoft.directory/users/signIn"
	ProgramSignsIn = "microsoft.directory/servicePrincipals/signIn"
	Consents       = "microsoft.directory/oAuth2PermissionGrants/allow"
)

// Attempt is a try to sign in, or to consent.
type Attempt struct {
	Action string
	// By is who it is, as far as the directory knows them: what strangers call
	// themselves is not kept. People write passwords where names belong.
	By      Caller
	Source  string // address
	Refused string // why; "": it succeeded
}

// Tally is a line of the audit trail that stands for several attempts.
type Tally struct {
	Change
	Source      string
	Times       int64
	First, Last time.Time
	Key         string // of all lines that are to be one
}

// tally counts attempts until they are written.
type tally struct {
	mu     sync.Mutex
	window time.Time         // mu
	lines  map[string]*Tally // mu: of this window, and what is not written of the one before
	fresh  int               // mu: how many are of this window

	flushing sync.Mutex // one at a time writes
}

// Count puts an attempt into the audit trail, within a moment.
func (s *Set) Count(a Attempt) {
	for _, text := range []*string{&a.By.Object, &a.By.Name, &a.By.App, &a.Source, &a.Refused} {
		*text = storable(*text)
	}
	outcome, object := "Succeeded", "/signIns"
	if a.Refused != "" {
		outcome = "Denied: " + a.Refused
	}
	switch {
	case a.By.Object != "" && a.Action == ProgramSignsIn:
		object = "/servicePrincipals/" + a.By.Object
	case a.By.Object != "":
		object = "/users/" + a.By.Object
	case a.By.App != "":
		object = "/applications/" + a.By.App
	}
	s.counted.add(Tally{Change: Change{a.By, a.Action, "/tenants/" + a.By.Tenant + object, outcome}, Source: a.Source}, now())
}

// storable leaves out what a database refuses as text: one line that cannot be
// written would keep all others from being written.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

func (t *tally) add(l Tally, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := at.Truncate(tallyWindow); !w.Equal(t.window) {
		t.window, t.fresh = w, 0
		maps.DeleteFunc(t.lines, func(_ string, l *Tally) bool { return l.Times == 0 })
	}
	l.name(t.window)
	if t.lines[l.Key] == nil && (t.fresh >= tallyLines || len(t.lines) >= 2*tallyLines) {
		l.Source = Several
		l.name(t.window)
	}
	if t.lines[l.Key] == nil && len(t.lines) >= 4*tallyLines {
		l.By, l.Target = Caller{Tenant: l.By.Tenant}, "/tenants/"+l.By.Tenant+"/signIns"
		l.name(t.window)
	}
	if t.lines[l.Key] == nil {
		t.fresh++
		t.lines[l.Key] = &l
	}
	k := t.lines[l.Key]
	if k.Times == 0 {
		k.First = at
	}
	k.Times++
	k.Last = at
}

// name says what a line has in common with those that it is one with, on
// whatever node.
func (l *Tally) name(window time.Time) {
	l.Key = digest(fmt.Sprintf("%d\n%s\n%s\n%s\n%s\n%s", window.Unix(), l.Action, l.Target, l.By.App, l.Source, l.Outcome))
}

// Run writes what is counted, until ctx ends. What is left then is Flush's.
func (s *Set) Run(ctx context.Context) {
	for {
		select {
		case <-time.After(tallyFlush):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return // whoever stops the process writes the rest
		}
		if err := s.Flush(ctx); err != nil {
			s.log.Error("the audit trail lags behind: it is tried again", obs.KeyError, err)
		}
	}
}

// Flush writes what was counted. What cannot be written stays counted, on a full
// disk too. After a commit whose fate is unknown it is written again: an attempt
// may then be counted twice, and is never missing.
func (s *Set) Flush(ctx context.Context) error {
	t := &s.counted
	t.flushing.Lock()
	defer t.flushing.Unlock()
	var due []Tally
	t.mu.Lock()
	for _, l := range t.lines {
		if l.Times > 0 {
			due = append(due, *l)
		}
	}
	t.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	slices.SortFunc(due, func(a, b Tally) int { return a.First.Compare(b.First) })
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		for _, l := range due {
			if err := s.tellMany(ctx, tx, l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range due {
		if k := t.lines[l.Key]; k != nil {
			k.Times -= l.Times
			k.First = k.Last
		}
	}
	return nil
}

func (s *Set) tellMany(ctx context.Context, tx *store.Tx, l Tally) error {
	if s.many != nil {
		return s.many(ctx, tx, l)
	}
	tx.After(func() {
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "audit",
			slog.String("action", l.Action), slog.String("resource", l.Target), slog.String("outcome", l.Outcome), slog.String("principal", l.By.Object), slog.String("name", l.By.Name),
			slog.String("source", l.Source), slog.Int64("times", l.Times))
	})
	return nil
}
