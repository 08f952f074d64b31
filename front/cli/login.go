package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// NewLogin makes "tandem login": a person signs in for the commands that go to
// a resource API by HTTPS.
func NewLogin() *cobra.Command {
	var tenant, client string
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in at a resource API",
		Long: `Sign in at the resource API that --endpoint names, as the person that you are
there: the command prints a page and a code for your browser, on this machine or
on another one. Commands with the same --endpoint then go on in your name until
"tandem logout", or until nothing was asked for 30 days. What is kept stands in
a file that only you may read.

Where the API believes a directory elsewhere, such as the operator's own Entra,
you sign in there, by a public client that is registered there for commands: name
its application ID as --client.

On the control node itself nobody needs to sign in: its socket is enough.`,
		Example: "  tandem login --endpoint https://api.telecom.example:8443",
		Args:    cobra.NoArgs,
	}
	at := connectionFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "ID, name or domain of the tenant; that of the API, unless told")
	cmd.Flags().StringVar(&client, "client", directory.CommandID, "application ID by which commands sign in; another only in a directory elsewhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := at.person()
		if err != nil {
			return err
		}
		return r.login(cmd.Context(), tenant, client, cmd.OutOrStdout())
	}
	return cmd
}

// NewLogout makes "tandem logout".
func NewLogout() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "Forget who is signed in at a resource API",
		Args:  cobra.NoArgs,
	}
	at := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := at.person()
		if err != nil {
			return err
		}
		return keeping(func(kept map[string]signedIn) error {
			if _, ok := kept[r.base]; !ok {
				return fault.New(fault.NotFound, "nobody is signed in at "+r.base)
			}
			delete(kept, r.base)
			return nil
		})
	}
	return cmd
}

// person is the client for signing in, which wants an endpoint.
func (c *connection) person() (*resources, error) {
	if c.endpoint == "" {
		return nil, usagef("--endpoint is missing: write the https URL of the resource API, such as https://api.telecom.example:8443")
	}
	return c.open()
}

// signedIn is what is kept of a person at an endpoint. It is written to a file
// of theirs and shown nowhere.
type signedIn struct {
	Authority string    `json:"authority"`        // where tokens are: <login>/<tenant>
	Client    string    `json:"client,omitempty"` // application ID; "" is ours
	Refresh   string    `json:"refresh"`
	Token     string    `json:"token"`
	Ends      time.Time `json:"ends"` // of Token
}

// granted is what the token endpoint answers.
type granted struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	Error        string `json:"error"`
	Description  string `json:"error_description"`
}

// kept is what is kept of it; without a new refresh token the old one stays
// good (RFC 6749 §6).
func (g granted) kept(s signedIn) signedIn {
	s.Refresh, s.Token, s.Ends = cmp.Or(g.RefreshToken, s.Refresh), g.AccessToken, time.Now().Add(time.Duration(g.ExpiresIn)*time.Second)
	return s
}

// login signs a person in by a device code (RFC 8628) and keeps what comes of it.
func (r *resources) login(ctx context.Context, tenant, client string, w io.Writer) error {
	authority, scope, err := r.authority(ctx, tenant)
	if err != nil {
		return err
	}
	var code struct {
		granted
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		Page       string `json:"verification_uri"`
		Interval   int    `json:"interval"` // seconds
	}
	if err := r.ask(ctx, authority+"/oauth2/v2.0/devicecode", url.Values{"client_id": {client}, "scope": {scope}}, &code); err != nil {
		return err
	}
	if code.DeviceCode == "" {
		return fault.New(fault.Denied, "sign-in refused: "+cmp.Or(code.Description, code.Error, "there is no code"))
	}
	fmt.Fprintf(w, "Open\n\n  %s\n\nin a browser and enter the code  %s\n\n", plain(code.Page), plain(code.UserCode))
	s := signedIn{Authority: authority, Client: client}
	g, err := r.await(ctx, s, code.DeviceCode, time.Duration(max(code.Interval, 1))*time.Second)
	if err != nil {
		return err
	}
	if err := keeping(func(kept map[string]signedIn) error { kept[r.base] = g.kept(s); return nil }); err != nil {
		return err
	}
	fmt.Fprintf(w, "You are signed in at %s.\n", r.base)
	return nil
}

// await asks until the person has signed in (RFC 8628 3.5).
func (r *resources) await(ctx context.Context, s signedIn, code string, pause time.Duration) (g granted, err error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {s.Client}, "device_code": {code}}
	for {
		select {
		case <-ctx.Done():
			return g, ctx.Err()
		case <-time.After(pause):
		}
		g = granted{}
		if err := r.ask(ctx, s.Authority+"/oauth2/v2.0/token", form, &g); err != nil {
			return g, err
		}
		switch {
		case g.AccessToken != "":
			return g, nil
		case g.Error == "slow_down":
			pause += 5 * time.Second
		case g.Error != "authorization_pending":
			return g, fault.New(fault.Denied, "sign-in refused: "+cmp.Or(g.Description, g.Error))
		}
	}
}

// personal is a token of the person who is signed in; "" when nobody is. A
// refresh token counts once, so commands take turns.
func (r *resources) personal(ctx context.Context) (token string, err error) {
	if _, err := os.Stat(keptFile()); err != nil {
		return "", nil
	}
	err = keeping(func(kept map[string]signedIn) error {
		s, ok := kept[r.base]
		if !ok {
			return errUnchanged
		}
		if token = s.Token; time.Until(s.Ends) > time.Minute {
			return errUnchanged
		}
		var g granted
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {cmp.Or(s.Client, directory.CommandID)}, "refresh_token": {s.Refresh}}
		if err := r.ask(ctx, s.Authority+"/oauth2/v2.0/token", form, &g); err != nil {
			return err
		}
		if g.AccessToken == "" {
			return fault.New(fault.Denied, "you are signed in at "+r.base+" no longer ("+cmp.Or(g.Description, g.Error)+`): run "tandem login --endpoint `+r.base+`"`)
		}
		token, kept[r.base] = g.AccessToken, g.kept(s)
		return nil
	})
	return token, err
}

// ask sends a form and reads the answer, also that of a refusal.
func (r *resources) ask(ctx context.Context, at string, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := r.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxPage)).Decode(into); err != nil {
		return fault.New(fault.Unavailable, "sign-in: "+req.URL.Host+" answers "+res.Status+" and no JSON")
	}
	return nil
}

// errUnchanged says that nothing is to be written.
var errUnchanged = errors.New("unchanged")

// keptFile is where it stands who is signed in.
func keptFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "tandem", "signed-in.json")
}

// keeping lets f change who is signed in. Other commands wait meanwhile; what is
// written is whole or not at all.
func keeping(f func(map[string]signedIn) error) error {
	file := keptFile()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keep who is signed in: %w", err)
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("keep who is signed in: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("wait for another command: %w", err)
	}
	kept := map[string]signedIn{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read who is signed in from %s (remove it and sign in again): %w", file, err)
	}
	if err := f(kept); err != nil {
		if errors.Is(err, errUnchanged) {
			return nil
		}
		return err
	}
	if data, err = json.MarshalIndent(kept, "", "  "); err != nil {
		return fmt.Errorf("keep who is signed in: %w", err)
	}
	if err = os.WriteFile(file+".new", data, 0o600); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("keep who is signed in: %w", err)
	}
	return nil
}
