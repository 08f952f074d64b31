// Package fault classes errors by the reaction they call for.
//
// Most errors are plain and wrapped with fmt.Errorf; a fault.Error is made
// only where somebody further up must react differently: answer another
// status, retry, or show the text to the person who asked. The text shown is
// Public; Err, the cause, stays in the logs.
package fault

import "errors"

// Kind is the class of a failure. The zero Kind is Internal: nobody outside
// may see its text.
type Kind uint8

// The kinds, in no order of gravity.
const (
	Internal    Kind = iota // a defect or a surprise of ours
	Invalid                 // the request itself is wrong; repeating it is useless
	Denied                  // the caller may not do this
	NotFound                // what was named does not exist
	Conflict                // the state has moved on; read again and retry
	Exhausted               // a limit is reached; later or elsewhere it may work
	Unavailable             // something needed does not answer; retry later
)

var kindNames = [...]string{"internal", "invalid", "denied", "not found", "conflict", "exhausted", "unavailable"}

// String names the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Kinds lists every kind, so that the tables that translate them can be
// tested to be complete.
func Kinds() []Kind {
	return []Kind{Internal, Invalid, Denied, NotFound, Conflict, Exhausted, Unavailable}
}

// Error is a failure with its class.
type Error struct {
	Kind   Kind
	Public string // one sentence for the person who asked, saying what to do; may be empty
	Err    error  // the cause, for the log; may be nil
}

// Error is the public sentence followed by the cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil && e.Public == "":
		return e.Kind.String()
	case e.Err == nil:
		return e.Public
	case e.Public == "":
		return e.Err.Error()
	}
	return e.Public + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error without a cause.
func New(k Kind, public string) *Error { return &Error{Kind: k, Public: public} }

// Of gives the kind of the first fault in err's chain, Internal when it
// carries none.
func Of(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
