// Package identity keeps the certificate of an edge whose issue control sees
// to. The private key is made here and never leaves the folder: Request gives
// what is to be signed, Install takes the chain that came back.
//
// Key and chain are one file, so that no crash can leave one without the
// other; the key of a request that is under way is another, and outlives the
// process, so that a chain that comes late still fits.
//
// Start reading at Keeper.
package identity

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// The files, each with a private key.
const (
	shownFile   = "shown.pem"   // key, then chain, leaf first
	pendingFile = "pending.pem" // key of a request, and the request
)

// keyBits: RSA, since the suites of TLS 1.2 that Microsoft Teams offers are
// all for RSA (Microsoft Teams docs, "Plan Direct Routing", TLS).
const keyBits = 2048

// Keeper is the folder of one edge.
type Keeper struct {
	dir   string // RO
	shown atomic.Pointer[tls.Certificate]

	mu sync.Mutex // one request or installation at a time
}

// Open reads the folder. What is damaged is an error, since a key that is lost
// is a certificate to be ordered anew, and somebody should know why.
func Open(dir string) (*Keeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the certificate: %w", err)
	}
	k := &Keeper{dir: dir}
	data, err := os.ReadFile(k.path(shownFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or remove it and control will have another signed", k.path(shownFile), err)
	}
	k.shown.Store(&pair)
	return k, nil
}

func (k *Keeper) path(file string) string { return filepath.Join(k.dir, file) }

// Certificate is the one to show; nil when there is none yet.
func (k *Keeper) Certificate() *tls.Certificate { return k.shown.Load() }

// Bears tells whether the certificate has all names, and no end behind it.
func (k *Keeper) Bears(names []string, now time.Time) bool {
	c := k.shown.Load()
	return c != nil && now.Before(c.Leaf.NotAfter) && !slices.ContainsFunc(names, func(name string) bool { return !bears(c.Leaf, name) })
}

// bears tells whether a name is written in a certificate: a wildcard is asked
// for as such.
func bears(c *x509.Certificate, name string) bool {
	return slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
}

// Request gives a certificate request for names, as PEM. One that was made
// before for the same names, and was not answered yet, is given again: a
// signature may be on its way.
func (k *Keeper) Request(names []string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(names) == 0 {
		return "", fault.New(fault.Invalid, "a certificate is wanted for no name")
	}
	if _, request, err := k.pending(); err == nil && slices.Equal(request.DNSNames, names) {
		return encode("CERTIFICATE REQUEST", request.Raw), nil
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return "", fmt.Errorf("make a request: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return "", err
	}
	request := encode("CERTIFICATE REQUEST", der)
	if err := k.write(pendingFile, private+request); err != nil {
		return "", fmt.Errorf("keep the key: %w", err)
	}
	return request, nil
}

// pending is the request that waits for its signature.
func (k *Keeper) pending() (crypto.Signer, *x509.CertificateRequest, error) {
	data, err := os.ReadFile(k.path(pendingFile))
	if err != nil {
		return nil, nil, err
	}
	private, rest := pem.Decode(data)
	request, _ := pem.Decode(rest)
	if private == nil || request == nil {
		return nil, nil, fmt.Errorf("%s is damaged", k.path(pendingFile))
	}
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificateRequest(request.Bytes)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds no key that signs", k.path(pendingFile))
	}
	return signer, parsed, nil
}

// Install takes the chain of the request under way, as PEM, leaf first. It is
// shown from the next handshake on. A chain that does not fit is refused with
// a sentence, and all stays as it was; the same chain once more is fine.
func (k *Keeper) Install(chain string, now time.Time) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := readChain(chain)
	if err != nil {
		return nil, err
	}
	leaf := list[0]
	if c := k.shown.Load(); c != nil && bytes.Equal(c.Leaf.Raw, leaf.Raw) {
		return c, nil // the answer to the first time was lost
	}
	key, request, err := k.pending()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Conflict, "the edge waits for no certificate")
	case err != nil:
		return nil, fmt.Errorf("read the request under way: %w", err)
	}
	if err := fits(leaf, key.Public(), request.DNSNames, now); err != nil {
		return nil, err
	}
	private, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	text := private
	for _, c := range list {
		text += encode("CERTIFICATE", c.Raw)
	}
	pair, err := tls.X509KeyPair([]byte(text), []byte(text))
	if err != nil {
		return nil, fmt.Errorf("read the chain: %w", err)
	}
	if err := k.write(shownFile, text); err != nil {
		return nil, fmt.Errorf("keep the certificate: %w", err)
	}
	k.shown.Store(&pair)
	// A crash before this leaves a request that is asked for again, and a chain
	// that is refused for its key: another order, and nothing else.
	if err := os.Remove(k.path(pendingFile)); err != nil {
		return nil, fmt.Errorf("end the request: %w", err)
	}
	return &pair, nil
}

// fits checks a leaf against what was asked for.
func fits(leaf *x509.Certificate, key crypto.PublicKey, names []string, now time.Time) error {
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key) {
		return fault.New(fault.Invalid, "the certificate is for another key than the request under way: have that request signed")
	}
	for _, name := range names {
		if !bears(leaf, name) {
			return fault.New(fault.Invalid, fmt.Sprintf("the certificate lacks the name %s (it bears %s): have the request signed with all its names", name, strings.Join(leaf.DNSNames, ", ")))
		}
	}
	switch {
	case now.After(leaf.NotAfter):
		return fault.New(fault.Invalid, "the certificate ended on "+leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fault.New(fault.Invalid, "the certificate begins on "+leaf.NotBefore.UTC().Format(time.DateTime)+" UTC: see to the clocks")
	}
	return nil
}

// maxChain bounds what is read.
const maxChain = 1 << 16

func readChain(text string) (list []*x509.Certificate, err error) {
	if len(text) > maxChain {
		return nil, fault.New(fault.Invalid, "the chain is too long to be one")
	}
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the chain holds a damaged certificate: "+err.Error())
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, "the chain holds no certificate in PEM form")
	}
	return list, nil
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func encodeKey(key crypto.Signer) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("write the key: %w", err)
	}
	return encode("PRIVATE KEY", der), nil
}

// write replaces a file whole, readable for us alone, and returns when it is
// on the disk.
func (k *Keeper) write(file, text string) (err error) {
	f, err := os.CreateTemp(k.dir, file+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), k.path(file)); err != nil {
		return err
	}
	d, err := os.Open(k.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
