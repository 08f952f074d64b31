package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/crowd"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/rotation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/tester"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/keyvault"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
)

// plane is the control plane within a node: the gateways of a deployment, and
// all that makes them true.
type plane struct {
	n   *Node          // RO
	cfg *ControlConfig // RO

	store         *store.Store
	conn          *link.Conn
	link          *link.Control
	operations    *operation.Set
	directory     *directory.Set
	subscriptions *subscription.Set
	zone          *zone.Set // nil: somebody else serves it
	certificates  *certificate.Set
	publish       *publish.Set
	gateways      *gateway.Set
	calls         *record.Regions
	vaults        *vault.Set                                           // nil: there are none
	wraps         wrapper                                              // of those, and of what the directory seals; nil: there are none
	keyFile       *vault.KeyFile                                       // is wraps; nil: a key management service is
	tenant        ops.Tenant                                           // of the operator: ours, or elsewhere
	rotations     *rotation.Set                                        // nil: there are no vaults at all
	connect       func(onboard.Asker) (*operatorconnect.Client, error) // nil: no environment is configured
	onboard       *onboard.Set
	keeper        *keeper       // nil: no Operator Connect is configured
	registered    *registration // nil: gateways ask Operator Connect themselves
	tester        *tester.Set
	far           http.RoundTripper // to the directory elsewhere; nil: it is ours
}

// startTime is how long the parts of a control plane may take to start.
const startTime = 30 * time.Second

// openPlane starts the control plane of a control node, in the order of who
// needs whom. What a part starts is ended by the node's stops.
func (n *Node) openPlane() error {
	if n.cfg.Control == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(n.life, startTime)
	defer cancel()
	p := &plane{n: n, cfg: n.cfg.Control}
	for _, start := range []func(context.Context) error{
		p.openStore, p.openLink, p.openOutside, p.openSubscriptions, p.openVaults, p.openDirectory, p.giveRoles, p.openRecords, p.openGateways, p.openOnboarding, p.run,
	} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	n.plane.Store(p)
	return nil
}

func (p *plane) openStore(ctx context.Context) (err error) {
	at := cmp.Or(p.cfg.Store, "sqlite:"+filepath.Join(p.n.cfg.Node.Data, store.FileName))
	if p.store, err = store.Open(ctx, store.Config{URL: at, Log: p.n.log}); err != nil {
		return err
	}
	p.n.backsUpStore(p.store, at)
	p.n.onStop(func() {
		if err := p.store.Close(); err != nil {
			p.n.log.Error("close the store", obs.KeyError, err)
		}
	})
	return nil
}

// openLink starts the server that edges meet at, unless there are servers
// elsewhere, and this node's end of it.
func (p *plane) openLink(ctx context.Context) (err error) {
	if l := p.n.cfg.Link; l == nil || len(l.URLs) == 0 {
		if err := p.n.serveLink(); err != nil {
			return err
		}
	}
	if p.conn, err = p.n.dialLink(true); err != nil {
		return err
	}
	p.n.onStop(p.conn.Close)
	if p.link, err = link.NewControl(ctx, p.conn); err != nil {
		return err
	}
	p.n.onStop(p.link.Close)
	return nil
}

// openDirectory knows the programs that may sign in.
func (p *plane) openDirectory(ctx context.Context) error {
	c := directory.Config{
		Store: p.store, Known: p.cfg.known(), Log: p.n.log,
		Address: p.url(), Graph: []string{p.url(), "https://" + p.cfg.API.Name}, Resolver: lookUp(p.n.cfg.SIP.DNS), Audit: p.auditDirectory, Many: p.auditMany, Gone: p.subscriptions.Gone, Audiences: p.tokenResources(), Portal: p.portal(),
	}
	c.Tenant, c.Others = p.cfg.tenants()
	if p.wraps != nil {
		c.Keeper = p.wraps
	}
	for _, client := range p.cfg.Login.Clients {
		if client.SecretFile == "" {
			continue // signs in elsewhere
		}
		secret, err := peer.ReadSecret(publish.SecretAt(client.SecretFile, ""))
		if err != nil {
			return fmt.Errorf("secret of client %s: %w", client.Name, err)
		}
		c.Clients = append(c.Clients, directory.Client{ID: client.ID, Name: client.Name, Secret: obs.Secret(secret)})
	}
	var err error
	if p.directory, err = directory.Open(ctx, c); err != nil {
		return err
	}
	p.n.behind.Go(func() { p.directory.Run(p.n.life) })
	p.n.onStop(func() { // sign-ins that were answered while the node stopped
		ctx, cancel := context.WithTimeout(context.Background(), lastFlush)
		defer cancel()
		if err := p.directory.Flush(ctx); err != nil {
			p.n.log.Error("the last sign-ins are missing in the audit trail", obs.KeyError, err)
		}
	})
	return nil
}

// lastFlush is how long a stop waits for a database that is away.
const lastFlush = 3 * time.Second

func (p *plane) openSubscriptions(context.Context) error {
	c := subscription.Config{Store: p.store, Tenant: subscription.Tenant(p.cfg.Tenant), Principals: whoever{p}, Assignments: p.onboardRoles(), Log: p.n.log}
	for _, s := range p.cfg.Subscriptions {
		c.Subscriptions = append(c.Subscriptions, subscription.Subscription(s))
	}
	for _, client := range p.cfg.Login.Clients {
		for _, r := range client.Roles {
			c.Assignments = append(c.Assignments, subscription.Assignment{
				Scope: r.Scope, Principal: client.ID, Type: "ServicePrincipal", Role: subscription.Role(r.Role),
			})
		}
	}
	for _, l := range p.cfg.Locations {
		c.Locations = append(c.Locations, subscription.Location{
			Name: l.Name, DisplayName: cmp.Or(l.DisplayName, l.Name), Edges: l.Edges,
			Management: slices.Contains(l.Uses, "management"), Service: slices.Contains(l.Uses, "service"),
		})
	}
	p.subscriptions = subscription.New(c)
	return nil
}

// openGateways makes what knows gateways, and the zone, which takes its facts
// from them.
func (p *plane) openGateways(ctx context.Context) (err error) {
	if p.operations, err = operation.New(operation.Config{Store: p.store, Log: p.n.log}); err != nil {
		return err
	}
	p.publish = publish.NewSet(publish.Config{Store: p.store, Link: p.link, Input: func() (publish.Input, error) { return p.n.running.Load().cfg.deployment() }})
	c := gateway.Config{
		Store: p.store, Operations: p.operations, Log: p.n.log,
		Locations: p.subscriptions.Locations, Suffix: p.cfg.Suffix, Tenant: p.cfg.Tenant.ID,
		Edges: p.link, Publish: p.publish, Identities: p.directory,
		Place: arm.Place(p.subscriptions), Audit: arm.Audit(p.subscriptions), Unserved: p.unserved,
	}
	if err := p.openZone(ctx); err != nil {
		return err
	}
	if p.zone != nil {
		c.Zone, c.NameServers = p.zone, p.zone.NameServers()
	}
	if err := p.openCertificates(); err != nil {
		return err
	}
	c.Certificates = p.certificates
	if p.gateways, err = gateway.New(c); err != nil {
		return err
	}
	p.subscriptions.Register(p.operations, p.contents())
	p.tester = tester.New(tester.Config{Store: p.store, Gateways: p.gateways, Edges: p.link, Audit: arm.Audit(p.subscriptions), Log: p.n.log})
	p.n.onStop(p.tester.Close)
	return nil
}

// zones are the facts that the zones are made of.
func (p *plane) zones(ctx context.Context) ([]zone.Gateway, error) {
	list, err := p.gateways.Zones(ctx)
	for i := range list {
		list[i].API = p.cfg.provisioning()
	}
	return list, err
}

// provisioning is where the Provisioning API is reached. What one of several
// control nodes listens on says nothing of the others.
func (c *ControlConfig) provisioning() []netip.Addr {
	if at := c.API.Listen.Addr(); len(c.API.Addresses) == 0 && c.Store == "" && !at.IsUnspecified() {
		return []netip.Addr{at}
	}
	return c.API.Addresses
}

// openZone serves the gateways' names. It asks for facts later than it is made,
// when there are gateways to ask.
func (p *plane) openZone(ctx context.Context) (err error) {
	z := p.cfg.DNS
	if z == nil {
		return nil
	}
	c := zone.Config{
		Store: p.store, Suffix: p.cfg.Suffix, Listen: z.Listen, Contact: z.Contact, DNSSEC: z.DNSSEC, Resolvers: p.n.cfg.SIP.DNS, Log: p.n.log,
		Gateways: p.zones,
	}
	for _, name := range z.NameServers {
		s := zone.NameServer{Name: name}
		if strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(p.cfg.Suffix)) && !z.Listen.Addr().IsUnspecified() {
			s.Addrs = []netip.Addr{z.Listen.Addr()} // found by nothing but what the parent says of it
		}
		c.NameServers = append(c.NameServers, s)
	}
	var key *zone.Key
	if z.TransferKey != nil {
		if key, err = z.TransferKey.key(); err != nil {
			return fmt.Errorf("key of the zone's secondaries: %w", err)
		}
	}
	for _, at := range z.Secondaries {
		c.Secondaries = append(c.Secondaries, zone.Secondary{Addr: at, Key: key})
	}
	if p.zone, err = zone.New(ctx, c); err != nil {
		return fmt.Errorf("serve the zone: %w%s", err, remedy(err))
	}
	p.n.onStop(func() {
		if err := p.zone.Close(); err != nil {
			p.n.log.Warn("close the zone", obs.KeyError, err)
		}
	})
	return nil
}

// openCertificates sees to the certificates of edges that keep no files.
func (p *plane) openCertificates() error {
	c, err := p.cfg.Certificates.deployment(filepath.Join(p.n.cfg.Node.Data, "acme"))
	if err != nil {
		return err
	}
	c.Store, c.Edges, c.Log = p.store, p.link, p.n.log
	if c.ACME != nil {
		c.ACME.Zone = p.zone
	}
	if p.certificates, err = certificate.New(c); err != nil {
		return err
	}
	p.n.onStop(p.certificates.Close)
	return nil
}

// run lets operations go on, publishes again what the link may have lost, and
// answers the API.
func (p *plane) run(ctx context.Context) error {
	if err := p.gateways.Embody(ctx); err != nil {
		return fmt.Errorf("give gateways their identities: %w", err)
	}
	if err := p.operations.Start(p.n.life); err != nil {
		return err
	}
	p.n.onStop(p.operations.Close)
	p.certificates.Start()
	if p.rotations != nil {
		p.rotations.Start()
	}
	if err := p.publish.Again(ctx); err != nil {
		return fmt.Errorf("publish again what edges run: %w", err)
	}
	// Numbers, accounts and far sides of the configuration may be others.
	if err := p.gateways.Republish(ctx); err != nil {
		return fmt.Errorf("compile again what edges run: %w", err)
	}
	p.n.behind.Go(p.follow)
	p.n.behind.Go(p.askForRecords)
	p.n.behind.Go(p.watchOnboarding)
	if p.keeper != nil {
		p.n.behind.Go(p.keeper.run)
	}
	p.n.behind.Go(func() { p.tester.Run(p.n.life) })
	return p.listen()
}

// follow takes notice of edges that come, go or change.
func (p *plane) follow() {
	for {
		select {
		case <-p.n.life.Done():
			return
		case <-p.link.Changed():
		}
		if p.zone != nil {
			p.zone.Changed()
		}
		if err := p.gateways.Changed(p.n.life); err != nil && p.n.life.Err() == nil {
			p.n.log.Error("take notice of an edge", obs.KeyError, err)
		}
	}
}

// republish takes what a reload has changed of the deployment's far sides and
// numbers to the edges.
func (n *Node) republish() error {
	p := n.plane.Load()
	if p == nil {
		return nil
	}
	if err := p.gateways.Republish(n.life); err != nil {
		return fmt.Errorf("the configuration is in force here, but not on its way to the edges: %w", err)
	}
	return nil
}

// deployment is what the node's configuration says of every gateway's far
// sides.
func (c *Config) deployment() (publish.Input, error) {
	authorities, err := c.authorities()
	if err != nil {
		return publish.Input{}, err
	}
	return publish.Input{
		Authorities: authorities, Services: c.Services, Operator: c.Operator, Options: c.SIP.Options,
		Numbers: c.provisioned, Accounts: c.accounts, Rules: c.rules(),
	}, nil
}

// url is where clients find the API.
func (p *plane) url() string { return "https://" + p.cfg.API.host() }

// audiences are what tokens for the API may be made out for.
func (p *plane) audiences() []string {
	return append([]string{p.url(), "https://" + p.cfg.API.Name}, arm.AzureAudiences...)
}

// tokenResources are what our login gives tokens for.
func (p *plane) tokenResources() []string {
	if url := p.vaultURL(); url != "" {
		return append(p.audiences(), url, "https://"+p.cfg.Vaults.Domain)
	}
	return p.audiences()
}

// resources is the configuration of the resource API.
func (p *plane) resources() arm.Config {
	c := arm.Config{
		Gateways: p.gateways, Operations: p.operations, Subscriptions: p.subscriptions, Tester: p.tester,
		URL: p.url(), LoginURL: p.cfg.loginURL(), Audiences: p.audiences(), RetryAfter: p.cfg.API.RetryAfter, Log: p.n.log,
		Tokens: p.verifier(p.audiences()...),
	}
	return c
}

// armRoots are the first parts of the resource API's paths. Everything else is
// the token endpoint's, whose paths begin with a tenant.
var armRoots = []string{"subscriptions", "providers", "tenants", "metadata"}

// byPath gives a request to the API that it is for.
func byPath(resources, tokens http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
		if slices.Contains(armRoots, strings.ToLower(first)) {
			resources.ServeHTTP(w, r)
			return
		}
		tokens.ServeHTTP(w, r)
	})
}

// onSocket adds the resource API of a control node to what its socket answers.
func (n *Node) onSocket(next http.Handler) http.Handler {
	if n.cfg.Control == nil {
		return next
	}
	return byPath(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := n.plane.Load(); p != nil {
			arm.Socket(p.resources()).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), next)
}

// listen answers programs and people by HTTPS.
func (p *plane) listen() error {
	signIn := login.Config{Directory: p.directory, URL: p.url(), Resources: p.tokenResources(), Log: p.n.log}
	tokens := login.Handler(signIn)
	if p.cfg.outside() != nil {
		tokens = login.Published(signIn)
	}
	listener, err := net.Listen("tcp", p.cfg.API.Listen.String())
	if err != nil {
		return fmt.Errorf("listen for the resource API on control.api.listen: %w%s", err, remedy(err))
	}
	resources := p.resources()
	server := &http.Server{
		Handler:           p.withVaults(byPath(arm.Handler(resources), p.withGraph(tokens)), resources),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.certificate},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(p.n.log.Handler(), slog.LevelDebug), // handshakes of scanners
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.ServeTLS(crowd.Bound(listener, apiCrowd), "", ""); !errors.Is(err, http.ErrServerClosed) {
			p.n.log.Error("serve the resource API", obs.KeyError, err)
		}
	}()
	p.n.onStop(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // who has not finished by now asks again
		}
		<-done
	})
	return nil
}

// certificate is asked at every handshake.
func (p *plane) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if v := p.cfg.Vaults; v != nil && v.Certificate != nil && keyvault.Serves(p.vaultURL(), hello.ServerName) {
		return p.n.certificate(ofVaults)
	}
	return p.n.certificate(ofAPI)
}

// ofAPI is the name of the API's certificate among the node's.
const ofAPI = "control.api"
