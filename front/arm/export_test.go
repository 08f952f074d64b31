package arm

import (
	"net/http/httptest"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/door"
)

// Routes are all operations, as "GET subscriptions/{subscription}".
func Routes() (list []string) {
	for _, rt := range routes() {
		list = append(list, rt.method+" "+rt.path)
	}
	return list
}

// RouteOf is the operation that a request is for.
func RouteOf(method, target string) string {
	r := httptest.NewRequest(method, target, nil)
	rt, err := (&api{routes: routes()}).match(&request{Request: &door.Request{Request: r}, path: r.URL.Path})
	if err != nil {
		return ""
	}
	return rt.method + " " + rt.path
}

// Versions are those of Microsoft.VoiceServices.
func Versions() []string { return versions }

// Translation is what a kind of fault is to a client.
func Translation(k fault.Kind) (status int, code string) {
	f := explain(fault.New(k, ""))
	return f.Status, f.Code
}

// TagFilter reads a filter.
var TagFilter = tagFilter
