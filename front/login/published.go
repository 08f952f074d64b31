package login

import (
	"net/http"
	"strings"
)

// Published answers what those ask who verify tokens of ours, and nothing else:
// discovery documents and keys. People and programs sign in with an issuer
// elsewhere, which lets a gateway in by a federated credential of our issuer,
// and must find its keys for that.
func Published(c Config) http.Handler {
	all := Handler(c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.ToLower(strings.TrimRight(r.URL.Path, "/"))
		for _, end := range []string{"/.well-known/openid-configuration", "/discovery/keys", "/discovery/v2.0/keys"} {
			if strings.HasSuffix(path, end) {
				all.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})
}
