package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/front/ops"
)

// NewSecret makes `tandem secret`: list, show, set, keep, forget, rotate,
// rotate-key.
func NewSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Secrets in vaults, and client secrets in time",
		Long: `See to secrets in vaults. A client secret that is kept is replaced before it
ends: a new one is made at its app registration, used once, kept in the vault as
a new version, read back and used again, and a day later the one before is
revoked. No value is ever shown, unless you ask for it.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newSecretList(client), newSecretShow(client), newSecretSet(client), newSecretKeep(client), newSecretForget(client), newSecretRotate(client), newSecretRotateKey(client))
	return cmd
}

func newSecretList(client func() *ops.Client) *cobra.Command {
	var vault string
	cmd := listCommand("List what is replaced in time, or what a vault holds", "No client secret is seen to: onboarding begins it, or `tandem secret keep`.",
		func(ctx context.Context) ([]ops.Secret, error) { return client().Secrets(ctx) }, look.secrets)
	kept := cmd.RunE
	cmd.Flags().StringVar(&vault, "vault", "", "list what this vault holds instead, without values")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if vault == "" {
			return kept(cmd, args)
		}
		vaults, v, err := vaultAt(cmd.Context(), client(), vault)
		if err != nil {
			return err
		}
		all, err := vaults.Secrets(cmd.Context(), v)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
			return writeJSON(out, versions(all))
		}
		if len(all) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "The vault holds no secrets.")
			return nil
		}
		lookOf(out).held(out, all)
		return nil
	}
	return cmd
}

func (l look) secrets(w io.Writer, list []ops.Secret) {
	var rows [][]cell
	for _, s := range list {
		left, color := "-", ""
		if !s.Ends.IsZero() {
			left, color = l.left(s.Ends)
			if s.State == "good" || s.State == "overlapping" {
				color = ""
			}
		}
		next := "-"
		switch {
		case s.Problem != "":
			next = "again " + l.when(s.Due)
		case s.State == "overlapping":
			next = "old one goes " + l.when(s.Revokes)
		case !s.Renews.IsZero():
			next = "next one " + l.when(s.Renews)
		}
		rows = append(rows, []cell{{plain(s.Name), strong}, {s.State, secretColor(s.State)}, {left, color}, {next, quiet}})
	}
	l.table(w, []string{"SECRET", "STATE", "LEFT", "NEXT"}, rows)
	for _, s := range list {
		if s.Problem != "" {
			l.hanging(w, notice, "! "+s.Name+": "+s.Problem)
		}
	}
}

func secretColor(state string) string {
	switch state {
	case "good", "overlapping":
		return good
	case "ended", "failing":
		return bad
	}
	return notice
}

func (l look) held(w io.Writer, list []entra.Secret) {
	var rows [][]cell
	for _, s := range list {
		state, color := "good", good
		left := "-"
		if !s.Expires.IsZero() {
			left, color = l.left(s.Expires)
		}
		if !s.Enabled {
			state, color = "disabled", notice
		}
		rows = append(rows, []cell{{plain(s.Name), strong}, {state, color}, {left, ""}, {plain(s.Tags["keyId"]), quiet}})
	}
	l.table(w, []string{"NAME", "STATE", "LEFT", "KEY ID"}, rows)
}

// secretVersion is a version as JSON shows it.
type secretVersion struct {
	Name    string            `json:"name"`
	Version string            `json:"version,omitempty"`
	Enabled bool              `json:"enabled"`
	Created time.Time         `json:"created"`
	Expires time.Time         `json:"expires,omitzero"`
	Tags    map[string]string `json:"tags,omitempty"`
}

func versions(list []entra.Secret) []secretVersion {
	out := []secretVersion{}
	for _, s := range list {
		out = append(out, secretVersion{s.Name, s.Version, s.Enabled, s.Created.UTC(), s.Expires.UTC(), s.Tags})
	}
	return out
}

// vaultAt is a vault of the operator's, by its name.
func vaultAt(ctx context.Context, c *ops.Client, name string) (*entra.Vaults, entra.Vault, error) {
	t, err := c.Tenant(ctx)
	if err != nil {
		return nil, entra.Vault{}, err
	}
	if t.Vaults == nil {
		return nil, entra.Vault{}, fault.New(fault.NotFound, "there are no vaults here")
	}
	v, err := t.Vaults.At(name)
	return t.Vaults, v, err
}

// ref reads "<vault>/<secret>".
func secretRef(s string) (vault, name string, err error) {
	vault, name, is := strings.Cut(s, "/")
	if !is || vault == "" || name == "" {
		return "", "", usagef("%q: name a secret as <vault>/<secret>", s)
	}
	return vault, name, nil
}

func newSecretShow(client func() *ops.Client) *cobra.Command {
	var value, asJSON bool
	cmd := &cobra.Command{
		Use:     "show VAULT/SECRET",
		Short:   "Show the latest version of a secret, without its value",
		Example: "  tandem secret show billing/client-secret",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			vault, name, err := secretRef(args[0])
			if err != nil {
				return err
			}
			vaults, v, err := vaultAt(cmd.Context(), client(), vault)
			if err != nil {
				return err
			}
			s, err := vaults.Secret(cmd.Context(), v, name)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case value:
				_, err := io.WriteString(out, string(s.Value))
				return err
			case asJSON:
				return writeJSON(out, versions([]entra.Secret{s})[0])
			}
			l := lookOf(out)
			rows := [][]cell{{{"Version", quiet}, {plain(s.Version), ""}}, {{"Created", quiet}, {l.when(s.Created), ""}}}
			if !s.Expires.IsZero() {
				rows = append(rows, []cell{{"Expires", quiet}, {l.when(s.Expires), ""}})
			}
			for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
				rows = append(rows, []cell{{"Tag " + plain(k), quiet}, {plain(s.Tags[k]), ""}})
			}
			l.table(out, []string{plain(args[0]), ""}, rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&value, "value", false, "write the value and nothing else: mind who looks, and where it goes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON, without the value")
	cmd.MarkFlagsMutuallyExclusive("value", "json")
	return cmd
}

func newSecretSet(client func() *ops.Client) *cobra.Command {
	var file string
	var days int
	cmd := &cobra.Command{
		Use:   "set VAULT/SECRET",
		Short: "Keep a value as the next version of a secret",
		Long: `Keep a value as the next version of a secret. It is read from standard input, or
from a file: on a command line everybody on the machine would see it. One line
break at its end is left out.` + exitHelp,
		Example: "  tandem secret set billing/api-key < key.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			vault, name, err := secretRef(args[0])
			if err != nil {
				return err
			}
			text, err := readAll(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			value := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
			if value == "" {
				return usagef("there is no value on standard input: nothing was done")
			}
			vaults, v, err := vaultAt(cmd.Context(), client(), vault)
			if err != nil {
				return err
			}
			s := entra.Secret{Name: name, Value: obs.Secret(value)}
			if days > 0 {
				s.Expires = time.Now().AddDate(0, 0, days)
			}
			kept, err := vaults.PutSecret(cmd.Context(), v, s)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has another version: %s\n", plain(args[0]), plain(kept.Version))
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "-", "file with the value; - is standard input")
	cmd.Flags().IntVar(&days, "days", 0, "days after which it counts as expired; 0: never")
	return cmd
}

func newSecretKeep(client func() *ops.Client) *cobra.Command {
	var t ops.SecretTarget
	cmd := &cobra.Command{
		Use:   "keep --application ID --vault RESOURCE-ID",
		Short: "Have a client secret replaced in time from now on",
		Long: `Have the client secret of an app registration replaced in time, from now on. What
the vault holds is taken over when it is the registration's (its tag keyId says
so); else one is made at once. With other days for one that is kept already, it
goes on with those.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return client().KeepSecret(cmd.Context(), t) },
	}
	f := cmd.Flags()
	f.StringVar(&t.Application, "application", "", "application (client) ID of the registration")
	f.StringVar(&t.Vault, "vault", "", "resource ID of the vault")
	f.StringVar(&t.Secret, "secret", "client-secret", "name of the secret within the vault")
	f.IntVar(&t.LifeDays, "life", 0, "days that a secret is good, 70 at most; 0: an hour less than 70")
	f.IntVar(&t.AheadDays, "ahead", 0, "days before its end when the next one is made; 0: 14")
	f.IntVar(&t.OverlapDays, "overlap", 0, "days that the one before is good as well; 0: 1")
	for _, name := range []string{"application", "vault"} {
		_ = cmd.MarkFlagRequired(name) // it is there
	}
	return cmd
}

func newSecretForget(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NAME",
		Short: "Leave a client secret alone from now on; it stays as it is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return client().ForgetSecret(cmd.Context(), args[0])
		},
	}
}

func newSecretRotate(client func() *ops.Client) *cobra.Command {
	var revoke, noWait bool
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Have another client secret made now",
		Long: `Have another client secret made now, proven, and kept in its vault. The one before
is good for as long as the overlap says, so that who has it in memory goes on.
Has it become known, revoke it at once.` + exitHelp,
		Example: "  tandem secret rotate billing\n  tandem secret rotate billing/client-secret --revoke",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := client().RotateSecret(cmd.Context(), args[0], revoke)
			if err != nil || noWait {
				return err
			}
			p := progressOn(cmd.ErrOrStderr())
			now, err := awaitSecret(cmd.Context(), client(), before, p)
			p.end()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			l := lookOf(out)
			fmt.Fprintf(out, "%s is another one now, good until %s.\n", plain(now.Name), l.when(now.Ends))
			if len(now.Old) > 0 {
				fmt.Fprintf(out, "The one before is revoked at %s.\n", l.when(now.Revokes))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&revoke, "revoke", false, "revoke the one before as soon as the new one is proven")
	noWaitFlag(cmd, &noWait)
	return cmd
}

// awaitSecret waits until a rotation that was asked for is done, or has failed
// once: it is tried again, but whoever waits wants to know.
func awaitSecret(ctx context.Context, c *ops.Client, before ops.Secret, p *progress) (ops.Secret, error) {
	for {
		list, err := c.Secrets(ctx)
		if err != nil {
			return before, err
		}
		for _, s := range list {
			switch {
			case s.Name != before.Name:
			case s.Problem != "" && s.Attempts > before.Attempts:
				return s, fault.New(fault.Unavailable, fmt.Sprintf("%s is not rotated yet: %s; it is tried again at %s", s.Name, s.Problem, s.Due.Local().Format(time.TimeOnly)))
			case !s.Asked && s.KeyID != before.KeyID:
				return s, nil
			default:
				p.tell(cmp.Or(s.State, "wanted"))
			}
		}
		select {
		case <-ctx.Done():
			return before, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func newSecretRotateKey(client func() *ops.Client) *cobra.Command {
	var only struct{ make, rewrap bool }
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Make another key for the node's vaults, and wrap all anew",
		Long: `Make another key in the node's key file (vault.key in its data folder) and wrap the
data keys of all vaults anew under it. The keys before stay in the file: backups
of secrets still need them. Back the file up afterwards, apart from the database.

Control nodes that share a database have a copy of the file each: --make on one,
bring the file to the others, then --rewrap.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			step := ops.KeyBoth
			switch {
			case only.make:
				step = ops.KeyMake
			case only.rewrap:
				step = ops.KeyRewrap
			}
			n, err := client().RotateVaultKey(cmd.Context(), step)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if step != ops.KeyRewrap {
				fmt.Fprintln(out, "There is another key in vault.key: back it up, apart from the database.")
			}
			if step != ops.KeyMake {
				fmt.Fprintf(out, "The data keys of %s are wrapped under it.\n", count(n, "vault"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&only.make, "make", false, "only make the key")
	cmd.Flags().BoolVar(&only.rewrap, "rewrap", false, "only wrap anew, under the key that is there")
	cmd.MarkFlagsMutuallyExclusive("make", "rewrap")
	return cmd
}
