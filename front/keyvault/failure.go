package keyvault

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/vault"
)

// failure is an error in the words of Key Vault (Azure Key Vault docs,
// "Authentication, requests and responses", Error Responses).
type failure struct {
	status  int
	code    string
	inner   string // innererror; "" is none
	message string
	wait    time.Duration // Retry-After
	allow   string        // methods, of a 405
	bearer  string        // what the challenge says more
	cause   error         // for the log
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func (f *failure) Unwrap() error { return f.cause }

// MarshalJSON is the envelope that clients read.
func (f *failure) MarshalJSON() ([]byte, error) {
	type inner struct {
		Code string `json:"code"`
	}
	type outer struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Inner   *inner `json:"innererror,omitempty"`
	}
	o := outer{Code: f.code, Message: f.message}
	if f.inner != "" {
		o.Inner = &inner{f.inner}
	}
	return json.Marshal(map[string]outer{"error": o})
}

func refusal(status int, code, inner, message string) *failure {
	return &failure{status: status, code: code, inner: inner, message: message}
}

func badParameter(format string, args ...any) *failure {
	return refusal(http.StatusBadRequest, "BadParameter", "", fmt.Sprintf(format, args...))
}

// words are what a reason is called.
type words struct {
	status      int
	code, inner string
}

// reasons have words of their own.
var reasons = map[error]words{
	vault.ErrPolicy:     {http.StatusForbidden, "Forbidden", "ForbiddenByPolicy"},
	vault.ErrFirewall:   {http.StatusForbidden, "Forbidden", "ForbiddenByFirewall"},
	vault.ErrConnection: {http.StatusForbidden, "Forbidden", "ForbiddenByConnection"},
	vault.ErrTenant:     {http.StatusUnauthorized, "Unauthorized", ""},
	vault.ErrDisabled:   {http.StatusForbidden, "Forbidden", "SecretDisabled"},
	vault.ErrTrashed:    {http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable"},
	vault.ErrGuarded:    {http.StatusForbidden, "Forbidden", "PurgeProtection"},
	vault.ErrNoVault:    {http.StatusNotFound, "VaultNotFound", ""},
	vault.ErrNoSecret:   {http.StatusNotFound, "SecretNotFound", ""},
}

// kinds translate the rest.
var kinds = map[fault.Kind]words{
	fault.Internal:    {http.StatusInternalServerError, "InternalError", ""},
	fault.Invalid:     {http.StatusBadRequest, "BadParameter", ""},
	fault.Denied:      {http.StatusForbidden, "Forbidden", ""},
	fault.NotFound:    {http.StatusNotFound, "NotFound", ""},
	fault.Conflict:    {http.StatusConflict, "Conflict", ""},
	fault.Exhausted:   {http.StatusTooManyRequests, "Throttled", ""},
	fault.Unavailable: {http.StatusServiceUnavailable, "ServiceUnavailable", ""},
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
	for reason, its := range reasons {
		if errors.Is(err, reason) {
			w = its
		}
	}
	f := &failure{status: w.status, code: w.code, inner: w.inner, cause: err}
	if e, is := errors.AsType[*fault.Error](err); is && kind != fault.Internal {
		f.message = e.Public
	}
	if kind == fault.Exhausted || kind == fault.Unavailable {
		f.wait = retrySoon
	}
	f.message = cmp.Or(f.message, "The server has met an error. Try again; if it fails again, look for its x-ms-request-id in the log of the control node.")
	return f
}

// called is the failure in the words of an API that has no inner errors.
func (f *failure) called(codes map[string]string) *failure {
	code, other := codes[f.code]
	if !other {
		return f
	}
	g := *f
	g.code, g.inner = code, ""
	return &g
}
