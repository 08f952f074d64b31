package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/front/cli"
	"github.com/tandemgw/tandem/front/ops"
)

// whole is a log that several goroutines write.
type whole struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(p)
}

func (w *whole) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// terminal types commands at a control node.
type terminal struct {
	*testing.T
	said strings.Builder // by all commands, on their standard error, and their errors
}

// run gives what a command writes.
func (x *terminal) run(in string, cmd *cobra.Command, args ...string) (string, error) {
	x.Helper()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetErr(&x.said)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	ctx, cancel := context.WithTimeout(x.Context(), 60*time.Second)
	defer cancel()
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		x.said.WriteString(err.Error() + "\n")
	}
	return out.String(), err
}

// must is run of what works.
func (x *terminal) must(in string, cmd *cobra.Command, args ...string) string {
	x.Helper()
	out, err := x.run(in, cmd, args...)
	if err != nil {
		x.Fatalf("tandem %s %s: %v", cmd.Name(), strings.Join(args, " "), err)
	}
	return out
}

const synergyApp = "eb63d611-525e-4a31-abd7-0cb33f679599"

// TestClientSecretsAreReplacedAndNothingSecretIsTold types the commands that
// documents of Microsoft do with the AzureAD module, has a client secret kept
// and replaced, and then looks for every value in logs, errors, databases and
// backups.
func TestClientSecretsAreReplacedAndNothingSecretIsTold(t *testing.T) {
	log := &whole{}
	n, ca := controlNodeTelling(t, goodControl+"  vaults: {domain: vault.lab.example}\n", slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Setenv("TANDEM_SOCKET", n.cfg.Node.Socket())
	x := &terminal{T: t}
	canaries := map[string]string{"the configured client's": "a long enough secret"}

	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://node/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourcegroups/rg?api-version=2021-04-01", strings.NewReader(`{"location":"westeurope"}`))
	req.Header.Set("Content-Type", "application/json")
	res, err := ops.Dial(n.cfg.Node.Socket()).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	vault := entra.VaultID("7f8d5c6e-0000-4000-8000-000000000002", "rg", "billing")
	if _, err := n.plane.Load().tenant.Vaults.Make(t.Context(), vault, "westeurope"); err != nil {
		t.Fatal(err)
	}

	x.must("", cli.NewApp(), "add", synergyApp, "--name", "Operator Connect")
	if _, err := x.run("", cli.NewApp(), "create", "Billing Service", "--permission", "Operator Connect/Data.Bogus"); cli.ExitStatus(err) != cli.ExitNotFound {
		t.Errorf("a permission that nobody offers: %v", err)
	}
	x.must("", cli.NewApp(), "create", "Billing Service", "--permission", "Operator Connect/Data.Read", "--permission", "Operator Connect/NumberManagement.Read")
	x.must("", cli.NewApp(), "permit", "Billing Service", "Project Synergy/Data.Read", "Operator Connect/NumberManagement.Read", "Operator Connect/TrunkManagement.Read")
	if out := x.must("", cli.NewApp(), "consent", "Billing Service"); strings.Count(out, "\n") != 3 {
		t.Errorf("consent: %s", out)
	}
	var shown struct {
		AppID, Kind                    string
		Permissions, Required, Members []string
	}
	if err := json.Unmarshal([]byte(x.must("", cli.NewApp(), "show", "billing service", "--json")), &shown); err != nil || len(shown.Permissions) != 3 || len(shown.Required) != 3 {
		t.Errorf("%+v, %v", shown, err)
	}
	if out := x.must("", cli.NewApp(), "list", "--type", "enterprise", "operator"); !strings.Contains(out, synergyApp) || strings.Contains(out, "Billing") {
		t.Errorf("list: %s", out)
	}

	var domains []entra.Domain
	if err := json.Unmarshal([]byte(x.must("", cli.NewDomain(), "list", "--json")), &domains); err != nil || len(domains) != 1 {
		t.Fatalf("%+v, %v", domains, err)
	}
	ann := "ann@" + domains[0].ID
	_, link, _ := strings.Cut(x.must("", cli.NewUser(), "create", ann), "?link=")
	canaries["a link by which a password is set"], _, _ = strings.Cut(link, "\n")
	x.must("", cli.NewApp(), "assign", "Project Synergy", "admin", ann)
	if out := x.must("", cli.NewApp(), "show", "Operator Connect"); !strings.Contains(out, "Given to") || !strings.Contains(out, ": Admin") || !strings.Contains(out, "Billing Service: Data.Read") {
		t.Errorf("show: %s", out)
	}
	x.must("", cli.NewApp(), "assign", "Project Synergy", "Admin", ann, "--remove")
	if _, err := x.run("", cli.NewApp(), "assign", "Project Synergy", "Admin", ann, "--remove"); cli.ExitStatus(err) != cli.ExitNotFound {
		t.Errorf("taken twice: %v", err)
	}
	canaries["one that was shown once"] = strings.TrimSpace(x.must("", cli.NewApp(), "secret", "Billing Service"))
	x.must("", cli.NewSecret(), "keep", "--application", shown.AppID, "--vault", vault)
	value := func() string { return x.must("", cli.NewSecret(), "show", "billing/client-secret", "--value") }
	until(t, func() string {
		if out := x.must("", cli.NewSecret(), "list"); !strings.Contains(out, "good") {
			return "no secret is made: " + out
		}
		return ""
	})
	canaries["the first of the vault"] = value()
	if out := x.must("", cli.NewSecret(), "rotate", "billing", "--revoke"); !strings.Contains(out, "billing/client-secret is another one now") {
		t.Errorf("rotate: %s", out)
	}
	canaries["the next of the vault"] = value()
	client := apiClient(ca)
	signIn := func(secret string) (int, string) {
		t.Helper()
		res, err := client.PostForm("https://api.lab.example:8443/7f8d5c6e-0000-4000-8000-000000000001/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {shown.AppID}, "client_secret": {secret}, "scope": {synergyApp + "/.default"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		var got struct {
			Token string `json:"access_token"`
		}
		_ = json.Unmarshal(text, &got)
		x.said.Write(bytes.ReplaceAll(text, []byte(got.Token), nil))
		return res.StatusCode, got.Token
	}
	status, token := signIn(canaries["the next of the vault"])
	if status != http.StatusOK {
		t.Error("the new secret is refused")
	}
	canaries["a token"] = token[strings.LastIndex(token, ".")+1:]
	if status, _ := signIn(canaries["the first of the vault"]); status != http.StatusUnauthorized {
		t.Errorf("the revoked one is answered %d", status)
	}
	canaries["a wrong one"] = "CANARY-wrong-~77321"
	if status, _ := signIn(canaries["a wrong one"]); status != http.StatusUnauthorized {
		t.Errorf("a wrong one is answered %d", status)
	}

	canaries["one that somebody set"] = "CANARY-set-5512-~x"
	x.must(canaries["one that somebody set"]+"\n", cli.NewSecret(), "set", "billing/api-key", "--days", "30")
	if got := x.must("", cli.NewSecret(), "show", "billing/api-key", "--value"); got != canaries["one that somebody set"] {
		t.Errorf("set %q", got)
	}
	x.said.WriteString(x.must("", cli.NewSecret(), "list", "--vault", "billing", "--json") + x.must("", cli.NewSecret(), "show", "billing/api-key") + x.must("", cli.NewSecret(), "list", "--json"))
	for _, wrong := range [][]string{{"set", "nothing/api-key"}, {"set", "billing/a b"}, {"set", "../billing/x"}, {"set", "billing/" + strings.Repeat("x", 200)}} {
		if _, err := x.run("CANARY-set-5512-~x", cli.NewSecret(), wrong...); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
	if out := x.must("", cli.NewSecret(), "rotate-key"); !strings.Contains(out, "1 vault") {
		t.Errorf("rotate-key: %s", out)
	}
	if got := x.must("", cli.NewSecret(), "show", "billing/api-key", "--value"); got != canaries["one that somebody set"] {
		t.Errorf("after the key was rotated: %q", got)
	}
	x.must("", cli.NewSecret(), "forget", "billing")

	nothingTold(t, n, canaries, map[string]string{"the log": log.String(), "what commands say": x.said.String()})
}

// nothingTold looks for each canary, in any form that it may have, in texts, in
// all that a node keeps, and in its backup. The key file alone may hold keys.
func nothingTold(t *testing.T, n *Node, canaries, texts map[string]string) {
	t.Helper()
	archive, err := ops.Dial(n.cfg.Node.Socket()).Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	text, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	texts["the backup"] = string(text)
	if strings.Contains(texts["the backup"], "vault.key") {
		t.Error("the key file is in the backup")
	}
	err = filepath.WalkDir(n.cfg.Node.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		texts[filepath.Base(path)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 5 {
		t.Errorf("only looked into %d places", len(texts))
	}
	for whose, canary := range canaries {
		if len(canary) < 12 {
			t.Errorf("%s is no canary: %q", whose, canary)
			continue
		}
		quoted, _ := json.Marshal(canary)
		for _, form := range []string{canary, url.QueryEscape(canary), strings.Trim(string(quoted), `"`)} {
			for where, text := range texts {
				if strings.Contains(text, form) {
					t.Errorf("%s is in %s", whose, where)
				}
			}
		}
	}
}

// TestADomainIsVerifiedByCommand: refused while nobody has published the
// record, and verified by real DNS once our own zone has it.
func TestADomainIsVerifiedByCommand(t *testing.T) {
	n, _ := controlNodeOf(t, goodControl+"sip: {dns: [\"127.0.0.1:5300\"]}\n")
	t.Setenv("TANDEM_SOCKET", n.cfg.Node.Socket())
	x := &terminal{T: t}
	aGateway(t, n)
	var name string
	until(t, func() string {
		zones, err := n.plane.Load().gateways.Zones(t.Context())
		if err != nil || len(zones) == 0 {
			return fmt.Sprint("the gateway has no name yet: ", err)
		}
		name = zones[0].Base
		return ""
	})
	out := x.must("", cli.NewDomain(), "add", name)
	if !strings.HasPrefix(out, name+"\t") || !strings.Contains(out, "IN\tTXT\t\"MS=ms") || out != x.must("", cli.NewDomain(), "records", name) {
		t.Errorf("add: %s", out)
	}
	if _, err := x.run("", cli.NewDomain(), "verify", name); err == nil || !strings.Contains(x.must("", cli.NewDomain(), "list"), "not verified") {
		t.Errorf("verified without a record: %v", err)
	}
	x.must("", cli.NewDomain(), "verify", name, "--publish")
	if out := x.must("", cli.NewDomain(), "list", "--json"); !strings.Contains(out, `"isVerified": true`) {
		t.Errorf("list: %s", out)
	}
	x.must("", cli.NewDomain(), "remove", name)
	if _, err := x.run("", cli.NewDomain(), "records", name); cli.ExitStatus(err) != cli.ExitNotFound {
		t.Errorf("after it was removed: %v", err)
	}
}
