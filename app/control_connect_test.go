package app

import (
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

	"github.com/tandemgw/tandem/front/cli"
	"github.com/tandemgw/tandem/front/ops"
)

// TestCommandsHesitateBeforeWhatAGatewayManages: Operator Connect takes
// everything from the gateway's token, so the command itself warns, and wants
// --force (Azure Communications Gateway docs, "Connect Azure Communications
// Gateway to Operator Connect or Teams Phone Mobile", Caution).
func TestCommandsHesitateBeforeWhatAGatewayManages(t *testing.T) {
	var mu sync.Mutex
	var changes []string // mu
	things := map[string]string{
		"/trunks":                         `{"value":[{"trunkId":"t1","trunkFqdn":"r1.lab.commsgw.azure.com","enabled":true,"domainVerified":true},{"trunkId":"t2","trunkFqdn":"sbc.telecom.example","enabled":true}]}`,
		"/trunks/t1":                      `{"trunkId":"t1","trunkFqdn":"r1.lab.commsgw.azure.com","enabled":true}`,
		"/trunks/t2":                      `{"trunkId":"t2","trunkFqdn":"sbc.telecom.example","enabled":true}`,
		"/callingprofiles":                `{"value":[{"callingProfileId":"p1","name":"Lab","nameSuffix":"CommsGw"}]}`,
		"/callingprofiles/p1":             `{"callingProfileId":"p1","name":"Lab","nameSuffix":"CommsGw"}`,
		"/consents":                       `{"value":[]}`,
		"/partnersettings/applicationids": `{"value":[{"applicationId":"a1","name":"Lab"}]}`,
	}
	far := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer eyJ") || r.Header.Get("Authorization") == "Bearer of-the-node" {
			t.Errorf("%s bears %q", r.URL, r.Header.Get("Authorization"))
		}
		path := strings.TrimPrefix(r.URL.Path, "/api/v1/operator")
		if r.Method != http.MethodGet {
			changes = append(changes, r.Method+" "+path+" "+r.URL.Query().Get("force"))
		}
		w.Header().Set("ETag", `"1"`)
		io.WriteString(w, things[path])
	}))
	defer far.Close()
	roots := filepath.Join(t.TempDir(), "oc.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: far.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	n, _ := controlNode(t, fmt.Sprintf("  onboard: {operatorConnect: {url: %q, roots: %q}}\n", far.URL, roots))
	t.Setenv("TANDEM_SOCKET", n.cfg.Node.Socket())
	x := &terminal{T: t}
	if _, err := x.run("", cli.NewOperatorConnect(), "trunk", "list"); cli.ExitStatus(err) != cli.ExitNotFound {
		t.Errorf("without a gateway: %v", err)
	}
	aGateway(t, n)
	until(t, func() string {
		if _, err := x.run("", cli.NewOperatorConnect(), "trunk", "list"); err != nil {
			return err.Error()
		}
		return ""
	})

	if out := x.must("", cli.NewOperatorConnect(), "application", "list"); !strings.Contains(out, "a1") {
		t.Errorf("applications: %s", out)
	}
	for _, args := range [][]string{
		{"trunk", "disable", "r1.lab.commsgw.azure.com"}, {"trunk", "delete", "t1"}, {"profile", "update", "LabCommsGw", "--region", "EMEA"}, {"profile", "delete", "labcommsgw", "-n", "lab"},
	} {
		x.said.Reset()
		if _, err := x.run("", cli.NewOperatorConnect(), args...); err == nil || !strings.Contains(err.Error(), "is managed by a communications gateway") || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%v: %v", args, err)
		}
		if len(changes) != 0 {
			t.Fatalf("%v: %v", args, changes)
		}
		x.said.Reset()
		x.must("", cli.NewOperatorConnect(), append(args, "--force")...)
		if len(changes) != 1 || !strings.HasSuffix(changes[0], " true") || !strings.HasPrefix(x.said.String(), "Warning: the ") {
			t.Errorf("%v --force: %v, %q", args, changes, x.said.String())
		}
		changes = nil
	}
	x.must("", cli.NewOperatorConnect(), "trunk", "delete", "sbc.telecom.example")
	if len(changes) != 1 || changes[0] != "DELETE /trunks/t2 " {
		t.Errorf("%v", changes)
	}
	if _, err := x.run("", cli.NewOperatorConnect(), "consent", "set", "7f8d5c6e-0000-4000-8000-0000000000e1", "AgreementSigned"); cli.ExitStatus(err) != cli.ExitNotFound {
		t.Errorf("%v", err)
	}
}

// aGateway makes the gateway "lab" by a node's socket.
func aGateway(t *testing.T, n *Node) {
	t.Helper()
	const group = "/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourceGroups/rg"
	put := func(path, body string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://node"+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		res, err := ops.Dial(n.cfg.Node.Socket()).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %s %s", path, res.Status, text)
		}
	}
	put(group+"?api-version=2021-04-01", `{"location":"westeurope"}`)
	put(group+"/providers/Microsoft.VoiceServices/communicationsGateways/lab?api-version=2024-02-16-preview", `{"location":"West Europe","sku":{"name":"lab"},"identity":{"type":"SystemAssigned"},"properties":{"serviceLocations":[{"name":"northeurope","primaryRegionProperties":{
		"operatorAddresses":["192.0.2.1"],"allowedSignalingSourceAddressPrefixes":["192.0.2.0/28"],"allowedMediaSourceAddressPrefixes":["192.0.2.0/28"]}}],
		"connectivity":"PublicAddress","codecs":["PCMA"],"e911Type":"Standard","platforms":["OperatorConnect"]}}`)
}
