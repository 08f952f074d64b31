package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// copyName is the file that holds an edge's newest order and, behind the end
// of its line, the packed snapshot.
const copyName = "snapshot"

// writeCopy replaces the copy. Whatever happens meanwhile, the file is the old
// one or the new one, whole; when it returns the new one is on the disk.
func writeCopy(dir string, o order, packed []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the snapshot: %w", err)
	}
	head, err := json.Marshal(o)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, copyName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the snapshot: %w", err)
	}
	_, err1 := f.Write(append(head, '\n'))
	_, err2 := f.Write(packed)
	if err := errors.Join(err1, err2, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keep the snapshot: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep the snapshot: %w", err)
	}
	return syncDir(dir)
}

// syncDir makes a renaming durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keep the snapshot: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// readCopy reads it back: the zero assignment when there is none, an error
// when it is damaged.
func readCopy(dir string) (Assignment, error) {
	path := filepath.Join(dir, copyName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Assignment{}, nil
	}
	if err != nil {
		return Assignment{}, fmt.Errorf("read the snapshot on disk: %w", err)
	}
	head, packed, ok := bytes.Cut(data, []byte("\n"))
	var o order
	if err := json.Unmarshal(head, &o); err != nil || !ok {
		return Assignment{}, fmt.Errorf("the snapshot in %s has no head", path)
	}
	return o.assignment(packed)
}

// assignment is an order with what came with it.
func (o order) assignment(packed []byte) (Assignment, error) {
	a := Assignment{Gateway: o.Gateway, Revision: o.Revision, order: o, packed: packed}
	if o.Digest == "" {
		return a, nil
	}
	var err error
	if a.Snapshot, err = o.unpack(packed); err != nil {
		return Assignment{}, fmt.Errorf("snapshot %d of gateway %s %w", o.Revision, o.Gateway, err)
	}
	return a, nil
}
