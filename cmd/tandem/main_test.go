package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func TestHelpFitsATerminal(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		if c.Hidden || c.Parent() != nil && c.Parent().Name() == "completion" {
			return // shown to nobody, or a text of the library's
		}
		for line := range strings.Lines(out.String()) {
			words := len(strings.Fields(line)) // one word cannot be broken
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns && words > 1 && !strings.HasPrefix(line, `Use "`) {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), n, line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
}
