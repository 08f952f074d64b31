package app

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps what the process holds in its memory, keys and secrets among it,
// out of core dumps and out of the reach of other processes of the same user
// (prctl(2), PR_SET_DUMPABLE). A node with vaults does it before it reads their
// key; others do not, since nobody could measure them any more.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep the process from being dumped: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
