package arm_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/arm"
)

// FuzzRequest lets anybody say anything: the answer is never a defect of ours,
// always JSON, and never without the names by which it is found again.
func FuzzRequest(f *testing.F) {
	for _, route := range arm.Routes() {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{subscription}", sub, "{group}", "voice", "{gateway}", "one", "{line}", "OC1", "{location}", "westeurope").Replace(path)
		f.Add(method, "/"+path, "api-version="+newest, plain)
		f.Add(method, "/"+strings.ToUpper(path)+"/", "api-version=2023-01-31&$top=1&$filter=tagName eq 'a'", `{"tags":{"a":"b"}}`)
	}
	f.Add("PUT", gateways+"/one", "api-version="+newest, full)
	f.Add("PUT", gateways+"/one", "api-version=2023-01-31", `{"properties":{"apiBridge":[1],"serviceLocations":[{"primaryRegionProperties":null}]}}`)
	f.Add("GET", "//..//%2e%2e/\x00", "$skipToken=AA&$skipToken=", "\xff")
	w := newWorld(f, storetest.New(f), true)
	w.want(201, w.do("PUT", voice+platform, `{"location":"westeurope"}`))
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "/", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.RequestURI = path
		r.Header.Set("Authorization", "Bearer "+owner)
		r.Header.Set("x-ms-client-request-id", query)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("%d %s\n%s", rec.Code, rec.Body, w.log)
		}
		if rec.Body.Len() > 0 && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("no JSON: %q", rec.Body)
		}
		if rec.Header().Get("x-ms-request-id") == "" || rec.Code >= 400 && rec.Code != 404 && rec.Header().Get("x-ms-error-code") == "" {
			t.Errorf("%d %v", rec.Code, rec.Header())
		}
		for name, values := range rec.Header() {
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Errorf("%s: %q", name, v)
				}
			}
		}
		w.log.Reset()
	})
}

// FuzzFilter: what is taken for a filter says the same when it is written
// anew.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "tagName eq 'a'", "tagname EQ 'it''s' AND TagValue eq ''", "tagName eq 'a' and tagValue eq 'b' and", "'", "tagName eq '", "tagName  eq\t'a'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := arm.TagFilter(s)
		if err != nil || tag == nil {
			return
		}
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		again := "tagName eq " + quote(tag.Name)
		if tag.Value != nil {
			again += " and tagValue eq " + quote(*tag.Value)
		}
		same, err := arm.TagFilter(again)
		if err != nil || same.Name != tag.Name || (same.Value == nil) != (tag.Value == nil) || tag.Value != nil && *same.Value != *tag.Value {
			t.Errorf("%q is %+v, %q is %+v, %v", s, tag, again, same, err)
		}
	})
}
