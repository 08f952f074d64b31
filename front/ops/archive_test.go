package ops

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/base/fault"
)

// folder is the content of an archive, by name.
type folder map[string]string

func (f folder) manifest(names ...string) Manifest {
	m := Manifest{Format: format, Version: "1.2.3", Node: "r1-a", Region: "westeurope", Made: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)}
	for _, name := range names {
		sum := sha256.Sum256([]byte(f[name]))
		m.Files = append(m.Files, ArchivedFile{Name: name, Size: int64(len(f[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	return m
}

func (f folder) open(a ArchivedFile) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(f[a.Name])), nil
}

var small = folder{"calls.db": strings.Repeat("record ", 300), "link/snapshot": "{}", "empty": ""}

func packed(t testing.TB, f folder, m Manifest) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteArchive(&b, m, f.open); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpacked reads an archive into a folder.
func unpacked(r io.Reader) (folder, Manifest, error) {
	got := folder{}
	m, err := ReadArchive(r, func(_ Manifest, f ArchivedFile, r io.Reader) error {
		b, err := io.ReadAll(r)
		got[f.Name] = string(b)
		return err
	})
	return got, m, err
}

func TestAnArchiveIsReadBackAsItWasWritten(t *testing.T) {
	m := small.manifest("calls.db", "link/snapshot", "empty")
	m.Elsewhere = []string{"The rest is elsewhere."}
	got, back, err := unpacked(bytes.NewReader(packed(t, small, m)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(small, got) + cmp.Diff(m, back); d != "" {
		t.Error(d)
	}
}

func TestAnArchiveThatEndsAnywhereIsRefused(t *testing.T) {
	whole := packed(t, small, small.manifest("calls.db", "link/snapshot", "empty"))
	end := len(whole) - 1024 // two empty blocks close a tar
	for n := 0; n < end; n += 100 {
		if _, _, err := unpacked(bytes.NewReader(whole[:n])); fault.Of(err) != fault.Invalid {
			t.Fatalf("cut after %d octets: %v", n, err)
		}
	}
}

func TestAnArchiveWithAChangedOctetIsRefused(t *testing.T) {
	m := small.manifest("calls.db", "link/snapshot", "empty")
	whole := packed(t, small, m)
	at := bytes.Index(whole, []byte("record record"))
	for _, i := range []int{at, at + 1000, at + len(small["calls.db"]) - 1} {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		_, _, err := unpacked(bytes.NewReader(bad))
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Public != "the archive is damaged: calls.db does not match its checksum; take another one" {
			t.Errorf("octet %d: %v", i, err)
		}
	}
}

func TestAForeignArchiveIsRefused(t *testing.T) {
	of := func(names ...string) []byte {
		f := folder{}
		for _, name := range names {
			f[name] = "content"
		}
		return packed(t, f, f.manifest(names...))
	}
	newer := bytes.Replace(packed(t, small, small.manifest("empty")), []byte(`"format": 1`), []byte(`"format": 2`), 1)
	var elf bytes.Buffer
	w := tar.NewWriter(&elf)
	w.WriteHeader(&tar.Header{Name: "bin/true", Size: 1, Mode: 0o755})
	w.Write([]byte{1})
	w.Close()
	for name, c := range map[string]struct {
		archive []byte
		want    string
	}{
		"no archive":                {[]byte(strings.Repeat("x", 2000)), "does not begin as one of tandem backup"},
		"somebody's tar":            {elf.Bytes(), "does not begin with a manifest"},
		"a newer form":              {newer, "made by a newer Tandem: restore it with that version"},
		"a file out of the folder":  {of("../calls.db"), "names a file that no node has"},
		"an absolute name":          {of("/etc/passwd"), "names a file that no node has"},
		"a file twice":              {of("calls.db", "calls.db"), "names a file that no node has"},
		"no file":                   {packed(t, small, small.manifest())[:2048], ""},
		"more than is in its list":  {append(bytes.TrimRight(packed(t, small, small.manifest("empty")), "\x00"), packed(t, small, small.manifest("empty"))...), "damaged"},
		"another file in its place": {swapped(t), "is not where its manifest says"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := unpacked(bytes.NewReader(c.archive))
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || !strings.Contains(f.Public, c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
		})
	}
}

// swapped is an archive whose files are in another order than its list.
func swapped(t *testing.T) []byte {
	t.Helper()
	whole := packed(t, small, small.manifest("link/snapshot", "empty"))
	return bytes.Replace(whole, []byte(`"name": "empty"`), []byte(`"name": "Empty"`), 1)
}

func FuzzReadArchive(f *testing.F) {
	whole := packed(f, small, small.manifest("calls.db", "link/snapshot", "empty"))
	f.Add(whole)
	f.Add(whole[:1500])
	f.Add(bytes.Replace(whole, []byte("link/snapshot"), []byte("../../snapsho"), 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, m, err := unpacked(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, a := range m.Files {
			sum := sha256.Sum256([]byte(got[a.Name]))
			if !filepath.IsLocal(a.Name) || hex.EncodeToString(sum[:]) != a.SHA256 || int64(len(got[a.Name])) != a.Size {
				t.Errorf("accepted %+v with %d octets", a, len(got[a.Name]))
			}
		}
	})
}

// held is a Copy in memory.
type held struct {
	folder
	m      Manifest
	breaks bool
	closed chan struct{}
}

func (h held) Size() int64  { return h.m.Size() }
func (h held) Close() error { close(h.closed); return nil }

func (h held) WriteTo(w io.Writer) (int64, error) {
	if h.breaks {
		fmt.Fprint(w, "the beginning")
		return 13, errors.New("the disk is gone")
	}
	return 0, WriteArchive(w, h.m, h.open)
}

func TestABackupCrossesTheSocket(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		h := held{small, small.manifest("calls.db", "empty"), breaks, make(chan struct{})}
		socket := filepath.Join(t.TempDir(), "control.sock")
		s, err := Listen(socket, Handler(Config{Backup: func(context.Context) (Copy, error) { return h, nil }, Log: quiet}), quiet)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Dial(socket).Backup(t.Context())
		if err == nil {
			var got folder
			got, _, err = unpacked(a)
			if err == nil && (got["calls.db"] != small["calls.db"] || a.Size != h.Size()) {
				t.Errorf("got %d files, size %d", len(got), a.Size)
			}
			a.Close()
		}
		if breaks != (err != nil) {
			t.Errorf("error = %v", err)
		}
		<-h.closed
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestABackupThatIsRefusedSaysWhy(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(socket, Handler(Config{Backup: func(context.Context) (Copy, error) {
		return nil, fault.New(fault.Conflict, "another backup is under way")
	}, Log: quiet}), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Dial(socket).Backup(t.Context()); fault.Of(err) != fault.Conflict || err.Error() != "another backup is under way" {
		t.Errorf("error = %v", err)
	}
}
