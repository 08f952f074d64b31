package arm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/front/arm"
)

const (
	role     = "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-0000000000c1"
	roleBody = `{"properties":{"roleDefinitionId":"/subscriptions/` + sub + `/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"` + stranger + `","principalType":"ServicePrincipal"}}`
	location = "/subscriptions/" + sub + "/providers/Microsoft.VoiceServices/locations/westeurope"
	platform = "?api-version=2022-09-01"
)

// TestEveryOperationAnswers asks each operation for its usual answer and for
// one that it refuses, in the newest version and in the first.
func TestEveryOperationAnswers(t *testing.T) {
	for _, v := range []string{newest, "2022-12-01-preview"} {
		t.Run(v, func(t *testing.T) { everyOperation(t, v) })
	}
}

// tested waits until no test call of a line is under way.
func (w *world) tested(calls string) {
	w.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if r := w.want(200, w.do("GET", calls, "")); !strings.Contains(r.Body.String(), "underway") {
			return
		}
		<-tick.C
	}
	w.Fatal("the test calls do not end")
}

func everyOperation(t *testing.T, v string) {
	w := open(t)
	api := "?api-version=" + v
	body := full
	if v != newest {
		body = strings.Replace(plain, `"location":"westeurope",`, `"location":"westeurope","sku":{"name":"lab"},"colour":"red",`, 1)
	}
	var b strings.Builder
	seen := map[string]bool{}
	var last reply
	ask := func(method, target, body string, headers ...string) {
		t.Helper()
		seen[arm.RouteOf(method, target)] = true
		last = w.do(method, target, body, headers...)
		fmt.Fprintf(&b, "### %s %s\n", method, target)
		if body != "" {
			fmt.Fprintln(&b, pretty([]byte(body)))
		}
		fmt.Fprintf(&b, "--- %d\n", last.Code)
		for _, h := range []string{"Allow", "Azure-AsyncOperation", "ETag", "Location", "Retry-After", "Warning", "X-Ms-Error-Code"} {
			for _, value := range last.Header().Values(h) {
				fmt.Fprintf(&b, "%s: %s\n", h, value)
			}
		}
		if last.Body.Len() > 0 {
			fmt.Fprintln(&b, pretty(last.Body.Bytes()))
		}
		fmt.Fprintln(&b)
	}
	one := gateways + "/one"
	ask("GET", "/metadata/endpoints?api-version=2022-09-01", "")
	ask("GET", "/metadata/endpoints?api-version=2019-05-01", "")
	ask("GET", "/metadata/endpoints?api-version=2015-01-01", "")
	ask("GET", "/tenants"+platform, "")
	ask("GET", "/subscriptions"+platform, "")
	ask("GET", "/subscriptions/"+sub+platform, "")
	ask("GET", "/subscriptions/"+sub+"/locations"+platform, "")
	ask("GET", "/providers"+platform, "")
	ask("GET", "/providers/microsoft.voiceservices"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/providers"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/providers/Microsoft.VoiceServices"+platform, "")
	ask("POST", "/subscriptions/"+sub+"/providers/Microsoft.VoiceServices/register"+platform, "")
	ask("POST", "/subscriptions/"+sub+"/providers/Microsoft.VoiceServices/unregister"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/providers/Microsoft.Compute"+platform, "")

	ask("PUT", "/subscriptions/"+sub+"/resourceGroups/second"+platform, `{"location":"North Europe","tags":{"a":"b"}}`)
	ask("PUT", "/subscriptions/"+sub+"/resourceGroups/second"+platform, `{"location":"West Europe"}`)
	ask("PUT", "/subscriptions/"+sub+"/resourceGroups/third."+platform, `{"location":"westeurope"}`)
	ask("PUT", "/subscriptions/"+sub+"/resourceGroups/third"+platform, `{"location":"mars"}`)
	ask("PATCH", "/subscriptions/"+sub+"/resourceGroups/second"+platform, `{"tags":{"c":"d"}}`)
	ask("GET", "/subscriptions/"+sub+"/resourceGroups/SECOND"+platform, "")
	ask("HEAD", "/subscriptions/"+sub+"/resourceGroups/second"+platform, "")
	ask("HEAD", "/subscriptions/"+sub+"/resourceGroups/none"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/resourceGroups/none"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/resourceGroups"+platform+"&$filter=tagName+eq+'C'", "")

	ask("GET", "/providers/Microsoft.VoiceServices/operations"+api, "")
	ask("POST", location+"/checkNameAvailability"+api, `{"name":"one","type":"Microsoft.VoiceServices/communicationsGateways"}`)
	ask("PUT", one+api, body)
	began := last
	w.settle(began)
	at := strings.TrimPrefix(began.Header().Get("Azure-AsyncOperation"), base)
	status, _, _ := strings.Cut(at, "?")
	ask("GET", at, "")
	ask("GET", strings.Replace(at, "operationStatuses", "operationResults", 1), "")
	ask("POST", status+"/cancel"+api, "")
	ask("POST", location+"/checkNameAvailability"+api, `{"name":"ONE"}`)
	ask("GET", one+api, "")
	ask("GET", one+api, "", "If-None-Match", last.Header().Get("ETag"))
	ask("PUT", one+api, body, "If-Match", `"x"`)
	ask("PUT", one+api, strings.Replace(strings.Replace(body, `PublicAddress`, `Pigeon`, 1), "PCMA", "PCMB", 1))
	ask("PATCH", one+api, `{"tags":{"new":"tag"}}`)
	ask("PATCH", one+api, `{"properties":{"codecs":["PCMU"]}}`)
	ask("GET", gateways+api, "")
	ask("GET", "/subscriptions/"+sub+"/providers/Microsoft.VoiceServices/communicationsGateways"+api+"&$filter=tagname+eq+'NEW'+and+tagValue+eq+'tag'", "")
	ask("GET", voice+"/resources"+platform, "")
	ask("GET", "/subscriptions/"+sub+"/resources"+platform+"&$filter=resourceType+eq+'Microsoft.VoiceServices/communicationsGateways'", "")

	line := one + "/testLines/OC1"
	ask("PUT", line+api, `{"location":"westeurope","properties":{"phoneNumber":"+441134960001","purpose":"Automated"}}`)
	ask("PUT", line+api, `{"location":"westeurope","properties":{"phoneNumber":"12","purpose":"Fun"}}`)
	ask("PUT", gateways+"/none/testLines/OC1"+api, `{"location":"westeurope","properties":{"phoneNumber":"+441134960001","purpose":"Automated"}}`)
	ask("PATCH", line+api, `{"tags":{"service":"OperatorConnect"}}`)
	ask("GET", line+api, "")
	ask("GET", one+"/testLines"+api, "")
	ask("GET", one+"/testLines/none"+api, "")
	ask("PUT", one+"/integrationNumbers"+api, `{"value":[{"phoneNumber":"+441134960001","service":"OperatorConnect"}]}`)
	ask("PUT", one+"/integrationNumbers"+api, `{"value":[{"phoneNumber":"+441134960009","service":"OperatorConnect"}]}`)
	ask("GET", one+"/integrationNumbers"+api, "")
	ask("PUT", one+"/testSchedule"+api, `{"interval":"15m","jitter":"1m"}`)
	ask("PUT", one+"/testSchedule"+api, `{"interval":"1s"}`)
	ask("PUT", one+"/testSchedule"+api, `{"interval":"soon"}`)
	ask("GET", one+"/testSchedule"+api, "")
	ask("POST", line+"/call"+api, `{"towards":"nowhere"}`)
	ask("POST", line+"/call"+api, "")
	w.tested(line + "/calls" + api)
	ask("GET", line+"/calls"+api, "")
	ask("GET", one+"/testLines/none/calls"+api, "")
	ask("GET", one+"/readiness"+api, "")
	ask("DELETE", line+api, "")
	ask("DELETE", line+api, "")

	for _, scope := range []string{"/subscriptions/" + sub, voice} {
		ask("PUT", scope+role+platform, roleBody)
		ask("GET", scope+role+platform, "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleAssignments"+platform+"&$filter=principalId+eq+'"+stranger+"'", "")
		ask("DELETE", scope+role+platform, "")
		ask("DELETE", scope+role+platform, "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleDefinitions"+platform+"&$filter=roleName+eq+'Reader'", "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"+platform, "")
	}
	for _, scope := range []string{one, line} {
		ask("PUT", scope+role+platform, roleBody)
		ask("GET", scope+role+platform, "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleAssignments"+platform+"&$filter=assignedTo('"+groupOwner+"')", "")
		ask("DELETE", scope+role+platform, "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleDefinitions"+platform+"&$filter=roleName+eq+'none'", "")
		ask("GET", scope+"/providers/Microsoft.Authorization/roleDefinitions/x"+platform, "")
	}
	ask("GET", "/providers/Microsoft.Authorization/roleDefinitions"+platform, "")
	ask("GET", "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"+platform, "")

	ask("GET", "/subscriptions/"+sub+"/providers/microsoft.insights/eventtypes/management/values?api-version=2015-04-01&$filter=resourceUri+eq+'"+line+"'", "")

	ask("GET", one+"/contacts"+api, "")
	ask("PUT", one+"/operatorVoicemailInstances/x"+api, "{}")
	ask("GET", one+"/nonsense"+api, "")
	ask("GET", "/nonsense"+api, "")
	ask("TRACE", one+api, "")
	ask("DELETE", one+api, "")
	ended := w.settle(last)
	if ended.text("status") != "Succeeded" {
		t.Error(ended.Body)
	}
	ask("GET", one+api, "")
	ask("DELETE", one+api, "")
	ask("DELETE", "/subscriptions/"+sub+"/resourceGroups/second"+platform, "")
	ask("GET", strings.TrimPrefix(last.Header().Get("Location"), base)[:len("/subscriptions/")+36+len("/operationresults/")]+"00000000-0000-4000-8000-000000000000"+platform, "")
	golden(t, "operations."+v+".txt", []byte(b.String()))
	for _, route := range arm.Routes() {
		if !seen[route] {
			t.Errorf("%s was not asked", route)
		}
	}
	if !slices.Equal(arm.Versions(), allVersions) {
		t.Errorf("versions: %v", arm.Versions())
	}
}
