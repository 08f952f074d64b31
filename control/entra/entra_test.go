package entra_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "eyJ.canary.token"

// client asks a handler.
func client(t *testing.T, h http.HandlerFunc) *entra.Client {
	t.Helper()
	c, err := entra.New(entra.Config{
		URL: "https://graph.telecom.example", Login: "https://login.telecom.example/", Tenant: "t-1", HTTP: entra.InProcess(h),
		Token: func(context.Context) (obs.Secret, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Request-Id", "r-17")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":%q,"innerError":{"date":"2026-01-01"}}}`, code, message)
}

func TestAllPagesAreRead(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("Accept") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		switch r.URL.RequestURI() {
		case "/v1.0/servicePrincipals?%24filter=displayName+eq+%27O%27%27Neill%27":
			io.WriteString(w, `{"value":[{"id":"a"},{"id":"b"}],"@odata.nextLink":"https://graph.telecom.example/v1.0/servicePrincipals?$skiptoken=x%20y"}`)
		case "/v1.0/servicePrincipals?$skiptoken=x%20y":
			io.WriteString(w, `{"value":[{"id":"c"}]}`)
		default:
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
	})
	all, err := c.PrincipalsNamed(t.Context(), "O'Neill")
	if err != nil || len(all) != 3 || all[2].ID != "c" {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestATokenStaysWhereItBelongs: neither a page elsewhere nor a redirect is
// followed.
func TestATokenStaysWhereItBelongs(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another host": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"value":[],"@odata.nextLink":"https://evil.example/v1.0/x"}`)
		},
		"no encryption": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"value":[],"@odata.nextLink":"http://graph.telecom.example/v1.0/x"}`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
		"pages for ever": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"value":[],"@odata.nextLink":"https://graph.telecom.example/v1.0/x"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "graph.telecom.example" {
					t.Errorf("asked at %s", r.Host)
				}
				h(w, r)
			})
			if _, err := c.PrincipalsNamed(t.Context(), "x"); fault.Of(err) != fault.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestWhatIsRefusedIsOneSentence with Graph's code, and without anything
// secret.
func TestWhatIsRefusedIsOneSentence(t *testing.T) {
	for status, want := range map[int]fault.Kind{400: fault.Invalid, 401: fault.Denied, 403: fault.Denied, 404: fault.NotFound, 409: fault.Conflict, 500: fault.Unavailable, 302: fault.Unavailable} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, status, "Request_Bad\nLine", "Another object with the same value\r\nexists.")
		})
		_, err := c.AddPrincipal(t.Context(), "app-1", "")
		if fault.Of(err) != want {
			t.Errorf("%d is %v", status, fault.Of(err))
		}
		const text = "The directory graph.telecom.example does not add the service principal of app-1: Another object with the same value  exists (Request_Bad Line)"
		if !strings.HasPrefix(err.Error(), text+": status ") || !strings.HasSuffix(err.Error(), `, request "r-17"`) {
			t.Errorf("%q", err)
		}
		if e, is := errors.AsType[*entra.Error](err); !is || e.Code != "Request_Bad Line" {
			t.Errorf("%+v", e)
		}
	}
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { panic("canary") })
	if _, _, err := c.AddSecret(t.Context(), "a", "b", time.Now()); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("%v", err)
	}
}

// TestWhatIsThrottledIsTriedAgain when the directory says it may be, and what
// may have been done is not done twice.
func TestWhatIsThrottledIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		asked  int // POST
		read   int // GET
	}{
		"throttled":          {http.StatusTooManyRequests, "2", 4, 4},
		"throttled for long": {http.StatusTooManyRequests, "3600", 1, 1},
		"away, and says so":  {http.StatusServiceUnavailable, "1", 4, 4},
		"away":               {http.StatusServiceUnavailable, "", 1, 4},
		"lost":               {http.StatusGatewayTimeout, "", 1, 4},
		"broken":             {http.StatusInternalServerError, "", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := map[string]int{}
				d := client(t, func(w http.ResponseWriter, r *http.Request) {
					n[r.Method]++
					if c.after != "" {
						w.Header().Set("Retry-After", c.after)
					}
					refuse(w, c.status, "TooManyRequests", "slow down")
				})
				if _, err := d.AddDomain(t.Context(), "telecom.example"); err == nil {
					t.Error("it worked")
				}
				if _, err := d.Domain(t.Context(), "telecom.example"); err == nil {
					t.Error("it worked")
				}
				if want := map[string]int{"POST": c.asked, "GET": c.read}; !cmp.Equal(n, want) {
					t.Errorf("asked %v, want %v", n, want)
				}
			})
		})
	}
}

func TestWhatIsAssignedAlreadyIsNoError(t *testing.T) {
	there := false
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			refuse(w, 400, "Request_BadRequest", "Permission being assigned already exists on the object")
		case there:
			io.WriteString(w, `{"value":[{"id":"1","principalId":"P","resourceId":"r","appRoleId":"X"}]}`)
		default:
			io.WriteString(w, `{"value":[]}`)
		}
	})
	a := entra.Assignment{Principal: "p", Resource: "r", Role: "x"}
	err := c.Assign(t.Context(), a)
	if e, is := errors.AsType[*entra.Error](err); !is || e.Code != "Request_BadRequest" {
		t.Errorf("%v", err)
	}
	there = true
	if err := c.Assign(t.Context(), a); err != nil {
		t.Errorf("%v", err)
	}
}

func TestARegistrationIsWrittenInGraphsWords(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		var got map[string]any
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		want := map[string]any{
			"displayName": "Billing Service", "signInAudience": "AzureADMyOrg",
			"requiredResourceAccess": []any{map[string]any{"resourceAppId": "r", "resourceAccess": []any{map[string]any{"id": "x", "type": "Role"}}}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"id":"o","appId":"c","web":{"redirectUris":["https://a"]},"publicClient":{"redirectUris":["b"]}}`)
	})
	a, err := c.CreateApplication(t.Context(), entra.Application{
		DisplayName: "Billing Service", Audience: entra.SingleTenant, Required: []entra.RequiredAccess{{Resource: "r", Access: []entra.Access{{ID: "x", Type: "Role"}}}},
	})
	if err != nil || a.AppID != "c" || len(a.RedirectURIs()) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if got := c.ConsentURL("c d", "https://x/?a", "s"); got != "https://login.telecom.example/t-1/adminconsent?client_id=c+d&redirect_uri=https%3A%2F%2Fx%2F%3Fa&state=s" {
		t.Error(got)
	}
}

// TestSigningIn: a token is kept until shortly before it ends, and a secret
// that the endpoint quotes does not get into the error.
func TestSigningIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, refused := 0, false
		login := entra.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			if r.URL.String() != "https://login.telecom.example/t-1/oauth2/v2.0/token" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "c" || r.FormValue("scope") != "s" {
				t.Errorf("%s %v", r.URL, r.Form)
			}
			if r.FormValue("client_secret") != "canary" && r.FormValue("client_assertion") != "canary" {
				t.Errorf("%v", r.Form)
			}
			if refused {
				w.WriteHeader(401)
				io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret canary provided."}`)
				return
			}
			fmt.Fprintf(w, `{"access_token":"t%d","expires_in":3600}`, asked)
		}))
		s := entra.SignIn{Login: "https://login.telecom.example", Tenant: "t-1", Client: "c", Scope: "s", HTTP: login, Secret: func(context.Context) (obs.Secret, error) { return "canary", nil }}
		get := s.Token()
		for i, want := range []string{"t1", "t1", "t2"} {
			got, err := get(t.Context())
			if err != nil || string(got) != want {
				t.Errorf("%d: %s, %v", i, string(got), err)
			}
			time.Sleep(30 * time.Minute)
		}
		refused, s.Assertion = true, s.Secret
		_, err := s.Token()(t.Context())
		if fault.Of(err) != fault.Denied || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "AADSTS7000215") {
			t.Errorf("%v", err)
		}
	})
}

// TestASecretThatIsRefusedIsReadAgainOnce: it may have been rotated since it
// was read. One that is still the same is not tried twice, nor is anything but
// a wrong proof a reason (RFC 6749 §5.2).
func TestASecretThatIsRefusedIsReadAgainOnce(t *testing.T) {
	const wrong = `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`
	gone := fault.New(fault.NotFound, "no such secret")
	for name, tt := range map[string]struct {
		next     obs.Secret
		gone     error
		status   int
		refusal  string
		tried    string
		kind     fault.Kind
		good, no bool // no: nobody can read it again
	}{
		"rotated":           {next: "new", status: 401, refusal: wrong, tried: "old new", good: true},
		"rotated to wrong":  {next: "wrong too", status: 401, refusal: wrong, tried: "old wrong too", kind: fault.Denied},
		"the same":          {next: "old", status: 401, refusal: wrong, tried: "old", kind: fault.Denied},
		"gone":              {gone: gone, status: 401, refusal: wrong, tried: "old", kind: fault.NotFound},
		"another refusal":   {next: "new", status: 400, refusal: `{"error":"unauthorized_client"}`, tried: "old", kind: fault.Denied},
		"away":              {next: "new", status: 503, refusal: `{"error":"temporarily_unavailable"}`, tried: "old", kind: fault.Unavailable},
		"nothing to reread": {no: true, status: 401, refusal: wrong, tried: "old", kind: fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			var tried []string
			s := entra.SignIn{
				Login: "https://login.telecom.example", Tenant: "t-1", Client: "c", Scope: "s",
				Secret: func(context.Context) (obs.Secret, error) { return "old", nil },
				HTTP: entra.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tried = append(tried, r.PostFormValue("client_secret"))
					if tried[len(tried)-1] == "new" {
						io.WriteString(w, `{"access_token":"t","expires_in":3600}`)
						return
					}
					w.WriteHeader(tt.status)
					io.WriteString(w, tt.refusal)
				})),
			}
			if !tt.no {
				s.Again = func(context.Context) (obs.Secret, error) { return tt.next, tt.gone }
			}
			got, err := s.Token()(t.Context())
			if strings.Join(tried, " ") != tt.tried || (err == nil) != tt.good || tt.good != (got == "t") || !tt.good && fault.Of(err) != tt.kind {
				t.Errorf("tried %q: %q, %v", tried, string(got), err)
			}
		})
	}
}

// TestASignInThatIsAwayDoesNotSayThatTheSecretIsWrong: whoever throttles, or
// is broken, says nothing of what was sent.
func TestASignInThatIsAwayDoesNotSayThatTheSecretIsWrong(t *testing.T) {
	for status, want := range map[int]fault.Kind{400: fault.Denied, 401: fault.Denied, 429: fault.Unavailable, 500: fault.Unavailable, 503: fault.Unavailable} {
		s := entra.SignIn{
			Login: "https://login.telecom.example", Tenant: "t-1", Client: "c", Scope: "s",
			Secret: func(context.Context) (obs.Secret, error) { return "canary", nil },
			HTTP: entra.InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				io.WriteString(w, `{"error":"temporarily_unavailable","error_description":"AADSTS90033: canary"}`)
			})),
		}
		_, err := s.Token()(t.Context())
		if fault.Of(err) != want || !strings.Contains(err.Error(), "temporarily_unavailable AADSTS90033") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d: %v is %v", status, err, fault.Of(err))
		}
	}
}

func TestOverHTTPS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"value":[{"id":"`+strings.TrimPrefix(r.URL.Path, "/v1.0/")+`","displayName":"Lab"}]}`)
	}))
	defer srv.Close()
	c, err := entra.New(entra.Config{URL: srv.URL, HTTP: srv.Client().Transport, Token: func(context.Context) (obs.Secret, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := c.Organization(t.Context()); err != nil || o.ID != "organization" {
		t.Errorf("%+v, %v", o, err)
	}
	srv.CloseClientConnections()
	srv.Close()
	if _, err := c.AddDomain(t.Context(), "x"); fault.Of(err) != fault.Unavailable || strings.Contains(err.Error(), "/v1.0/") {
		t.Errorf("%v", err)
	}
	for _, url := range []string{"http://graph.telecom.example", "graph", "https://", "::"} {
		if _, err := entra.New(entra.Config{URL: url}); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", url, err)
		}
	}
	nobody, _ := entra.New(entra.Config{})
	if _, err := nobody.Organization(t.Context()); fault.Of(err) != fault.Denied {
		t.Errorf("%v", err)
	}
}
