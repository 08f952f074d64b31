package app

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/edge/peer"
)

// ControlConfig makes a node a control node: one that holds the gateways of a
// deployment, answers the resource API and publishes to the edges.
type ControlConfig struct {
	API           APIConfig            `yaml:"api"`
	Store         string               `yaml:"store"`  // "postgres://…"; empty: control.db in node.data
	Suffix        string               `yaml:"suffix"` // domain under which gateways get their names
	DNS           *ZoneConfig          `yaml:"dns"`    // nil: somebody else serves the zone
	Certificates  CertificatesConfig   `yaml:"certificates"`
	Tenant        TenantConfig         `yaml:"tenant"`
	Subscriptions []SubscriptionConfig `yaml:"subscriptions"`
	Login         LoginConfig          `yaml:"login"`
	Locations     []LocationConfig     `yaml:"locations"`
	KeepRecords   time.Duration        `yaml:"keepRecords"` // how long call records are kept
	KeepAudit     time.Duration        `yaml:"keepAudit"`   // how long the audit trail is kept
	Vaults        *VaultsConfig        `yaml:"vaults"`      // nil: none are served
	Directory     DirectoryConfig      `yaml:"directory"`
	Onboard       OnboardConfig        `yaml:"onboard"`
}

// APIConfig is where programs and people reach a control node.
type APIConfig struct {
	Listen      netip.AddrPort      `yaml:"listen"`
	Name        string              `yaml:"name"` // host name in the URLs that it gives; the certificate bears it
	Certificate publish.Certificate `yaml:"certificate"`
	Addresses   []netip.Addr        `yaml:"addresses"`  // that provapi.<base> leads to; none: listen, where this control node is the only one
	RetryAfter  time.Duration       `yaml:"retryAfter"` // how long clients wait before they ask after an operation again
}

// ZoneConfig is the gateway's own DNS zone.
type ZoneConfig struct {
	Listen      netip.AddrPort   `yaml:"listen"`
	NameServers []string         `yaml:"nameServers"` // names under which secondaries and resolvers find it
	Contact     string           `yaml:"contact"`     // mail address in the SOA record
	Secondaries []netip.AddrPort `yaml:"secondaries"` // that may copy the zone, and are told of changes
	TransferKey *TransferKey     `yaml:"transferKey"` // that they must have as well; nil: their address is enough
	DNSSEC      bool             `yaml:"dnssec"`
}

// TransferKey is a secret of TSIG (RFC 8945), HMAC-SHA256.
type TransferKey struct {
	Name       string `yaml:"name"`
	SecretFile string `yaml:"secretFile"` // base64
}

// TenantConfig is the directory that the operator's subscriptions belong to.
type TenantConfig struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
}

// SubscriptionConfig is what resource groups are kept in.
type SubscriptionConfig struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
}

// LoginConfig says who may sign in beside people.
type LoginConfig struct {
	Clients []ClientConfig `yaml:"clients"`
}

// ClientConfig is a program that may sign in.
type ClientConfig struct {
	ID         string       `yaml:"id"`
	Name       string       `yaml:"name"`
	SecretFile string       `yaml:"secretFile"` // with our own directory
	Roles      []RoleConfig `yaml:"roles"`

	DirectoryRoles []string `yaml:"directoryRoles"` // over the directory: "Global Administrator"
}

// RoleConfig is what a client may do, and where.
type RoleConfig struct {
	Role  string `yaml:"role"`  // "Owner", "Contributor", "Reader"
	Scope string `yaml:"scope"` // "/subscriptions/<id>" or a resource group in it
}

// LocationConfig is a region in the words of the resource API, and the edges
// that serve it.
type LocationConfig struct {
	Name        string   `yaml:"name"`        // "westeurope"
	DisplayName string   `yaml:"displayName"` // "West Europe"
	Uses        []string `yaml:"uses"`        // "management", "service"
	Edges       []string `yaml:"edges"`       // names of nodes
	Store       string   `yaml:"store"`       // "postgres://…" of the calls of gateways managed here; empty: control.store
}

// recordsKept is how long call records are kept unless the file says otherwise:
// thirteen months, so that a bill can be compared with that of a year ago.
const recordsKept = 400 * 24 * time.Hour

// fill sets what the file leaves out.
func (c *ControlConfig) fill(said func(path string) bool) {
	if !said("control.api.retryAfter") {
		c.API.RetryAfter = time.Second
	}
	if !said("control.keepRecords") {
		c.KeepRecords = recordsKept
	}
	if !said("control.keepAudit") {
		c.KeepAudit = recordsKept
	}
	if !said("control.onboard.look") {
		c.Onboard.Look = time.Hour
	}
}

// edge tells whether the node carries calls.
func (c *Config) edge() bool { return c.Control == nil || len(c.SIP.Listeners) > 0 }

// controlFiles are the names of the files of a control node.
func (c *Config) controlFiles() (files []*string) {
	if c.Control == nil {
		return nil
	}
	files = append(files, &c.Control.API.Certificate.Chain, &c.Control.API.Certificate.Key)
	files = append(files, c.Control.Certificates.files()...)
	if z := c.Control.DNS; z != nil && z.TransferKey != nil {
		files = append(files, &z.TransferKey.SecretFile)
	}
	if v := c.Control.Vaults; v != nil && v.Certificate != nil {
		files = append(files, &v.Certificate.Chain, &v.Certificate.Key)
	}
	if v := c.Control.Vaults; v != nil && v.Transit != nil {
		files = append(files, &v.Transit.TokenFile, &v.Transit.Roots)
	}
	files = append(files, c.Control.Onboard.files()...)
	files = append(files, c.Control.outside().files()...)
	for i := range c.Control.Login.Clients {
		files = append(files, &c.Control.Login.Clients[i].SecretFile)
	}
	return files
}

var (
	guid  = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	scope = regexp.MustCompile(`(?i)^/subscriptions/([0-9a-f-]{36})(/resourceGroups/[a-z0-9._()-]{1,90})?$`)
	word  = regexp.MustCompile(`^[a-z0-9]{1,40}$`)
)

// control checks what a control node says of itself.
func (k *configCheck) control() {
	if k.Control == nil {
		return
	}
	c, path := k.Control, "control"
	k.api(path+".api", c.API)
	if c.Store != "" && !isServer(c.Store) {
		k.bad(path+".store", "%q: write postgres://USER@HOST/DATABASE, or remove the key for a file in node.data", c.Store)
	}
	switch {
	case c.Suffix == "":
		k.bad(path+".suffix", "missing: write the domain under which gateways get their names, such as gateways.telecom.example")
	case !hostName.MatchString(c.Suffix) || !strings.Contains(c.Suffix, "."):
		k.bad(path+".suffix", "%q: write a domain name, such as gateways.telecom.example", c.Suffix)
	default:
		if err := gateway.CheckSuffix(c.Suffix); err != nil {
			k.bad(path+".suffix", "%v", err)
		}
	}
	k.zone(path+".dns", c.DNS)
	k.certificates(path+".certificates", c.Certificates)
	k.guid(path+".tenant.id", c.Tenant.ID, "the tenant")
	if len(c.Subscriptions) == 0 {
		k.bad(path+".subscriptions", "missing: write one at least, {id: <uuid>, name: …}; resources are kept in it")
	}
	for i, s := range c.Subscriptions {
		here := fmt.Sprintf("%s.subscriptions[%d]", path, i)
		k.guid(here+".id", s.ID, "the subscription")
		if slices.ContainsFunc(c.Subscriptions[:i], func(x SubscriptionConfig) bool { return strings.EqualFold(x.ID, s.ID) }) {
			k.bad(here+".id", "%s stands in the list already: remove one", s.ID)
		}
	}
	k.within(path+".keepRecords", c.KeepRecords, 24*time.Hour, 20*365*24*time.Hour)
	k.within(path+".keepAudit", c.KeepAudit, 24*time.Hour, 20*365*24*time.Hour)
	k.clients(path + ".login")
	k.vaults(path + ".vaults")
	k.directory(path + ".directory")
	k.onboarding(path + ".onboard")
	k.locations(path + ".locations")
}

// isServer tells whether a store is a PostgreSQL.
func isServer(store string) bool {
	return strings.HasPrefix(store, "postgres://") || strings.HasPrefix(store, "postgresql://")
}

func (k *configCheck) guid(path, id, of string) {
	if !guid.MatchString(id) {
		k.bad(path, "%q: write the ID of %s, a UUID such as 7f8d5c6e-0000-4000-8000-000000000001", id, of)
	}
}

func (k *configCheck) api(path string, a APIConfig) {
	if !a.Listen.IsValid() {
		k.bad(path+".listen", "missing: write an IP address and a port, such as 127.0.0.1:8443")
	}
	if !hostName.MatchString(a.Name) {
		k.bad(path+".name", "%q: write the host name in the URLs that clients are given, such as api.telecom.example", a.Name)
	}
	k.within(path+".retryAfter", a.RetryAfter, time.Second, time.Minute)
	leaf := k.pair(path+".certificate", a.Certificate)
	if leaf == nil || !hostName.MatchString(a.Name) {
		return
	}
	if err := leaf.VerifyHostname(a.Name); err != nil {
		k.bad(path+".certificate.chain", "the certificate does not bear %s, by which clients know this node: order one for it (it bears %s)", a.Name, bearing(leaf))
	}
}

func (k *configCheck) zone(path string, z *ZoneConfig) {
	if z == nil {
		return
	}
	if !z.Listen.IsValid() {
		k.bad(path+".listen", "missing: write an IP address and a port, usually 53")
	}
	if len(z.NameServers) == 0 {
		k.bad(path+".nameServers", "missing: write the names of the servers that the parent zone delegates to, such as ns1.telecom.example")
	}
	k.hosts(path+".nameServers", z.NameServers)
	if user, host, ok := strings.Cut(z.Contact, "@"); !ok || user == "" || !hostName.MatchString(host) {
		k.bad(path+".contact", "%q: write the mail address of who answers for the zone, such as hostmaster@telecom.example", z.Contact)
	}
	if t := z.TransferKey; t != nil {
		k.transferKey(path+".transferKey", *t)
	}
	for i, s := range z.Secondaries {
		if s.IsValid() && s.Port() == 0 {
			k.bad(fmt.Sprintf("%s.secondaries[%d]", path, i), "%s: write the port, usually 53", s)
		}
	}
}

func (k *configCheck) transferKey(path string, t TransferKey) {
	if !hostName.MatchString(t.Name) {
		k.bad(path+".name", "%q: write the name of the key as the secondaries have it, such as transfer.telecom.example", t.Name)
	}
	if t.SecretFile == "" {
		k.bad(path+".secretFile", "missing: name the file with the key, base64")
	} else if _, err := t.key(); err != nil {
		k.bad(path+".secretFile", "%s", err)
	}
}

// key reads the secret.
func (t TransferKey) key() (*zone.Key, error) {
	secret, err := peer.ReadSecret(publish.SecretAt(t.SecretFile, ""))
	if err != nil {
		return nil, err
	}
	if raw, err := base64.StdEncoding.DecodeString(string(secret)); err != nil || len(raw) < 16 {
		return nil, errors.New("the key is not base64 of 16 octets or more: make one by openssl rand -base64 32")
	}
	return &zone.Key{Name: t.Name, Secret: string(secret)}, nil
}

// clients checks which programs may sign in.
func (k *configCheck) clients(path string) {
	l := k.Control.Login
	if len(l.Clients) == 0 {
		k.bad(path+".clients", "missing: write one at least, {id: <uuid>, name: …, secretFile: …, roles: […]}; nobody could sign in")
	}
	for i, c := range l.Clients {
		here := fmt.Sprintf("%s.clients[%d]", path, i)
		k.guid(here+".id", c.ID, "the client")
		if slices.ContainsFunc(l.Clients[:i], func(x ClientConfig) bool { return strings.EqualFold(x.ID, c.ID) }) {
			k.bad(here+".id", "%s stands in the list already: remove one", c.ID)
		}
		switch {
		case k.Control.outside() == nil:
			k.secret(here, c.Name, c.SecretFile, "")
		case c.SecretFile != "":
			k.bad(here+".secretFile", "means nothing with a directory elsewhere (control.directory.outside), which has its secret: remove it")
		}
		k.directoryRoles(here+".directoryRoles", c.DirectoryRoles)
		for j, r := range c.Roles {
			at := fmt.Sprintf("%s.roles[%d]", here, j)
			k.oneOf(at+".role", r.Role, "Owner", "Contributor", "Reader")
			k.scope(at+".scope", r.Scope)
		}
	}
}

func (k *configCheck) scope(path, s string) {
	m := scope.FindStringSubmatch(s)
	if m == nil {
		k.bad(path, "%q: write /subscriptions/<id>, or a resource group in it", s)
		return
	}
	if !slices.ContainsFunc(k.Control.Subscriptions, func(x SubscriptionConfig) bool { return strings.EqualFold(x.ID, m[1]) }) {
		k.bad(path, "subscription %s is not among control.subscriptions: correct it, or add it there", m[1])
	}
}

// locations checks the regions and who serves them.
func (k *configCheck) locations(path string) {
	managed, edges := false, map[string]int{}
	for i, l := range k.Control.Locations {
		here := fmt.Sprintf("%s[%d]", path, i)
		if !word.MatchString(l.Name) {
			k.bad(here+".name", "%q: write the name in lower case without spaces, such as westeurope", l.Name)
		}
		if slices.ContainsFunc(k.Control.Locations[:i], func(x LocationConfig) bool { return x.Name == l.Name }) {
			k.bad(here+".name", "%s stands in the list already: remove one", l.Name)
		}
		if len(l.Uses) == 0 {
			k.bad(here+".uses", "missing: write management, service or both")
		}
		for j, use := range l.Uses {
			managed = managed || use == "management"
			k.oneOf(fmt.Sprintf("%s.uses[%d]", here, j), use, "management", "service")
		}
		if len(l.Edges) > 0 && !slices.Contains(l.Uses, "service") {
			k.bad(here+".edges", "calls are carried in regions with use service: add it, or remove the edges")
		}
		switch {
		case l.Store == "":
		case !isServer(l.Store):
			k.bad(here+".store", "%q: write postgres://USER@HOST/DATABASE, or remove the key to keep the calls in control.store", l.Store)
		case !slices.Contains(l.Uses, "management"):
			k.bad(here+".store", "records are kept in regions with use management: add it, or remove the key")
		}
		for j, e := range l.Edges {
			at := fmt.Sprintf("%s.edges[%d]", here, j)
			if !nodeName.MatchString(e) {
				k.bad(at, "%q: write the node.name of the edge", e)
			}
			if line := edges[e]; line != 0 {
				k.bad(at, "%s serves the region in line %d already: a node serves one", e, line)
			}
			edges[e] = k.at(at).line
		}
	}
	if !managed {
		k.bad(path, "no location has use management: a gateway needs one that keeps its records")
	}
}

// host is where clients find the API.
func (a APIConfig) host() string {
	if a.Listen.Port() == 443 {
		return a.Name
	}
	return net.JoinHostPort(a.Name, fmt.Sprint(a.Listen.Port()))
}
