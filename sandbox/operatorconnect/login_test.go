package operatorconnect

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/login"
)

var (
	formOf   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenIn = regexp.MustCompile(`<input type="hidden" name="([^"]+)"(?: autocomplete="[^"]*")? value="([^"]*)"`)
	seedOf   = regexp.MustCompile(`<span class="seed">([^<]*)</span>`)
)

// fill sends the form of a page that has a field of a name, with its hidden
// fields.
func (w *browser) fill(p page, having string, pairs ...string) page {
	w.b.t.Helper()
	for _, m := range formOf.FindAllStringSubmatch(p.text, -1) {
		if !strings.Contains(m[2], `name="`+having+`"`) {
			continue
		}
		v := url.Values{}
		for _, x := range hiddenIn.FindAllStringSubmatch(m[2], -1) {
			v.Set(html.UnescapeString(x[1]), html.UnescapeString(x[2]))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		to, err := p.at.Parse(html.UnescapeString(m[1]))
		if err != nil {
			w.b.t.Fatal(err)
		}
		return w.do(http.MethodPost, to.String(), v)
	}
	w.b.t.Fatalf("the page at %s has no form with %q: %s", p.at, having, p.text)
	return page{}
}

// The product's own directory and sign-in, with nothing played: a person with
// the role Admin comes in by password, second factor and consent, and a program
// by the roles that it was given.
func TestPeopleAndProgramsOfARealDirectory(t *testing.T) {
	b := newBench(t, nil)
	b.env.Offboard(tenantA)
	var handler http.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := directory.Open(t.Context(), directory.Config{Store: storetest.New(t), Tenant: directory.Tenant{ID: tenantA, Name: "a.example"}, Portal: b.env.URL() + redirectPath, Audiences: []string{server.URL}})
	must(err)
	handler = login.Handler(login.Config{Directory: dir, URL: server.URL, Resources: []string{server.URL + "/"}})
	issuer := server.URL + "/" + tenantA + "/v2.0"
	must(b.env.Onboard(Operator{Tenant: tenantA, Name: "Telecom A", Issuers: []string{issuer}, Suffix: suffix}))

	ctx, us := t.Context(), directory.Ourselves(tenantA, "test")
	synergy, err := dir.AddPrincipal(ctx, us, ProjectSynergy, "Operator Connect")
	must(err)
	give := func(object, value string) {
		t.Helper()
		role, ok := synergy.Role(value)
		if !ok {
			t.Fatalf("no role %s", value)
		}
		_, err := dir.Assign(ctx, us, directory.Assignment{Principal: object, Resource: synergy.ID, Role: role.ID})
		must(err)
	}

	// A program: no role, then a role, then the list.
	app, err := dir.CreateApplication(ctx, us, directory.Application{DisplayName: "lab"})
	must(err)
	principal, err := dir.PrincipalOf(ctx, us, app.AppID)
	if err != nil {
		principal, err = dir.AddPrincipal(ctx, us, app.AppID, "")
		must(err)
	}
	token := func() string {
		t.Helper()
		token, err := dir.IssueFor(ctx, principal.ID, issuer, directory.SynergyID)
		must(err)
		return string(token.Raw)
	}
	b.refused(b.ask(token(), "GET", "/trunks", nil), 403, "ApplicationNotListed")
	b.list(app.AppID)
	b.refused(b.ask(token(), "GET", "/trunks", nil), 403, "RoleMissing")
	give(principal.ID, "TrunkManagement.Read")
	b.must(b.ask(token(), "GET", "/trunks", nil), 200)

	// A person.
	ada, err := dir.CreateUser(ctx, us, directory.User{Name: "ada@a.example", DisplayName: "Ada", Enabled: true})
	must(err)
	link, err := dir.Invite(ctx, us, ada.ID, true)
	must(err)
	w := b.browser()
	p := w.get(string(login.InvitationURL(server.URL, tenantA, link)))
	p = w.fill(p, "password", "password", "four words and a number 7", "again", "four words and a number 7")
	code, err := totp.GenerateCode(strings.ReplaceAll(seedOf.FindStringSubmatch(p.text)[1], " ", ""), time.Now())
	must(err)
	w.fill(p, "code", "code", code)
	p = w.get("/signin?to=/operator/configuration")
	p = w.fill(p, "answer", "answer", "yes")
	if p.status != 403 || !strings.Contains(p.text, "Users and groups") {
		t.Fatalf("without a role: %d at %s: %s", p.status, p.at, p.text)
	}
	give(ada.ID, "Admin")
	if p = w.get("/signin?to=/operator/configuration"); p.status != 200 || p.at.Path != "/operator/configuration" || !strings.Contains(p.text, "Ada, Telecom A") || !strings.Contains(p.text, app.AppID) {
		t.Errorf("with the role Admin: %d at %s: %s", p.status, p.at, p.text)
	}
}
