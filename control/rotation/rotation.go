// Package rotation sees to it that the client secrets of app registrations are
// replaced before they end.
//
// A secret is in two places: the directory, which knows whether it is right,
// and a vault, where its readers find it. The next one is made in the
// directory, used once to ask for a token, kept in the vault as a new version
// of the same secret, and read back from there and used again. Only then, and
// after a time in which readers may still have the one before in their memory,
// is that one revoked. Whoever is killed in between leaves nothing that the
// next run does not find: a secret that nobody knows the value of is taken
// away again.
//
// What is done for a secret is a row; one control node at a time is at it,
// under a lease. The directory and the vault are the truth, and are looked at
// before anything is done. No value is ever in a row, a log or an error. Start
// reading at Set.attend in attend.go.
package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/store"
)

// directory knows registrations; *entra.Client is one.
type directory interface {
	ApplicationOf(ctx context.Context, appID string) (entra.Application, error)
	AddSecret(ctx context.Context, id, name string, end time.Time) (entra.Credential, obs.Secret, error)
	RemoveSecret(ctx context.Context, id, key string) error
}

// vaults hold secrets; *entra.Vaults is one.
type vaults interface {
	Vault(ctx context.Context, id string) (entra.Vault, error)
	Secret(ctx context.Context, vault entra.Vault, name string) (entra.Secret, error)
	PutSecret(ctx context.Context, vault entra.Vault, s entra.Secret) (entra.Secret, error)
}

// Config is what a Set is made of.
type Config struct {
	Store     *store.Store
	Directory directory
	Vaults    vaults
	// Prove uses a secret: it signs the application in. fault.Denied is that the
	// secret is wrong; see BySignIn.
	Prove func(ctx context.Context, client string, secret obs.Secret) error
	Log   *slog.Logger
}

// BySignIn proves a secret by asking for a token with it.
func BySignIn(s entra.SignIn) func(context.Context, string, obs.Secret) error {
	return func(ctx context.Context, client string, secret obs.Secret) error {
		s := s
		s.Client, s.Secret = client, func(context.Context) (obs.Secret, error) { return secret, nil }
		_, err := s.Token()(ctx)
		return err
	}
}

// Target is a secret that is seen to. Zero times are the usual.
type Target struct {
	Application string // client ID
	Vault       string // resource ID
	Secret      string // name within the vault
	Life        time.Duration
	Ahead       time.Duration // of its end, when the next one is made
	Overlap     time.Duration // how long the one before is good as well
}

// Times. "A Secret will expire in 70 days or earlier" (Azure Communications
// Gateway docs, "Prepare to deploy Azure Communications Gateway", Create
// Secrets).
const (
	MostLife     = 70 * 24 * time.Hour
	usualLife    = MostLife - time.Hour // clocks differ
	usualAhead   = 14 * 24 * time.Hour
	usualOverlap = 24 * time.Hour
	leastLife    = 24 * time.Hour
)

// VaultSecret and KeyTag are what onboarding calls them, too.
const (
	// VaultSecret is the name of a registration's secret within its vault.
	VaultSecret = "client-secret"
	// KeyTag is the tag of a version that names the registration's credential
	// whose value it is.
	KeyTag = "keyId"
)

var vaultID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.KeyVault/vaults/([a-z0-9-]{3,24})$`)

// Name is how people call it: "<vault>/<secret>".
func (t Target) Name() string {
	m := vaultID.FindStringSubmatch(t.Vault)
	if m == nil {
		return ""
	}
	return strings.ToLower(m[1] + "/" + t.Secret)
}

func (t *Target) check() error {
	t.Secret = cmp.Or(t.Secret, VaultSecret)
	t.Life = cmp.Or(t.Life, usualLife)
	t.Ahead, t.Overlap = cmp.Or(t.Ahead, min(usualAhead, t.Life/4)), cmp.Or(t.Overlap, min(usualOverlap, t.Life/8))
	switch {
	case t.Name() == "":
		return fault.New(fault.Invalid, fmt.Sprintf("%.200q is no resource ID of a vault: write /subscriptions/…/resourceGroups/…/providers/Microsoft.KeyVault/vaults/…", t.Vault))
	case t.Application == "":
		return fault.New(fault.Invalid, "Say which application's secret it is, by its client ID")
	case t.Life < leastLife || t.Life > MostLife:
		return fault.New(fault.Invalid, fmt.Sprintf("A secret is good for 1 to %d days", MostLife/(24*time.Hour)))
	case t.Ahead < 0 || t.Overlap < 0 || t.Ahead+t.Overlap > t.Life/2:
		return fault.New(fault.Invalid, "The next secret is made, and the one before is revoked, within half of a secret's life")
	}
	return nil
}

// Rotation is a target and how it stands.
type Rotation struct {
	Target
	KeyID    string    // of the credential whose value the vault has; "": not looked at yet
	Ends     time.Time // of that
	Renews   time.Time // when the next one is made
	Rotated  time.Time // when this one was made here; zero: it was not
	Old      []string  // key IDs to be revoked
	Revokes  time.Time // and when
	Asked    bool      // somebody wants another one now
	Attempts int       // that failed since the last success
	Problem  string    // of the last one
	Due      time.Time // when it is looked at next

	making  string    // name of the credential under way
	warned  int       // how urgently its end was told of
	lease   time.Time // until when this control node is at it
	changed int64     // that the row bears
}

// State is a word for how it stands.
func (r Rotation) State(now time.Time) string {
	switch {
	case r.KeyID != "" && !r.Ends.After(now):
		return "ended"
	case r.Problem != "":
		return "failing"
	case r.making != "":
		return "making"
	case r.Asked || r.KeyID == "":
		return "wanted"
	case len(r.Old) > 0:
		return "overlapping"
	}
	return "good"
}

// Set is all that is seen to.
type Set struct {
	cfg  Config       // RO
	log  *slog.Logger // RO
	poke chan struct{}
	life context.Context // RO
	die  context.CancelFunc
	wait sync.WaitGroup
}

// New does nothing before Start.
func New(cfg Config) *Set {
	s := &Set{cfg: cfg, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), poke: make(chan struct{}, 1)}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

const (
	lookTime = 10 * time.Minute // between looks for what others have ordered
	leased   = 10 * time.Minute // longer than one attempt
	recheck  = 6 * time.Hour    // of what is good: somebody may have taken it away
	shortest = time.Minute      // after what failed
	longest  = time.Hour
)

// Start begins to see to what is due.
func (s *Set) Start() {
	s.wait.Go(func() {
		if err := s.release(); err != nil && s.life.Err() == nil {
			s.log.Warn("secrets that were being rotated wait for a while", obs.KeyError, err)
		}
		for s.life.Err() == nil {
			wait := s.next()
			if wait <= 0 {
				if r, is := s.claim(); is {
					s.attendSafely(r)
					continue
				}
				wait = lookTime
			}
			select {
			case <-s.life.Done():
			case <-time.After(wait):
			case <-s.poke:
			}
		}
	})
}

// Close ends it. What is under way goes on after the next Start.
func (s *Set) Close() {
	s.die()
	s.wait.Wait()
}

func (s *Set) look() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Keep begins to see to a secret, or goes on with other times. What the vault
// has is taken over when it is the registration's; else one is made.
func (s *Set) Keep(ctx context.Context, t Target) error {
	if err := t.check(); err != nil {
		return err
	}
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, t.Name())
		switch {
		case errors.Is(err, errNone):
			return insert(ctx, tx, t)
		case err != nil:
			return err
		case r.Target == t:
			return nil
		case !strings.EqualFold(r.Application, t.Application):
			return fault.New(fault.Conflict, fmt.Sprintf("%s is seen to as a secret of the application %s: forget it first", t.Name(), r.Application))
		}
		return alter(ctx, tx, t)
	})
	if err != nil {
		return err
	}
	s.look()
	return nil
}

// Forget leaves a secret alone from now on. It stays where it is.
func (s *Set) Forget(ctx context.Context, name string) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		r, err := s.named(ctx, tx, name)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM rotation WHERE name = ?", r.Name())
		return err
	})
}

// Rotate has another secret made now. revoke: the one before goes as soon as
// the new one is proven, without overlap: it has become known.
func (s *Set) Rotate(ctx context.Context, name string, revoke bool) (r Rotation, err error) {
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if r, err = s.named(ctx, tx, name); err != nil {
			return err
		}
		return ask(ctx, tx, r.Name(), revoke)
	})
	if err == nil {
		s.look()
	}
	return r, err
}

// named is the one that somebody means: by its name, or by its vault when that
// has no other.
func (s *Set) named(ctx context.Context, tx *store.Tx, name string) (Rotation, error) {
	all, err := list(ctx, tx)
	if err != nil {
		return Rotation{}, err
	}
	var found []Rotation
	for _, r := range all {
		full := r.Name()
		vault, _, _ := strings.Cut(full, "/")
		switch {
		case strings.EqualFold(full, name):
			return r, nil
		case strings.EqualFold(vault, name):
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Rotation{}, fault.New(fault.NotFound, fmt.Sprintf("No secret %.200q is seen to: `tandem secret list` shows which are", name))
	}
	return Rotation{}, fault.New(fault.Conflict, fmt.Sprintf("Several secrets of the vault %s are seen to: name one, as <vault>/<secret>", name))
}

// List is all of them, by name.
func (s *Set) List(ctx context.Context) (all []Rotation, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		all, err = list(ctx, tx)
		return err
	})
	return all, err
}

// Trouble is a sentence about a secret that is not as it should be.
type Trouble struct{ Name, Cause, Text string }

// Trouble is one for each.
func (s *Set) Trouble(ctx context.Context, now time.Time) (list []Trouble, err error) {
	all, err := s.List(ctx)
	for _, r := range all {
		if level := r.urgency(now); level > 0 || r.Attempts > 1 {
			list = append(list, Trouble{r.Name(), "secret " + r.State(now), r.trouble(now)})
		}
	}
	return list, err
}

func (r Rotation) trouble(now time.Time) string {
	text := "the secret " + r.Name() + " of application " + r.Application
	switch {
	case r.KeyID == "":
		text += " is not there yet"
	case !r.Ends.After(now):
		text += " ended on " + r.Ends.UTC().Format(time.DateOnly) + ": who signs in with it is refused"
	default:
		text += " ends on " + r.Ends.UTC().Format(time.DateOnly)
	}
	if r.Problem != "" {
		text += ", and the next one cannot be had: " + r.Problem
	}
	return text
}

// urgency is how near the end is: 1 when the next one should have been there
// for a while, 2 a day before, 3 after it.
func (r Rotation) urgency(now time.Time) int {
	switch left := r.Ends.Sub(now); {
	case r.KeyID == "":
		return 0
	case left <= 0:
		return 3
	case left <= min(24*time.Hour, r.Ahead/4):
		return 2
	case left <= r.Ahead/2:
		return 1
	}
	return 0
}

// renewal is when a secret that ends then is replaced: ahead of its end, and
// not all at once.
func (t Target) renewal(end time.Time) time.Time {
	return end.Add(-t.Ahead + rand.N(t.Ahead/4+1))
}
