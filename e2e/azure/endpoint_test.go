package azure

import "testing"

// TestAzureCLIApprovesAPrivateEndpoint is what onboarding tells a person to do
// when somebody asks for a private endpoint of a vault (A11), by Debian's
// azure-cli.
func TestAzureCLIApprovesAPrivateEndpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("azure-cli takes a minute")
	}
	az := inCloud(t)
	az.run("login", "--service-principal", "-u", clientID, "-p", clientSecret, "--tenant", tenantID)
	az.run("group", "create", "-n", "voice", "-l", "westeurope")
	vault := "/subscriptions/" + subscriptionID + "/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/billing"
	endpoint := vault + "/privateEndpointConnections/onboarding"
	rest := func(method, path, body string, more ...string) string {
		t.Helper()
		args := append([]string{"rest", "--method", method, "--url", path + "?api-version=2023-07-01"}, more...)
		if body != "" {
			args = append(args, "--body", body)
		}
		return az.run(args...)
	}
	rest("put", vault, `{"location":"westeurope","properties":{"tenantId":"`+tenantID+`","sku":{"family":"A","name":"standard"},"accessPolicies":[],"networkAcls":{"defaultAction":"Deny","bypass":"None"}}}`)
	rest("put", endpoint, `{"properties":{"privateEndpoint":{"id":"/subscriptions/`+subscriptionID+`/resourceGroups/theirs/providers/Microsoft.Network/privateEndpoints/pe"},"sourceAddressPrefixes":["203.0.113.9"],"privateLinkServiceConnectionState":{"status":"Pending"}}}`)
	state := func() string {
		return rest("get", endpoint, "", "-o", "tsv", "--query", "[properties.privateLinkServiceConnectionState.status,properties.sourceAddressPrefixes[0]]")
	}
	if out := state(); out != "Pending\n203.0.113.9/32" {
		t.Fatalf("asked for: %q", out)
	}
	for done, how := range map[string]string{"Approved": "approve", "Rejected": "reject"} {
		az.run("keyvault", "private-endpoint-connection", how, "--id", endpoint)
		if out := state(); out != done+"\n203.0.113.9/32" {
			t.Errorf("%s: %q", how, out)
		}
	}
}
