// Package cli is the commands of people at a terminal. Each is a client of a
// node's API: it opens no file of the node.
//
// Every command is made by a function that gives a *cobra.Command, so that
// the program puts together what it offers. Output goes to the command's own
// writers; colour only to a terminal and never with NO_COLOR set. Start
// reading at NewCall.
package cli

import "github.com/spf13/cobra"

// Exit statuses of the program.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitUsage    = 2 // the command line is wrong
	ExitNotFound = 3 // what was named does not exist
	ExitNoNode   = 4 // no node answers
)

// ExitStatus translates the error of a command into the program's exit status.
func ExitStatus(err error) int { panic("todo") }

// NewCall makes `tandem call`: list, show, trace, hangup.
func NewCall() *cobra.Command { panic("todo") }

// NewPeer makes `tandem peer`: list.
func NewPeer() *cobra.Command { panic("todo") }
