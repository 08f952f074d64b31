package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
)

// NewBackup makes `tandem backup`.
func NewBackup() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Copy a running node's data into one file",
		Long: `Have the running node copy its data, as it is at one moment, and write that into
FILE: the gateways and all that control keeps, call records, keys and the last
snapshot. Calls go on. The file is checked as it is written, has mode 0600 and holds
private keys: keep it as you keep those.

What is not in the node's data folder is not in it: tandem.yaml and the files that
it names, and a PostgreSQL. "tandem restore" brings it back.` + exitHelp,
		Example: "  tandem backup --to /backup/r1-a-$(date +%F).tar.gz",
		Args:    cobra.NoArgs,
	}
	client := socketFlag(cmd)
	cmd.Flags().StringVar(&to, "to", "", "file to write, which must not exist")
	_ = cmd.MarkFlagRequired("to") // it is there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p := progressOn(cmd.ErrOrStderr())
		m, err := backup(cmd.Context(), client(), to, p)
		p.end()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s: %s of node %s as it was at %s, %s, checked.\n", to, megabytes(m.Size()), plain(m.Node), m.Made.Local().Format(time.DateTime), count(len(m.Files), "file"))
		for _, s := range m.Elsewhere {
			lookOf(out).hanging(out, notice, s)
		}
		return nil
	}
	return cmd
}

// backup writes beside the file and renames at the end, so that a file of that
// name is a whole one.
func backup(ctx context.Context, node *ops.Client, to string, p *progress) (m ops.Manifest, err error) {
	if _, err := os.Lstat(to); err == nil {
		return m, fault.New(fault.Conflict, to+" exists: name another file, or move that one away")
	}
	p.tell("the node copies its data")
	archive, err := node.Backup(ctx)
	if err != nil {
		return m, err
	}
	defer archive.Close()
	part := to + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return m, unwritable(to, err)
	}
	m, err = compress(f, archive, p)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		os.Remove(part)
		return m, unwritable(to, err)
	}
	if d, err := os.Open(filepath.Dir(to)); err == nil {
		_ = d.Sync() // some file systems have no such thing
		d.Close()
	}
	return m, nil
}

// compress writes what the node sends, and reads it as a restoration would.
func compress(to io.Writer, archive *ops.Archive, p *progress) (ops.Manifest, error) {
	buffered := bufio.NewWriterSize(to, 1<<16)
	packed, err := gzip.NewWriterLevel(buffered, gzip.BestSpeed)
	if err != nil {
		return ops.Manifest{}, err
	}
	seen := &meter{of: archive.Size, show: p.tell}
	m, err := ops.ReadArchive(io.TeeReader(archive, io.MultiWriter(packed, seen)), func(ops.Manifest, ops.ArchivedFile, io.Reader) error { return nil })
	if fault.Of(err) == fault.Invalid {
		err = &fault.Error{Kind: fault.Unavailable, Public: "what the node sent is not whole, so nothing was kept: its log says why", Err: err}
	}
	return m, errors.Join(err, packed.Close(), buffered.Flush())
}

// meter shows how much has passed.
type meter struct {
	n, of int64
	shown time.Time
	show  func(string)
}

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	if time.Since(m.shown) > 200*time.Millisecond {
		m.shown = time.Now()
		m.show(megabytes(m.n) + " of " + megabytes(m.of))
	}
	return len(p), nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func unwritable(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &fault.Error{Kind: fault.Unavailable, Public: "the disk of " + path + " is full: free some space there, or name a file on another", Err: err}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &fault.Error{Kind: fault.Denied, Public: path + " may not be written: name a file in a folder of yours", Err: err}
	case errors.Is(err, fs.ErrNotExist):
		return &fault.Error{Kind: fault.Denied, Public: "the folder of " + path + " does not exist: make it first", Err: err}
	}
	return err
}

// Restoration puts an archive into the data folder of a node that does not
// run; the program gives it, since no node can be asked.
type Restoration func(ctx context.Context, config string, archive io.Reader) (ops.Manifest, error)

// NewRestore makes `tandem restore`.
func NewRestore(restore Restoration) *cobra.Command {
	var from, config string
	cmd := &cobra.Command{
		Use:   "restore --from FILE",
		Short: "Bring a node's data back from a file of tandem backup",
		Long: `Put the data of FILE into the data folder of the node that tandem.yaml describes.
The node must not run, and its data folder must be empty: move the old one away. A
damaged file, that of another node and one of a newer Tandem are refused. All of it
is there afterwards or nothing is, whatever happens meanwhile.` + exitHelp,
		Example: "  mv /var/lib/tandem /var/lib/tandem.old\n  tandem restore --from /backup/r1-a.tar.gz -c /etc/tandem/tandem.yaml",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&from, "from", "", "file that tandem backup has written")
	cmd.Flags().StringVarP(&config, "config", "c", "tandem.yaml", "configuration of the node")
	_ = cmd.MarkFlagRequired("from") // it is there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f, err := os.Open(from)
		if errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.NotFound, from+" does not exist")
		}
		if err != nil {
			return err
		}
		defer f.Close()
		p := progressOn(cmd.ErrOrStderr())
		m, err := unpack(f, p, func(r io.Reader) (ops.Manifest, error) { return restore(cmd.Context(), config, r) })
		p.end()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "The data of node %s as it was at %s is back: %s, %s. Start the node.\n", plain(m.Node), m.Made.Local().Format(time.DateTime), megabytes(m.Size()), count(len(m.Files), "file"))
		for _, s := range m.Elsewhere {
			lookOf(out).hanging(out, notice, s)
		}
		return nil
	}
	return cmd
}

func unpack(f *os.File, p *progress, restore func(io.Reader) (ops.Manifest, error)) (ops.Manifest, error) {
	seen := &meter{show: p.tell}
	if info, err := f.Stat(); err == nil {
		seen.of = info.Size()
	}
	packed, err := gzip.NewReader(io.TeeReader(f, seen))
	if err != nil {
		return ops.Manifest{}, &fault.Error{Kind: fault.Invalid, Public: f.Name() + " is not a file of tandem backup, or its beginning is damaged", Err: err}
	}
	return restore(packed)
}
