package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetworkIsCheckedAndDrawn(t *testing.T) {
	c := startCloud(t)
	region := func(name string) map[string]any {
		return map[string]any{"name": name, "primaryRegionProperties": map[string]any{
			"operatorAddresses": []any{"192.0.2.1"}, "allowedSignalingSourceAddressPrefixes": []any{"192.0.2.0/28"}, "allowedMediaSourceAddressPrefixes": []any{"192.0.2.0/28"},
		}, "acgContactInfo": map[string]any{"peerGroups": []any{
			map[string]any{"ipAddresses": []any{"127.0.0.1"}, "port": 1}, map[string]any{"ipAddresses": []any{"127.0.0.2"}, "port": 2, "srvRecord": "_sip._udp.r1.invalid"},
		}}}
	}
	c.resources["/subscriptions/s1/resourcegroups/rg/providers/microsoft.voiceservices/communicationsgateways/gw"] = map[string]any{
		"name": "gw", "sku": map[string]any{"name": "lab"}, "properties": map[string]any{"serviceLocations": []any{region("westeurope")}, "platforms": []any{"Zoom"}},
	}
	file := filepath.Join(t.TempDir(), "network.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sites:\n  - {name: a, region: westeurope, signalling: [192.0.2.0/28], media: [192.0.2.0/28]}\nconnections:\n  - {name: i, site: a, region: westeurope, type: internet}\n")
	out, err := tandem("network", "check", "-f", file, "-g", "rg", "-n", "gw")
	line := strings.Join(strings.Fields(out), " ")
	if err != nil || !strings.Contains(out, "pass  each site reaches each service region") || !strings.Contains(line, "westeurope at 127.0.0.1:1: connect: connection refused") ||
		!strings.Contains(line, "westeurope at 127.0.0.2:2: UDP only") {
		t.Errorf("%v\n%s", err, out)
	}
	svg, err := tandem("network", "draw", "-f", file, "-g", "rg", "-n", "gw")
	if err != nil || !strings.HasPrefix(svg, "<svg") {
		t.Errorf("%v\n%s", err, svg)
	}
	write("sites:\n  - {name: a, region: westeurope, signalling: [198.51.100.0/28], media: [192.0.2.0/28]}\n")
	out, err = tandem("network", "check", "-f", file, "-g", "rg", "-n", "gw", "--no-probe", "--json")
	if ExitStatus(err) != ExitFailure || !strings.Contains(out, `"verdict": "fail"`) {
		t.Errorf("%v\n%s", err, out)
	}
	for text, says := range map[string]string{"sites: [{name: a, region: mars}]": "westeurope", "towns: []": "field towns not found"} {
		write(text)
		if _, err := tandem("network", "check", "-f", file, "-g", "rg", "-n", "gw"); ExitStatus(err) != ExitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// TestANetworkIsJudgedBeforeThereIsAGateway: the design comes before the
// resource, whose document is enough.
func TestANetworkIsJudgedBeforeThereIsAGateway(t *testing.T) {
	startCloud(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	network := write("network.yaml", "sites:\n  - {name: a, region: westeurope, signalling: [192.0.2.0/28], media: [192.0.2.0/28]}\nconnections:\n  - {name: i, site: a, region: westeurope, type: internet}\n")
	gateway := write("gateway.yaml", `resourceGroup: rg
name: gw
location: westeurope
sku: {name: lab}
properties:
  platforms: [Zoom]
  serviceLocations:
    - name: westeurope
      primaryRegionProperties: {operatorAddresses: [192.0.2.1], allowedSignalingSourceAddressPrefixes: [192.0.2.0/28], allowedMediaSourceAddressPrefixes: [192.0.2.0/28]}
`)
	if out, err := tandem("network", "check", "-f", network, "-g", "rg", "-n", "gw"); err == nil {
		t.Errorf("a gateway that is not there: %s", out)
	}
	out, err := tandem("network", "check", "-f", network, "--gateway", gateway)
	if err != nil || !strings.Contains(out, "pass  each site reaches each service region") || !strings.Contains(out, "does not say where it is met yet") {
		t.Errorf("%v\n%s", err, out)
	}
	if svg, err := tandem("network", "draw", "-f", network, "--gateway", gateway); err != nil || !strings.HasPrefix(svg, "<svg") {
		t.Errorf("%v\n%s", err, svg)
	}
	for _, args := range [][]string{{"-f", network}, {"-f", network, "--gateway", gateway, "-n", "gw"}, {"-f", "-", "--gateway", "-"}, {"-f", network, "--gateway", network}} {
		if _, err := tandem(append([]string{"network", "check"}, args...)...); ExitStatus(err) != ExitUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
}
