package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/front/ops"
)

// OutsideConfig is a directory elsewhere, which takes the place of this node's:
// the operator's own tenant in Entra, or any OpenID Connect issuer. Its tenant
// is control.tenant.
type OutsideConfig struct {
	Issuer      string               `yaml:"issuer"`      // of the tokens that all APIs believe
	Graph       string               `yaml:"graph"`       // empty: https://graph.microsoft.com, where the issuer is Entra
	Client      string               `yaml:"client"`      // application by which we sign in there; empty: nothing is asked there
	SecretFile  string               `yaml:"secretFile"`  // that it signs in with
	Certificate *publish.Certificate `yaml:"certificate"` // instead, for gateways too; neither: a federated credential of our issuer
	Roots       string               `yaml:"roots"`       // of their certificates; empty: the system's
}

// outside is the directory elsewhere; nil: there is none.
func (c *ControlConfig) outside() *OutsideConfig { return c.Directory.Outside }

// files are the names of its files.
func (o *OutsideConfig) files() []*string {
	if o == nil {
		return nil
	}
	files := []*string{&o.SecretFile, &o.Roots}
	if c := o.Certificate; c != nil {
		files = append(files, &c.Chain, &c.Key)
	}
	return files
}

// entraV1 is the issuer of version 1.0 of Entra's tokens (Microsoft identity
// platform docs, "Access tokens").
const entraV1 = "sts.windows.net"

// place is where people and programs sign in, and the tenant, as the issuer
// says it; "" where it has no tenant in it.
func (o OutsideConfig) place() (login, tenant string) {
	u, err := url.Parse(o.Issuer)
	if err != nil {
		return "", ""
	}
	first, _, _ := strings.Cut(strings.TrimLeft(u.Path, "/"), "/")
	switch {
	case !guid.MatchString(first):
		return "", ""
	case strings.EqualFold(u.Host, entraV1):
		return entra.PublicLogin, first
	}
	return u.Scheme + "://" + u.Host, first
}

// loginURL is where clients of our APIs are sent for tokens.
func (c *ControlConfig) loginURL() string {
	o := c.outside()
	if o == nil {
		return ""
	}
	login, _ := o.place()
	return cmp.Or(login, strings.TrimRight(o.Issuer, "/"))
}

// graph is where the directory's API is; "" where it is not asked.
func (o OutsideConfig) graph() string {
	if login, _ := o.place(); o.Client != "" && o.Graph == "" && login == entra.PublicLogin {
		return entra.PublicGraph
	}
	return strings.TrimRight(o.Graph, "/")
}

// asked tells whether there is a directory elsewhere whose objects we see.
func (o *OutsideConfig) asked() bool { return o != nil && o.Client != "" }

// outside checks a directory elsewhere.
func (k *configCheck) outside(path string) {
	o := k.Control.outside()
	if o == nil {
		return
	}
	login, tenant := o.place()
	switch u, err := url.Parse(o.Issuer); {
	case o.Issuer == "":
		k.bad(path+".issuer", "missing: write the issuer of its tokens, such as https://login.microsoftonline.com/<tenant>/v2.0")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		k.bad(path+".issuer", "%q: write the https URL of the issuer, letter for letter as its discovery document has it", o.Issuer)
	case tenant != "" && !strings.EqualFold(tenant, k.Control.Tenant.ID):
		k.bad(path+".issuer", "it is of the tenant %s, and control.tenant.id is %s: write the same, or tokens of the one count for nothing with the other", tenant, k.Control.Tenant.ID)
	}
	k.roots(path+".roots", o.Roots)
	if o.Client == "" {
		for key, said := range map[string]bool{"graph": o.Graph != "", "secretFile": o.SecretFile != "", "certificate": o.Certificate != nil} {
			if said {
				k.bad(path+"."+key, "means nothing without client, the application by which Tandem signs in there: write that as well, or remove the key")
			}
		}
		return
	}
	k.guid(path+".client", o.Client, "the application by which Tandem signs in there")
	if o.Issuer != "" && tenant == "" {
		k.bad(path+".client", "an application signs in where the issuer has the ID of a tenant in it, as in https://login.microsoftonline.com/<tenant>/v2.0: correct the issuer, or remove client, and nothing is asked there")
	}
	k.secure(path+".graph", o.Graph)
	if o.Graph == "" && login != "" && login != entra.PublicLogin {
		k.bad(path+".graph", "missing: write where the Graph of the directory is, such as https://graph.microsoft.com; %s does not say it", o.Issuer)
	}
	k.outsideProof(path, *o)
}

// outsideProof checks what we sign in with.
func (k *configCheck) outsideProof(path string, o OutsideConfig) {
	switch {
	case o.SecretFile != "" && o.Certificate != nil:
		k.bad(path+".certificate", "the application signs in with a secret or with a certificate: remove one of secretFile and certificate")
	case o.SecretFile != "":
		if _, err := peer.ReadSecret(publish.SecretAt(o.SecretFile, "")); err != nil {
			k.bad(path+".secretFile", "%s", err)
		}
	case o.Certificate != nil:
		if leaf := k.pair(path+".certificate", *o.Certificate); leaf != nil {
			if err := entra.CheckCertificate(leaf); err != nil {
				k.bad(path+".certificate.chain", "%s", err)
			}
		}
	}
}

// openOutside makes what asks a directory elsewhere.
func (p *plane) openOutside(context.Context) (err error) {
	if o := p.cfg.outside(); o != nil {
		p.far, err = p.transport(o.Roots)
	}
	return err
}

// verifier verifies tokens for audiences: our own, or those of the directory
// elsewhere.
func (p *plane) verifier(audiences ...string) *arm.Tokens {
	if o := p.cfg.outside(); o != nil {
		return arm.RemoteTokens(&http.Client{Transport: p.far}, o.Issuer, audiences, p.cfg.Tenant.ID)
	}
	return arm.NewTokens(p.directory, login.Issuers(p.url(), p.cfg.Tenant.ID), audiences, p.cfg.Tenant.ID)
}

// pair is the certificate by which we sign in elsewhere, read anew each time.
func (o OutsideConfig) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(o.Certificate.Chain, o.Certificate.Key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate by which we sign in to the directory: %w", err)
	}
	return &pair, nil
}

// leaf is its public part.
func (o OutsideConfig) leaf() (*x509.Certificate, error) {
	pair, err := o.pair()
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// signIn is our application at a directory elsewhere.
func (p *plane) signIn(o OutsideConfig, scope string) entra.SignIn {
	s := p.signInOf(o)
	s.Client, s.Scope = o.Client, scope
	switch {
	case o.SecretFile != "":
		s.Secret = func(context.Context) (obs.Secret, error) { return peer.ReadSecret(publish.SecretAt(o.SecretFile, "")) }
	case o.Certificate != nil:
		s.Certificate = o.pair
	default:
		s.Assertion = p.tokens(p.onboarder(), exchangeAudience)
	}
	return s
}

// signInOf is where any application of a directory elsewhere signs in.
func (p *plane) signInOf(o OutsideConfig) entra.SignIn {
	login, tenant := o.place()
	return entra.SignIn{Login: login, Tenant: tenant, HTTP: p.far}
}

func (p *plane) outsideDirectory(o OutsideConfig) (*entra.Client, error) {
	login, tenant := o.place()
	return entra.New(entra.Config{URL: o.graph(), Login: login, Tenant: tenant, HTTP: p.far, Token: p.signIn(o, o.graph()+"/.default").Token()})
}

func (p *plane) outsideVaults(o OutsideConfig, v OutsideVaultsConfig) (*entra.Vaults, error) {
	_, tenant := o.place()
	manager := cmp.Or(strings.TrimRight(v.Manager, "/"), entra.PublicManager)
	return entra.NewVaults(entra.VaultsConfig{
		Manager: manager, Domain: v.Domain, Tenant: tenant, HTTP: p.far,
		Manage: p.signIn(o, manager+"/.default").Token(),
		Open:   p.signIn(o, "https://"+cmp.Or(v.Domain, entra.PublicVaults)+"/.default").Token(),
	})
}

// outsideIdentity is how gateways sign in there.
func (p *plane) outsideIdentity(o OutsideConfig) string {
	if o.Certificate != nil {
		return "an application of its name, by the certificate of control.directory.outside"
	}
	return "an application of its name, by a federated credential of " + p.issuer()
}

// outsideTrouble warns of the end of the certificate by which we sign in.
func (n *Node) outsideTrouble(at time.Time) []ops.Warning {
	if n.cfg.Control == nil || n.cfg.Control.outside() == nil || n.cfg.Control.outside().Certificate == nil {
		return nil
	}
	const about = "control.directory.outside"
	leaf, err := n.cfg.Control.outside().leaf()
	if err != nil {
		return []ops.Warning{{About: about, Cause: "unreadable", Text: "our certificate of " + about + " cannot be read: nobody signs in to the directory (" + err.Error() + ")"}}
	}
	cause, when := ending(leaf.NotAfter, at)
	if cause == "" {
		return nil
	}
	return []ops.Warning{{About: about, Cause: cause, Text: "our certificate of " + about + " " + when + ": add the next one to our application there, replace the files, and run tandem onboard apply --outside for the gateways"}}
}
