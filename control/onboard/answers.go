package onboard

import (
	"sync"

	"github.com/tandemgw/tandem/base/fault"
)

// answers is what one look has been told already: many steps ask for the same
// things, and whoever is asked counts.
type answers struct {
	mu  sync.Mutex
	got map[string]*told // mu
}

type told struct {
	once  sync.Once
	value any
	err   error
}

// forget makes the next look a new one: before something is done, and after.
func (m *answers) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = nil
}

// once asks one time, for all who ask side by side too. What went wrong is not
// remembered; that something is not there is.
func once[T any](m *answers, key string, ask func() (T, error)) (T, error) {
	m.mu.Lock()
	t := m.got[key]
	if t == nil {
		t = &told{}
		if m.got == nil {
			m.got = map[string]*told{}
		}
		m.got[key] = t
	}
	m.mu.Unlock()
	t.once.Do(func() { t.value, t.err = ask() })
	if t.err != nil && fault.Of(t.err) != fault.NotFound {
		m.mu.Lock()
		if m.got[key] == t {
			delete(m.got, key)
		}
		m.mu.Unlock()
	}
	value, _ := t.value.(T) // nothing where ask panicked
	return value, t.err
}
