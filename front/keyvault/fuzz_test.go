package keyvault_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzSecrets: whatever is asked, nothing of ours breaks, and who may not does
// not see the secret.
func FuzzSecrets(f *testing.F) {
	w := filled(f)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	for _, c := range [][4]string{
		{"GET", "/secrets/s", "api-version=7.4", ""},
		{"PUT", "/secrets/t", "api-version=7.4", `{"value":"x","attributes":{"exp":1,"nbf":2,"enabled":false},"tags":{"a":"b"}}`},
		{"PATCH", "/secrets/t/", "api%2Dversion=7.4", `{"contentType":"y"}`},
		{"GET", "/secrets", "api-version=7.4&maxresults=1&$skiptoken=cw", ""},
		{"GET", "/secrets/s/versions", "api-version=1&$skiptoken=MQ", ""},
		{"DELETE", "/secrets/t", "api-version=1", ""},
		{"POST", "/deletedsecrets/t/recover", "api-version=1", ""},
		{"DELETE", "/deletedsecrets/t", "api-version=1", ""},
		{"POST", "/secrets/s/backup", "api-version=1", ""},
		{"POST", "/secrets/restore", "api-version=1", `{"value":"dGFuZGVtIHNlY3JldCAxCgAAAAA"}`},
		{"GET", "/secrets/..%2fs", "api-version=%zz", ""},
	} {
		f.Add(c[0], c[1], c[2], c[3])
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		for _, who := range []string{owner, nobody, ""} {
			status, text := raw(w.data, who, method, "billing."+domain, path, query, body)
			if status >= 500 {
				t.Errorf("%d: %s", status, text)
			}
			if who != owner && (status < 400 || strings.Contains(text, canary)) {
				t.Errorf("%q sees %d %s", who, status, text)
			}
		}
	})
}

// FuzzResources is the same of vaults.
func FuzzResources(f *testing.F) {
	w := filled(f)
	for _, c := range [][3]string{
		{"PUT", vaults + "/v", vaultBody},
		{"PATCH", vaults + "/billing", `{"properties":{"networkAcls":{"ipRules":[{"value":"::1/64"}]}}}`},
		{"GET", vaults, ""},
		{"PUT", vaults + "/billing/accessPolicies/add", `{"properties":{"accessPolicies":[{"permissions":{"secrets":["get"]}}]}}`},
		{"PUT", vaults + "/billing/privateEndpointConnections/x", `{"properties":{"privateLinkServiceConnectionState":{"status":"approved"}}}`},
		{"DELETE", vaults + "/v", ""},
	} {
		f.Add(c[0], c[1], c[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		for _, who := range []string{owner, nobody, ""} {
			status, text := raw(w.resources, who, method, "api.lab.example", path, "api-version=2023-07-01", body)
			if status >= 500 {
				t.Errorf("%d: %s", status, text)
			}
			if who != owner && status < 400 {
				t.Errorf("%q sees %d %s", who, status, text)
			}
		}
	})
}

// raw sends what no client would put together.
func raw(h http.Handler, who, method, host, path, query, body string) (int, string) {
	r := httptest.NewRequest("GET", "/", strings.NewReader(body))
	r.Method, r.Host, r.RemoteAddr = method, host, "192.0.2.1:40000"
	r.URL = &url.URL{Path: path, RawQuery: query}
	if decoded, err := url.PathUnescape(path); err == nil {
		r.URL.Path, r.URL.RawPath = decoded, path
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	a := httptest.NewRecorder()
	h.ServeHTTP(a, r)
	return a.Code, a.Body.String()
}
