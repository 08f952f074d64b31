package directory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Domain is a name of the tenant's.
type Domain struct {
	Name     string // in lower case, without the last dot
	Tenant   string
	Token    string    // what a TXT record at the name must say: "MS=ms12345678"
	Verified time.Time // zero: not yet
	Initial  bool      // it came with the tenant
	Default  bool      // of new users
	Created  time.Time
}

// IsVerified tells whether the name counts as the tenant's.
func (d Domain) IsVerified() bool { return !d.Verified.IsZero() }

// Record is a DNS record that proves who owns a name: one of them is enough.
type Record struct {
	ID         string
	Type       string // "Txt", "Mx"
	Label      string // the name it stands at
	Text       string // of a TXT record
	Exchange   string // of an MX record
	Preference int
	TTL        int // seconds
}

// resolver is where TXT and MX records are looked up; *net.Resolver is one.
type resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// Domains are all of the caller's tenant, in the order of their names.
func (s *Set) Domains(ctx context.Context, c Caller) (list []Domain, err error) {
	err = s.look(ctx, c, readDomains, func(tx *store.Tx) error {
		list, err = domains(ctx, tx, "WHERE tenant = ? ORDER BY name", c.Tenant)
		return err
	})
	return list, err
}

// Domain is the one with a name.
func (s *Set) Domain(ctx context.Context, c Caller, name string) (d Domain, err error) {
	err = s.look(ctx, c, readDomains, func(tx *store.Tx) error {
		d, err = domain(ctx, tx, c.Tenant, name)
		return err
	})
	return d, err
}

// domainName is a host name of two labels at least, and no address (RFC 1123
// §2.1).
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)

// normalDomain is a name as it is compared.
func normalDomain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// AddDomain says that a name is the tenant's, which must be proven yet: by one
// of VerificationRecords, unless a name above is the tenant's already.
func (s *Set) AddDomain(ctx context.Context, c Caller, name string) (d Domain, err error) {
	e := edit{by: c, needs: writeDomains, action: "microsoft.directory/domains/create", target: target(c.Tenant, "domains", normalDomain(name))}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		d = Domain{Name: normalDomain(name), Tenant: c.Tenant, Token: newToken(), Created: now()}
		if len(d.Name) > 253 || !domainName.MatchString(d.Name) {
			return invalid("Domain name '%.100s' is not valid: write a name such as voice.example.com.", name)
		}
		if _, err := domain(ctx, tx, c.Tenant, d.Name); fault.Of(err) != fault.NotFound {
			if err == nil {
				err = fault.New(fault.Conflict, "Domain '"+d.Name+"' already exists in your organization.")
			}
			return err
		}
		other, err := domains(ctx, tx, "WHERE name = ? AND verified > 0", d.Name)
		switch {
		case err != nil:
			return err
		case len(other) > 0:
			return fault.New(fault.Conflict, "Domain '"+d.Name+"' is verified by another organization.")
		}
		if above, err := owns(ctx, tx, c.Tenant, d.Name); err != nil {
			return err
		} else if above {
			d.Verified = d.Created
		}
		return insertDomain(ctx, tx, d)
	})
	return d, err
}

func insertDomain(ctx context.Context, tx *store.Tx, d Domain) error {
	_, err := tx.Exec(ctx, "INSERT INTO directory_domain (tenant, name, token, verified, initial, preferred, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
		d.Tenant, d.Name, d.Token, store.Micros(d.Verified), bit(d.Initial), bit(d.Default), store.Micros(d.Created))
	return err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// newToken is what nobody else can know before it is shown.
func newToken() string {
	var b [4]byte
	rand.Read(b[:])
	return fmt.Sprintf("MS=ms%08d", binary.BigEndian.Uint32(b[:])%1e8)
}

// verificationTTL is what such records are asked to have, in seconds.
const verificationTTL = 3600

// VerificationRecords are the records of which one proves that a domain is the
// tenant's.
func (s *Set) VerificationRecords(ctx context.Context, c Caller, name string) ([]Record, error) {
	d, err := s.Domain(ctx, c, name)
	if err != nil {
		return nil, err
	}
	return []Record{
		{ID: derived(d.Tenant, d.Name+" txt"), Type: "Txt", Label: d.Name, Text: d.Token, TTL: verificationTTL},
		{ID: derived(d.Tenant, d.Name+" mx"), Type: "Mx", Label: d.Name, Exchange: d.exchange(), Preference: 32767, TTL: verificationTTL},
	}, nil
}

// exchange is the name that the MX record must have: it stands nowhere.
func (d Domain) exchange() string {
	return strings.TrimPrefix(d.Token, "MS=") + ".msv1.invalid"
}

// lookTime is how long the look for a record may take.
const lookTime = 10 * time.Second

// VerifyDomain looks into the DNS for one of the records. The error says what
// was found instead.
func (s *Set) VerifyDomain(ctx context.Context, c Caller, name string) (d Domain, err error) {
	e := edit{by: c, needs: writeDomains, action: "microsoft.directory/domains/verify", target: target(c.Tenant, "domains", normalDomain(name))}
	if err := s.allowed(ctx, &e); err != nil {
		return d, err
	}
	if d, err = s.Domain(ctx, c, name); err != nil || d.IsVerified() {
		return d, err
	}
	if err := s.proven(ctx, d); err != nil {
		return d, err
	}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		// Another tenant may have been faster.
		other, err := domains(ctx, tx, "WHERE name = ? AND verified > 0 AND tenant <> ?", d.Name, c.Tenant)
		switch {
		case err != nil:
			return err
		case len(other) > 0:
			return fault.New(fault.Conflict, "Domain '"+d.Name+"' is verified by another organization.")
		}
		d.Verified = now()
		n, err := tx.Exec(ctx, "UPDATE directory_domain SET verified = ? WHERE tenant = ? AND name = ? AND token = ?", store.Micros(d.Verified), c.Tenant, d.Name, d.Token)
		if err == nil && n == 0 {
			err = missing("domain", d.Name)
		}
		return err
	})
	return d, err
}

// proven looks for the records of a domain.
func (s *Set) proven(ctx context.Context, d Domain) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	// The last dot keeps the search list of the machine out of it.
	found, err := s.resolver.LookupTXT(ctx, d.Name+".")
	if slices.ContainsFunc(found, func(t string) bool { return strings.EqualFold(strings.TrimSpace(t), d.Token) }) {
		return nil
	}
	mx, errMX := s.resolver.LookupMX(ctx, d.Name+".")
	if slices.ContainsFunc(mx, func(m *net.MX) bool { return normalDomain(m.Host) == d.exchange() }) {
		return nil
	}
	if err == nil {
		err = errMX
	}
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && !(ok && dns.IsNotFound) {
		s.log.Warn("a domain cannot be looked for", "domain", d.Name, obs.KeyError, err)
		return &fault.Error{Kind: fault.Unavailable, Public: "The DNS does not answer for '" + d.Name + "': try again later.", Err: err}
	}
	return &fault.Error{Kind: fault.Invalid, Public: fmt.Sprintf("Domain verification failed with the following error: 'The TXT record %s was not found at %s'. %s If you have just created the record, try again later.", d.Token, d.Name, seen(found)), Err: ErrUnproven}
}

// ErrUnproven is within the error of a domain whose record is not in the DNS.
var ErrUnproven = errors.New("the record is not there")

// seen tells what stands at the name instead.
func seen(found []string) string {
	if len(found) == 0 {
		return "There is no TXT record."
	}
	return fmt.Sprintf("There are %d others.", len(found))
}

// RemoveDomain says that a name is no longer the tenant's. It must not be in
// use.
func (s *Set) RemoveDomain(ctx context.Context, c Caller, name string) error {
	e := edit{by: c, needs: writeDomains, action: "microsoft.directory/domains/delete", target: target(c.Tenant, "domains", normalDomain(name))}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		d, err := domain(ctx, tx, c.Tenant, name)
		if err != nil {
			return err
		}
		if d.Initial || d.Default {
			return invalid("The initial domain and the default domain cannot be removed.")
		}
		if _, err := tx.Exec(ctx, "DELETE FROM directory_domain WHERE tenant = ? AND name = ?", c.Tenant, d.Name); err != nil {
			return err
		}
		return inUse(ctx, tx, d)
	})
}

// inUse is an error when users or applications have a name that nothing gives
// to the tenant any longer.
func inUse(ctx context.Context, tx *store.Tx, d Domain) error {
	list, err := users(ctx, tx, "WHERE tenant = ?", d.Tenant)
	if err != nil {
		return err
	}
	for _, u := range list {
		_, host, _ := strings.Cut(u.Name, "@")
		if !within(host, d.Name) {
			continue
		}
		if ok, err := owns(ctx, tx, d.Tenant, host); err != nil || !ok {
			if err == nil {
				err = fault.New(fault.Conflict, "Domain '"+d.Name+"' is in use: user '"+u.Name+"' has a name in it.")
			}
			return err
		}
	}
	uris, err := store.All(ctx, tx, func(scan store.Scan) (uri string, err error) { return uri, scan(&uri) }, "SELECT uri_key FROM application_uri WHERE tenant = ? AND uri_key LIKE 'https://%' ORDER BY uri_key", d.Tenant)
	if err != nil {
		return err
	}
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || !within(u.Hostname(), d.Name) {
			continue
		}
		if ok, err := owns(ctx, tx, d.Tenant, u.Hostname()); err != nil || !ok {
			if err == nil {
				err = fault.New(fault.Conflict, "Domain '"+d.Name+"' is in use: an application has the identifier URI '"+uri+"'.")
			}
			return err
		}
	}
	return nil
}

// SetDefaultDomain has new users get a name in a domain, which must be
// verified.
func (s *Set) SetDefaultDomain(ctx context.Context, c Caller, name string) error {
	e := edit{by: c, needs: writeDomains, action: "microsoft.directory/domains/update", target: target(c.Tenant, "domains", normalDomain(name))}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		d, err := domain(ctx, tx, c.Tenant, name)
		switch {
		case err != nil:
			return err
		case !d.IsVerified():
			return invalid("Domain '%s' is not verified.", d.Name)
		case d.Default:
			return errNothing
		}
		if _, err := tx.Exec(ctx, "UPDATE directory_domain SET preferred = 0 WHERE tenant = ?", c.Tenant); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE directory_domain SET preferred = 1 WHERE tenant = ? AND name = ?", c.Tenant, d.Name)
		return err
	})
}

// Verified tells whether a name, or one above it, is a verified domain of a
// tenant.
func (s *Set) Verified(ctx context.Context, tenant, name string) (ok bool, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		ok, err = owns(ctx, tx, strings.ToLower(tenant), name)
		return err
	})
	return ok, err
}

// owns tells whether a name is in a verified domain of a tenant.
func owns(ctx context.Context, tx *store.Tx, tenant, name string) (bool, error) {
	list, err := domains(ctx, tx, "WHERE tenant = ? AND verified > 0", tenant)
	return slices.ContainsFunc(list, func(d Domain) bool { return within(name, d.Name) }), err
}

// within tells whether a name is a domain or below it.
func within(name, domain string) bool {
	name = normalDomain(name)
	return name == domain || strings.HasSuffix(name, "."+domain)
}

func domain(ctx context.Context, tx *store.Tx, tenant, name string) (Domain, error) {
	found, err := domains(ctx, tx, "WHERE tenant = ? AND name = ?", tenant, normalDomain(name))
	if err != nil || len(found) == 0 {
		if err == nil {
			err = missing("domain", name)
		}
		return Domain{}, err
	}
	return found[0], nil
}

func domains(ctx context.Context, tx *store.Tx, where string, args ...any) ([]Domain, error) {
	return store.All(ctx, tx, func(scan store.Scan) (d Domain, err error) {
		var verified, initial, preferred, created int64
		err = scan(&d.Tenant, &d.Name, &d.Token, &verified, &initial, &preferred, &created)
		d.Verified, d.Initial, d.Default, d.Created = store.Time(verified), initial == 1, preferred == 1, store.Time(created)
		return d, err
	}, "SELECT tenant, name, token, verified, initial, preferred, created FROM directory_domain "+where, args...)
}
