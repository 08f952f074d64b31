package graph

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// failure is an error in the words of Graph (Microsoft Graph docs, "Microsoft
// Graph error responses and resource types").
type failure struct {
	status  int
	code    string
	message string
	wait    time.Duration // Retry-After
	allow   string        // methods, of a 405
	cause   error         // for the log
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func (f *failure) Unwrap() error { return f.cause }

func refusal(status int, code, format string, args ...any) *failure {
	for i, a := range args {
		if s, is := a.(string); is {
			args[i] = printable(s)
		}
	}
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// badRequest is of a URL that cannot be read, badBody of a body.
func badRequest(format string, args ...any) *failure {
	return refusal(http.StatusBadRequest, "BadRequest", format, args...)
}

func badBody(format string, args ...any) *failure {
	return refusal(http.StatusBadRequest, "Request_BadRequest", format, args...)
}

// unsupported is of a query that means something, which is not had here.
func unsupported(format string, args ...any) *failure {
	return refusal(http.StatusBadRequest, "Request_UnsupportedQuery", format, args...)
}

// missing is of an object that is not there.
func missing(id string) *failure {
	return refusal(http.StatusNotFound, "Request_ResourceNotFound", "Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

// words are what a kind of error is called.
type words struct {
	status int
	code   string
}

var kinds = map[fault.Kind]words{
	fault.Internal:    {http.StatusInternalServerError, "Service_InternalServerError"},
	fault.Invalid:     {http.StatusBadRequest, "Request_BadRequest"},
	fault.Denied:      {http.StatusForbidden, "Authorization_RequestDenied"},
	fault.NotFound:    {http.StatusNotFound, "Request_ResourceNotFound"},
	fault.Conflict:    {http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue"},
	fault.Exhausted:   {http.StatusTooManyRequests, "TooManyRequests"},
	fault.Unavailable: {http.StatusServiceUnavailable, "ServiceUnavailable"},
}

// retrySoon is what a client waits for when something of ours is not there.
const retrySoon = 5 * time.Second

// explain makes the failure of any error.
func explain(err error) *failure {
	if f, is := errors.AsType[*failure](err); is {
		return f
	}
	kind := fault.Of(err)
	w := kinds[kind]
	f := &failure{status: w.status, code: w.code, cause: err}
	if e, is := errors.AsType[*fault.Error](err); is && kind != fault.Internal {
		f.message = e.Public
	}
	if kind == fault.Denied {
		f.message = "Insufficient privileges to complete the operation. " + f.message
	}
	if kind == fault.Exhausted || kind == fault.Unavailable {
		f.wait = retrySoon
	}
	f.message = cmp.Or(f.message, "The server has met an error. Try again; if it fails again, look for its request-id in the log of the control node.")
	return f
}

// envelope is a failure as clients read it.
func (f *failure) envelope(request, client string, now time.Time) object {
	return object{"error": object{
		"code": f.code, "message": f.message,
		"innerError": object{"date": now.UTC().Format("2006-01-02T15:04:05"), "request-id": request, "client-request-id": cmp.Or(client, request)},
	}}
}
