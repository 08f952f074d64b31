package graph

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// sample is an object with a value of each kind.
var sample = object{
	"id": "7f8d5c6e-0000-4000-8000-000000000001", "appId": "eb63d611-525e-4a31-abd7-0cb33f679599", "displayName": named{"Operator Connect", "Project Synergy"},
	"accountEnabled": true, "createdDateTime": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "publisherName": nil,
	"tags": texts([]string{"one", "O'Brien"}), "servicePrincipalNames": texts(nil),
	"appRoles": []any{object{"id": "72129ccd-8886-42db-a63c-2647b61635c1", "value": "TrunkManagement.Read", "isEnabled": true}},
}

// Microsoft Graph docs, "Use the $filter query parameter"; OData 4.01 part 2,
// §5.1.1.
func TestWhatAFilterHolds(t *testing.T) {
	for filter, want := range map[string]bool{
		"appId eq 'eb63d611-525e-4a31-abd7-0cb33f679599'":                                true,
		"AppId eq 'EB63D611-525E-4A31-ABD7-0CB33F679599'":                                true, // names and strings in any case
		"appId eq eb63d611-525e-4a31-abd7-0cb33f679599":                                  true, // a GUID needs no quotes
		"appId ne 'eb63d611-525e-4a31-abd7-0cb33f679599'":                                false,
		"displayName eq 'Operator Connect'":                                              true,
		"displayName eq 'Project Synergy'":                                               true, // an alias
		"displayName eq 'Synergy'":                                                       false,
		"displayName ne 'Project Synergy'":                                               false,
		"displayName in ('a', 'operator connect')":                                       true,
		"displayName in ('a')":                                                           false,
		"startswith(displayName,'oper')":                                                 true,
		"startsWith( displayName , 'project s' )":                                        true,
		"endswith(displayName,'Connect')":                                                true,
		"startswith(displayName,'Connect')":                                              false,
		"startswith(publisherName,'M')":                                                  false, // there is none
		"publisherName eq null":                                                          true,
		"publisherName ne null":                                                          false,
		"publisherName ne 'x'":                                                           true,
		"accountEnabled eq true":                                                         true,
		"accountEnabled eq false":                                                        false,
		"not (accountEnabled eq false)":                                                  true,
		"not accountEnabled eq true":                                                     false,
		"createdDateTime ge 2026-01-01T00:00:00Z":                                        true,
		"createdDateTime lt 2026-01-01T00:00:00Z":                                        false,
		"createdDateTime gt 2026-03-01T00:00:00Z":                                        false,
		"createdDateTime le 2026-03-01T01:00:00+01:00":                                   true,
		"tags/any(t:t eq 'ONE')":                                                         true,
		"tags/any(t: t eq 'O''Brien')":                                                   true,
		"tags/any(t:startswith(t,'two'))":                                                false,
		"tags/any()":                                                                     true,
		"servicePrincipalNames/any()":                                                    false,
		"appRoles/any(r:r/value eq 'TrunkManagement.Read' and r/isEnabled eq true)":      true,
		"appRoles/any(r:r/value eq 'Admin' or displayName eq 'Operator Connect')":        true,
		"displayName eq 'x' or accountEnabled eq true and appId ne null":                 true, // and before or
		"(displayName eq 'x' or accountEnabled eq true) and appId eq null":               false,
		"NOT(displayName eq 'x') AND accountEnabled EQ TRUE":                             true,
		"servicePrincipalType eq 'ManagedIdentity' or displayName eq 'Operator Connect'": true,
		" displayName\teq\t'operator connect' ":                                          true,
		"displayName eq '(' or displayName eq ')' or displayName eq ',' or displayName eq ' and '": false,
		"displayName lt 'P' and displayName ge 'O'":                                                true,
		"id in (7f8d5c6e-0000-4000-8000-000000000001,7f8d5c6e-0000-4000-8000-000000000002)":        true,
		"alternativeNames/any(n:n eq '/subscriptions/x/resourceGroups/y')":                         false,
	} {
		term, err := parseFilter(filter, principalKind)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got := term.holds(scope{it: sample}); got != want {
			t.Errorf("%s is %v", filter, got)
		}
	}
}

func TestWhatIsNoFilter(t *testing.T) {
	for filter, want := range map[string]string{
		"nickname eq 'x'":                              "Could not find a property named 'nickname' on type 'microsoft.graph.servicePrincipal'",
		"displayName":                                  "ends too early",
		"displayName eq":                               "ends too early",
		"displayName eq 'x":                            "unterminated",
		"displayName eq x":                             "it is a string",
		"displayName like 'x'":                         "'like' is not an operator",
		"'x' eq displayName":                           "write the property first",
		"displayName eq 'x' and":                       "ends too early",
		"displayName eq 'x' 'y'":                       "where the expression could end",
		"(displayName eq 'x'":                          "')' is missing at the end",
		"displayName eq 'x')":                          "where the expression could end",
		"contains(displayName,'x')":                    "'contains' is not supported",
		"startswith(displayName)":                      "',' is missing before ')'",
		"startswith(accountEnabled,'x')":               "works on strings",
		"startswith(displayName,x)":                    "put it in quotes",
		"startswith('x',displayName)":                  "where a property must stand",
		"accountEnabled eq 'true'":                     "it is true or false",
		"appId eq 12":                                  "it is a GUID",
		"createdDateTime gt 'x'":                       "it is a time",
		"tags eq 'x'":                                  "cannot be compared",
		"displayName/any(t:t eq 'x')":                  "works on collections",
		"tags/any(t eq 'x')":                           "begins with a variable",
		"tags/any(:t eq 'x')":                          "begins with a variable",
		"tags/any(t:tags/any(u:u eq 'x'))":             "An 'any' within another",
		"tags/any(t:t/value eq 'x')":                   "Could not find a property named 'value' on type 'Edm.String'",
		"tags/any(t:t eq 'x'":                          "')' is missing",
		"displayName in 'x'":                           "'(' is missing",
		"displayName in ()":                            "it is a string",
		"displayName in ('x'":                          "')' is missing",
		"appRoles/any(r:r eq 'x')":                     "cannot be compared",
		"appRoles/value eq 'x'":                        "Could not find a property",
		"x/any(":                                       "Could not find a property named 'x'",
		"(":                                            "ends too early",
		"not":                                          "ends too early",
		strings.Repeat("(", 17) + "displayName eq 'x'": "nested deeper than 16",
		"displayName eq '" + strings.Repeat("x", 5000) + "'":                      "more than 4096 bytes",
		"displayName in (" + strings.Repeat("'x',", 100) + "'x')":                 "more than 100 comparisons",
		strings.TrimSuffix(strings.Repeat("displayName eq 'x' or ", 101), " or "): "more than 100 comparisons",
	} {
		_, err := parseFilter(filter, principalKind)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", filter, err, want)
		}
		if err != nil && vocabulary.Explain(err).Status != 400 {
			t.Errorf("%.60s: status %d", filter, vocabulary.Explain(err).Status)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"AppId eq 'eb63d611-525e-4a31-abd7-0cb33f679599'", "displayName eq 'a''b' and not startswith(appDisplayName,'x') or id in ('a','b')",
		"tags/any(t:t eq 'x')", "appRoles/any(r:r/value eq 'x' or (r/isEnabled eq true))", "createdDateTime ge 2026-01-01T00:00:00Z", "tags/any()", "((((", "'", "any(", "/any(x:", "x/any(x:x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		term, err := parseFilter(s, principalKind)
		if err != nil {
			if f := vocabulary.Explain(err); f.Status != 400 || !utf8.ValidString(f.Message) || len(f.Message) > 1000 {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		// A filter is one thing or the other, and its negation the other.
		got := term.holds(scope{it: sample})
		if no := (negated{term}).holds(scope{it: sample}); no == got {
			t.Errorf("%q and its negation are %v", s, got)
		}
		term.holds(scope{it: object{}})
	})
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{`"displayName:syn"`, `"displayName:a" AND "appDisplayName:b" OR "appId:c"`, `"`, `"displayName:`, `"displayName:x" AND`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if term, err := parseSearch(s, principalKind); err == nil {
			term.holds(scope{it: sample})
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v1.0/users/ann%40telecom.example", "/v1.0/applications(appId='x')", "/v1.0/users('a''b')", "/v1.0/users('", "/v1.0//", "/v1.0/%2e%2e/x", "/v1.0/a%2Fb", "/v1.0/x()"} {
		f.Add(s)
	}
	a := &api{routes: routes()}
	f.Fuzz(func(t *testing.T, s string) {
		parts, good := path(s)
		if !good {
			return
		}
		for _, p := range parts {
			if p == "" || strings.Contains(p, "/") || !utf8.ValidString(p) {
				t.Errorf("%q has a part %q", s, p)
			}
		}
		for _, rt := range a.routes {
			rt.fits(parts)
		}
		a.unknown(parts)
	})
}

func TestKeysOfPaths(t *testing.T) {
	for said, want := range map[string]string{
		"/v1.0/users/ann@telecom.example":                "v1.0|users|ann@telecom.example",
		"/v1.0/users('ann%40telecom.example')/memberOf":  "v1.0|users|ann@telecom.example|memberOf",
		"/v1.0/applications(appId='x')":                  "v1.0|applications|appId=x",
		"/beta/applications(appId=%27x%27)/addPassword/": "beta|applications|appId=x|addPassword",
		"/v1.0/users('o''brien@telecom.example')":        "v1.0|users|o'brien@telecom.example",
		"//v1.0/me":                           "v1.0|me",
		"/v1.0/domains/voice.example.com":     "v1.0|domains|voice.example.com",
		"/v1.0/a%2Fb":                         "",
		"/v1.0/users('x":                      "",
		"/v1.0/users('x'y')":                  "",
		"/v1.0//me":                           "",
		"/v1.0/%00":                           "",
		"/v1.0/" + strings.Repeat("x", 400):   "",
		"/v1.0/" + strings.Repeat("x/", 2000): "",
		"/v1.0/directoryRoles(roleTemplateId='62e90394')": "v1.0|directoryRoles|roleTemplateId=62e90394",
	} {
		parts, good := path(said)
		if got := strings.Join(parts, "|"); good != (want != "") || good && got != want {
			t.Errorf("%.60s: %q, %v", said, got, good)
		}
	}
}
