// Package graph is the part of Microsoft Graph that the directory has: users,
// groups, directory roles, applications, service principals, what is assigned
// and granted to them, and domains.
//
// What is in this package is HTTP, JSON and OData: paths and their keys, shapes,
// $filter, pages, errors. What an object is, and who may do what with it, is
// control/directory's: a token says who asks and by which program, and the
// directory decides. A property that Graph has and we have not is refused when
// it is given a value, and a property that Graph does not know is refused as
// Graph refuses it. No answer has a secret in it but that to addPassword, once.
// Start reading at Handler; the operations are in route.go.
package graph

import (
	"cmp"
	"log/slog"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/door"
)

// AppID is that of Graph itself (Microsoft Entra docs, "Verify first-party
// Microsoft applications in sign-in reports"): tokens are made out for it, or
// for the URL.
const AppID = directory.GraphID

// public is the audience that clients ask tokens for when nobody told them
// that they do not speak to Microsoft.
const public = "https://graph.microsoft.com"

// Config is what the API answers from.
type Config struct {
	Directory *directory.Set

	URL       string   // "https://graph.telecom.example:8443", without /v1.0
	LoginURL  string   // where clients are sent for tokens
	Issuers   []string // whose tokens are believed: of the deployment's own login
	Audiences []string // tokens may be made out for, besides AppID, URL and Microsoft's own
	Rate      Rate     // of one principal; zero is 200 at once and 40 a second
	Log       *slog.Logger
}

// Rate is a bucket.
type Rate = door.Rate

// api answers.
type api struct {
	Config
	audiences []string            // RO
	limits    door.Limits[string] // of a tenant and who is in it
	routes    []route             // RO
}

// Versions are the first parts of the paths that Handler serves. Both are the
// same.
func Versions() []string { return []string{"v1.0", "beta"} }

// Handler serves the API to whoever has a token.
func Handler(c Config) http.Handler {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.URL = strings.TrimRight(c.URL, "/")
	c.LoginURL = strings.TrimRight(cmp.Or(c.LoginURL, c.URL), "/")
	c.Rate = cmp.Or(c.Rate, Rate{Burst: 200, PerSecond: 40})
	a := &api{Config: c, audiences: append([]string{AppID, c.URL, public}, c.Audiences...), routes: routes()}
	return &door.Door{
		Name: "graph", Media: "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8", Log: c.Log,
		ClientID: "client-request-id", CorrelationID: "client-request-id",
		Secret:    true, // bodies have passwords in them, and one answer a secret
		Challenge: `Bearer realm="", authorization_uri="` + c.LoginURL + `/common/oauth2/authorize", client_id="` + AppID + `"`,
		Greet:     greet, Serve: a.serve, Explain: vocabulary.Explain, Envelope: envelope, Level: loudness,
	}
}
