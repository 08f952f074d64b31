package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/edge/record"
	"github.com/tandemgw/tandem/front/ops"
)

// database is a SQLite file of the data folder, which only its owner can copy
// while it is in use.
type database struct {
	name string // in the data folder
	copy func(ctx context.Context, path string) error
}

// The data folder holds more than is worth keeping: locks and sockets, what a
// copy or a restoration left behind, and what the link has in transit, which
// is sent again.
const (
	backupPrefix  = "backup-"
	restorePrefix = "restore-"
	restoring     = "restoring" // a restoration that is decided and not finished
	transit       = "link-server"
)

// headroom is what a copy must leave free on the disk of the data folder: a full
// one refuses new calls.
const headroom = 64 << 20

// backsUp has a database go into the backups of the node. Each is copied after
// those before it: control's comes last, so that what a spool believes to have
// arrived there has.
func (n *Node) backsUp(d database) { n.databases = append(n.databases, d) }

// backsUpStore is backsUp of control's.
func (n *Node) backsUpStore(s *store.Store, at string) {
	if s.Dialect() == store.SQLite {
		n.backsUp(database{store.FileName, s.Copy})
		return
	}
	where := "PostgreSQL"
	if u, err := url.Parse(at); err == nil {
		where += " at " + u.Host + u.Path
	}
	n.elsewhere = append(n.elsewhere, "The gateways and all that control keeps are in "+where+": copy that with pg_dump, after this.")
}

// backup copies the data of the running node into a folder of its own.
func (n *Node) backup(ctx context.Context) (ops.Copy, error) {
	if !n.ready.Load() {
		return nil, errStarting // not all its parts are there
	}
	if !n.backingUp.TryLock() {
		return nil, fault.New(fault.Conflict, "another backup of this node is under way: wait for it")
	}
	c := &dataCopy{data: n.cfg.Node.Data, done: n.backingUp.Unlock, manifest: ops.Manifest{
		Version: n.version, Node: n.cfg.Node.Name, Region: n.cfg.Node.Region, Made: time.Now().UTC(), Elsewhere: n.elsewhere,
	}}
	if err := c.fill(ctx, n.databases); err != nil {
		_ = c.Close() // the error before says more
		return nil, err
	}
	n.log.Info("the data of the node is copied", "bytes", c.Size(), obs.KeyDuration, time.Since(c.manifest.Made))
	return c, nil
}

// dataCopy is one state of the data folder.
type dataCopy struct {
	data     string
	dir      string // in data; holds the copies
	manifest ops.Manifest
	done     func()
}

func (c *dataCopy) fill(ctx context.Context, databases []database) (err error) {
	if err := c.fits(databases); err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp(c.data, backupPrefix); err != nil {
		return fmt.Errorf("make a folder for the copy: %w", err)
	}
	for _, d := range databases {
		if err := d.copy(ctx, filepath.Join(c.dir, d.name)); err != nil {
			return &fault.Error{Kind: fault.Unavailable, Public: d.name + " cannot be copied: the node's log says why", Err: err}
		}
		if err := c.list(d.name); err != nil {
			return err
		}
	}
	return fs.WalkDir(os.DirFS(c.data), ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() && passing(path):
			return fs.SkipDir
		case !e.Type().IsRegular() || passing(path) || isDatabase(databases, path):
			return nil
		}
		return c.add(path)
	})
}

// fits refuses before the disk is full rather than after.
func (c *dataCopy) fits(databases []database) error {
	var need int64 = headroom
	for _, d := range databases {
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(filepath.Join(c.data, d.name+suffix)); err == nil {
				need += info.Size()
			}
		}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(c.data, &disk); err != nil {
		return fmt.Errorf("look at the disk of the data folder: %w", err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < need {
		return fault.New(fault.Unavailable, fmt.Sprintf("the disk of %s has %d MB free and a copy of the data needs %d, so that calls still have room: free some space there", c.data, free>>20, need>>20+1))
	}
	return nil
}

// passing tells whether a file of the data folder is of no use to another run,
// or must not be where the database is: the key of the vaults.
func passing(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first == "lock" || first == restoring || first == transit || strings.HasPrefix(first, vault.KeyFileName) ||
		strings.HasPrefix(first, backupPrefix) || strings.HasPrefix(first, restorePrefix) ||
		strings.HasSuffix(path, ".lock") || strings.HasSuffix(path, ".new") || strings.HasSuffix(path, ".sock")
}

// isDatabase tells whether a file is one, or its log.
func isDatabase(databases []database, path string) bool {
	return slices.ContainsFunc(databases, func(d database) bool {
		return path == d.name || strings.HasPrefix(path, d.name+"-")
	})
}

// add copies a file that is always replaced whole, by renaming.
func (c *dataCopy) add(path string) error {
	from, err := os.Open(filepath.Join(c.data, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since it was listed
	}
	if err != nil {
		return err
	}
	defer from.Close()
	if err := writeNew(filepath.Join(c.dir, path), from); err != nil {
		return err
	}
	return c.list(path)
}

// writeNew makes a file, and the folders to it, for its owner only.
func writeNew(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), dataMode); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Sync(), f.Close())
}

// list puts a copied file into the manifest.
func (c *dataCopy) list(path string) error {
	f, err := os.Open(filepath.Join(c.dir, path))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	c.manifest.Files = append(c.manifest.Files, ops.ArchivedFile{Name: path, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return err
}

// Size is the octets of the files.
func (c *dataCopy) Size() int64 { return c.manifest.Size() }

// WriteTo writes the archive.
func (c *dataCopy) WriteTo(w io.Writer) (int64, error) {
	err := ops.WriteArchive(w, c.manifest, func(f ops.ArchivedFile) (io.ReadCloser, error) {
		return os.Open(filepath.Join(c.dir, f.Name))
	})
	return c.Size(), err
}

// Close removes the copy.
func (c *dataCopy) Close() error {
	defer c.done()
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// Restore puts the data of an archive into the empty data folder of a node
// that does not run. It is all there or nothing is: what stops it before the
// end leaves the folder as it was, and what stops it after that is finished by
// the next start.
func Restore(ctx context.Context, cfg *Config, archive io.Reader) (ops.Manifest, error) {
	release, err := lock(cfg.Node.Data)
	if err != nil {
		return ops.Manifest{}, err
	}
	defer release()
	if err := tidy(cfg.Node.Data); err != nil {
		return ops.Manifest{}, err
	}
	if err := empty(cfg.Node.Data); err != nil {
		return ops.Manifest{}, err
	}
	dir, err := os.MkdirTemp(cfg.Node.Data, restorePrefix)
	if err != nil {
		return ops.Manifest{}, noRoom(cfg.Node.Data, err)
	}
	m, err := unpack(ctx, cfg, archive, dir)
	if err != nil {
		return m, errors.Join(err, os.RemoveAll(dir))
	}
	// From here on it is decided.
	if err := os.Rename(dir, filepath.Join(cfg.Node.Data, restoring)); err != nil {
		return m, errors.Join(err, os.RemoveAll(dir))
	}
	return m, tidy(cfg.Node.Data)
}

// unpack writes the files of an archive into dir and makes sure that they are
// what a node of this version can begin with.
func unpack(ctx context.Context, cfg *Config, archive io.Reader, dir string) (ops.Manifest, error) {
	m, err := ops.ReadArchive(archive, func(m ops.Manifest, f ops.ArchivedFile, r io.Reader) error {
		if m.Node != cfg.Node.Name {
			return fault.New(fault.Conflict, "the archive is of node "+m.Node+" and this is "+cfg.Node.Name+": name the configuration of the former, or take another archive")
		}
		if passing(f.Name) {
			return fault.New(fault.Invalid, "the archive is damaged: "+f.Name+" does not belong in one")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return noRoom(cfg.Node.Data, writeNew(filepath.Join(dir, f.Name), r))
	})
	if err != nil {
		return m, err
	}
	for name, check := range map[string]func(context.Context, string) error{record.FileName: record.CheckFile, store.FileName: store.CheckFile} {
		if err := check(ctx, filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, fmt.Errorf("%s of the archive cannot be used: %w", name, err)
		}
	}
	if slices.ContainsFunc(m.Files, func(f ops.ArchivedFile) bool { return f.Name == store.FileName }) {
		if err := markRestored(dir, m.Made); err != nil {
			return m, noRoom(cfg.Node.Data, err)
		}
	}
	return m, syncTree(dir)
}

// noRoom says in a sentence what a disk complains about.
func noRoom(dir string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &fault.Error{Kind: fault.Unavailable, Public: "the disk of " + dir + " is full: free some space there; nothing was restored", Err: err}
	}
	return err
}

// empty refuses a data folder in which something would be overwritten, or would
// lie beside what it does not belong to.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == transit || !passing(e.Name()) {
			return fault.New(fault.Conflict, "the data folder "+dir+" is not empty, "+e.Name()+" is there: move it away, then restore again")
		}
	}
	return nil
}

// tidy finishes a restoration that was decided, and removes what a process that
// was killed left of a backup or a restoration. Whoever calls it has the lock.
func tidy(dir string) error {
	from := filepath.Join(dir, restoring)
	err := fs.WalkDir(os.DirFS(from), ".", func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == "." {
			return nil // nothing to finish
		}
		if err != nil || e.IsDir() {
			return err
		}
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), dataMode); err != nil {
			return err
		}
		return os.Rename(filepath.Join(from, path), to)
	})
	if err == nil {
		err = syncTree(dir)
	}
	if err != nil {
		return fmt.Errorf("finish the restoration of %s: %w", dir, err)
	}
	for _, left := range []string{restoring, backupPrefix + "*", restorePrefix + "*"} {
		paths, err := filepath.Glob(filepath.Join(dir, left))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove what an earlier backup or restoration left: %w", err)
			}
		}
	}
	return nil
}

// syncTree makes the names in a folder and those below it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	})
}
