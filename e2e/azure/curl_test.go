package azure

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestCurl is what a person tries first: a token, a question without one, a
// change under a condition.
func TestCurl(t *testing.T) {
	curl := peer(t, "curl")
	url := serve(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "--noproxy", "*", "--http1.1", "--cacert", rootPEM}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	token := func(path, asked string) string {
		t.Helper()
		var answer struct {
			Access string `json:"access_token"`
		}
		out := run(url+path, "-d", "grant_type=client_credentials", "-d", "client_id="+clientID, "--data-urlencode", "client_secret="+clientSecret, "--data-urlencode", asked)
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Access == "" {
			t.Fatalf("%s: %s", path, out)
		}
		return "Authorization: Bearer " + answer.Access
	}
	// Each form, each kind of audience: with one slash, with two, without, and
	// Azure's own.
	for path, asked := range map[string]string{
		"/" + tenantID + "/oauth2/v2.0/token":             "scope=" + url + "//.default",
		"/lab.telecom.example/oauth2/v2.0/token":          "scope=" + url + "/.default",
		"/" + tenantID + "/oauth2/token":                  "resource=" + url + "/",
		"/adfs/oauth2/token/":                             "scope=https://management.core.windows.net//.default openid profile",
		"/" + strings.ToUpper(tenantID) + "/OAUTH2/token": "resource=https://management.azure.com",
	} {
		if out := run("-H", token(path, asked), url+"/subscriptions?api-version=2022-12-01"); !strings.Contains(out, subscriptionID) {
			t.Errorf("%s, %s: %s", path, asked, out)
		}
	}
	if out := run("-i", url+"/subscriptions?api-version=2022-12-01"); !strings.Contains(out, "401 Unauthorized") ||
		!strings.Contains(out, `Www-Authenticate: Bearer authorization_uri="`+url+"/"+tenantID+`", error="invalid_token"`) || !strings.Contains(out, "AuthenticationFailed") {
		t.Errorf("without a token: %s", out)
	}
	header := token("/"+tenantID+"/oauth2/v2.0/token", "scope="+url+"/.default")
	group := url + "/subscriptions/" + subscriptionID + "/resourceGroups/voice"
	run("-X", "PUT", "-H", header, "-H", "Content-Type: application/json", "-d", `{"location":"westeurope"}`, group+"?api-version=2021-04-01")
	gateway := group + "/providers/Microsoft.VoiceServices/communicationsGateways/" + gatewayName + "?api-version=2024-02-16-preview"
	body := `{"location":"westeurope","sku":{"name":"lab"},"properties":{"connectivity":"PublicAddress","codecs":["PCMA"],"e911Type":"Standard","platforms":["OperatorConnect"],
		"serviceLocations":[{"name":"westeurope","primaryRegionProperties":{"operatorAddresses":["10.1.0.10"]}}]}}`
	put := func(condition string) string {
		t.Helper()
		return run("-i", "-X", "PUT", "-H", header, "-H", condition, "-H", "Content-Type: application/json", "-d", body, gateway)
	}
	if out := put("If-None-Match: *"); !strings.Contains(out, "201 Created") || !strings.Contains(out, "Azure-Asyncoperation: "+url) || !strings.Contains(out, "Retry-After: 1") {
		t.Errorf("a new gateway: %s", out)
	}
	if out := put("If-None-Match: *"); !strings.Contains(out, "412 Precondition Failed") || !strings.Contains(out, "X-Ms-Error-Code: PreconditionFailed") {
		t.Errorf("a gateway that is there: %s", out)
	}
}
