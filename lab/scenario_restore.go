package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/link/record"
)

// playRestore: the machine of a control node is lost with all that was on it.
// Calls go on, new ones come; the node is brought back from a backup, takes a
// change of the gateway to the edges, and has the records of the calls between
// the backup and the loss, and of those while it was away.
func playRestore(ctx context.Context, s *stage) error {
	control, archive := s.planes[0], filepath.Join(s.dir, "control.tar.gz")
	before, at, err := s.converse(ctx, casting{})
	if err != nil {
		return err
	}
	if err := program(ctx, control, "backup", "--socket", control.socket, "--to", archive); err != nil {
		return err
	}
	defer os.Remove(archive)
	between, err := s.briefly(ctx, control)
	if err != nil {
		return err
	}
	// Backups leave it out, so that who has one cannot read what is sealed.
	key, err := os.ReadFile(filepath.Join(filepath.Dir(control.socket), vault.KeyFileName))
	if err != nil {
		return fmt.Errorf("keep the key file elsewhere: %w", err)
	}
	control.kill()
	if err := os.RemoveAll(filepath.Dir(control.socket)); err != nil {
		return fmt.Errorf("lose the data of the control node: %w", err)
	}
	lost := time.Now()
	during, began, err := s.converse(ctx, casting{teams: true, region: s.r2})
	if err != nil {
		return fmt.Errorf("without control: %w", err)
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(before, since("while control goes", at))
	s.both(during, since("without control", began))
	if err := s.finish(ctx, during); err != nil {
		return err
	}
	if err := s.bringBack(ctx, control, archive, key); err != nil {
		return err
	}
	s.note("away for %.0f ms", ms(time.Since(lost)))
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(before, since("with control back", at))
	if err := s.finish(ctx, before); err != nil {
		return err
	}
	return s.soon(ctx, func() error { return s.known(ctx, control, before.number, between, during.number) })
}

// briefly has a call of which control has the record, and gives its number.
func (s *stage) briefly(ctx context.Context, control *node) (number string, err error) {
	t, _, err := s.converse(ctx, casting{})
	if err != nil {
		return "", err
	}
	if err := s.finish(ctx, t); err != nil {
		return "", err
	}
	return t.number, s.soon(ctx, func() error { return s.known(ctx, control, t.number) })
}

// bringBack restores and starts the control node, and has the gateway put once
// more: that it becomes Complete says that the edges follow.
func (s *stage) bringBack(ctx context.Context, control *node, archive string, key []byte) error {
	if err := program(ctx, control, "restore", "--from", archive, "-c", control.file); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(control.socket), vault.KeyFileName), key, 0o600); err != nil {
		return fmt.Errorf("bring the key file: %w", err)
	}
	if err := control.start(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if err := control.up(wait); err != nil {
		return err
	}
	label, operation, err := s.api.createGateway(wait, s.resource())
	if err != nil {
		return err
	}
	if label+"."+suffix != s.base {
		return fmt.Errorf("the gateway is %s and was %s", label, s.base)
	}
	_, err = s.api.complete(wait, operation, func(string) {})
	return err
}

// known tells which numbers' calls the control node has no whole record of.
func (s *stage) known(ctx context.Context, control *node, numbers ...string) error {
	for _, n := range numbers {
		calls, err := control.client.Past(ctx, record.Filter{Number: n, Limit: 10})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(calls, func(c record.Call) bool { return c.Ended != nil }) {
			return errors.New("control has no record of the call to " + n)
		}
	}
	return nil
}

// program runs a command of the node's program.
func program(ctx context.Context, n *node, args ...string) error {
	all := append(append([]string{}, n.command[1:]...), args...)
	out, err := exec.CommandContext(ctx, n.command[0], all...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tandem %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
