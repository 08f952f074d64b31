package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

const oneGateway = "/subscriptions/s1/resourcegroups/rg/providers/microsoft.voiceservices/communicationsgateways/gw"

func TestReadinessIsForPeople(t *testing.T) {
	c := startCloud(t)
	c.resources[oneGateway+"/readiness"] = map[string]any{"properties": map[string]any{
		"ready": false, "provisioningState": "Succeeded", "status": "Complete", "testLinesWithoutService": []any{"spare"},
		"advice": "gw.telecom.example is not delegated to this gateway yet (no such name): add these records to the zone above it:\ngw.telecom.example. NS ns1.telecom.example.",
		"services": []any{
			map[string]any{
				"service": "OperatorConnect", "ready": false,
				"counts":             []any{map[string]any{"have": 1, "want": 1, "text": "1 of 1 integration numbers"}, map[string]any{"have": 2, "want": 4, "text": "2 of 4 Automated lines"}},
				"suggestedTestLines": []any{map[string]any{"name": "OC1", "purpose": "Automated"}, map[string]any{"name": "OC2", "purpose": "Automated"}},
			},
		},
	}}
	out, err := tandem("gateway", "readiness", "-g", "rg", "-n", "gw")
	if err != nil {
		t.Fatal(err)
	}
	want := `gateway gw: Succeeded, Complete, not ready

  OperatorConnect
    ✓ 1 of 1 integration numbers
    – 2 of 4 Automated lines
      make test lines OC1, OC2 with --purpose Automated

! of these test lines nobody can tell the service: spare; name them such as
    OC1 or TPM1, or tag them service=OperatorConnect
! gw.telecom.example is not delegated to this gateway yet (no such name):
    add these records to the zone above it:
    gw.telecom.example. NS ns1.telecom.example.
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	if out, err := tandem("gateway", "readiness", "-g", "rg", "-n", "gw", "--query", "ready"); err != nil || out != "false\n" {
		t.Errorf("--query ready: %q, %v", out, err)
	}
}

func TestAdviceStandsBesideWhatWasMade(t *testing.T) {
	c := startCloud(t)
	c.resources[oneGateway+"/readiness"] = map[string]any{"properties": map[string]any{"advice": "add these records: gw NS ns1"}}
	r := &connection{endpoint: os.Getenv("TANDEM_ENDPOINT"), ca: os.Getenv("TANDEM_CA")}
	api, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	api.advise(t.Context(), &out, oneGateway)
	if out.String() != "! add these records: gw NS ns1\n" {
		t.Errorf("advice: %q", out.String())
	}
	c.resources["/subscriptions/s1/resourcegroups/rg"] = map[string]any{"location": "westeurope"}
	for line, want := range map[string]string{
		"gateway create -g rg -n gw -o none":                    "! add these records: gw NS ns1\n",
		"gateway create -g rg -n gw -o none --only-show-errors": "",
	} {
		var notes bytes.Buffer
		cmd := &cobra.Command{Use: "tandem"}
		cmd.AddCommand(NewGateway())
		cmd.SetErr(&notes)
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.Execute(); err != nil || notes.String() != want {
			t.Errorf("%s: %q and %v, want %q", line, notes.String(), err, want)
		}
	}
}

func TestIntegrationNumbersAreEdited(t *testing.T) {
	c := startCloud(t)
	c.resources["/subscriptions/s1/resourcegroups/rg"] = map[string]any{"location": "westeurope"}
	must := func(want string, line ...string) {
		t.Helper()
		if out, err := tandem(line...); err != nil || strings.TrimSpace(out) != want {
			t.Errorf("%v gives %v and\n%s\nwant\n%s", line, err, out, want)
		}
	}
	must("gw", "gateway", "create", "-g", "rg", "-n", "gw", "-o", "tsv", "--query", "name")
	numbers := []string{"gateway", "integration-numbers", "-g", "rg", "-n", "gw", "-o", "tsv", "--query", "[].[phoneNumber,service]"}
	with := func(more ...string) []string { return append(append([]string{}, numbers...), more...) }
	must("", numbers...)
	must("+441134960010\tOperatorConnect\n+441134960011\tZoom", with("--add", "+441134960011=Zoom", "+441134960010=OperatorConnect")...)
	must("+441134960010\tOperatorConnect", with("--remove", "+441134960011")...)
	if _, err := tandem(with("--remove", "+1")...); ExitStatus(err) != ExitNotFound {
		t.Errorf("remove what is not there: %v", err)
	}
	if _, err := tandem(with("--add", "+1")...); ExitStatus(err) != ExitUsage || !strings.Contains(fmt.Sprint(err), "NUMBER=SERVICE") {
		t.Errorf("add without a service: %v", err)
	}

	exported, err := tandem("gateway", "export", "-g", "rg", "-n", "gw")
	if err != nil || !strings.Contains(exported, "+441134960010") {
		t.Fatalf("export: %v\n%s", err, exported)
	}
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	must("gateway gw is as the document says\nthe list of integration numbers is as the document says", "apply", "-f", file)
	if err := os.WriteFile(file, []byte(strings.Replace(exported, "name: gw", "name: gw2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	must("gateway gw2 would be created\nthe list of integration numbers would be changed", "apply", "-f", file, "--dry-run")
	must("gateway gw2 created\nthe list of integration numbers changed", "apply", "-f", file)
	numbers[5] = "gw2"
	must("+441134960010\tOperatorConnect", numbers...)
}
