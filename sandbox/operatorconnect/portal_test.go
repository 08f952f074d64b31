package operatorconnect

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestSigningInIsAnAuthorizationRequestWithPKCE(t *testing.T) {
	b := newBench(t, nil)
	w := b.browser()
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	to, err := url.Parse(w.get("/signin?to=/operator/trunks").header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	for name, want := range map[string]string{"client_id": ProjectSynergy, "response_type": "code", "code_challenge_method": "S256", "redirect_uri": b.env.URL() + "/signin-oidc"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) != 43 {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	w = b.browser()
	if p := w.signIn("Admin"); p.status != 200 || !strings.Contains(p.text, "Ada Lovelace, Telecom A") {
		t.Errorf("%d %s", p.status, p.text)
	}
	for _, c := range w.http.Jar.Cookies(&url.URL{Scheme: "https", Host: b.env.Addr().String(), Path: "/"}) {
		if c.Name == visitCookie {
			t.Error("the cookie of the sign-in is still there")
		}
	}
	// The page that was wanted.
	if p := w.get("/operator/configuration"); p.status != 200 {
		t.Errorf("%d", p.status)
	}
	if p := b.browser().get("/operator/trunks"); p.at.Path != "/operator/trunks" || p.status != 200 {
		t.Errorf("through the sign-in one comes to %s", p.at)
	}
}

func TestRedirectsLeadNowhereElse(t *testing.T) {
	for _, to := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil", "", "javascript:alert(1)", "/\n/evil.example", "https:/evil.example", "/%0d%0aSet-Cookie:x"} {
		if got := local(to); got != "/" && got != to || strings.Contains(got, "evil") && strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\r\n\\") {
			t.Errorf("%q leads to %q", to, got)
		}
	}
	if got := local("/operator/consents?after=5"); got != "/operator/consents?after=5" {
		t.Errorf("%q", got)
	}
	b := newBench(t, nil)
	w := b.browser()
	b.issuer.person = map[string]any{"name": "Ada", "roles": []string{"Admin"}}
	if p := w.get("/signin?to=https://evil.example/"); p.at.Host != b.env.Addr().String() || p.at.Path != "/operator" {
		t.Errorf("one comes to %s", p.at)
	}
}

func TestSignInsThatAreNotGood(t *testing.T) {
	b := newBench(t, nil)
	for name, change := range map[string]func(map[string]any){
		"another audience":  func(c map[string]any) { c["aud"] = "https://other" },
		"several audiences": func(c map[string]any) { c["aud"] = []string{ProjectSynergy, "other"} },
		"another nonce":     func(c map[string]any) { c["nonce"] = "n" },
		"no nonce":          func(c map[string]any) { delete(c, "nonce") },
		"another tenant":    func(c map[string]any) { c["tid"] = tenantB },
		"another issuer":    func(c map[string]any) { c["iss"] = "https://evil.example" },
		"expired":           func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
	} {
		b.issuer.change = change
		if p := b.browser().signIn("Admin"); p.status != 403 || !strings.Contains(p.text, "Not signed in") {
			t.Errorf("%s: %d at %s", name, p.status, p.at)
		}
	}
	b.issuer.change = nil

	// Somebody else's state, in one's own browser and without one.
	mine, theirs := b.browser(), b.browser()
	for _, w := range []*browser{mine, theirs} {
		w.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == redirectPath {
				return http.ErrUseLastResponse
			}
			return nil
		}
	}
	callback := func(w *browser) string { w.b.t.Helper(); p := w.signIn("Admin"); return p.header.Get("Location") }
	theirsAt := callback(theirs)
	callback(mine)
	if p := mine.get(theirsAt); p.status != 400 || len(b.env.sessions) != 0 {
		t.Errorf("with another's answer: %d, %d sessions", p.status, len(b.env.sessions))
	}
	if p := b.browser().get(theirsAt); p.status != 400 {
		t.Errorf("in a browser that did not begin it: %d", p.status)
	}
	// Once is enough.
	if p := theirs.get(theirsAt); p.status != 200 || p.at.Path != "/operator" {
		t.Errorf("in the right browser: %d", p.status)
	}
	if p := theirs.get(theirsAt); p.status != 400 {
		t.Errorf("a second time: %d", p.status)
	}
	// Too late.
	late := b.browser()
	late.http.CheckRedirect = mine.http.CheckRedirect
	lateAt := callback(late)
	b.env.mu.Lock()
	for k, v := range b.env.visits {
		v.began = v.began.Add(-visitTime)
		b.env.visits[k] = v
	}
	b.env.mu.Unlock()
	if p := late.get(lateAt); p.status != 400 {
		t.Errorf("too late: %d", p.status)
	}
	// Who goes away, and who writes to us in the error.
	b.issuer.person = nil
	if p := b.browser().get("/signin"); p.status != 403 || !strings.Contains(p.text, "The person went away.") {
		t.Errorf("%d %s", p.status, p.text)
	}
	back, err := url.Parse(callbackWith(b, "error=x&error_description=<script>alert(1)</script>"))
	if err != nil {
		t.Fatal(err)
	}
	if p := b.browser().get(back.String()); strings.Contains(p.text, "<script>") {
		t.Error("what came with the link is in the page as it was")
	}
	// A code that is none.
	w := b.browser()
	w.http.CheckRedirect = mine.http.CheckRedirect
	good, err := url.Parse(callback(w))
	if err != nil {
		t.Fatal(err)
	}
	q := good.Query()
	q.Set("code", "guessed")
	good.RawQuery = q.Encode()
	if p := w.get(good.String()); p.status != 403 || !strings.Contains(p.text, "AADSTS54005") {
		t.Errorf("a guessed code: %d", p.status)
	}
}

func callbackWith(b *bench, query string) string {
	return b.env.URL() + redirectPath + "?" + strings.ReplaceAll(query, "<", "%3C")
}

func TestFormsOfOthersChangeNothing(t *testing.T) {
	b := newBench(t, nil)
	w := b.browser()
	w.signIn("Admin")
	token := w.get("/operator/configuration").csrf()
	if token == "" {
		t.Fatal("no token in the form")
	}
	form := func(csrf string) url.Values { return url.Values{"id": {gatewayApp}, "name": {"x"}, "csrf": {csrf}} }
	listed := func() bool {
		b.env.mu.Lock()
		defer b.env.mu.Unlock()
		return b.env.operators[tenantA].listed(gatewayApp)
	}
	other := b.browser()
	other.signIn("Admin")
	for name, p := range map[string]page{
		"without a token":             w.do("POST", "/operator/configuration", form("")),
		"with another's token":        w.do("POST", "/operator/configuration", form(other.get("/operator/configuration").csrf())),
		"from another site":           w.do("POST", "/operator/configuration", form(token), "Sec-Fetch-Site", "cross-site"),
		"from another origin":         w.do("POST", "/operator/configuration", form(token), "Origin", "https://evil.example"),
		"in the query":                w.do("POST", "/operator/configuration?csrf="+token, url.Values{"id": {gatewayApp}}),
		"signed out":                  b.browser().do("POST", "/operator/configuration", form(token)),
		"too large":                   w.do("POST", "/operator/configuration", url.Values{"csrf": {token}, "id": {strings.Repeat("a", 2*maxForm)}}),
		"with a body of another kind": w.do("POST", "/operator/configuration", form(token), "Content-Type", "text/plain"),
	} {
		if p.status < 400 || listed() {
			t.Errorf("%s: %d, listed %v", name, p.status, listed())
		}
	}
	if p := w.do("POST", "/operator/configuration", form(token), "Sec-Fetch-Site", "same-origin"); p.status != 200 || !listed() || !strings.Contains(p.text, gatewayApp) {
		t.Errorf("from the page itself: %d", p.status)
	}
	if p := w.get("/operator/configuration"); !strings.Contains(p.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", p.header)
	}
}

func TestAStolenSession(t *testing.T) {
	b := newBench(t, nil)
	victim := b.browser()
	victim.signIn("Admin")
	at := &url.URL{Scheme: "https", Host: b.env.Addr().String(), Path: "/"}
	stolen := victim.http.Jar.Cookies(at)
	if len(stolen) != 1 || stolen[0].Name != sessionCookie {
		t.Fatalf("%v", stolen)
	}
	thief := func() page {
		w := b.browser()
		w.http.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: stolen[0].Value, Path: "/", Secure: true}})
		b.issuer.mu.Lock()
		b.issuer.person = nil // who has nobody's password
		b.issuer.mu.Unlock()
		return w.get("/operator")
	}
	// What the environment holds is of no use to who reads its memory.
	if _, kept := b.env.sessions[sha256.Sum256([]byte(stolen[0].Value))]; !kept {
		t.Error("the session is not known by its hash")
	}
	// Signing out ends it everywhere.
	if p := thief(); p.status != 200 {
		t.Fatalf("a copy is as good as the original until then: %d", p.status)
	}
	victim.do("POST", "/signout", url.Values{"csrf": {victim.get("/operator").csrf()}})
	if p := thief(); p.status != 403 {
		t.Errorf("after the victim has signed out: %d at %s", p.status, p.at)
	}
	// So do idleness, age, and the operator's end.
	for name, end := range map[string]func(*session){
		"idle":       func(s *session) { s.used = s.used.Add(-idle - time.Second) },
		"old":        func(s *session) { s.began = s.began.Add(-longest - time.Second) },
		"offboarded": func(*session) { b.env.operators = map[string]*operator{}; delete(b.env.operators, tenantA) },
	} {
		w := b.browser()
		if w.signIn("Admin").status != 200 {
			t.Fatal("not signed in")
		}
		b.env.mu.Lock()
		for _, s := range b.env.sessions {
			end(s)
		}
		b.env.mu.Unlock()
		b.issuer.person = nil
		if p := w.get("/operator"); p.status != 403 {
			t.Errorf("%s: %d at %s", name, p.status, p.at)
		}
		b.onboard()
	}
	// One that somebody planted before is not taken on.
	planted := b.browser()
	planted.http.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: "planted", Path: "/", Secure: true}})
	planted.signIn("Admin")
	if c := planted.http.Jar.Cookies(at); len(c) != 1 || c[0].Value == "planted" {
		t.Errorf("%v", c)
	}
	b.issuer.person = nil
	if p := b.browser().get("/operator?" + sessionCookie + "=" + stolen[0].Value); p.at.Path == "/operator" {
		t.Error("a session in the address is taken")
	}
}

func TestSessionsDoNotPileUp(t *testing.T) {
	b := newBench(t, nil)
	b.env.mu.Lock()
	for i := range maxOpen {
		b.env.visits[[32]byte{byte(i), byte(i >> 8), 1}] = visit{began: time.Now().Add(time.Duration(i) * time.Millisecond)}
	}
	b.env.mu.Unlock()
	if p := b.browser().signIn("Admin"); p.status != 200 {
		t.Errorf("%d", p.status)
	}
	if n := len(b.env.visits); n > maxOpen {
		t.Errorf("%d sign-ins are under way", n)
	}
}

func TestThePortalAsksForRoles(t *testing.T) {
	b := newBench(t, nil)
	gateway := b.gateway()
	profile, trunks := b.trunks(gateway)
	consent := b.choose(enterprise1, "")
	reader := b.browser()
	if p := reader.signIn("PartnerSettings.Read", "TrunkManagement.Read", "NumberManagement.Read"); p.status != 200 {
		t.Fatalf("%d", p.status)
	}
	csrf := reader.get("/operator").csrf()
	for path, form := range map[string]url.Values{
		"/operator/configuration":                   {"id": {billingApp}},
		"/operator/configuration/" + gatewayApp:     {},
		"/operator/trunks":                          {"fqdn": {"a.b"}, "port": {"5061"}},
		"/operator/trunks/" + trunks[0]:             {"port": {"1"}, "sure": {"yes"}},
		"/operator/trunks/" + trunks[0] + "/delete": {"sure": {"yes"}},
		"/operator/profiles":                        {"name": {"x"}},
		"/operator/profiles/" + profile:             {"sure": {"yes"}},
		"/operator/profiles/" + profile + "/delete": {"sure": {"yes"}},
		"/operator/consents/" + consent:             {"status": {"None"}},
	} {
		form.Set("csrf", csrf)
		if p := reader.do("POST", path, form); p.status != 403 || !strings.Contains(p.text, "It needs a role") {
			t.Errorf("%s: %d", path, p.status)
		}
	}
	for _, path := range []string{"/operator", "/operator/configuration", "/operator/trunks", "/operator/trunks/" + trunks[0], "/operator/profiles", "/operator/profiles/" + profile, "/operator/consents", "/operator/consents/" + consent} {
		if p := reader.get(path); p.status != 200 || strings.Contains(p.text, `action="/operator`) {
			t.Errorf("%s: %d, or it offers what a reader may not do", path, p.status)
		}
	}
	only := b.browser()
	if p := only.signIn("partnersettings.write"); p.status != 200 {
		t.Errorf("the case of a role: %d", p.status)
	}
	if p := only.get("/operator/trunks"); p.status != 403 {
		t.Errorf("trunks without their role: %d", p.status)
	}
}

func TestThePortalDoesWhatItIsFor(t *testing.T) {
	b := newBench(t, nil)
	gateway := b.program(gatewayApp, seven...)
	w := b.browser()
	w.signIn("Admin")
	csrf := w.get("/operator").csrf()
	post := func(path string, form url.Values) page {
		t.Helper()
		form.Set("csrf", csrf)
		return w.do("POST", path, form)
	}
	// The two Application Ids: what was 403 is let in.
	b.refused(b.ask(gateway, "GET", "/trunks", nil), 403, "ApplicationNotListed")
	if p := post("/operator/configuration", url.Values{"id": {" " + strings.ToUpper(gatewayApp) + " "}, "name": {"lab <b>"}}); p.status != 200 || !strings.Contains(p.text, "lab &lt;b&gt;") || !strings.Contains(p.text, gatewaysApp) {
		t.Errorf("%d %s", p.status, p.text)
	}
	if p := post("/operator/configuration", url.Values{"id": {"my app"}, "name": {"kept"}}); p.status != 400 || !strings.Contains(p.text, "is no Application") || !strings.Contains(p.text, `value="kept"`) {
		t.Errorf("%d %s", p.status, p.text)
	}
	post("/operator/configuration", url.Values{"id": {gatewaysApp}})
	profile, trunks := b.trunks(gateway)

	// What the gateway manages: warned, and not without saying so.
	for _, path := range []string{"/operator/trunks/" + trunks[0], "/operator/profiles/" + profile, "/operator/trunks/" + trunks[0] + "/delete", "/operator/profiles/" + profile + "/delete", "/operator/configuration/" + gatewayApp} {
		if p := w.get(path); p.status != 200 || !strings.Contains(p.text, "communications gateway") || !strings.Contains(p.text, `name="sure"`) {
			t.Errorf("%s: %d, no warning", path, p.status)
		}
	}
	if p := post("/operator/trunks/"+trunks[0], url.Values{"port": {"5070"}, "enabled": {"yes"}}); p.status != 400 || !strings.Contains(p.text, "nothing was changed") {
		t.Errorf("%d", p.status)
	}
	if p := post("/operator/profiles/"+profile+"/delete", url.Values{}); p.status != 200 || !strings.Contains(p.text, "I understand") {
		t.Errorf("%d", p.status)
	}
	if g := b.ask(gateway, "GET", "/trunks/"+trunks[0], nil); g.body["sipSignalingPort"] != 5063.0 {
		t.Errorf("%s", g.raw)
	}
	post("/operator/trunks/"+trunks[0], url.Values{"port": {"5070"}, "enabled": {"yes"}, "sure": {"yes"}})
	if g := b.ask(gateway, "GET", "/trunks/"+trunks[0], nil); g.body["sipSignalingPort"] != 5070.0 {
		t.Errorf("%s", g.raw)
	}
	if p := post("/operator/profiles/"+profile, url.Values{"sure": {"yes"}, "name": {"lab"}, "suffix": {"CommsGw"}, "region": {"Asia"}, "offer": {"Calling"}, "trunk": trunks}); p.status != 200 {
		t.Errorf("%d %s", p.status, p.text)
	}
	if g := b.ask(gateway, "GET", "/callingprofiles/"+profile, nil); g.str("region") != "Asia" || g.str("managedBy") != gatewayApp || !strings.Contains(string(g.raw), "+442079460001") {
		t.Errorf("the test numbers are gone, or the owner: %s", g.raw)
	}

	// One's own.
	if p := post("/operator/trunks", url.Values{"fqdn": {"x." + suffix}, "port": {"5061"}}); p.status != 400 {
		t.Errorf("a gateway's trunk by hand: %d", p.status)
	}
	if p := post("/operator/trunks", url.Values{"fqdn": {"sbc.operator.example"}, "port": {"many"}}); p.status != 400 || !strings.Contains(p.text, `value="many"`) {
		t.Errorf("%d", p.status)
	}
	post("/operator/trunks", url.Values{"fqdn": {"sbc.operator.example"}, "port": {"5061"}, "enabled": {"yes"}})
	own := b.ask(gateway, "GET", "/trunks?trunkFqdn=sbc.operator.example", nil).value()[0].(map[string]any)["trunkId"].(string)
	if p := post("/operator/profiles", url.Values{"name": {"X"}, "suffix": {"commsgw"}, "region": {"EU"}, "offer": {"Calling"}, "trunk": {own}}); p.status != 400 {
		t.Errorf("a gateway's profile by hand: %d", p.status)
	}
	if p := post("/operator/profiles", url.Values{"name": {"Own"}, "region": {"EU"}, "offer": {"Calling"}, "trunk": {own}}); p.status != 200 || !strings.Contains(p.text, "NotValidated") {
		t.Errorf("%d %s", p.status, p.text)
	}
	if p := post("/operator/trunks/"+own+"/delete", url.Values{}); p.status != 400 || !strings.Contains(p.text, "goes over this trunk") {
		t.Errorf("%d", p.status)
	}

	// Consents.
	consent := b.choose(enterprise1, "")
	if p := post("/operator/consents/"+consent, url.Values{"status": {"ConsentDeclined"}, "comment": {" "}}); p.status != 400 || !strings.Contains(p.text, "needs a comment") {
		t.Errorf("%d", p.status)
	}
	if p := post("/operator/consents/"+consent, url.Values{"status": {"AgreementSigned"}}); p.status != 200 || !strings.Contains(p.text, "AgreementSigned") {
		t.Errorf("%d", p.status)
	}
	if p := w.get("/operator/consents/" + uuid.NewString()); p.status != 404 {
		t.Errorf("%d", p.status)
	}

	// Off the list: its trunks are no longer enrolled.
	if p := post("/operator/configuration/"+gatewaysApp, url.Values{}); p.status != 200 || !strings.Contains(p.text, "calls fail") {
		t.Errorf("%d", p.status)
	}
	post("/operator/configuration/"+gatewaysApp, url.Values{"sure": {"yes"}})
	if b.env.Enrolled("1r1.label." + suffix) {
		t.Error("the trunk is still used")
	}
	if p := w.get("/operator"); !strings.Contains(p.text, "2 of 3 trunks wait to be enrolled") {
		t.Errorf("%s", p.text)
	}
	if p := w.get("/nothing"); p.status != 404 {
		t.Errorf("%d", p.status)
	}
	if p := w.get("/operator?said=<script>"); strings.Contains(p.text, "<script>") {
		t.Error("a link decides what the page says")
	}
}

func TestSeveralOperatorsSeeTheirOwn(t *testing.T) {
	b := newBench(t, nil)
	second := newIssuer(t, tenantB)
	b.http.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(second.server.Certificate())
	if err := b.env.Onboard(Operator{Tenant: tenantB, Name: "Telecom B", Issuers: []string{second.name()}}); err != nil {
		t.Fatal(err)
	}
	b.gateway()
	b.trunks(b.program(gatewayApp, seven...))
	if p := b.browser().get("/"); !strings.Contains(p.text, "ID of your tenant") {
		t.Errorf("%s", p.text)
	}
	w := b.browser()
	second.person = map[string]any{"name": "Bob", "roles": []string{"Admin"}}
	p := w.get("/signin?tenant=" + strings.ToUpper(tenantB))
	if p.status != 200 || !strings.Contains(p.text, "Telecom B") {
		t.Fatalf("%d %s", p.status, p.text)
	}
	if p := w.get("/operator/trunks"); strings.Contains(p.text, "1r1.label") {
		t.Error("B sees what is A's")
	}
	token := second.sign(second.claims(billingApp, seven, nil))
	b.refused(b.ask(token, "GET", "/trunks", nil), 403, "ApplicationNotListed") // A's list is not B's
}

// TestAnOperatorIsOnboardedAnewWhilePeopleWork: they see one state or the other.
// Under the race detector it shows what is read without the lock.
func TestAnOperatorIsOnboardedAnewWhilePeopleWork(t *testing.T) {
	b := newBench(t, nil)
	token := b.gateway()
	b.trunks(token)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := b.anew(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	w := b.browser()
	for range 3 {
		w.signIn("Admin")
		for _, at := range []string{"/operator", "/operator/configuration", "/operator/trunks", "/operator/profiles", "/operator/consents"} {
			if p := w.get(at); p.status != 200 || !strings.Contains(p.text, "Telecom A") {
				t.Errorf("%s: %d", at, p.status)
			}
		}
		b.must(b.ask(token, "GET", "/trunks", nil), 200)
	}
	close(stop)
	<-ended
}
