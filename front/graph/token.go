package graph

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// verify gives the caller of a token. The error says what is wrong with it,
// and shows nothing of it.
func (a *api) verify(ctx context.Context, raw string) (directory.Caller, error) {
	caller, err := a.Directory.Verify(ctx, raw, a.Issuers, a.audiences)
	switch {
	case err == nil || fault.Of(err) == fault.Unavailable:
		return caller, err
	case errors.Is(err, directory.ErrTokenExpired):
		err = badToken("Lifetime validation failed, the token is expired.", err)
	case errors.Is(err, directory.ErrToken):
		// What it says is ours, and quotes nothing.
		_, why, _ := strings.Cut(err.Error(), ": ")
		err = badToken("Access token validation failure: "+why+".", err)
	default:
		err = badToken("Access token validation failure.", err)
	}
	return directory.Caller{}, err
}

func badToken(message string, cause error) error {
	return &failure{Status: http.StatusUnauthorized, Code: "InvalidAuthenticationToken", Message: message, Cause: cause}
}
