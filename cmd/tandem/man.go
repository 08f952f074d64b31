package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan writes the manual pages that a package installs.
func newMan() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man --dir DIR",
		Short: "Write the manual pages, one for each command",
		Long:  "Write the manual pages of all commands into a folder, as /usr/share/man/man1 takes them.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make the folder of the manual pages: %w", err)
			}
			cmd.Root().DisableAutoGenTag = true // or every build would differ
			head := &doc.GenManHeader{Title: "TANDEM", Section: "1", Source: "Tandem " + version(), Manual: "Tandem"}
			if err := doc.GenManTree(cmd.Root(), head, dir); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where to write them; it is made when it is not there")
	_ = cmd.MarkFlagRequired("dir") // fails for a flag that is not there
	return cmd
}
