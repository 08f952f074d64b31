package graph

import (
	"fmt"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/door"
)

type failure = door.Failure

func refusal(status int, code, format string, args ...any) *failure {
	for i, a := range args {
		if s, is := a.(string); is {
			args[i] = door.Printable(s)
		}
	}
	return &failure{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
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

// vocabulary is what Graph calls errors (Microsoft Graph docs, "Microsoft Graph
// error responses and resource types").
var vocabulary = door.Vocabulary{
	Kinds: map[fault.Kind]string{
		fault.Internal:    "Service_InternalServerError",
		fault.Invalid:     "Request_BadRequest",
		fault.Denied:      "Authorization_RequestDenied",
		fault.NotFound:    "Request_ResourceNotFound",
		fault.Conflict:    "Request_MultipleObjectsWithSameKeyValue",
		fault.Exhausted:   "TooManyRequests",
		fault.Unavailable: "ServiceUnavailable",
	},
	Before: map[fault.Kind]string{fault.Denied: "Insufficient privileges to complete the operation. "},
	Reasons: map[error]door.Words{
		door.ErrMethod: {Status: http.StatusMethodNotAllowed, Code: "Request_BadRequest", Sentence: "Specified HTTP method is not allowed for the request target."},
		door.ErrLarge:  {Status: http.StatusRequestEntityTooLarge, Code: "Request_EntityTooLarge", Sentence: "The body has more than {} bytes."},
		door.ErrCut:    {Code: "BadRequest"},
	},
	Broken: "The server has met an error. Try again; if it fails again, look for its request-id in the log of the control node.",
}

// envelope is a failure as clients read it.
func envelope(_ http.Header, q *door.Request, f *failure) any {
	return object{"error": object{
		"code": f.Code, "message": f.Message,
		"innerError": object{"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": q.About.ID, "client-request-id": q.About.Correlation},
	}}
}
