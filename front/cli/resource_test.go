package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

// cloud is as much of the resource API as these tests need: resources are kept
// as they come, an operation takes two looks.
type cloud struct {
	mu        sync.Mutex
	url       string
	resources map[string]map[string]any // by path in lower case
	looks     int
	fail      bool // operations end badly
	puts      int
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.ToLower(r.URL.Path)
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case path == "/metadata/endpoints":
		reply(200, map[string]any{"authentication": map[string]any{"loginEndpoint": c.url + "/", "audiences": []string{c.url}}})
		return
	case strings.HasSuffix(path, "/oauth2/v2.0/token"):
		if r.FormValue("client_secret") != "right" {
			reply(401, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
			return
		}
		reply(200, map[string]any{"access_token": "a-token"})
		return
	case r.Header.Get("Authorization") != "Bearer a-token":
		reply(401, map[string]any{"error": map[string]any{"code": "InvalidAuthenticationToken", "message": "no token"}})
		return
	case path == "/subscriptions":
		reply(200, map[string]any{"value": []any{map[string]any{"subscriptionId": "s1", "displayName": "voice"}}})
		return
	case path == "/operation":
		c.looks++
		w.Header().Set("Retry-After", "0")
		status := "InProgress"
		if c.looks%2 == 0 {
			status = "Succeeded"
			if c.fail {
				status = "Failed"
			}
		}
		reply(200, map[string]any{"status": status, "error": map[string]any{"code": "EdgeMissing", "message": "r1-a does not answer: start it"}, "properties": map[string]any{"steps": []any{map[string]any{"name": "edges", "status": "InProgress", "detail": "r1-a"}}}})
		return
	}
	switch r.Method {
	case http.MethodPut:
		var v map[string]any
		_ = json.NewDecoder(r.Body).Decode(&v)
		if p, _ := v["properties"].(map[string]any); p["connectivity"] == "wrong" {
			reply(400, map[string]any{"error": map[string]any{"code": "InvalidResource", "message": "two rules are broken", "details": []any{
				map[string]any{"target": "properties.connectivity", "message": "write PublicAddress"}, map[string]any{"target": "properties.codecs", "message": "missing"},
			}}})
			return
		}
		c.puts++
		v["id"], v["name"] = r.URL.Path, filepath.Base(r.URL.Path)
		if p, ok := v["properties"].(map[string]any); ok {
			p["provisioningState"] = "Succeeded"
		}
		c.resources[path] = v
		w.Header().Set("Azure-AsyncOperation", c.url+"/operation?api-version=1")
		w.Header().Set("Retry-After", "0")
		reply(201, v)
	case http.MethodDelete:
		delete(c.resources, path)
		w.WriteHeader(204)
	default:
		if v, ok := c.resources[path]; ok {
			reply(200, v)
			return
		}
		if strings.HasSuffix(path, "s") && strings.Contains(path, "microsoft.voiceservices") {
			value := []any{}
			for at, v := range c.resources {
				if strings.HasPrefix(at, path+"/") && !strings.Contains(at[len(path)+1:], "/") {
					value = append(value, v)
				}
			}
			reply(200, map[string]any{"value": value})
			return
		}
		reply(404, map[string]any{"error": map[string]any{"code": "ResourceNotFound", "message": "there is no such resource"}})
	}
}

// startCloud serves it and points the environment there.
func startCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{resources: map[string]map[string]any{}}
	server := httptest.NewTLSServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"ENDPOINT": server.URL, "CA": ca, "CLIENT_ID": "c1", "CLIENT_SECRET": "right", "TENANT_ID": "t1", "SUBSCRIPTION": ""} {
		t.Setenv("TANDEM_"+name, value)
	}
	return c
}

// tandem runs a command line.
func tandem(line ...string) (out string, err error) {
	root := &cobra.Command{Use: "tandem", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(NewGateway(), NewTestLine(), NewCheckName(), NewApply(), NewGroup(), NewNetwork(), NewVoiceService())
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(io.Discard)
	root.SetIn(strings.NewReader("n\n"))
	root.SetArgs(Spread(line))
	err = root.Execute()
	return b.String(), err
}

func TestLifeOfAGatewayOnTheCommandLine(t *testing.T) {
	c := startCloud(t)
	c.resources["/subscriptions/s1/resourcegroups/rg"] = map[string]any{"location": "westeurope"}
	must := func(want string, line ...string) {
		t.Helper()
		out, err := tandem(line...)
		if err != nil {
			t.Fatalf("%v: %v", line, err)
		}
		if strings.TrimSpace(out) != want {
			t.Errorf("%v gives\n%s\nwant\n%s", line, out, want)
		}
	}
	fails := func(status int, says string, line ...string) {
		t.Helper()
		_, err := tandem(line...)
		if ExitStatus(err) != status || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%v: %v with status %d, want %d and %q", line, err, ExitStatus(err), status, says)
		}
	}
	must(`[
  "PCMA",
  "PCMU"
]`, "gateway", "create", "-g", "rg", "-n", "gw", "--codecs", "PCMA", "PCMU", "--connectivity", "PublicAddress", "--tags", "a=b", "c=d",
		"--service-locations", "[{name:useast,PrimaryRegionProperties:{operatorAddresses:[198.51.100.1]}}]", "--query", "codecs")
	must("westeurope\tgw\trg\t2", "gateway", "list", "-g", "rg", "-o", "tsv", "--query", "[].[location,name,resourceGroup,tags|length(keys(@))]")
	must("Name  ResourceGroup  Location    ProvisioningState  Connectivity\ngw    rg             westeurope  Succeeded          PublicAddress", "gateway", "list", "-g", "rg", "-o", "table")
	must("", "gateway", "wait", "--created", "-g", "rg", "-n", "gw")
	must("b", "gateway", "update", "-g", "rg", "-n", "gw", "--set", "e911Type=Standard", "--add", "codecs", "G722", "-o", "tsv", "--query", "tags.a")
	must("- PCMA\n- PCMU\n- G722", "gateway", "show", "-g", "rg", "-n", "gw", "-o", "yaml", "--query", "codecs")
	must("+441134960000", "voice-service", "test-line", "create", "-g", "rg", "--gateway-name", "gw", "-n", "OC1", "--phone-number", "+441134960000", "--purpose", "Automated", "-o", "tsv", "--query", "phoneNumber")
	must("OC1", "test-line", "list", "-g", "rg", "--gateway-name", "gw", "-o", "tsv", "--query", "[].name")

	must("b", "group", "create", "-n", "rg3", "-l", "westeurope", "--tags", "a=b", "-o", "tsv", "--query", "tags.a")
	must("westeurope", "group", "show", "-n", "rg3", "-o", "tsv", "--query", "location")
	must("", "group", "delete", "-n", "rg3", "-y")

	exported, err := tandem("gateway", "export", "-g", "rg", "-n", "gw")
	if err != nil || strings.Contains(exported, "provisioningState") || !strings.Contains(exported, "phoneNumber") {
		t.Fatalf("export: %v\n%s", err, exported)
	}
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	must("gateway gw is as the document says\ntest line OC1 is as the document says", "apply", "-f", file)
	copied := strings.NewReplacer("name: gw", "name: gw2", "resourceGroup: rg", "resourceGroup: rg2").Replace(exported)
	if err := os.WriteFile(file, []byte(copied), 0o600); err != nil {
		t.Fatal(err)
	}
	puts := c.puts
	must("resource group rg2 would be created\ngateway gw2 would be created\ntest line OC1 would be created", "apply", "-f", file, "--dry-run")
	if c.puts != puts {
		t.Error("a dry run wrote something")
	}
	must("resource group rg2 created\ngateway gw2 created\ntest line OC1 created", "apply", "-f", file)
	if err := os.WriteFile(file, []byte(copied[:strings.Index(copied, "testLines")]), 0o600); err != nil {
		t.Fatal(err)
	}
	must("gateway gw2 is as the document says\ntest line OC1 deleted", "apply", "-f", file, "--prune")

	fails(ExitFailure, "two rules are broken\nproperties.connectivity: write PublicAddress\nproperties.codecs: missing", "gateway", "create", "-g", "rg", "-n", "x", "--connectivity", "wrong")
	id := "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.VoiceServices/communicationsGateways/gw"
	must("gw", "gateway", "show", "--ids", id, "-o", "tsv", "--query", "name", "--debug")
	must("OC1", "test-line", "show", "--ids", id+"/testLines/OC1", "-o", "tsv", "--query", "name")
	fails(ExitUsage, "one resource at a time", "gateway", "show", "--ids", id, id)
	fails(ExitUsage, "the ID of a test line", "test-line", "show", "--ids", id)
	fails(ExitNotFound, "no such resource", "gateway", "show", "-g", "rg", "-n", "other")
	fails(ExitUsage, "resource-group", "gateway", "show", "-n", "gw")
	fails(ExitUsage, "--output", "gateway", "show", "-g", "rg", "-n", "gw", "-o", "xml")
	fails(ExitUsage, "--query", "gateway", "show", "-g", "rg", "-n", "gw", "--query", "[")
	fails(ExitFailure, "nothing was done", "gateway", "delete", "-g", "rg", "-n", "gw")
	c.fail = true
	fails(ExitFailure, "(EdgeMissing) r1-a does not answer: start it", "gateway", "update", "-g", "rg", "-n", "gw", "--tags", "x=y")
	must("", "gateway", "update", "-g", "rg", "-n", "gw", "--tags", "x=y", "--no-wait")
	must("", "gateway", "delete", "-g", "rg", "-n", "gw", "-y")
	must("", "gateway", "wait", "--deleted", "-g", "rg", "-n", "gw")

	t.Setenv("TANDEM_CLIENT_SECRET", "wrong")
	fails(ExitFailure, "Invalid client secret", "gateway", "list")
	t.Setenv("TANDEM_CLIENT_SECRET", "")
	fails(ExitUsage, "TANDEM_CLIENT_ID", "gateway", "list")
	t.Setenv("TANDEM_ENDPOINT", "http://plain.example")
	fails(ExitUsage, "https URL", "gateway", "list")
	t.Setenv("TANDEM_ENDPOINT", "https://127.0.0.1:1")
	t.Setenv("TANDEM_CLIENT_SECRET", "right")
	fails(ExitNoNode, "127.0.0.1:1", "gateway", "list")
}

func TestDocumentIsChecked(t *testing.T) {
	for text, says := range map[string]string{
		"name: x\n":                        "missing: location, resourceGroup",
		"nome: x\n":                        "field nome not found",
		"testLines: [{phoneNumber: +4}]\n": "testLines[0].name",
		"{":                                "yaml",
	} {
		file := filepath.Join(t.TempDir(), "gateway.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readDocument(nil, file)
		if err == nil || ExitStatus(err) != ExitUsage || !strings.Contains(err.Error(), says) && says != "yaml" {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
