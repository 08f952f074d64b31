package arm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/arm"
)

// edit is plain with some of it replaced.
func edit(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(plain) }

func TestPathsAreTheSameInAnyCase(t *testing.T) {
	w := open(t)
	w.want(201, w.do("PUT", gateways+"/MixedCase"+api, plain))
	for _, path := range []string{
		strings.ToLower(gateways) + "/mixedcase", strings.ToUpper(gateways) + "/MIXEDCASE", "/" + gateways + "/mixedCase", gateways + "/mixedcase/",
		strings.Replace(gateways, "resourceGroups/voice", "resourcegroups/VOICE", 1) + "/MixedCase",
	} {
		for _, version := range []string{"?api-version=", "?API-Version=", "?api%2Dversion="} {
			r := w.want(200, w.do("GET", path+version+newest, ""))
			if r.text("name") != "MixedCase" || !strings.HasPrefix(r.text("id"), gateways) {
				t.Errorf("%s: %s, %s", path, r.text("name"), r.text("id"))
			}
		}
	}
	w.want(200, w.do("PUT", strings.ToUpper(gateways)+"/MIXEDCASE"+api, plain)) // and not another one
}

func TestWhatIsWrongWithARequestHasItsCode(t *testing.T) {
	w := open(t)
	w.want(201, w.do("PUT", gateways+"/one"+api, plain))
	nothing := "/subscriptions/00000000-0000-4000-8000-00000000ffff"
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		code, says                 string
	}{
		{"no version", "GET", gateways + "/one", "", 400, "MissingApiVersionParameter", newest},
		{"no version of the platform", "GET", voice, "", 400, "MissingApiVersionParameter", "2021-04-01"},
		{"a version that never was", "GET", gateways + "/one?api-version=2023-12-24", "", 400, "InvalidApiVersionParameter", "2022-12-01-preview, 2023-01-31"},
		{"no date", "GET", voice + "?api-version=latest", "", 400, "InvalidApiVersionParameter", "date"},
		{"a parameter twice", "GET", gateways + "/one" + api + "&API-VERSION=2023-01-31", "", 400, "InvalidQueryParameter", "more than once"},
		{"a broken query", "GET", gateways + "/one" + api + "&x=%zz", "", 400, "InvalidQueryParameter", ""},
		{"no such subscription", "GET", nothing + platform, "", 404, "SubscriptionNotFound", ""},
		{"no such group", "PUT", strings.Replace(gateways, "voice", "none", 1) + "/one" + api, plain, 404, "ResourceGroupNotFound", "none"},
		{"a list in no such group", "GET", strings.Replace(gateways, "voice", "none", 1) + api, "", 404, "ResourceGroupNotFound", "none"},
		{"no such gateway", "GET", gateways + "/none" + api, "", 404, "ResourceNotFound", "under resource group 'voice'"},
		{"lines of no gateway", "GET", gateways + "/none/testLines" + api, "", 404, "ParentResourceNotFound", "none"},
		{"a patch of no gateway", "PATCH", gateways + "/none" + api, "{}", 404, "ResourceNotFound", ""},
		{"a name that cannot be", "PUT", gateways + "/o" + api, plain, 400, "InvalidResource", "3 to 24"},
		{"another name in the body", "PUT", gateways + "/one" + api, edit(`{"location"`, `{"name":"two","location"`), 400, "InvalidRequestContent", "two"},
		{"no body", "PUT", gateways + "/one" + api, "", 400, "InvalidRequestContent", "missing"},
		{"no JSON", "PUT", gateways + "/one" + api, `{"location":`, 400, "InvalidRequestContent", "deserialized"},
		{"two bodies", "PUT", gateways + "/one" + api, "{}{}", 400, "InvalidRequestContent", "after"},
		{"a list for a body", "PUT", gateways + "/one" + api, "[]", 400, "InvalidRequestContent", "an object"},
		{"a location that is not there", "PUT", gateways + "/two" + api, edit(`"location":"westeurope"`, `"location":"mars"`), 400, "InvalidResource", "westeurope"},
		{"a location only for calls", "PUT", gateways + "/two" + api, edit(`"location":"westeurope"`, `"location":"northeurope"`), 400, "InvalidResource", "management"},
		{"another location", "PUT", gateways + "/one" + api, edit(`"location":"westeurope"`, `"location":"northeurope"`), 400, "InvalidResource", "cannot become"},
		{"AiVoiceServices", "PUT", gateways + "/two" + api, edit(`"OperatorConnect"`, `"OperatorConnect","AiVoiceServices"`), 400, "InvalidResource", "AiVoiceServices"},
		{"a page of nothing", "GET", gateways + api + "&$top=0", "", 400, "InvalidQueryParameter", "$top"},
		{"a page that never was", "GET", gateways + api + "&$skipToken=%ff", "", 400, "InvalidSkipToken", "nextLink"},
		{"a filter that is not known", "GET", gateways + api + "&$filter=name+eq+'x'", "", 400, "InvalidFilterInQueryString", "tagName"},
		{"an identity in the first version", "PATCH", gateways + "/one?api-version=2022-12-01-preview", `{"identity":{"type":"None"}}`, 400, "InvalidRequestContent", "2023-04-03"},
		{"a path of nothing", "GET", "/subscriptions/" + sub + "//providers" + platform, "", 404, "InvalidResourcePath", "empty"},
		{"a long path", "GET", "/" + strings.Repeat("x", 3000) + platform, "", 404, "InvalidResourcePath", "long"},
		{"an operation of nobody", "GET", location + "/operationStatuses/x" + api, "", 404, "ResourceNotFound", "operation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := w.do(tt.method, tt.target, tt.body)
			if r.Code != tt.status || r.code() != tt.code || !strings.Contains(r.text("error.message"), tt.says) || r.Header().Get("x-ms-error-code") != tt.code {
				t.Errorf("%d %s, want %d %s %q", r.Code, r.Body, tt.status, tt.code, tt.says)
			}
		})
	}
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if strings.Contains(string(text), "Missing"+"SubscriptionRegistration") {
			t.Errorf("%s: clients that are told so register by themselves, for ever", f)
		}
	}
}

func TestEveryKindOfFaultHasAnHTTPStatus(t *testing.T) {
	for _, k := range fault.Kinds() {
		if status, code := arm.Translation(k); status < 400 || code == "" {
			t.Errorf("%s: %d %q", k, status, code)
		}
	}
}

// TestAllMistakesAreToldAtOnce: of kinds of values before rules, since rules
// need values.
func TestAllMistakesAreToldAtOnce(t *testing.T) {
	w := open(t)
	targets := func(r reply) (list []string) {
		e, _ := r.JSON["error"].(map[string]any)
		details, _ := e["details"].([]any)
		for _, d := range details {
			list = append(list, d.(map[string]any)["target"].(string))
		}
		return list
	}
	r := w.want(400, w.do("PUT", gateways+"/one"+api, `{"location":3,"tags":{"a":1},"sku":"lab","properties":{"codecs":"PCMA","onPremMcpEnabled":"yes",
		"peerGroups":[{"peers":[{"ipsAndPorts":[{"port":"5061"},{"port":1.5}]}]}]}}`))
	want := []string{
		"location", "properties.codecs", "properties.onPremMcpEnabled", "properties.peerGroups[0].peers[0].ipsAndPorts[0].port",
		"properties.peerGroups[0].peers[0].ipsAndPorts[1].port", "sku", "tags.a",
	}
	if got := targets(r); !slices.Equal(got, want) || r.code() != "InvalidRequestContent" {
		t.Errorf("%v: %s", got, r.Body)
	}
	r = w.want(400, w.do("PUT", gateways+"/one"+api, edit("PublicAddress", "Pigeon", "PCMA", "PCMB", "10.1.0.10", "ten", "Standard", "Other")))
	want = []string{"properties.connectivity", "properties.codecs[0]", "properties.e911Type"}
	for _, path := range want {
		if !slices.Contains(targets(r), path) {
			t.Errorf("%s is not among %v", path, targets(r))
		}
	}
}

func TestAnUnknownPropertyIsIgnoredAndWarnedOf(t *testing.T) {
	w := open(t)
	r := w.want(201, w.do("PUT", gateways+"/one"+api, edit(`"codecs"`, `"codec":["x"],"codecs"`, `"operatorAddresses"`, `"allowedSignallingSourceAddressPrefixes":["10.0.0.0/8"],"operatorAddresses"`)))
	got := strings.Join(r.Header().Values("Warning"), "\n")
	for _, want := range []string{
		`299 - "property 'properties.codec' is unknown and was ignored: did you mean 'codecs'?"`,
		`properties.serviceLocations[0].primaryRegionProperties.allowedSignallingSourceAddressPrefixes' is unknown and was ignored: did you mean 'allowedSignalingSourceAddressPrefixes'?`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not among\n%s", want, got)
		}
	}
	// What was read can be written back without a word.
	read := w.want(200, w.do("GET", gateways+"/one"+api, ""))
	if r := w.want(200, w.do("PUT", gateways+"/one"+api, read.Body.String())); r.Header().Get("Warning") != "" {
		t.Errorf("warned of what came from here: %s", r.Header().Values("Warning"))
	}
}

// TestAnOldVersionLeavesAloneWhatItDoesNotKnow: a script of 2022 that changes a
// codec must not take Zoom away.
func TestAnOldVersionLeavesAloneWhatItDoesNotKnow(t *testing.T) {
	w := open(t)
	w.settle(w.want(201, w.do("PUT", gateways+"/full"+api, full)))
	before := w.want(200, w.do("GET", gateways+"/full"+api, ""))
	for _, v := range allVersions {
		read := w.want(200, w.do("GET", gateways+"/full?api-version="+v, ""))
		w.settle(w.want(200, w.do("PUT", gateways+"/full?api-version="+v, read.Body.String())))
		after := w.want(200, w.do("GET", gateways+"/full"+api, ""))
		if a, b := comparable(before), comparable(after); a != b {
			t.Errorf("after a PUT of %s:\n%s\nwas\n%s", v, b, a)
		}
	}
	// What a version cannot say is not done by saying it.
	r := w.want(200, w.do("PUT", gateways+"/full?api-version=2023-01-31", strings.Replace(full, `"region":"EMEA"`, `"region":"APAC"`, 1)))
	if warned := strings.Join(r.Header().Values("Warning"), "\n"); !strings.Contains(warned, "'properties.zoomConfig' came with api-version 2023-09-21 and was ignored") {
		t.Errorf("warnings: %s", warned)
	}
	w.settle(r)
	if after := w.do("GET", gateways+"/full"+api, ""); after.text("properties.zoomConfig.region") != "EMEA" {
		t.Errorf("an old version has changed what it does not know: %s", after.Body)
	}
}

// comparable is a gateway without what each change touches.
func comparable(r reply) string {
	delete(r.JSON, "systemData")
	b, _ := json.MarshalIndent(r.JSON, "", " ")
	return string(b)
}

func TestTheBridgeOfOldVersionsIsThereOrNull(t *testing.T) {
	w := open(t)
	const old = "?api-version=2023-01-31"
	put := func(bridge string) {
		t.Helper()
		r := w.do("PUT", gateways+"/one"+old, edit(`"connectivity"`, bridge+`"connectivity"`))
		if r.Code > 201 {
			t.Fatal(r.Body)
		}
	}
	state := func() (string, bool) {
		r := w.want(200, w.do("GET", gateways+"/one"+old, ""))
		p := r.JSON["properties"].(map[string]any)
		value, is := p["apiBridge"]
		if !is {
			t.Errorf("apiBridge is missing: %s", r.Body)
		}
		return w.do("GET", gateways+"/one"+api, "").text("properties.apiBridge.configureApiBridge"), value != nil
	}
	for _, tt := range []struct {
		said, state string
		on          bool
	}{
		{"", "", false},
		{`"apiBridge":null,`, "", false},
		{`"apiBridge":{},`, "enabled", true},
		{`"apiBridge":{"anything":[1,2]},`, "enabled", true},
		{"", "disabled", false},
	} {
		put(tt.said)
		if s, on := state(); s != tt.state || on != tt.on {
			t.Errorf("after %q: %q, %v", tt.said, s, on)
		}
	}
}

func TestConditionsOfAChange(t *testing.T) {
	w := open(t)
	path := gateways + "/one" + api
	for _, v := range []string{newest, "2023-01-31"} {
		path := gateways + "/c" + v[:4] + "?api-version=" + v
		w.want(412, w.do("PUT", path, plain, "If-Match", "*"))
		made := w.want(201, w.do("PUT", path, plain, "If-None-Match", "*"))
		w.want(412, w.do("PUT", path, plain, "If-None-Match", "*"))
		tag := made.Header().Get("ETag")
		w.want(200, w.do("PUT", path, plain, "If-Match", `"other", `+tag))
		w.want(412, w.do("PUT", path, plain, "If-Match", tag)) // it is another one now
		w.want(412, w.do("PATCH", path, `{"tags":{}}`, "If-Match", tag))
		w.want(412, w.do("DELETE", path, "", "If-Match", tag))
		w.want(200, w.do("PATCH", path, `{"tags":{}}`, "If-Match", "*"))
	}
	w.want(201, w.do("PUT", path, plain))
	line := gateways + "/one/testLines/OC1" + api
	body := `{"location":"westeurope","properties":{"phoneNumber":"+441134960001","purpose":"Manual"}}`
	tag := w.want(201, w.do("PUT", line, body)).Header().Get("ETag")
	w.want(412, w.do("PUT", line, body, "If-None-Match", "*"))
	w.want(304, w.do("GET", line, "", "If-None-Match", tag))
	w.want(412, w.do("DELETE", line, "", "If-Match", `"x"`))
	w.want(200, w.do("DELETE", line, "", "If-Match", tag))
}

func TestAListComesInPages(t *testing.T) {
	w := newWorld(t, storetest.New(t), true)
	for _, g := range []string{"voice", "other"} {
		w.want(201, w.do("PUT", "/subscriptions/"+sub+"/resourceGroups/"+g+platform, `{"location":"westeurope"}`))
		for i := range 13 {
			body := edit(`"properties"`, fmt.Sprintf(`"tags":{"Half":"%d"},"properties"`, i%2))
			w.want(201, w.do("PUT", fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.VoiceServices/communicationsGateways/%s-%02d%s", sub, g, g, i, api), body))
		}
	}
	all := "/subscriptions/" + sub + "/providers/Microsoft.VoiceServices/communicationsGateways" + api
	for _, tt := range []struct {
		who, target  string
		found, pages int
	}{
		{owner, all, 26, 1},
		{owner, all + "&$top=10", 26, 3},
		{owner, all + "&$top=13", 26, 2},
		{owner, all + "&$top=5000", 26, 1},
		{owner, gateways + api + "&$top=4", 13, 4},
		{owner, all + "&$top=5&$filter=tagName+eq+'half'+and+tagValue+eq+'1'", 12, 3},
		{owner, all + "&$filter=tagName+eq+'other'", 0, 1},
		{groupOwner, all + "&$top=4", 13, 4}, // sees one group of the two
		{reader, "/subscriptions/" + sub + "/resources" + platform + "&$top=20", 26, 2},
	} {
		seen, pages := map[string]bool{}, 0
		for next := tt.target; next != ""; pages++ {
			r := w.want(200, w.as(tt.who, "GET", next, ""))
			for _, v := range r.JSON["value"].([]any) {
				seen[v.(map[string]any)["id"].(string)] = true
			}
			link, _ := r.JSON["nextLink"].(string)
			if link != "" && !strings.HasPrefix(link, base+"/subscriptions/") {
				t.Fatalf("nextLink %s", link)
			}
			next = strings.TrimPrefix(link, base)
		}
		if len(seen) != tt.found || pages > tt.pages+1 || pages < tt.pages {
			t.Errorf("%s: %d in %d pages, want %d in %d", tt.target, len(seen), pages, tt.found, tt.pages)
		}
	}
}

// TestWhoMayDoWhat is the authorization model: who has no role is refused in
// the same words whether there is something or not, and sees nothing in lists.
func TestWhoMayDoWhat(t *testing.T) {
	w := open(t)
	w.want(201, w.do("PUT", gateways+"/one"+api, plain))
	w.want(201, w.do("PUT", "/subscriptions/"+sub+"/resourceGroups/hidden"+platform, `{"location":"westeurope"}`))
	hidden := strings.Replace(gateways, "voice", "hidden", 1)
	everyone := []string{owner, contributor, reader, groupOwner, stranger}
	for _, tt := range []struct {
		name, method, target, body string
		statuses                   [5]int // of everyone
	}{
		{"read a gateway", "GET", gateways + "/one" + api, "", [5]int{200, 200, 200, 200, 403}},
		{"change a gateway", "PUT", gateways + "/one" + api, plain, [5]int{200, 200, 403, 200, 403}},
		{"tag a gateway", "PATCH", gateways + "/one" + api, `{"tags":{}}`, [5]int{200, 200, 403, 200, 403}},
		{"make a line", "PUT", gateways + "/one/testLines/OC1" + api, `{"location":"westeurope","properties":{"phoneNumber":"+441134960001","purpose":"Manual"}}`, [5]int{201, 200, 403, 200, 403}},
		{"delete a line", "DELETE", gateways + "/one/testLines/OC2" + api, "", [5]int{204, 204, 403, 204, 403}},
		{"delete a gateway", "DELETE", gateways + "/none" + api, "", [5]int{204, 204, 403, 204, 403}},
		{"read what is in another group", "GET", hidden + "/none" + api, "", [5]int{404, 404, 404, 403, 403}},
		{"read what is nowhere", "GET", strings.Replace(gateways, "voice", "nowhere", 1) + "/x" + api, "", [5]int{404, 404, 404, 403, 403}},
		{"see the subscription", "GET", "/subscriptions/" + sub + platform, "", [5]int{200, 200, 200, 200, 403}},
		{"see the other subscription", "GET", "/subscriptions/" + other + platform, "", [5]int{403, 403, 403, 403, 403}},
		{"see a subscription that is not there", "GET", "/subscriptions/00000000-0000-4000-8000-00000000ffff" + platform, "", [5]int{404, 404, 404, 404, 404}},
		{"check a name", "POST", location + "/checkNameAvailability" + api, `{"name":"free"}`, [5]int{200, 200, 200, 200, 403}},
		{"make a group", "PUT", "/subscriptions/" + sub + "/resourceGroups/new" + platform, `{"location":"westeurope"}`, [5]int{201, 200, 403, 403, 403}},
		{"read roles", "GET", voice + "/providers/Microsoft.Authorization/roleAssignments" + platform, "", [5]int{200, 200, 200, 200, 403}},
		{"give a role", "PUT", voice + role + platform, roleBody, [5]int{201, 403, 403, 200, 403}},
		{"take a role", "DELETE", voice + "/providers/Microsoft.Authorization/roleAssignments/x" + platform, "", [5]int{204, 403, 403, 204, 200 + 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, who := range everyone {
				if tt.name == "take a role" && who == stranger {
					continue // has been made a reader by now
				}
				r := w.as(who, tt.method, tt.target, tt.body)
				if r.Code != tt.statuses[i] {
					t.Errorf("%s: %d, want %d: %s", who, r.Code, tt.statuses[i], r.Body)
				}
				if r.Code == 403 && (r.code() != "AuthorizationFailed" || !strings.Contains(r.text("error.message"), "or the scope is invalid")) {
					t.Errorf("%s: %s", who, r.Body)
				}
			}
		})
	}
	// A role that was given opens the door, and closes it when it is taken.
	w.want(200, w.as(stranger, "GET", gateways+"/one"+api, ""))
	w.want(403, w.as(stranger, "DELETE", gateways+"/one"+api, ""))
	w.want(200, w.do("DELETE", voice+role+platform, ""))
	w.want(403, w.as(stranger, "GET", gateways+"/one"+api, ""))

	for who, want := range map[string]int{owner: 1, groupOwner: 1, stranger: 0} {
		if got := len(w.as(who, "GET", "/subscriptions"+platform, "").JSON["value"].([]any)); got != want {
			t.Errorf("%s sees %d subscriptions, want %d", who, got, want)
		}
	}
	if got := w.as(groupOwner, "GET", "/subscriptions/"+sub+"/resourceGroups"+platform, "").JSON["value"].([]any); len(got) != 1 {
		t.Errorf("who has a role in one group sees %v", got)
	}
	// Roles of the configuration are shown, and stay.
	r := w.do("GET", voice+"/providers/Microsoft.Authorization/roleAssignments"+platform+"&$filter=principalId+eq+'"+owner+"'", "")
	id := r.JSON["value"].([]any)[0].(map[string]any)["id"].(string)
	if r := w.want(409, w.do("DELETE", id+platform, "")); !strings.Contains(r.text("error.message"), "configuration") {
		t.Errorf("%s", r.Body)
	}
}

// TestATokenOfAnotherTenantOpensNothing even when its object has a role here.
func TestATokenOfAnotherTenantOpensNothing(t *testing.T) {
	w := open(t)
	w.config.Tokens = elsewhere{}
	w.handler = arm.Handler(w.config)
	w.want(403, w.do("GET", voice+platform, ""))
}

type elsewhere struct{}

func (elsewhere) Verify(_ context.Context, token string) (subscription.Principal, error) {
	return subscription.Principal{Tenant: other, Object: token, App: token}, nil
}

func TestAGroupIsDeletedWithAllThatIsInIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, false)
		w.want(201, w.do("PUT", voice+platform, `{"location":"westeurope"}`))
		for _, name := range []string{"one", "two"} {
			w.settle(w.want(201, w.do("PUT", gateways+"/"+name+api, plain)))
		}
		w.want(201, w.do("PUT", voice+role+platform, roleBody))
		r := w.want(202, w.do("DELETE", voice+platform, ""))
		at := strings.TrimPrefix(r.Header().Get("Location"), base)
		again := w.do("DELETE", voice+platform, "")
		if again.Code == 202 && again.Header().Get("Location") != r.Header().Get("Location") {
			t.Errorf("a second DELETE begins another operation: %s, %s", r.Header().Get("Location"), again.Header().Get("Location"))
		}
		if r := w.do("PUT", gateways+"/three"+api, plain); r.Code != 409 && r.Code != 404 {
			t.Errorf("into a group that goes: %d %s", r.Code, r.Body)
		}
		if r := w.do("PUT", voice+platform, `{"location":"westeurope"}`); r.Code != 409 || r.code() != "ResourceGroupBeingDeleted" {
			t.Errorf("a group that goes: %d %s", r.Code, r.Body)
		}
		for deadline := time.Now().Add(20 * time.Second); ; {
			id := at[strings.LastIndex(at, "/")+1 : strings.Index(at, "?")]
			changed := w.operations.Watch(id)
			r := w.do("GET", at, "")
			if r.Code == 204 {
				break
			}
			if r.Code != 202 || r.Header().Get("Retry-After") != "1" || r.Header().Get("Location") != base+at {
				t.Fatalf("%d %s %v", r.Code, r.Body, r.Header())
			}
			select {
			case <-changed:
			case <-time.After(time.Until(deadline)):
				t.Fatal("the group does not go")
			}
		}
		w.want(404, w.do("GET", voice+platform, ""))
		w.want(404, w.do("GET", gateways+"/one"+api, ""))
		w.want(404, w.do("DELETE", voice+platform, ""))
		// A later group of the same name is another one.
		w.want(201, w.do("PUT", voice+platform, `{"location":"westeurope"}`))
		w.want(403, w.as(stranger, "GET", voice+platform, ""))
	})
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	w := open(t)
	w.config.Limits = arm.Limits{Reads: arm.Rate{Burst: 3, PerSecond: 0.5}, Writes: arm.Rate{Burst: 2, PerSecond: 0.1}, Deletes: arm.Rate{Burst: 1, PerSecond: 1}}
	w.handler = arm.Handler(w.config)
	for left := 2; left >= 0; left-- {
		r := w.want(200, w.do("GET", voice+platform, ""))
		if got := r.Header().Get("x-ms-ratelimit-remaining-subscription-reads"); got != fmt.Sprint(left) {
			t.Errorf("%s reads left, want %d", got, left)
		}
	}
	r := w.want(429, w.do("GET", voice+platform, ""))
	if wait := r.Header().Get("Retry-After"); r.code() != "SubscriptionRequestsThrottled" || wait != "2" {
		t.Errorf("%s, %s", r.Body, wait)
	}
	w.want(200, w.as(reader, "GET", voice+platform, ""))    // another principal
	w.want(200, w.do("GET", "/subscriptions"+platform, "")) // nothing of the subscription
	w.want(204, w.do("DELETE", gateways+"/none"+api, ""))   // another class
	w.want(429, w.do("DELETE", gateways+"/none"+api, ""))
	w.want(200, w.do("PUT", voice+platform, `{"location":"westeurope"}`))
	w.want(400, w.do("PUT", gateways+"/one"+api, `{}`)) // refused, and counted
	if r := w.want(429, w.do("PUT", voice+platform, `{"location":"westeurope"}`)); r.Header().Get("Retry-After") != "10" {
		t.Errorf("%v", r.Header())
	}
}

func TestALargeBodyIsNotRead(t *testing.T) {
	w := open(t)
	r := w.want(413, w.do("PUT", gateways+"/one"+api, `{"location":"`+strings.Repeat("x", 5<<20)+`"}`))
	if r.code() != "RequestContentTooLarge" {
		t.Errorf("%s", r.Body)
	}
}

// TestEachRequestCanBeFoundAgain: by its own ID, by the client's, by the
// correlation, in the log and in the trail; refusals too.
func TestEachRequestCanBeFoundAgain(t *testing.T) {
	w := open(t)
	r := w.do("PUT", gateways+"/one"+api, plain, "x-ms-client-request-id", "my-request", "x-ms-correlation-request-id", "my-thing", "x-ms-return-client-request-id", "TRUE")
	id := r.Header().Get("x-ms-request-id")
	if len(id) != 36 || r.Header().Get("x-ms-correlation-request-id") != "my-thing" || r.Header().Get("x-ms-client-request-id") != "my-request" {
		t.Errorf("%v", r.Header())
	}
	w.want(403, w.as(reader, "DELETE", gateways+"/one"+api, "", "x-ms-correlation-request-id", "mischief\nline"))
	trail, err := w.subscriptions.Trail(t.Context(), subscription.Span{Scope: voice, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range trail {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", e.Request.Principal.Object[34:], e.Action, e.Resource[len(voice):], e.Outcome))
	}
	want := []string{
		"b1 Microsoft.Resources/subscriptions/resourceGroups/write  Succeeded",
		"b1 Microsoft.VoiceServices/communicationsGateways/write /providers/Microsoft.VoiceServices/communicationsGateways/one Succeeded",
		"b3 Microsoft.VoiceServices/communicationsGateways/delete /providers/Microsoft.VoiceServices/communicationsGateways/one Denied",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the trail is\n%s", strings.Join(lines, "\n"))
	}
	if e := trail[1].Request; e.ID != id || e.Correlation != "my-thing" || e.Client != "my-request" {
		t.Errorf("%+v", e)
	}
	for _, line := range []string{"method=PUT path=" + gateways + "/one", "clientRequest=my-request", "correlation=my-thing", "request=" + id, "msg=audit"} {
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("the log has no %q", line)
		}
	}
	if strings.Contains(w.log.String(), "mischief") {
		t.Error("what a client makes up is taken over")
	}
}

func TestAPanicEndsOneRequest(t *testing.T) {
	w := open(t)
	w.config.Tokens = breaking{}
	w.handler = arm.Handler(w.config)
	r := w.want(500, w.do("GET", voice+platform, ""))
	if r.code() != "InternalServerError" || strings.Contains(r.Body.String(), "secret of the house") {
		t.Errorf("%s", r.Body)
	}
	if !strings.Contains(w.log.String(), "secret of the house") {
		t.Error("nobody is told why")
	}
}

type breaking struct{}

func (breaking) Verify(context.Context, string) (subscription.Principal, error) {
	panic("secret of the house")
}

// TestTheControlSocketNeedsNoToken since who may open it owns the node.
func TestTheControlSocketNeedsNoToken(t *testing.T) {
	w := open(t)
	w.config.Tokens = nil
	h := arm.Socket(w.config)
	for _, tt := range []struct {
		target string
		status int
	}{{voice + platform, 200}, {"/subscriptions/" + other + platform, 200}, {voice, 400}} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, tt.target, nil))
		if rec.Code != tt.status {
			t.Errorf("%s: %d %s", tt.target, rec.Code, rec.Body)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a handler for the network without anybody who verifies tokens")
		}
	}()
	arm.Handler(w.config)
}

// TestNobodySeesAnotherSubscriptionsOperations although their IDs are known.
func TestNobodySeesAnotherSubscriptionsOperations(t *testing.T) {
	w := open(t)
	r := w.want(201, w.do("PUT", gateways+"/one"+api, plain))
	at := strings.TrimPrefix(r.Header().Get("Azure-AsyncOperation"), base)
	w.want(200, w.as(reader, "GET", at, ""))
	w.want(403, w.as(stranger, "GET", at, ""))
	w.want(201, w.do("PUT", "/subscriptions/"+sub+"/resourceGroups/hidden"+platform, `{"location":"westeurope"}`))
	made := w.want(201, w.do("PUT", strings.Replace(gateways, "voice", "hidden", 1)+"/two"+api, plain))
	w.want(404, w.as(groupOwner, "GET", strings.TrimPrefix(made.Header().Get("Azure-AsyncOperation"), base), ""))
	path, _, _ := strings.Cut(at, "?")
	w.want(403, w.as(reader, "POST", path+"/cancel"+api, ""))
}

// TestTheActivityLogShowsTheTrail to those who may read what it is about.
func TestTheActivityLogShowsTheTrail(t *testing.T) {
	w := open(t)
	w.want(201, w.do("PUT", gateways+"/one"+api, plain))
	for i := range 3 {
		w.want(200, w.do("PATCH", gateways+"/one"+api, fmt.Sprintf(`{"tags":{"n":"%d"}}`, i), "x-ms-correlation-request-id", "thing"))
	}
	w.want(201, w.do("PUT", "/subscriptions/"+sub+"/resourceGroups/hidden"+platform, `{"location":"westeurope"}`))
	log := "/subscriptions/" + sub + "/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=" + url.QueryEscape("eventTimestamp ge '2020-01-01T00:00:00Z'")
	read := func(who, more string) (found []string) {
		t.Helper()
		for next := log + url.QueryEscape(more); next != ""; {
			r := w.want(200, w.as(who, "GET", next, ""))
			for _, v := range r.JSON["value"].([]any) {
				e := v.(map[string]any)
				found = append(found, e["operationName"].(map[string]any)["value"].(string)+" "+e["status"].(map[string]any)["value"].(string))
			}
			next = strings.TrimPrefix(r.text("nextLink"), base)
		}
		return found
	}
	const write = "Microsoft.VoiceServices/communicationsGateways/write Succeeded"
	for _, tt := range []struct {
		who, more string
		want      int
	}{
		{reader, "", 6}, // two groups, a gateway and its three changes
		{groupOwner, "", 5},
		{reader, " and eventTimestamp le 2021-01-01T00:00:00.123456", 0},
		{reader, " and resourceGroupName eq 'VOICE' and eventChannels eq 'Admin, Operation'", 5},
		{reader, " and resourceUri eq '" + gateways + "/one'", 4},
		{reader, " and correlationId eq 'thing'", 3},
	} {
		if got := read(tt.who, tt.more); len(got) != tt.want || tt.want > 3 && !slices.Contains(got, write) {
			t.Errorf("%q: %v, want %d", tt.more, got, tt.want)
		}
	}
	w.want(403, w.as(stranger, "GET", log, ""))
	for _, more := range []string{" or true", " and eventTimestamp ge 'soon'", " and colour eq 'red'"} {
		if r := w.want(400, w.do("GET", log+url.QueryEscape(more), "")); r.code() != "InvalidFilterInQueryString" {
			t.Errorf("%q: %s", more, r.Body)
		}
	}
}

// TestRolesOfAGroupInAnyScript: letters whose small form is longer or shorter in
// UTF-8 neither move the scope nor break anything.
func TestRolesOfAGroupInAnyScript(t *testing.T) {
	w := open(t)
	for i, letter := range []string{"\u023a", "\u212a", "\u0130"} {
		group := "/subscriptions/" + sub + "/resourceGroups/" + url.PathEscape(strings.Repeat(letter, 60))
		w.want(201, w.do("PUT", group+"?api-version=2021-04-01", `{"location":"westeurope"}`))
		at := fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-0000000000e%d?api-version=2022-04-01", group, i)
		r := w.want(201, w.do("PUT", at, fmt.Sprintf(`{"properties":{"roleDefinitionId":"%s","principalId":"%s"}}`, subscription.Owner.ID(), stranger)))
		if want := "/subscriptions/" + sub + "/resourceGroups/" + strings.Repeat(letter, 60); r.text("properties.scope") != want {
			t.Errorf("the scope is %q", r.text("properties.scope"))
		}
		w.want(200, w.as(stranger, "GET", group+"/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01", ""))
		w.want(200, w.as(stranger, "GET", at, ""))
		w.want(200, w.as(stranger, "GET", group+"?api-version=2021-04-01", ""))
		w.want(403, w.as(stranger, "GET", voice+"?api-version=2021-04-01", ""))
	}
}

// TestWhatIsTooBigIsNotJudged: rules compare elements with each other while
// others wait for the store, and each would have its sentence in the answer.
func TestWhatIsTooBigIsNotJudged(t *testing.T) {
	w := open(t)
	w.settle(w.want(201, w.do("PUT", gateways+"/big"+api, plain)))
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	addresses := make([]string, 150_000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf(`"10.%d.%d.%d"`, i>>16, i>>8&255, i&255)
	}
	put := func(old, new string) reply {
		return w.do("PUT", gateways+"/big"+api, strings.Replace(plain, old, new, 1))
	}
	for _, tt := range []struct {
		name, target string
		ask          func() reply
	}{
		{"addresses", "properties.serviceLocations[0].primaryRegionProperties.operatorAddresses", func() reply { return put(`"10.1.0.10"`, strings.Join(addresses, ",")) }},
		{"codecs", "properties.codecs", func() reply { return put(`"PCMA"`, many(1001, `"PCMA"`)) }},
		{"regions", "properties.serviceLocations", func() reply {
			return put(`"serviceLocations":[`, `"serviceLocations":[`+many(20_000, `{"name":"westeurope","primaryRegionProperties":{"operatorAddresses":["10.1.0.10"]}}`)+",")
		}},
		{"lists of lists", "properties.peerGroups[5].peers", func() reply {
			return put(`"codecs"`, `"peerGroups":[`+many(40, `{"peerGroupName":"g","peers":[`+many(900, `{"peerName":"p"}`)+`]}`)+`],"codecs"`)
		}},
		{"a text", "properties.e911Type", func() reply { return put(`"Standard"`, `"`+strings.Repeat("x", 1<<20)+`"`) }},
		{"identities", "identity.userAssignedIdentities", func() reply {
			var all []string
			for i := range 2000 {
				all = append(all, fmt.Sprintf(`"/i%d":{}`, i))
			}
			return w.do("PATCH", gateways+"/big"+api, `{"identity":{"type":"UserAssigned","userAssignedIdentities":{`+strings.Join(all, ",")+`}}}`)
		}},
		{"integration numbers", "integrationNumbers", func() reply {
			return w.do("PUT", gateways+"/big/integrationNumbers"+api, `{"value":[`+many(50_000, `{"phoneNumber":"+441134960101","service":"OperatorConnect"}`)+`]}`)
		}},
	} {
		before := worked(t)
		r := tt.ask()
		if r.Code != 400 || !strings.Contains(r.Body.String(), `"target":"`+tt.target+`"`) || r.Body.Len() > 2000 {
			t.Errorf("%s: %d, %d bytes: %.400s", tt.name, r.Code, r.Body.Len(), r.Body)
		}
		// Reading it takes half a second; comparing each with each, twenty and more.
		if took := worked(t) - before; took > 8*time.Second {
			t.Errorf("%s: %v of a processor", tt.name, took)
		}
	}
}

// worked is the processor time that this process has used.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
