package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/tandemgw/tandem/base/fault"
)

// ACME is an authority that signs by RFC 8555, having seen a token in our zone
// (dns-01, §8.4: the only challenge that proves a wildcard).
type ACME struct {
	Directory string // URL
	Staging   string // URL of its place for tries, which has higher limits; empty: none
	Contact   string // mail address that it warns; empty: none
	Agreed    bool   // the operator has agreed to the authority's terms of service (§7.3.3)
	KeyID     string // of the account at the authority that this one belongs to (§7.3.4); empty: none
	MACKey    string // of it, base64url
	Dir       string // keeps the account's key: a file that only we may read, until there is a vault
	Zone      tokens
	Client    *http.Client // nil: the default, with the system's roots

	mu       sync.Mutex
	accounts map[string]acme.Account // mu; by directory
}

// tokens is where tokens are shown.
type tokens interface {
	AddText(ctx context.Context, name, value string) error
	RemoveText(ctx context.Context, name, value string) error
	Visible(ctx context.Context, name, value string) error // returns when every name server shows it
}

func (a *ACME) open() error {
	if !strings.HasPrefix(a.Directory, "https://") {
		return fault.New(fault.Invalid, fmt.Sprintf("ACME directory %q: write an https URL", a.Directory))
	}
	if !a.Agreed {
		return fault.New(fault.Invalid, "ACME: read the terms of service of "+a.Directory+" and say that you agree")
	}
	if (a.KeyID == "") != (a.MACKey == "") {
		return fault.New(fault.Invalid, "ACME: an account at the authority has a key ID and a MAC key: write both or none")
	}
	a.accounts = map[string]acme.Account{}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the ACME account: %w", err)
	}
	return nil
}

// obtain has a request signed. After a failure it is tried at the place for
// tries first, so that a mistake of ours does not use up what the authority
// gives in a week.
func (a *ACME) obtain(ctx context.Context, c Certificate, roots *x509.CertPool) (string, error) {
	if c.Attempts > 0 && a.Staging != "" {
		if _, err := a.from(ctx, a.Staging, c, nil); err != nil {
			return "", fmt.Errorf("at the place for tries: %w", err)
		}
	}
	return a.from(ctx, a.Directory, c, roots)
}

func (a *ACME) from(ctx context.Context, directory string, c Certificate, roots *x509.CertPool) (string, error) {
	request, err := parseRequest(c.Request)
	if err != nil {
		return "", err
	}
	client := &acmez.Client{
		Client:           &acme.Client{Directory: directory, HTTPClient: a.Client, UserAgent: "Tandem", PollTimeout: orderTime / 2},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeDNS01: solver{a.Zone}},
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	account, err := a.account(ctx, client.Client, directory)
	if err != nil {
		return "", fmt.Errorf("open an account at %s: %w", directory, explain(err))
	}
	order, err := acmez.OrderParametersFromCSR(account, request)
	if err != nil {
		return "", fmt.Errorf("make an order: %w", err)
	}
	chains, err := client.ObtainCertificate(ctx, order)
	if err != nil {
		return "", fmt.Errorf("order at %s: %w", directory, explain(err))
	}
	var refused error
	for _, chain := range chains { // the authority may offer several, which lead to several roots
		text := string(chain.ChainPEM)
		if _, err := judge(text, c, roots, time.Now()); err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		return text, nil
	}
	if refused == nil {
		refused = errors.New("it sent none")
	}
	return "", fmt.Errorf("what %s signed is not taken: %w", directory, refused)
}

// orderTime is how long an order may take; authorities take seconds, the wait
// for name servers included.
const orderTime = 5 * time.Minute

// account is ours at an authority; it is made at the first order.
func (a *ACME) account(ctx context.Context, client *acme.Client, directory string) (acme.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if account, ok := a.accounts[directory]; ok {
		return account, nil
	}
	key, err := a.key(directory)
	if err != nil {
		return acme.Account{}, err
	}
	account := acme.Account{PrivateKey: key, TermsOfServiceAgreed: a.Agreed}
	if a.Contact != "" {
		account.Contact = []string{"mailto:" + a.Contact}
	}
	if a.KeyID != "" {
		if err := account.SetExternalAccountBinding(ctx, client, acme.EAB{KeyID: a.KeyID, MACKey: a.MACKey}); err != nil {
			return acme.Account{}, err
		}
	}
	// RFC 8555 §7.3.1: with a key that is known it gives the account there is.
	account, err = client.NewAccount(ctx, account)
	if err == nil {
		a.accounts[directory] = account
	}
	return account, err
}

// key is the account's, made when there is none.
func (a *ACME) key(directory string) (*ecdsa.PrivateKey, error) {
	sum := sha256.Sum256([]byte(directory))
	file := filepath.Join(a.Dir, "acme-"+hex.EncodeToString(sum[:6])+".key")
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newAccountKey(file)
	case err != nil:
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is damaged: restore it, or remove it and another account is opened", file)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or remove it and another account is opened", file, err)
	}
	return key, nil
}

func newAccountKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = pem.Encode(f, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return key, os.Rename(file+".new", file)
}

// solver shows tokens in our zone.
type solver struct{ zone tokens }

func (s solver) Present(ctx context.Context, c acme.Challenge) error {
	return s.zone.AddText(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

func (s solver) Wait(ctx context.Context, c acme.Challenge) error {
	return s.zone.Visible(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

func (s solver) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.zone.RemoveText(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// explain makes a sentence of what an authority says.
func explain(err error) error {
	p, ok := errors.AsType[acme.Problem](err)
	if !ok {
		return err
	}
	said := p.Detail
	for _, sub := range p.Subproblems {
		said += "; " + strings.TrimSpace(sub.Identifier.Value+" "+sub.Detail)
	}
	return &problem{kind: strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:"), said: said, err: err}
}

// problem is one of RFC 8555 §6.7.
type problem struct {
	kind string // "rateLimited"
	said string
	err  error
}

func (p *problem) Error() string { return fmt.Sprintf("the authority says %s: %s", p.kind, p.said) }
func (p *problem) Unwrap() error { return p.err }

// pauses between tries of one certificate. An hour has fewer than the five
// failures for a name that Let's Encrypt allows ("Rate Limits", Failed
// Validations).
var pauses = []time.Duration{time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour}

const longest = 12 * time.Hour

// pause is the time until the next try.
func pause(attempts int, err error) time.Duration {
	if p, ok := errors.AsType[*problem](err); ok && p.kind == "rateLimited" {
		return longest // limits are of a week, and each try may count
	}
	if attempts <= len(pauses) {
		return pauses[attempts-1]
	}
	return longest
}
