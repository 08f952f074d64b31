package door

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Failure is an error in the words of an API: the object of OData (OData JSON
// Format 4.01, §21.1 Error Response), which all dialects have, and what goes
// into the head of the answer.
type Failure struct {
	Status  int           `json:"-"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitempty"`
	Details []*Failure    `json:"details,omitempty"`
	Inner   *Inner        `json:"innererror,omitempty"`
	Wait    time.Duration `json:"-"` // Retry-After
	Allow   string        `json:"-"` // methods, of a 405
	Bearer  string        `json:"-"` // what the challenge says more, of a 401
	Cause   error         `json:"-"` // for the log
}

// Inner is a narrower code.
type Inner struct {
	Code string `json:"code"`
}

// Error is the code and its sentence.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// What is wrong in the same way at every door. A dialect has words of its own
// for most.
var (
	ErrNoRoute  error = fault.New(fault.NotFound, "There is nothing at this path.")
	ErrMethod   error = fault.New(fault.Invalid, "The HTTP method is not supported here.") // about the method
	ErrLarge    error = fault.New(fault.Invalid, "The body is too large.")                 // about the bytes that it may have
	ErrCut      error = fault.New(fault.Invalid, "The body could not be read to its end.")
	ErrQuery    error = fault.New(fault.Invalid, "The query of the URL cannot be read.")
	ErrTwice    error = fault.New(fault.Invalid, "A query parameter stands in the URL more than once.") // about its name
	ErrThrottle error = fault.New(fault.Exhausted, "Too many requests. Try again after the time of Retry-After.")
)

// slip is one of these, with what belongs to it.
type slip struct {
	error
	about string
	allow string
	wait  time.Duration
}

func (s *slip) Unwrap() error { return s.error }

// Words are what an error is called.
type Words struct {
	Status   int // 0: that of its kind
	Code     string
	Inner    string // "" is none
	Sentence string // "" is its own; {} stands for what it is about
}

// Vocabulary is what an API calls errors.
type Vocabulary struct {
	Kinds   map[fault.Kind]string // codes
	Before  map[fault.Kind]string // what their sentences begin with
	Reasons map[error]Words       // of what has words of its own
	Broken  string                // said of what may not be told
}

// statuses translate the kinds of faults.
var statuses = map[fault.Kind]int{
	fault.Internal:    http.StatusInternalServerError,
	fault.Invalid:     http.StatusBadRequest,
	fault.Denied:      http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Exhausted:   http.StatusTooManyRequests,
	fault.Unavailable: http.StatusServiceUnavailable,
}

// retrySoon is what a client waits for when something of ours is not there.
const retrySoon = 5 * time.Second

// Explain makes the failure of any error.
func (v Vocabulary) Explain(err error) *Failure {
	if f, is := errors.AsType[*Failure](err); is {
		return f
	}
	kind := fault.Of(err)
	f := &Failure{Status: statuses[kind], Code: v.Kinds[kind], Cause: err}
	if e, is := errors.AsType[*fault.Error](err); is && kind != fault.Internal {
		f.Message = v.Before[kind] + e.Public
	}
	if kind == fault.Exhausted || kind == fault.Unavailable {
		f.Wait = retrySoon
	}
	about := ""
	if s, is := errors.AsType[*slip](err); is {
		about, f.Allow, f.Wait = s.about, s.allow, s.wait
	}
	for reason, its := range v.Reasons {
		if !errors.Is(err, reason) {
			continue
		}
		f.Status, f.Code = cmp.Or(its.Status, f.Status), its.Code
		if its.Inner != "" {
			f.Inner = &Inner{its.Inner}
		}
		f.Message = cmp.Or(strings.ReplaceAll(its.Sentence, "{}", Printable(about)), f.Message)
	}
	f.Message = cmp.Or(f.Message, v.Broken)
	return f
}
