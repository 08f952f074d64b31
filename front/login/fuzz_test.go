package login_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/control/directory"
)

// FuzzPages: whatever is asked of a page, by somebody who is signed in or not,
// it is no defect of ours, and nobody is sent where no program waits.
func FuzzPages(f *testing.F) {
	h := &house{seed: map[string]string{}}
	h.door = open(f)
	h.furnish()
	opened := h.signedIn()
	for _, path := range []string{
		"signin", "factor", "enrol", "password", "consent", "device", "account", "signout", "adminconsent", "v2.0/adminconsent", "oauth2/v2.0/authorize", "oauth2/authorize", "oauth2/v2.0/logout",
	} {
		f.Add("GET", path, "back=%2F"+tenant+"%2Faccount&client_id="+h.native+"&redirect_uri=http%3A%2F%2Flocalhost%3A1", "", true)
		f.Add("POST", path, "back=//evil.example&link=x", "answer=yes&response=%7B%7D&code=123456&back=%2Fcommon%2Fdevice&user_code=BBBB-BBBB&proof=x", true)
	}
	f.Add("GET", "oauth2/v2.0/authorize", strings.TrimPrefix(h.request(h.web, back, "response_mode", "form_post", "prompt", "none", "max_age", "1"), "/"+tenant+"/oauth2/v2.0/authorize?"), "", true)
	f.Add("GET", "oauth2/v2.0/authorize", "client_id="+h.native+"&redirect_uri=http://[::1]:x&response_type=code%0d%0aX", "", false)
	f.Add("GET", "oauth2/v2.0/logout", "id_token_hint=a.b.c&post_logout_redirect_uri=javascript:x&client_id="+h.web, "", true)
	allowed := []string{"/", back, "http://localhost", "com.telecom.desk:/back", "https://spa.telecom.example/", "https://login.microsoftonline.com/"}
	f.Fuzz(func(t *testing.T, method, path, query, body string, in bool) {
		if method != http.MethodGet && method != http.MethodPost {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/" + tenant + "/" + path, RawQuery: query}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if in {
			r.AddCookie(&http.Cookie{Name: "__Host-tandem-session", Value: opened})
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		to := rec.Header().Get("Location")
		ours := to == ""
		for _, a := range allowed {
			ours = ours || strings.HasPrefix(to, a) && !strings.HasPrefix(to, "//")
		}
		if rec.Code >= 500 || !ours || strings.ContainsAny(to, "\r\n") {
			t.Errorf("%d %q: %s", rec.Code, to, rec.Body)
		}
		h.log.Reset()
	})
}

// signedIn is the cookie of somebody who has shown both factors.
func (h *house) signedIn() string {
	i := must[directory.Invitation](h)(h.directory.Invite(h.Context(), us, h.bob.ID, false))
	from := directory.Visitor{Source: "192.0.2.1"}
	half := must[directory.Opened](h)(h.directory.SetPassword(h.Context(), string(i.Link), password, from))
	seed := must[directory.Seed](h)(h.directory.ProposeTOTP(h.Context(), string(half.Token)))
	code := must[string](h)(totp.GenerateCode(string(seed.Secret), time.Now()))
	return string(must[directory.Opened](h)(h.directory.AddTOTP(h.Context(), string(half.Token), "app", code, from)).Token)
}
