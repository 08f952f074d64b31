package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// reader gives the latest version of a secret; Shelf and Outside do.
type reader interface {
	Value(ctx context.Context, name string) (obs.Secret, error)
}

// Memory reads from a vault at each use, and gives the last good value while
// the vault is away, so that what works goes on working. It is away when it
// does not answer; a vault that answers that the secret is gone, disabled, or
// not for this reader is heeded, and the value forgotten.
type Memory struct {
	of  reader       // RO
	log *slog.Logger // RO

	mu    sync.Mutex
	last  map[string]obs.Secret // mu: by name
	bad   map[string]error      // mu: by name: what it said last instead of a value
	since time.Time             // mu: when it went away; zero: it is there
	tried time.Time             // mu: when it was asked last while away
	why   error                 // mu: that it gave last
}

// NewMemory reads from that vault.
func NewMemory(of reader, log *slog.Logger) *Memory {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Memory{of: of, log: log, last: map[string]obs.Secret{}, bad: map[string]error{}}
}

// While a vault is away it is asked every few seconds and not at every use,
// and an answer is waited for less long than its users wait for theirs. Who
// watches asks a vault that is there now and then: what is remembered when it
// goes away is not older than that.
const (
	memoryPatience = 5 * time.Second
	memoryRest     = 10 * time.Second
	memoryLook     = time.Minute
)

// Value is the latest version of a secret; the last one that was read while
// the vault is away.
func (m *Memory) Value(ctx context.Context, name string) (obs.Secret, error) {
	if v, err, rest := m.resting(name); rest {
		return v, err
	}
	return m.Again(ctx, name)
}

// Again is Value for who was refused with what that gave: the vault is asked
// however lately it was.
func (m *Memory) Again(ctx context.Context, name string) (obs.Secret, error) {
	short, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()
	v, err := m.of.Value(short, name)
	if ctx.Err() != nil {
		return "", ctx.Err() // it says nothing of the vault
	}
	if short.Err() != nil && err != nil {
		err = &fault.Error{Kind: fault.Unavailable, Public: "the vault does not answer", Err: err}
	}
	return m.note(name, v, err)
}

// resting tells whether the vault is left alone for the moment.
func (m *Memory) resting(name string) (v obs.Secret, err error, rest bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() || time.Since(m.tried) >= memoryRest {
		m.tried = time.Now()
		return "", nil, false
	}
	if v, known := m.last[name]; known {
		return v, nil, true
	}
	return "", m.why, true
}

func (m *Memory) note(name string, v obs.Secret, err error) (obs.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	away := fault.Of(err) == fault.Unavailable || err != nil && fault.Of(err) == fault.Internal
	switch {
	case away && m.since.IsZero():
		m.since = time.Now()
		m.log.Error("a vault is away: the last good secrets are used, and a new one is not noticed", obs.KeyError, err)
	case !away && !m.since.IsZero():
		m.log.Info("a vault is there again", "away", time.Since(m.since).Round(time.Second))
		m.since = time.Time{}
	}
	switch {
	case err == nil:
		m.last[name] = v
		delete(m.bad, name)
		return v, nil
	case !away:
		delete(m.last, name)
		if was := m.bad[name]; was == nil || was.Error() != err.Error() {
			m.log.Error("a vault does not give a secret", "secret", name, obs.KeyError, err)
		}
		m.bad[name] = err
		return "", err
	}
	m.why = err
	if v, known := m.last[name]; known {
		return v, nil
	}
	return "", err
}

// Away tells since when the vault does not answer, and why; the zero time when
// it does.
func (m *Memory) Away() (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		return m.since, nil
	}
	return m.since, m.why
}

// Standing is how it stands with one secret: whether there is a value to go on
// with, and what the vault said instead of one when it answered last.
func (m *Memory) Standing(name string) (known bool, refused error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known = m.last[name]
	return known, m.bad[name]
}

// Watch reads a secret now and then until ctx ends, so that it is known how the
// vault stands, and the value is there, before somebody needs it.
func (m *Memory) Watch(ctx context.Context, name string) {
	for ctx.Err() == nil {
		pause := memoryLook
		_, _ = m.Value(ctx, name) // Away and Standing tell of it
		if since, _ := m.Away(); !since.IsZero() {
			pause = memoryRest
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
