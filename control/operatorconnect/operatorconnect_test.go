package operatorconnect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	oc "github.com/tandemgw/tandem/control/operatorconnect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	canary = "eyJ.canary.token"
	tenant = "00000000-0000-4000-8000-00000000000e"
	id     = "11111111-0000-4000-8000-000000000001"
	self   = "22222222-0000-4000-8000-000000000002"
)

// ask is a client of a handler.
func ask(t *testing.T, h http.HandlerFunc, change ...func(*oc.Config)) *oc.Client {
	t.Helper()
	cfg := oc.Config{
		URL: "https://oc.example", HTTP: entra.InProcess(h), Application: self, Suffixes: []string{"gateways.telecom.example"},
		Token: func(context.Context, bool) (obs.Secret, error) { return canary, nil },
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := oc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refuse(w http.ResponseWriter, status int, code, target string) {
	w.Header().Set("Request-Id", "r-1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"no","target":%q}}`, code, target)
}

// operation is one of the document.
type operation struct {
	ID         string   `yaml:"operationId"`
	Roles      []string `yaml:"x-roles"`
	Parameters []any
	Responses  map[string]any
}

// document is docs/operatorconnect.openapi.yaml, by "GET /trunks/{trunkId}".
func document(t *testing.T) map[string]operation {
	t.Helper()
	text, err := os.ReadFile("../../docs/operatorconnect.openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]operation{}
	for path, methods := range doc.Paths {
		if _, is := methods["x-tandem-inferred"]; !is {
			t.Errorf("%s is not marked as inferred", path)
		}
		for method, node := range methods {
			if !slices.Contains([]string{"get", "put", "post", "patch", "delete"}, method) {
				continue
			}
			var o operation
			if err := node.Decode(&o); err != nil {
				t.Fatal(err)
			}
			if len(o.Roles) == 0 || o.Responses["default"] == nil {
				t.Errorf("%s %s: no roles, or no errors", method, path)
			}
			all[strings.ToUpper(method)+" "+path] = o
		}
	}
	return all
}

// TestEveryOperationOfTheDocumentIsSpoken and none that is not in it.
func TestEveryOperationOfTheDocumentIsSpoken(t *testing.T) {
	said := document(t)
	mux := http.NewServeMux()
	spoken := map[string]bool{}
	for pattern := range said {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v1/operator"+path, func(w http.ResponseWriter, r *http.Request) {
			spoken[pattern] = true
			if r.Header.Get("Authorization") != "Bearer "+canary {
				t.Errorf("%s: no token", pattern)
			}
			if once := r.Header.Get("Repeatability-Request-ID") != "" && r.Header.Get("Repeatability-First-Sent") != ""; once == (method == http.MethodGet) {
				t.Errorf("%s: repeatable %t", pattern, once)
			}
			io.WriteString(w, `{}`)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s is not in the document", r.Method, r.URL.Path)
		refuse(w, 404, "NotFound", "")
	})
	c := ask(t, mux.ServeHTTP)
	ctx := t.Context()
	_, _ = c.PartnerSettings(ctx)
	_, _ = c.ApplicationIDs(ctx)
	_, _ = c.AddApplicationID(ctx, id, "x")
	_ = c.RemoveApplicationID(ctx, id)
	_, _ = c.Consents(ctx, tenant)
	_, _ = c.Consent(ctx, id)
	_, _ = c.Relate(ctx, id, "", oc.Relationship{Status: "AgreementSigned"})
	_, _ = c.Profiles(ctx)
	_, _ = c.CreateProfile(ctx, oc.ProfileDraft{})
	_, _ = c.ReplaceProfile(ctx, oc.Edit{ID: id}, oc.ProfileDraft{})
	_ = c.DeleteProfile(ctx, oc.Edit{ID: id})
	_, _ = c.Trunks(ctx)
	_, _ = c.CreateTrunk(ctx, oc.TrunkDraft{})
	_, _ = c.ReplaceTrunk(ctx, oc.Edit{ID: id}, oc.TrunkDraft{})
	_ = c.DeleteTrunk(ctx, oc.Edit{ID: id})
	_, _ = c.CapabilityPlans(ctx, "")
	_, _ = c.CivicAddresses(ctx, tenant)
	_, _ = c.CivicAddress(ctx, tenant, id)
	for range c.Numbers(ctx, tenant) {
	}
	for range c.NumberStatus(ctx, tenant) {
	}
	for range c.Durations(ctx, time.Now(), time.Now()) {
	}
	_, _ = c.Number(ctx, tenant, "+4420")
	_, _ = c.Upload(ctx, tenant, oc.Upload{})
	_, _ = c.Assign(ctx, tenant, oc.Assign{})
	_, _ = c.Release(ctx, tenant, oc.Release{})
	_, _ = c.Order(ctx, tenant, id)
	_, _ = c.Orders(ctx, tenant, "")
	_, _ = c.UploadDurations(ctx, nil)
	delete(said, "PATCH /partnersettings") // people's, in the portal
	for pattern := range said {
		if !spoken[pattern] {
			t.Errorf("%s is in the document, and nothing asks for it", pattern)
		}
	}
}

func TestAllPagesAreRead(t *testing.T) {
	c := ask(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/api/v1/operator/trunks?top=1000":
			io.WriteString(w, `{"value":[{"trunkId":"a"},{"trunkId":"b"}],"nextLink":"https://oc.example/api/v1/operator/trunks?top=1000&mark=x%2By"}`)
		case "/api/v1/operator/trunks?top=1000&mark=x%2By":
			io.WriteString(w, `{"value":[{"trunkId":"c"}]}`)
		default:
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
	})
	all, err := c.Trunks(t.Context())
	if err != nil || len(all) != 3 || all[2].ID != "c" {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestATokenStaysWhereItBelongs: neither a page elsewhere nor a redirect is
// followed, and nothing that fails shows it.
func TestATokenStaysWhereItBelongs(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another host": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"nextLink":"https://evil.example/"}`)
		},
		"another port": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"nextLink":"https://oc.example:444/"}`)
		},
		"no encryption": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"nextLink":"http://oc.example/"}`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `<html>`) },
		"an echo": func(w http.ResponseWriter, r *http.Request) { refuse(w, 400, "InvalidRequest", "x\x1b[2J\n") },
	} {
		t.Run(name, func(t *testing.T) {
			c := ask(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "oc.example" {
					t.Errorf("asked at %s", r.Host)
				}
				h(w, r)
			})
			_, err := c.Trunks(t.Context())
			if err == nil || strings.Contains(err.Error(), canary) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%v", err)
			}
		})
	}
	for _, url := range []string{"http://oc.example", "oc.example", "https://", "https://oc.example/x", "::"} {
		if _, err := oc.New(oc.Config{URL: url}); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestWhoIsNotListedIsToldWhereToAddIt: "to prevent 403 responses when you try
// to use the REST API with this client-id" (Azure Communications Gateway docs,
// "Add the application ID to the Operator Connect Portal").
func TestWhoIsNotListedIsToldWhereToAddIt(t *testing.T) {
	for _, x := range []struct {
		status     int
		code, want string
		kind       fault.Kind
	}{
		{403, oc.NotListed, "Operator Connect at oc.example does not list the trunks: the application " + self + " is not on the operator's list. Add it as an Application Id at https://oc.example/operator/configuration", fault.Denied},
		{403, oc.RoleMissing, "has none of the roles of Project Synergy that it takes (TrunkManagement.Read,Admin). Assign one", fault.Denied},
		{401, "InvalidAuthenticationToken", "does not accept the token of the application " + self, fault.Denied},
		{403, oc.NotConsented, "the enterprise has not chosen this operator", fault.Denied},
		{403, "SomethingElse", "does not list the trunks", fault.Denied},
		{404, "NotFound", "NotFound: no (request r-1)", fault.NotFound},
		{409, "InUse", "InUse", fault.Conflict},
	} {
		c := ask(t, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, x.status, x.code, "TrunkManagement.Read,Admin")
		})
		_, err := c.Trunks(t.Context())
		if fault.Of(err) != x.kind || oc.Code(err) != x.code || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d %s: %v", x.status, x.code, err)
		}
	}
}

// TestATokenFromBeforeARoleWasGrantedIsExchangedOnce.
func TestATokenFromBeforeARoleWasGrantedIsExchangedOnce(t *testing.T) {
	for name, good := range map[string]bool{"it helps": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			asked, issued := 0, 0
			token := oc.Issued(func(context.Context) (obs.Secret, time.Duration, error) {
				issued++
				return obs.Secret("t" + strconv.Itoa(issued)), time.Hour, nil
			})
			c := ask(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				if good && r.Header.Get("Authorization") == "Bearer t2" {
					io.WriteString(w, `{"value":[]}`)
					return
				}
				refuse(w, 403, oc.RoleMissing, "")
			}, func(cfg *oc.Config) { cfg.Token = token })
			_, err := c.Trunks(t.Context())
			if (err == nil) != good || asked != 2 || issued != 2 {
				t.Errorf("asked %d times with %d tokens: %v", asked, issued, err)
			}
			if _, err = c.Trunks(t.Context()); good && (err != nil || issued != 2) {
				t.Errorf("a good token is not kept: %d, %v", issued, err)
			}
		})
	}
	c := ask(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without a token") }, func(cfg *oc.Config) {
		cfg.Token = func(context.Context, bool) (obs.Secret, error) { return "", fault.New(fault.Unavailable, "no vault") }
	})
	if _, err := c.Trunks(t.Context()); fault.Of(err) != fault.Unavailable || err.Error() != "no vault" {
		t.Errorf("%v", err)
	}
}

// TestWhatFailsIsAskedAgain as the far side wants, and a change bears the same
// ID each time, so that it is done once.
func TestWhatFailsIsAskedAgain(t *testing.T) {
	for name, x := range map[string]struct {
		status      int
		after       string
		asked       int
		least, most time.Duration
	}{
		"throttled":          {429, "2", 5, 8 * time.Second, 11 * time.Second},
		"throttled to a day": {429, "date", 5, 8 * time.Second, 13 * time.Second},
		"throttled for long": {429, "3600", 1, 0, 0},
		"throttled, no time": {429, "", 5, 3 * time.Second, 8 * time.Second},
		"away":               {503, "1", 5, 4 * time.Second, 6 * time.Second},
		"lost":               {504, "", 5, 3 * time.Second, 8 * time.Second},
		"broken":             {500, "", 5, 3 * time.Second, 8 * time.Second},
		"silent":             {0, "", 5, 3 * time.Second, 8 * time.Second},
		"wrong":              {400, "", 1, 0, 0},
		"there already":      {409, "", 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ids := map[string]int{}
				c := ask(t, func(w http.ResponseWriter, r *http.Request) {
					ids[r.Header.Get("Repeatability-Request-ID")]++
					switch x.after {
					case "date":
						w.Header().Set("Retry-After", time.Now().Add(2*time.Second+999*time.Millisecond).UTC().Format(http.TimeFormat))
					case "":
					default:
						w.Header().Set("Retry-After", x.after)
					}
					if x.status == 0 {
						panic("gone")
					}
					refuse(w, x.status, "", "")
				})
				began := time.Now()
				_, err := c.CreateTrunk(t.Context(), oc.TrunkDraft{FQDN: "a.example"})
				n := 0
				for _, times := range ids {
					n += times
				}
				if err == nil || n != x.asked || len(ids) != 1 {
					t.Errorf("asked %v: %v", ids, err)
				}
				if d := time.Since(began); d < x.least || d > x.most {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// TestThrottlingHoldsEverybodyOfTheClient, and nobody longer than he wants.
func TestThrottlingHoldsEverybodyOfTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Duration
		began := time.Now()
		c := ask(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(began))
			if len(at) == 1 {
				w.Header().Set("Retry-After", "10")
				refuse(w, 429, "TooManyRequests", "")
				return
			}
			io.WriteString(w, `{"value":[]}`)
		})
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Second / 2)
				if _, err := c.Trunks(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Trunks(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		all.Wait()
		for _, d := range at[1:] {
			if d < 10*time.Second {
				t.Errorf("somebody asked after %v", d)
			}
		}
		if len(at) != 11 {
			t.Errorf("asked %d times", len(at))
		}
	})
}

// TestWhatAGatewayManagesIsNotTouched without force: calling profiles with the
// suffix CommsGw and trunks below a gateway's domain (Azure Communications
// Gateway docs, "Connect Azure Communications Gateway to Operator Connect or
// Teams Phone Mobile", Caution).
func TestWhatAGatewayManagesIsNotTouched(t *testing.T) {
	for name, x := range map[string]struct {
		thing   string
		managed bool
	}{
		"a profile by its suffix":  {`{"name":"Main","nameSuffix":"commsgw"}`, true},
		"a profile by its name":    {`{"name":"MainCommsGw"}`, true},
		"a profile by its manager": {`{"name":"Main","managedBy":"33333333-0000-4000-8000-000000000003"}`, true},
		"another profile":          {`{"name":"CommsGwNot","nameSuffix":"x"}`, false},
		"our own profile":          {`{"name":"Main","nameSuffix":"CommsGw","managedBy":"` + strings.ToUpper(self) + `"}`, false},
		"a trunk of Azure":         {`{"trunkFqdn":"a.b.COMMSGW.azure.com."}`, true},
		"a trunk of ours":          {`{"trunkFqdn":"a.gateways.telecom.example"}`, true},
		"another trunk":            {`{"trunkFqdn":"notgateways.telecom.example"}`, false},
		"our own trunk":            {`{"trunkFqdn":"a.gateways.telecom.example","managedBy":"` + self + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := ""
			c := ask(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					changed += r.Method + " " + r.URL.Query().Get("force") + r.Header.Get("If-Match") + ";"
				}
				w.Header().Set("ETag", `"7"`)
				io.WriteString(w, x.thing)
			})
			profile := strings.Contains(name, "profile")
			edit := func(e oc.Edit) error {
				if profile {
					_, err := c.ReplaceProfile(t.Context(), e, oc.ProfileDraft{})
					return errors.Join(err, c.DeleteProfile(t.Context(), e))
				}
				_, err := c.ReplaceTrunk(t.Context(), e, oc.TrunkDraft{})
				return errors.Join(err, c.DeleteTrunk(t.Context(), e))
			}
			err := edit(oc.Edit{ID: id})
			switch {
			case x.managed && (oc.Code(err) != oc.Managed || fault.Of(err) != fault.Conflict || changed != "" || !strings.Contains(err.Error(), "managed by a communications gateway")):
				t.Errorf("changed %q: %v", changed, err)
			case !x.managed && (err != nil || changed != `PUT "7";DELETE "7";`):
				t.Errorf("changed %q: %v", changed, err)
			}
			changed = ""
			if err := edit(oc.Edit{ID: id, Force: true, ETag: `"6"`}); err != nil || changed != `PUT true"6";DELETE true"6";` {
				t.Errorf("forced: %q, %v", changed, err)
			}
		})
	}
}

func TestAnOrderIsAwaitedAsTheFarSideWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		states := []string{"pending_upload", "pending", "in_progress", "partial_success"}
		var at []time.Duration
		began := time.Now()
		c := ask(t, func(w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Since(began))
			w.Header().Set("Retry-After", "5")
			n := min(len(at), len(states)) - 1
			json.NewEncoder(w).Encode(map[string]any{"id": id, "tenantId": tenant, "status": states[n], "telephoneNumbers": []any{map[string]string{"telephoneNumber": "+44", "status": "error", "errorCode": "number_in_use"}}})
		})
		o, err := c.Upload(t.Context(), tenant, oc.Upload{})
		if err != nil || o.Ended() {
			t.Fatalf("%+v, %v", o, err)
		}
		if o, err = c.Await(t.Context(), o); err != nil || o.Status != oc.PartialSuccess || o.Numbers[0].ErrorCode != "number_in_use" {
			t.Errorf("%+v, %v", o, err)
		}
		if time.Since(began) != 10*time.Second {
			t.Errorf("asked at %v", at)
		}
		states = []string{"pending"}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Await(short, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestOverHTTPS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"telephoneNumber":"`+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]+`"}`)
	}))
	defer srv.Close()
	c := ask(t, nil, func(cfg *oc.Config) { cfg.URL, cfg.HTTP = srv.URL, srv.Client().Transport })
	if n, err := c.Number(t.Context(), tenant, "+442079460100"); err != nil || n.TelephoneNumber != "+442079460100" {
		t.Errorf("%+v, %v", n, err)
	}
}

// FuzzAnswer: whatever the far side answers is a value or an error.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"value":[{"trunkId":"a","sipSignalingPort":70000}],"nextLink":"https://oc.example/"}`, "1")
	f.Add(429, `{"error":{"code":"x","details":[{"message":"y"}]}}`, "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add(403, `{"error":[]}`, "-1")
	f.Add(200, `{"value":null}`, "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		if status < 100 || status > 999 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			n := 0
			c := ask(t, func(w http.ResponseWriter, _ *http.Request) {
				if n++; n > 3 {
					body = `{}`
				}
				w.Header().Set("Retry-After", after)
				w.WriteHeader(status)
				io.WriteString(w, body)
			})
			_, err := c.Trunks(t.Context())
			if err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("%q", err)
			}
		})
	})
}
