// Package cli is the commands of people at a terminal. Each is a client of a
// node's API: it opens no file of the node.
//
// Every command is made by a function that gives a *cobra.Command, so that
// the program puts together what it offers. Output goes to the command's own
// writers; colour only to a terminal and never with NO_COLOR set. What came
// from the network is shown with its control characters made visible, so that
// no far side writes on the operator's terminal. Start reading at NewCall in
// call.go; how things look is in look.go, the ladder in ladder.go.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
)

// Exit statuses of the program.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitUsage    = 2 // the command line is wrong
	ExitNotFound = 3 // what was named does not exist
	ExitNoNode   = 4 // no node answers
)

const exitHelp = `

Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 no node answers.`

// ExitStatus translates the error of a command into the program's exit status.
func ExitStatus(err error) int {
	if s, ok := errors.AsType[*standing](err); ok {
		return s.status
	}
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ops.ErrNoNode):
		return ExitNoNode
	case isUsage(err), fault.Of(err) == fault.Invalid:
		return ExitUsage
	case fault.Of(err) == fault.NotFound:
		return ExitNotFound
	}
	return ExitFailure
}

// Report tells a command's error on w, once, and gives the program's exit
// status. An interrupted command says nothing: who interrupts knows.
func Report(w io.Writer, err error) int {
	if err != nil && err.Error() != "" && !errors.Is(err, context.Canceled) {
		lines := strings.Split(err.Error(), "\n")
		for i := range lines {
			lines[i] = plain(lines[i])
		}
		fmt.Fprintln(w, "tandem:", strings.Join(lines, "\n  "))
	}
	return ExitStatus(err)
}

// usageError marks a wrong command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// cobra and pflag give most of their complaints no type of their own.
var complaints = []string{
	"unknown command", "unknown flag", "unknown shorthand flag", "flag needs an argument", "invalid argument",
	"accepts ", "requires at least", "required flag(s)", "bad flag syntax",
}

func isUsage(err error) bool {
	if _, ok := errors.AsType[usageError](err); ok {
		return true
	}
	for _, c := range complaints {
		if strings.HasPrefix(err.Error(), c) {
			return true
		}
	}
	return false
}

// DefaultSocket is where a node started without a word about its data folder
// listens, seen from where it was started.
const DefaultSocket = "data/control.sock"

// socketFlag adds --socket to a command and those below it, and gives the
// client that they use.
func socketFlag(cmd *cobra.Command) func() *ops.Client {
	socket := DefaultSocket
	if s := os.Getenv("TANDEM_SOCKET"); s != "" {
		socket = s
	}
	cmd.PersistentFlags().StringVar(&socket, "socket", socket, "control socket of the node (or TANDEM_SOCKET)")
	return func() *ops.Client { return ops.Dial(socket) }
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
