package arm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

type failure = door.Failure

// fail makes a failure with a sentence.
func fail(status int, code, format string, args ...any) *failure {
	return &failure{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// vocabulary is what the resource API calls errors (Azure Resource Manager
// docs, "Common API Details", Error Response Content).
var vocabulary = door.Vocabulary{
	Kinds: map[fault.Kind]string{
		fault.Internal:    "InternalServerError",
		fault.Invalid:     "InvalidParameter",
		fault.Denied:      "AuthorizationFailed",
		fault.NotFound:    "ResourceNotFound",
		fault.Conflict:    "Conflict",
		fault.Exhausted:   "TooManyRequests",
		fault.Unavailable: "ServiceUnavailable",
	},
	Reasons: map[error]door.Words{
		gateway.ErrPrecondition: {Status: http.StatusPreconditionFailed, Code: "PreconditionFailed"},
		subscription.ErrNoGroup: {Code: "ResourceGroupNotFound"},
		gateway.ErrNoGateway:    {Code: "ParentResourceNotFound"},

		door.ErrMethod:   {Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Sentence: "The requested resource does not support http method '{}'."},
		door.ErrLarge:    {Status: http.StatusRequestEntityTooLarge, Code: "RequestContentTooLarge", Sentence: "The request content has more than {} bytes."},
		door.ErrCut:      {Code: "InvalidRequestContent", Sentence: "The request content could not be read to its end."},
		door.ErrQuery:    {Code: "InvalidQueryParameter"},
		door.ErrTwice:    {Code: "InvalidQueryParameter", Sentence: "The query parameter '{}' stands in the URL more than once."},
		door.ErrThrottle: {Code: "SubscriptionRequestsThrottled"},
	},
	Broken: "The server encountered an internal error. Please retry the request; if it fails again, look for its x-ms-request-id in the log of the control node.",
}

// explain makes the failure of any error.
func explain(err error) *failure {
	if ps, ok := errors.AsType[gateway.Problems](err); ok {
		return broken("InvalidResource", ps)
	}
	return vocabulary.Explain(err)
}

// answered is explain for who reads the answer: of one who is not known it
// says in the challenge, too, what is wrong.
func answered(err error) *failure {
	f := explain(err)
	if f.Status == http.StatusUnauthorized {
		why := strings.NewReplacer(`"`, `'`, `\`, `/`).Replace(f.Message)
		if f.Code == "AuthenticationFailed" {
			why = "The authentication failed because of missing 'Authorization' header."
		}
		f.Bearer = `, error="invalid_token", error_description="` + why + `"`
	}
	return f
}

// envelope is a failure as clients read it.
func envelope(h http.Header, _ *door.Request, f *failure) any {
	h.Set("x-ms-error-code", f.Code)
	return map[string]*failure{"error": f}
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
