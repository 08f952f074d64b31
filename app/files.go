package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
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

var errStarting = fault.New(fault.Unavailable, "the node is still starting; try again in a moment")
