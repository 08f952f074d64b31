package arm

import "net/http/httptest"

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
	rt, err := (&api{routes: routes()}).match(&request{Request: r, path: r.URL.Path})
	if err != nil {
		return ""
	}
	return rt.method + " " + rt.path
}

// Versions are those of Microsoft.VoiceServices.
func Versions() []string { return versions }

// Decode reads a gateway.
func DecodeGateway(body []byte) ([]string, error) {
	var b gatewayBody
	return decode(body, &b)
}

// Statuses are the translations of fault kinds.
var Statuses = statuses

// TagFilter reads a filter.
var TagFilter = tagFilter
