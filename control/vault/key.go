package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/tandemgw/tandem/base/fault"
)

// keeper has the key that data keys are wrapped with, and never gives it away.
// about binds what is wrapped to what it is for.
type keeper interface {
	// Prepare is called once before the others. first: nothing was ever wrapped
	// for this database, so that a key may be made.
	Prepare(ctx context.Context, first bool) error
	Wrap(ctx context.Context, key, about []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error)
}

// KeyFileName is what the key file is called in a node's data folder. Copies of
// that folder leave it out, with all names that begin so.
const KeyFileName = "vault.key"

// KeyFile is a keeper whose key is in a file: a Tink keyset in JSON, which
// only its owner may read. Whoever has the file and the database has the
// secrets: back them up apart from each other.
type KeyFile struct {
	path string // RO

	mu  sync.Mutex
	set *keyset.Handle // mu
}

// NewKeyFile names the file. It is read, or made, when vaults are opened.
func NewKeyFile(path string) *KeyFile { return &KeyFile{path: path} }

// Prepare reads the file. It is made only for a database that was never
// sealed: another key would open nothing.
func (f *KeyFile) Prepare(_ context.Context, first bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !first {
		return &fault.Error{Kind: fault.Invalid, Public: "the key file " + f.path + " is missing, and the database holds secrets that only it opens: put the file back, or the copy of another control node", Err: err}
	}
	m := keyset.NewManager()
	if err := add(m); err != nil {
		return err
	}
	set, err := m.Handle()
	if err != nil {
		return err
	}
	if err := f.write(set, true); err != nil {
		return err
	}
	return f.read()
}

// add makes a key and lets it be the one that wraps.
func add(m *keyset.Manager) error {
	id, err := m.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return err
	}
	return m.SetPrimary(id)
}

func (f *KeyFile) read() error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("read key file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("others than its owner may read the key file %s (mode %o): chmod 600 it, and if somebody has read it, rotate the key", f.path, info.Mode().Perm()))
	}
	set, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(file))
	if err == nil {
		_, err = aead.New(set)
	}
	if err != nil {
		// What the library says might quote the file.
		return fault.New(fault.Invalid, "the file "+f.path+" is no key file, or it is damaged: put the right one back")
	}
	f.set = set
	return nil
}

// write puts the file in its place in one step: whoever is killed leaves the
// one before, or none. With fresh, one that is there already stays.
func (f *KeyFile) write(set *keyset.Handle, fresh bool) error {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(set, keyset.NewJSONWriter(&b)); err != nil {
		return err
	}
	defer func() { clear(b.Bytes()[:b.Cap()]) }()
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, filepath.Base(f.path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	put := os.Rename
	if fresh {
		put = os.Link
	}
	if err := put(tmp.Name(), f.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write key file: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Rotate lets a new key wrap from now on. Those before stay in the file, for
// what they have wrapped: see Set.Rewrap.
func (f *KeyFile) Rotate() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return err
	}
	m := keyset.NewManagerFromHandle(f.set)
	if err := add(m); err != nil {
		return err
	}
	set, err := m.Handle()
	if err != nil {
		return err
	}
	if err := f.write(set, false); err != nil {
		return err
	}
	f.set = set
	return nil
}

func (f *KeyFile) aead() (tink.AEAD, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return aead.New(f.set)
}

// Wrap encrypts a data key.
func (f *KeyFile) Wrap(_ context.Context, key, about []byte) ([]byte, error) {
	a, err := f.aead()
	if err != nil {
		return nil, err
	}
	return a.Encrypt(key, about)
}

// Unwrap decrypts a data key. Another control node may have rotated the key
// and the operator brought the file: it is read again before giving up.
func (f *KeyFile) Unwrap(_ context.Context, wrapped, about []byte) ([]byte, error) {
	a, err := f.aead()
	if err != nil {
		return nil, err
	}
	if key, err := a.Decrypt(wrapped, about); err == nil {
		return key, nil
	}
	f.mu.Lock()
	err = f.read()
	f.mu.Unlock()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Err: err} // where the file is concerns no client
	}
	if a, err = f.aead(); err != nil {
		return nil, err
	}
	key, err := a.Decrypt(wrapped, about)
	if err != nil {
		return nil, fmt.Errorf("the key file %s is not the one that wrapped this: %w", f.path, err)
	}
	return key, nil
}

// dataKey is the key of one vault.
type dataKey struct{ tink.AEAD }

// newDataKey makes one, and its plain form, which the caller wraps and clears.
func newDataKey() (k dataKey, plain []byte, err error) {
	m := keyset.NewManager()
	if err := add(m); err != nil {
		return k, nil, err
	}
	set, err := m.Handle()
	if err != nil {
		return k, nil, err
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(set, keyset.NewBinaryWriter(&b)); err != nil {
		return k, nil, err
	}
	k.AEAD, err = aead.New(set)
	return k, b.Bytes(), err
}

func readDataKey(plain []byte) (k dataKey, err error) {
	set, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(plain)))
	if err != nil {
		return k, errors.New("a data key cannot be read") // the library might quote it
	}
	k.AEAD, err = aead.New(set)
	return k, err
}

// newVersion is 32 hexadecimal digits.
func newVersion() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}
