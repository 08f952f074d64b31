package onboard

import (
	"context"
	"net"

	"github.com/tandemgw/tandem/control/entra"
)

// Systems are where the steps of the documents are done: the operator's tenant,
// its vaults, Operator Connect and the DNS as everybody sees it. One that is
// nil is not reached, and its steps say so.
type Systems struct {
	Directory       *entra.Client
	Vaults          *entra.Vaults
	OperatorConnect OperatorConnect
	Names           Names
	Issuer          string // of our tokens, by which a gateway signs in to a directory elsewhere
}

// OperatorConnect is the environment of the operator, asked as the gateway.
type OperatorConnect interface {
	// Applications are the Application Ids that it lets in; fault.Denied when the
	// one that asks is not among them.
	Applications(ctx context.Context) ([]string, error)
	// Protected is what it keeps for the gateways: calling profiles with the
	// suffix CommsGw, and trunks below the gateways' domain.
	Protected(ctx context.Context) ([]Protected, error)
}

// Protected is a piece of configuration that nobody but the gateway changes.
type Protected struct {
	Kind    string // "calling profile", "trunk"
	Name    string
	Content string // all of it, in a form that compares
}

// Names looks into the DNS; *net.Resolver is one.
type Names interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
}
