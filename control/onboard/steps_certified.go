package onboard

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/entra"
)

// credential is what the application of a gateway elsewhere signs in with.
func (w *World) credential() string {
	if w.Certificate != nil {
		return "the certificate of control.directory.outside"
	}
	return "a federated credential of our issuer"
}

// checkCertified looks whether the gateway may sign in, with the certificate
// that we have now, as the application that has its name. The certificate is
// that of all gateways, so only the name tells whose the application is.
func (w *World) checkCertified(ctx context.Context, a entra.Application, shown []Evidence) (Finding, error) {
	others, err := w.others(ctx)
	if err != nil {
		return Finding{}, err
	}
	for _, r := range others {
		if strings.EqualFold(r.ID.Name, w.Subject.Gateway.Name) {
			return Ask(You, fmt.Sprintf("The gateway %s in %s has the same name, and the application %s cannot be that of both: one of them needs another", r.ID.Name, r.ID.Group, a.DisplayName), shown...), nil
		}
	}
	cert, err := w.Certificate()
	if err != nil {
		return Finding{}, err
	}
	ends := cert.NotAfter.UTC().Format(time.DateOnly)
	may, err := w.Directory.Certified(ctx, a.ID, cert)
	if err != nil {
		return Finding{}, err
	}
	if !may {
		return Missing("The application "+a.DisplayName+" does not take the certificate of control.directory.outside, which ends on "+ends, shown...), nil
	}
	return Found("Application ID "+a.AppID+", "+w.signIn(), append(shown, Is("certificate ends", ends))...), nil
}

// certify lets the gateway sign in with the certificate that we have now.
func (w *World) certify(ctx context.Context, a entra.Application) error {
	cert, err := w.Certificate()
	if err != nil {
		return err
	}
	return w.Directory.Certify(ctx, a.ID, "tandem-"+w.Subject.Gateway.Name, cert)
}
