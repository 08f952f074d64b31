package codec

import (
	"fmt"
	"sync"
	"unsafe"
)

// library is a shared library of the system. It is loaded when first asked
// for and stays, since streams hold its state.
type library struct {
	codec  string   // that needs it
	file   string   // name with the version of its interface
	names  []string // functions that are called
	once   sync.Once
	fn     []uintptr // of names; complete or nil
	failed error
}

// missing says why the library cannot be used; nil when it can.
func (l *library) missing() error {
	l.once.Do(func() {
		if l.fn, l.failed = load(l.file, l.names); l.failed != nil {
			l.failed = fmt.Errorf("codec: %s needs %s: %w", l.codec, l.file, l.failed)
		}
	})
	return l.failed
}

// scratch holds the arguments of a call; a part of the stream's state, since
// arguments of a foreign function are never on the stack.
type scratch [8]uintptr

// at is the address of what b holds, for an argument of call alone: b must be
// on the heap, where nothing moves, and outlive the call.
func at[T any](b *T) uintptr { return uintptr(unsafe.Pointer(b)) }
