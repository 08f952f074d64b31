package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/door"
)

// FuzzBody: whatever is in a body, it is refused in words or read into what it
// is for, and what it does not name stays.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"displayName":"x","web":{"redirectUris":["https://a.example"]},"requiredResourceAccess":[{"resourceAppId":"eb63d611-525e-4a31-abd7-0cb33f679599","resourceAccess":[{"id":"98d32f93-eaa7-4657-b443-090c23e69f27","type":"Role"}]}]}`,
		`{"passwordProfile":{"password":"x","forceChangePasswordNextSignIn":true},"accountEnabled":null}`, `{"web":null,"appRoles":[{"isEnabled":false,"allowedMemberTypes":["User"]}]}`,
		`{"api":{"oauth2PermissionScopes":[{}]}}`, `{"@odata.type":"x","notes":{"a":[0]}}`, `{"passwordCredential":{"endDateTime":"2026-01-01T00:00:00Z"}}`, `{"tags":[[]]}`, `{}`, `[]`, `null`, `{"a":1e999}`, "\xff",
	} {
		f.Add([]byte(s))
	}
	current := applicationShape(directory.Application{ID: "i", DisplayName: "was", Tags: []string{"t"}, Redirects: directory.Redirects{Web: []string{"https://b.example"}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		q := &request{Request: &door.Request{Content: b}}
		var app applicationBody
		err := q.decode(applicationKind, current, &app)
		if err == nil {
			var a directory.Application
			_ = app.into(&a)
			var given map[string]any
			if json.Unmarshal(b, &given); len(given) == 0 && (a.DisplayName != "was" || len(a.Tags) != 1 || len(a.Redirects.Web) != 1) {
				t.Errorf("%q changes %+v", b, a)
			}
		} else if f := vocabulary.Explain(err); f.Status != 400 || strings.ContainsRune(f.Message, 0) {
			t.Errorf("%q: %d %v", b, f.Status, err)
		}
		var u userBody
		if q.decode(userKind, nil, &u) == nil {
			_, _ = u.password()
			_ = u.into(new(directory.User))
		}
		var g groupBody
		if q.decode(groupKind, nil, &g) == nil {
			_ = g.into(new(directory.Group))
		}
		var p principalBody
		if q.decode(principalKind, nil, &p) == nil {
			_ = p.into(new(directory.ServicePrincipal))
		}
		_, _ = q.reference()
	})
}
