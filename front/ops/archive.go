package ops

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Manifest is the first entry of an archive of a node's data and says what
// follows. An archive is a tar; `tandem backup` compresses it with gzip.
type Manifest struct {
	Format  int            `json:"format"`
	Version string         `json:"version"` // of the node that made it
	Node    string         `json:"node"`
	Region  string         `json:"region"`
	Made    time.Time      `json:"made"`
	Files   []ArchivedFile `json:"files"`
	// Elsewhere is what belongs to the node's data and is not in its data
	// folder: a sentence each, saying who copies it.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// ArchivedFile is one file of an archive; all have mode 0600.
type ArchivedFile struct {
	Name   string `json:"name"` // relative to the data folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // of the content, in hex
}

// Size is the octets of all files.
func (m Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

const (
	format       = 1
	manifestName = "manifest.json"
	maxManifest  = 1 << 20
)

// WriteArchive writes the manifest and its files, which open gives, as a tar.
func WriteArchive(w io.Writer, m Manifest, open func(ArchivedFile) (io.ReadCloser, error)) error {
	m.Format = format
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(head)), ModTime: m.Made}); err != nil {
		return err
	}
	if _, err := t.Write(head); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := writeFile(t, m, f, open); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return t.Close()
}

func writeFile(t *tar.Writer, m Manifest, f ArchivedFile, open func(ArchivedFile) (io.ReadCloser, error)) error {
	r, err := open(f)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := t.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: f.Size, ModTime: m.Made}); err != nil {
		return err
	}
	_, err = io.Copy(t, r)
	return err
}

// ReadArchive gives each file of an archive to each, in the manifest's order,
// and refuses what is damaged, incomplete or of a newer form with a
// fault.Invalid. What each was given is sound only once it has returned nil
// and ReadArchive has, too.
func ReadArchive(r io.Reader, each func(Manifest, ArchivedFile, io.Reader) error) (Manifest, error) {
	t := tar.NewReader(r)
	m, err := readManifest(t)
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := readFile(t, m, f, each); err != nil {
			return m, err
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return m, damaged("something follows its last file", err)
	}
	// The end of what encloses the tar tells whether that is whole.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return m, damaged("its end is missing", err)
	}
	return m, nil
}

func readManifest(t *tar.Reader) (m Manifest, err error) {
	h, err := t.Next()
	if err != nil {
		return m, damaged("it does not begin as one of tandem backup", err)
	}
	if h.Name != manifestName || h.Size > maxManifest {
		return m, damaged("it does not begin with a manifest", nil)
	}
	head, err := io.ReadAll(t)
	if err != nil {
		return m, damaged("it ends within its manifest", err)
	}
	// The form first: a newer one may have anything else in it.
	if err := json.Unmarshal(head, &struct{ Format *int }{&m.Format}); err != nil || m.Format < 1 {
		return m, damaged("its manifest cannot be read", err)
	}
	if m.Format > format {
		return m, fault.New(fault.Invalid, "the archive was made by a newer Tandem: restore it with that version")
	}
	if err := json.Unmarshal(head, &m); err != nil {
		return m, damaged("its manifest cannot be read", err)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Name) || f.Size < 0 || seen[f.Name] {
			return m, damaged("its manifest names a file that no node has", fmt.Errorf("name %q", f.Name))
		}
		seen[f.Name] = true
	}
	return m, nil
}

func readFile(t *tar.Reader, m Manifest, f ArchivedFile, each func(Manifest, ArchivedFile, io.Reader) error) error {
	h, err := t.Next()
	if err != nil {
		return damaged(f.Name+" is missing", err)
	}
	if h.Name != f.Name || h.Size != f.Size || h.Typeflag != tar.TypeReg {
		return damaged(f.Name+" is not where its manifest says", nil)
	}
	sum := sha256.New()
	content := &source{Reader: io.TeeReader(t, sum)}
	err = each(m, f, content)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
	}
	if content.err != nil {
		return damaged(f.Name+" is cut short", content.err)
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return damaged(f.Name+" does not match its checksum", nil)
	}
	return nil
}

// source remembers the error of a read, so that it is told from one of a write.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = cmp.Or(s.err, err)
	}
	return n, err
}

func damaged(how string, err error) error {
	return &fault.Error{Kind: fault.Invalid, Public: "the archive is damaged: " + how + "; take another one", Err: err}
}
