package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/publish"
)

// lock makes the data folder and takes it for this process alone. The lock is
// the kernel's and goes with the process, however it ends.
func lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, dataMode); err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "the data folder " + dir + " cannot be made; make it writable or choose another node.data", Err: err}
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "the data folder " + dir + " is not writable; give it to this user or choose another node.data", Err: err}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.Conflict, "another node is running on the data folder "+dir+"; stop it or choose another node.data")
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// certificates are those of the listeners, by listener.
type certificates map[string]*certificate

// certificate is one pair of files and what was read from them last.
type certificate struct {
	files   publish.Certificate // RO
	current atomic.Pointer[tls.Certificate]
}

func (cs certificates) add(listener string, files publish.Certificate) error {
	c := &certificate{files: files}
	if err := c.load(); err != nil {
		return fmt.Errorf("certificate of listener %s: %w", listener, err)
	}
	cs[listener] = c
	return nil
}

// get is the function the stack asks at each handshake; nil for a listener
// without a certificate.
func (cs certificates) get(listener string) func() (*tls.Certificate, error) {
	c, ok := cs[listener]
	if !ok {
		return nil
	}
	return func() (*tls.Certificate, error) { return c.current.Load(), nil }
}

// reload reads all files again. Each that cannot be read keeps what it had.
func (cs certificates) reload() error {
	var failed []error
	for name, c := range cs {
		if err := c.load(); err != nil {
			failed = append(failed, fmt.Errorf("certificate of listener %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Chain, c.files.Key)
	if err != nil {
		return fmt.Errorf("%w; %s and %s must be a PEM chain, leaf first, and its key", err, c.files.Chain, c.files.Key)
	}
	c.current.Store(&pair)
	return nil
}

// loadRoots reads trust anchors; an empty path means the system's.
func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read sip.roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read sip.roots: %s holds no PEM certificate", path)
	}
	return pool, nil
}

var errStarting = fault.New(fault.Unavailable, "the node is still starting; try again in a moment")
