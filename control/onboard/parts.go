package onboard

import (
	"context"
	"crypto/x509"
	"net"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/rotation"
)

// Systems are where the steps of the documents are done: the operator's tenant,
// its vaults, Operator Connect and the DNS as everybody sees it. One that is
// nil is not reached, and its steps say so.
type Systems struct {
	Directory       *entra.Client
	Vaults          *entra.Vaults
	OperatorConnect func(Asker) (*operatorconnect.Client, error) // nil: no environment is configured
	Rotation        Rotation                                     // nil: nobody replaces secrets before they end
	Names           Names
	Issuer          string // of our tokens, by which a gateway signs in to a directory elsewhere
	// Certificate is by what gateways sign in there instead; nil: by our tokens.
	Certificate func() (*x509.Certificate, error)
}

// unseen is the first of some parts that nobody can look at; "": none is.
func (s Systems) unseen(parts []Part) Part {
	for _, p := range parts {
		if p == OfDirectory && s.Directory == nil || p == OfVaults && s.Vaults == nil || p == OfConnect && s.OperatorConnect == nil {
			return p
		}
	}
	return ""
}

// Asker is an application that asks Operator Connect for something.
type Asker struct {
	Application string // its ID
	Principal   string // object ID in the tenant
	Vouched     string // object ID, in our own directory, of the gateway's identity
	// Secret is what it signs in with. nil: it is the gateway's identity, for
	// which the deployment vouches.
	Secret func(context.Context) (obs.Secret, error)
}

// Rotation replaces client secrets before they end; *rotation.Set is one.
type Rotation interface {
	Keep(ctx context.Context, t rotation.Target) error
	Rotate(ctx context.Context, name string, revoke bool) (rotation.Rotation, error)
	List(ctx context.Context) ([]rotation.Rotation, error)
}

// Names looks into the DNS; *net.Resolver is one.
type Names interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
}
