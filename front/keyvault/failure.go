package keyvault

import (
	"fmt"
	"net/http"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/door"
)

type failure = door.Failure

func refusal(status int, code, message string) *failure {
	return &failure{Status: status, Code: code, Message: message}
}

func badParameter(format string, args ...any) *failure {
	return refusal(http.StatusBadRequest, "BadParameter", fmt.Sprintf(format, args...))
}

// vocabulary is what Key Vault calls errors (Azure Key Vault docs,
// "Authentication, requests and responses", Error Responses).
var vocabulary = door.Vocabulary{
	Kinds: map[fault.Kind]string{
		fault.Internal:    "InternalError",
		fault.Invalid:     "BadParameter",
		fault.Denied:      "Forbidden",
		fault.NotFound:    "NotFound",
		fault.Conflict:    "Conflict",
		fault.Exhausted:   "Throttled",
		fault.Unavailable: "ServiceUnavailable",
	},
	Reasons: map[error]door.Words{
		vault.ErrPolicy:     {Status: http.StatusForbidden, Code: "Forbidden", Inner: "ForbiddenByPolicy"},
		vault.ErrFirewall:   {Status: http.StatusForbidden, Code: "Forbidden", Inner: "ForbiddenByFirewall"},
		vault.ErrConnection: {Status: http.StatusForbidden, Code: "Forbidden", Inner: "ForbiddenByConnection"},
		vault.ErrTenant:     {Status: http.StatusUnauthorized, Code: "Unauthorized"},
		vault.ErrDisabled:   {Status: http.StatusForbidden, Code: "Forbidden", Inner: "SecretDisabled"},
		vault.ErrTrashed:    {Status: http.StatusConflict, Code: "Conflict", Inner: "ObjectIsDeletedButRecoverable"},
		vault.ErrGuarded:    {Status: http.StatusForbidden, Code: "Forbidden", Inner: "PurgeProtection"},
		vault.ErrNoVault:    {Status: http.StatusNotFound, Code: "VaultNotFound"},
		vault.ErrNoSecret:   {Status: http.StatusNotFound, Code: "SecretNotFound"},

		door.ErrMethod:   {Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed"},
		door.ErrLarge:    {Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Sentence: "The body has more than {} bytes."},
		door.ErrThrottle: {Code: "Throttled", Sentence: "Request was not processed because too many requests were received. Try again after the time of Retry-After."},
	},
	Broken: "The server has met an error. Try again; if it fails again, look for its x-ms-request-id in the log of the control node.",
}

// called is the failure in the words of an API that has no inner errors.
func called(f *failure, codes map[string]string) *failure {
	code, other := codes[f.Code]
	if !other {
		return f
	}
	g := *f
	g.Code, g.Inner = code, nil
	return &g
}
