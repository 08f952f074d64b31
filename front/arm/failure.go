package arm

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/subscription"
)

// failure is an error in the words of the resource API (Azure Resource Manager
// docs, "Common API Details", Error Response Content).
type failure struct {
	Status  int           `json:"-"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitempty"`
	Details []*failure    `json:"details,omitempty"`
	Wait    time.Duration `json:"-"` // Retry-After
	Bearer  string        `json:"-"` // WWW-Authenticate
	Allow   string        `json:"-"` // methods, of a 405
	Cause   error         `json:"-"` // for the log
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func (f *failure) Unwrap() error { return f.Cause }

// fail makes a failure with a sentence.
func fail(status int, code, format string, args ...any) *failure {
	return &failure{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// translation is what a kind of fault is to a client.
type translation struct {
	status int
	code   string
}

// statuses translate the kinds of faults.
var statuses = map[fault.Kind]translation{
	fault.Internal:    {http.StatusInternalServerError, "InternalServerError"},
	fault.Invalid:     {http.StatusBadRequest, "InvalidParameter"},
	fault.Denied:      {http.StatusForbidden, "AuthorizationFailed"},
	fault.NotFound:    {http.StatusNotFound, "ResourceNotFound"},
	fault.Conflict:    {http.StatusConflict, "Conflict"},
	fault.Exhausted:   {http.StatusTooManyRequests, "TooManyRequests"},
	fault.Unavailable: {http.StatusServiceUnavailable, "ServiceUnavailable"},
}

// retrySoon is what a client waits for when something of ours is not there.
const retrySoon = 5 * time.Second

// explain makes the failure of any error.
func explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if ps, ok := errors.AsType[gateway.Problems](err); ok {
		return broken("InvalidResource", ps)
	}
	kind := fault.Of(err)
	f := &failure{Status: statuses[kind].status, Code: statuses[kind].code, Cause: err}
	if e, ok := errors.AsType[*fault.Error](err); ok && kind != fault.Internal {
		f.Message = e.Public
	}
	switch {
	case errors.Is(err, gateway.ErrPrecondition):
		f.Status, f.Code = http.StatusPreconditionFailed, "PreconditionFailed"
	case errors.Is(err, subscription.ErrNoGroup):
		f.Code = "ResourceGroupNotFound"
	case errors.Is(err, gateway.ErrNoGateway):
		f.Code = "ParentResourceNotFound"
	case kind == fault.Exhausted, kind == fault.Unavailable:
		f.Wait = retrySoon
	}
	f.Message = cmp.Or(f.Message, "The server encountered an internal error. Please retry the request; if it fails again, look for its x-ms-request-id in the log of the control node.")
	return f
}

// broken tells all the rules that a request breaks, at once.
func broken(code string, ps gateway.Problems) *failure {
	f := &failure{Status: http.StatusBadRequest, Code: code}
	for _, p := range ps {
		f.Details = append(f.Details, &failure{Code: p.Code, Message: p.Message, Target: p.Path})
	}
	if len(ps) == 1 {
		f.Message, f.Target = ps[0].String(), ps[0].Path
		return f
	}
	f.Message = fmt.Sprintf("The resource breaks %d rules:\n%s", len(ps), ps.Error())
	return f
}

// write answers with the failure.
func (f *failure) write(w http.ResponseWriter, head bool) {
	h := w.Header()
	h.Set("x-ms-error-code", f.Code)
	if f.Wait > 0 {
		h.Set("Retry-After", seconds(f.Wait))
	}
	if f.Bearer != "" {
		h.Set("WWW-Authenticate", f.Bearer)
	}
	if f.Allow != "" {
		h.Set("Allow", f.Allow)
	}
	writeJSON(w, f.Status, map[string]*failure{"error": f}, head)
}

// seconds is a duration as Retry-After has it: whole, at least one, since some
// clients refuse less.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// printable is what a client wrote, fit for a message and for a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
