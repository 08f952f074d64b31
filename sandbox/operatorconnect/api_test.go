package operatorconnect

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// What each undone step of onboarding breaks, and nothing else does (Azure
// Communications Gateway docs, "Connect Azure Communications Gateway to
// Operator Connect or Teams Phone Mobile").
func TestEachUndoneStepBreaksWhatItShould(t *testing.T) {
	t.Run("Provide additional information to your onboarding team", func(t *testing.T) {
		b := newBench(t, nil)
		token := b.gateway()
		b.env.Offboard(tenantA)
		b.refused(b.ask(token, "GET", "/trunks", nil), 403, "UnknownOperator")
		if p := b.browser().signIn("Admin"); p.status != 403 || !strings.Contains(p.text, "Wait until your onboarding team confirms") {
			t.Errorf("the portal says %d %s", p.status, p.text)
		}
		if p := b.browser().get("/signin?tenant=" + tenantA); p.status != 403 || !strings.Contains(p.text, "not onboarded") {
			t.Errorf("%d %s", p.status, p.text)
		}
		b.onboard()
		b.list(gatewayApp)
		b.must(b.ask(token, "GET", "/trunks", nil), 200)
	})
	t.Run("Set up application roles for Azure Communications Gateway", func(t *testing.T) {
		b := newBench(t, nil)
		b.gateway()
		b.refused(b.ask(b.program(gatewayApp), "GET", "/trunks", nil), 403, "RoleMissing")
		b.must(b.ask(b.program(gatewayApp, "TrunkManagement.Read"), "GET", "/trunks", nil), 200)
		b.refused(b.ask(b.program(gatewayApp, "TrunkManagement.Read"), "POST", "/trunks", map[string]any{"trunkFqdn": "a.b"}), 403, "RoleMissing")
	})
	t.Run("Add the Application IDs for Azure Communications Gateway to Operator Connect", func(t *testing.T) {
		b := newBench(t, nil)
		token := b.program(gatewayApp, seven...)
		g := b.ask(token, "GET", "/trunks", nil)
		b.refused(g, 403, "ApplicationNotListed")
		if !strings.Contains(g.str("error", "message"), b.env.URL()+"/operator/configuration") || g.str("error", "target") != gatewayApp {
			t.Errorf("it does not say where to list what: %s", g.raw)
		}
		b.list(gatewayApp)
		_, trunks := b.trunks(token)
		fqdn := "1r1.label." + suffix
		if got := b.ask(token, "GET", "/trunks/"+trunks[0], nil).str("enrollmentState"); got != "Pending" || b.env.Enrolled(fqdn) {
			t.Errorf("without the gateways' own application the trunk is %s", got)
		}
		b.list(gatewaysApp)
		if got := b.ask(token, "GET", "/trunks/"+trunks[0], nil).str("enrollmentState"); got != "Enrolled" || !b.env.Enrolled(fqdn) {
			t.Errorf("with both it is %s", got)
		}
	})
	t.Run("Assign an Admin user to the Project Synergy application", func(t *testing.T) {
		b := newBench(t, nil)
		if p := b.browser().signIn(); p.status != 403 || !strings.Contains(p.text, "Users and groups") {
			t.Errorf("somebody without a role is shown %d %s", p.status, p.text)
		}
		if p := b.browser().signIn("Admin"); p.status != 200 || p.at.Path != "/operator" {
			t.Errorf("Admin is shown %d at %s", p.status, p.at)
		}
	})
	t.Run("Register your deployment's domain name in Microsoft Entra", func(t *testing.T) {
		verified := false
		var b *bench
		b = newBench(t, func(c *Config) {
			c.Verified = func(fqdn string) bool { return verified && strings.HasSuffix(fqdn, suffix) }
			c.Health = func(fqdn string) (bool, time.Time) { return verified && b.env.Enrolled(fqdn), time.Now() } // as Teams does
		})
		token := b.gateway()
		_, trunks := b.trunks(token)
		for _, want := range []bool{false, true} {
			verified = want
			g := b.ask(token, "GET", "/trunks/"+trunks[0], nil)
			if g.body["domainVerified"] != want || (g.str("health", "status") == "Active") != want {
				t.Errorf("verified %v: %s", want, g.raw)
			}
		}
	})
}

// somePath fills in a pattern with IDs of things that are not there.
func somePath(op operation) string {
	_, path, _ := strings.Cut(op.pattern, " ")
	for _, name := range []string{"{applicationId}", "{consentId}", "{callingProfileId}", "{trunkId}", "{tenantId}", "{civicAddressId}", "{orderId}"} {
		path = strings.ReplaceAll(path, name, uuid.NewString())
	}
	path = strings.ReplaceAll(path, "{telephoneNumber}", "+442079460000")
	if op.name == "NumberStatus_GetNumberStatus" {
		path += "?tenantId=" + uuid.NewString()
	}
	return path
}

func TestEachOperationAsksForItsRole(t *testing.T) {
	b := newBench(t, nil)
	b.list(gatewayApp)
	all := []string{"TrunkManagement.Read", "TrunkManagement.Write", "PartnerSettings.Read", "PartnerSettings.Write", "NumberManagement.Read", "NumberManagement.Write", "Data.Read", "Data.Write", "Admin"}
	for _, op := range operations {
		method, _, _ := strings.Cut(op.pattern, " ")
		var others []string
		for _, role := range all {
			if !slices.Contains(op.roles, role) {
				others = append(others, role)
			}
		}
		g := b.ask(b.program(gatewayApp, others...), method, somePath(op), nil)
		b.refused(g, 403, "RoleMissing")
		if got := g.str("error", "target"); got != strings.Join(op.roles, ",") {
			t.Errorf("%s: the roles that would do are %q", op.name, got)
		}
		for _, role := range op.roles {
			// The documents write the names in two ways.
			if g := b.ask(b.program(gatewayApp, strings.ToLower(role)), method, somePath(op), nil); g.code == "RoleMissing" || g.status == 401 {
				t.Errorf("%s with %s: %d %s", op.name, role, g.status, g.code)
			}
		}
		// A token of a program that is not listed is refused whatever its roles.
		b.refused(b.ask(b.program(billingApp, all...), method, somePath(op), nil), 403, "ApplicationNotListed")
		b.refused(b.ask("", method, somePath(op), nil), 401, "InvalidAuthenticationToken")
	}
}

func TestTokensThatAreNotGood(t *testing.T) {
	b := newBench(t, nil)
	b.list(gatewayApp)
	good := func(change map[string]any) map[string]any { return b.issuer.claims(gatewayApp, seven, change) }
	stranger := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}()
	public, err := x509.MarshalPKIXPublicKey(b.issuer.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	whole := b.issuer.sign(good(nil))
	b.must(b.ask(whole, "GET", "/trunks", nil), 200)
	b.must(b.ask(b.issuer.sign(good(map[string]any{"aud": "api://" + ProjectSynergy})), "GET", "/trunks", nil), 200)
	for name, token := range map[string]string{
		"another audience":            b.issuer.sign(good(map[string]any{"aud": "https://management.azure.com/"})),
		"no audience":                 b.issuer.sign(good(map[string]any{"aud": nil})),
		"another issuer":              b.issuer.sign(good(map[string]any{"iss": "https://evil.example/" + tenantA + "/v2.0"})),
		"an issuer that looks alike":  b.issuer.sign(good(map[string]any{"iss": b.issuer.name() + "/"})),
		"expired":                     b.issuer.sign(good(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
		"not yet":                     b.issuer.sign(good(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})),
		"no end":                      b.issuer.sign(good(map[string]any{"exp": nil})),
		"a key of somebody else":      signed(t, jose.RS256, jose.JSONWebKey{Key: stranger, KeyID: "k1"}, good(nil)),
		"the public key as a secret":  signed(t, jose.HS256, jose.JSONWebKey{Key: public, KeyID: "k1"}, good(nil)),
		"another algorithm":           signed(t, jose.PS256, jose.JSONWebKey{Key: b.issuer.key, KeyID: "k1"}, good(nil)),
		"algorithm none":              part(`{"alg":"none"}`) + "." + strings.Split(whole, ".")[1] + ".",
		"none with the old signature": part(`{"alg":"none"}`) + "." + strings.Split(whole, ".")[1] + "." + strings.Split(whole, ".")[2],
		"no signature":                strings.Join(strings.Split(whole, ".")[:2], ".") + ".",
		"claims exchanged":            strings.Split(whole, ".")[0] + "." + part(`{"tid":"`+tenantA+`","iss":"`+b.issuer.name()+`","roles":["Admin"]}`) + "." + strings.Split(whole, ".")[2],
		"two parts":                   "a.b",
		"no base64":                   "a.&&&.c",
		"no JSON":                     "a." + part("nonsense") + ".c",
		"very long":                   strings.Repeat("a", 20_000) + ".b.c",
	} {
		g := b.ask(token, "GET", "/trunks", nil)
		if g.status != 401 || g.code != "InvalidAuthenticationToken" || !strings.Contains(g.header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("%s: %d %s %v", name, g.status, g.code, g.header["Www-Authenticate"])
		}
		if len(token) > 20 && strings.Contains(string(g.raw), token[:20]) {
			t.Errorf("%s: the answer shows the token: %s", name, g.raw)
		}
	}
	// A tenant that is no operator's, signed by whomever.
	b.refused(b.ask(b.issuer.sign(good(map[string]any{"tid": tenantB})), "GET", "/trunks", nil), 403, "UnknownOperator")
	// Two operators: neither's directory can speak for the other's tenant.
	second := newIssuer(t, tenantB)
	second.key = stranger
	if err := b.env.Onboard(Operator{Tenant: tenantB, Name: "Telecom B", Issuers: []string{second.name()}}); err != nil {
		t.Fatal(err)
	}
	b.refused(b.ask(b.issuer.sign(good(map[string]any{"tid": tenantB})), "GET", "/trunks", nil), 401, "InvalidAuthenticationToken")
	b.refused(b.ask(second.sign(second.claims(gatewayApp, seven, map[string]any{"tid": tenantA})), "GET", "/trunks", nil), 401, "InvalidAuthenticationToken")
	b.refused(b.ask(second.sign(second.claims(gatewayApp, seven, map[string]any{"tid": tenantA, "iss": b.issuer.name()})), "GET", "/trunks", nil), 401, "InvalidAuthenticationToken")
}

func TestADirectoryThatIsSilent(t *testing.T) {
	b := newBench(t, nil)
	b.list(gatewayApp)
	b.issuer.mu.Lock()
	b.issuer.down = true
	b.issuer.mu.Unlock()
	g := b.ask(b.program(gatewayApp, seven...), "GET", "/trunks", nil)
	b.refused(g, 503, "ServiceUnavailable")
	if g.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come again")
	}
	b.issuer.mu.Lock()
	b.issuer.down = false
	b.issuer.mu.Unlock()
	for end := time.Now().Add(5 * time.Second); b.ask(b.program(gatewayApp, seven...), "GET", "/trunks", nil).status != 200; {
		if time.Now().After(end) {
			t.Fatal("it is not asked again")
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// Azure Communications Gateway docs: Calling Profiles with a CommsGw suffix and
// Trunks with FQDNs of gateways are not to be changed by others.
func TestWhatAGatewayManagesIsProtectedFromOtherHands(t *testing.T) {
	b := newBench(t, nil)
	gateway := b.gateway()
	b.list(billingApp)
	profile, trunks := b.trunks(gateway)
	other := b.program(billingApp, "TrunkManagement.Read", "TrunkManagement.Write")
	for _, at := range []string{"/callingprofiles/" + profile, "/trunks/" + trunks[0]} {
		g := b.must(b.ask(other, "GET", at, nil), 200)
		if g.str("managedBy") != gatewayApp || g.str("warning") == "" {
			t.Errorf("who reads %s is not warned: %s", at, g.raw)
		}
	}
	changed := b.profile("lab", trunks[:1])
	trunk := map[string]any{"trunkFqdn": "1r1.label." + suffix, "enabled": false}
	for who, token := range map[string]string{"another application": other, "a person": b.person("Admin"), "the gateway's person": b.issuer.sign(b.issuer.claims(gatewayApp, []string{"Admin"}, map[string]any{"idtyp": "user"}))} {
		for _, ask := range []struct {
			method, path string
			body         any
		}{
			{"PUT", "/callingprofiles/" + profile, changed},
			{"DELETE", "/callingprofiles/" + profile, nil},
			{"PUT", "/trunks/" + trunks[0], trunk},
			{"DELETE", "/trunks/" + trunks[0], nil},
			{"PUT", "/trunks/" + trunks[0] + "?force=false", trunk},
		} {
			g := b.ask(token, ask.method, ask.path, ask.body)
			if g.status != 409 || g.code != "ManagedByCommunicationsGateway" {
				t.Errorf("%s: %s %s: %d %s", who, ask.method, ask.path, g.status, g.raw)
			}
		}
	}
	b.refused(b.ask(b.program(billingApp, "TrunkManagement.Read"), "PUT", "/trunks/"+trunks[0]+"?force=true", trunk), 403, "RoleMissing")
	if g := b.ask(other, "GET", "/trunks/"+trunks[0], nil); g.body["enabled"] != true {
		t.Errorf("it was changed all the same: %s", g.raw)
	}
	// The gateway itself, and the gateways' own application.
	b.must(b.ask(gateway, "PUT", "/callingprofiles/"+profile, b.profile("lab", trunks)), 200)
	g := b.must(b.ask(b.program(gatewaysApp, "TrunkManagement.Write"), "PUT", "/trunks/"+trunks[0], map[string]any{"trunkFqdn": "1R1.LABEL." + suffix, "sipSignalingPort": 5063}), 200)
	if g.str("managedBy") != gatewayApp {
		t.Errorf("it has another owner now: %s", g.raw)
	}
	// Somebody who means it.
	if g := b.must(b.ask(other, "PUT", "/trunks/"+trunks[0]+"?force=true", trunk), 200); g.body["enabled"] != false || g.str("managedBy") != gatewayApp {
		t.Errorf("force: %s", g.raw)
	}
	if b.env.Enrolled("1r1.label." + suffix) {
		t.Error("a trunk that is not enabled is used")
	}
	// A person who makes a trunk under the gateway's name does not own it.
	g = b.must(b.ask(b.person("Admin"), "POST", "/trunks", map[string]any{"trunkFqdn": "x.commsgw.azure.com"}), 201)
	b.refused(b.ask(b.person("Admin"), "DELETE", "/trunks/"+g.str("trunkId"), nil), 409, "ManagedByCommunicationsGateway")
}

func TestTrunksAndProfiles(t *testing.T) {
	b := newBench(t, nil)
	b.list(gatewayApp)
	w := b.program(gatewayApp, "TrunkManagement.Write")
	one := b.must(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "SBC1.operator.example", "description": "north"}), 201)
	two := b.must(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "sbc2.operator.example"}), 201)
	b.refused(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "sbc1.Operator.example"}), 409, "AlreadyExists")
	if one.body["managedBy"] != nil || one.str("trunkFqdn") != "sbc1.operator.example" || one.body["sipSignalingPort"] != 5061.0 || one.body["enabled"] != true {
		t.Errorf("%s", one.raw)
	}
	if g := b.ask(w, "GET", "/trunks?trunkFqdn=SBC2.OPERATOR.EXAMPLE", nil); len(g.value()) != 1 {
		t.Errorf("by name: %s", g.raw)
	}
	id := one.str("trunkId")
	for name, body := range map[string]any{
		"no name":         map[string]any{},
		"one label":       map[string]any{"trunkFqdn": "sbc"},
		"a long name":     map[string]any{"trunkFqdn": strings.Repeat("a.", 200) + "b"},
		"port 0":          map[string]any{"trunkFqdn": "a.b", "sipSignalingPort": 0},
		"port as text":    map[string]any{"trunkFqdn": "a.b", "sipSignalingPort": "5061"},
		"unknown field":   map[string]any{"trunkFqdn": "a.b", "managedBy": gatewayApp},
		"a list":          []any{},
		"no JSON":         "{",
		"more behind it":  `{"trunkFqdn":"a.b"} {}`,
		"a long sentence": map[string]any{"trunkFqdn": "a.b", "description": strings.Repeat("x", 300)},
	} {
		if g := b.ask(w, "POST", "/trunks", body); g.status != 400 || g.code != "InvalidRequest" {
			t.Errorf("%s: %d %s", name, g.status, g.raw)
		}
	}
	b.refused(b.ask(w, "POST", "/trunks", "trunkFqdn=a.b", "Content-Type", "application/x-www-form-urlencoded"), 415, "UnsupportedMediaType")
	b.refused(b.ask(w, "PUT", "/trunks/"+id, map[string]any{"trunkFqdn": "other.operator.example"}), 400, "InvalidRequest")
	changed := b.must(b.ask(w, "PUT", "/trunks/"+id, map[string]any{"trunkFqdn": "sbc1.operator.example", "enabled": false}, "If-Match", one.header.Get("ETag")), 200)
	if changed.header.Get("ETag") == one.header.Get("ETag") || changed.body["description"] != nil {
		t.Errorf("PUT replaces: %s", changed.raw)
	}
	b.refused(b.ask(w, "DELETE", "/trunks/"+id, nil, "If-Match", one.header.Get("ETag")), 412, "PreconditionFailed")
	b.refused(b.ask(w, "GET", "/trunks/"+uuid.NewString(), nil), 404, "NotFound")
	b.refused(b.ask(w, "GET", "/trunks/x", nil), 400, "InvalidRequest")
	b.refused(b.ask(w, "DELETE", "/trunks", nil), 405, "MethodNotAllowed")
	b.refused(b.ask(w, "GET", "/nothing", nil), 404, "NotFound")

	draft := map[string]any{"name": "Own", "region": "EU", "offerTypes": []any{map[string]any{"offerTypeName": "Calling"}}, "trunkIds": []string{id}}
	p := b.must(b.ask(w, "POST", "/callingprofiles", draft), 201)
	if p.str("validation", "Calling") != "NotValidated" || p.body["managedBy"] != nil {
		t.Errorf("with one trunk: %s", p.raw)
	}
	b.refused(b.ask(w, "POST", "/callingprofiles", draft), 409, "AlreadyExists")
	draft["trunkIds"] = []string{id, two.str("trunkId")}
	if p = b.must(b.ask(w, "PUT", "/callingprofiles/"+p.str("callingProfileId"), draft), 200); p.str("validation", "Calling") != "Validated" {
		t.Errorf("with two trunks: %s", p.raw)
	}
	b.refused(b.ask(w, "DELETE", "/trunks/"+id, nil), 409, "InUse")
	if g := b.ask(w, "GET", "/callingprofiles?nameSuffix=commsgw", nil); len(g.value()) != 0 {
		t.Errorf("by suffix: %s", g.raw)
	}
	bad := b.ask(w, "POST", "/callingprofiles", map[string]any{"name": "", "region": "", "offerTypes": []any{}, "trunkIds": []string{uuid.NewString()}})
	b.refused(bad, 400, "InvalidRequest")
	if details, _ := theDocument().at(map[string]any(bad.body), "error", "details").([]any); len(details) < 4 {
		t.Errorf("not all that is wrong is told: %s", bad.raw)
	}
	b.must(b.ask(w, "DELETE", "/callingprofiles/"+p.str("callingProfileId"), nil), 204)
	b.must(b.ask(w, "DELETE", "/trunks/"+id, nil), 204)
	b.refused(b.ask(w, "GET", "/trunks/"+id, nil), 404, "NotFound")
}

func TestApplicationIdsAndSettings(t *testing.T) {
	b := newBench(t, nil)
	person := b.person("Admin")
	if g := b.must(b.ask(person, "GET", "/partnersettings", nil), 200); fmt.Sprint(g.body["gatewaySuffixes"]) != "[.commsgw.azure.com ."+suffix+"]" {
		t.Errorf("%s", g.raw)
	}
	b.must(b.ask(person, "PATCH", "/partnersettings", map[string]any{"contact": map[string]any{"fullName": "Ada", "email": "a@a.example"}}, "Content-Type", "application/merge-patch+json"), 200)
	if g := b.must(b.ask(person, "PATCH", "/partnersettings", map[string]any{"displayName": "A", "contact": map[string]any{"email": nil}}), 200); g.str("contact", "fullName") != "Ada" || g.str("contact", "email") != "" || g.str("displayName") != "A" {
		t.Errorf("a patch on a patch: %s", g.raw)
	}
	b.refused(b.ask(person, "PATCH", "/partnersettings", map[string]any{"contact": map[string]any{"shoeSize": "44"}}), 400, "InvalidRequest")
	b.refused(b.ask(person, "PATCH", "/partnersettings", map[string]any{"displayName": ""}), 400, "InvalidRequest")

	at := "/partnersettings/applicationids/"
	b.refused(b.ask(b.program(gatewayApp, "PartnerSettings.Write"), "PUT", at+gatewayApp, nil), 403, "ApplicationNotListed") // itself
	b.must(b.ask(person, "PUT", at+strings.ToUpper(gatewayApp), map[string]any{"name": "lab"}), 201)
	if g := b.must(b.ask(person, "PUT", at+gatewayApp, nil), 200); g.str("name") != "lab" || g.str("addedBy") != "Ada" {
		t.Errorf("%s", g.raw)
	}
	b.refused(b.ask(b.program(gatewayApp, seven...), "PUT", at+billingApp, nil), 403, "RoleMissing") // none of the seven lists others
	b.refused(b.ask(person, "PUT", at+"%2e%2e", nil), 400, "InvalidRequest")
	if g := b.ask(person, "GET", "/partnersettings/applicationids", nil); len(g.value()) != 1 {
		t.Errorf("%s", g.raw)
	}
	b.must(b.ask(person, "DELETE", at+gatewayApp, nil), 204)
	b.refused(b.ask(person, "DELETE", at+gatewayApp, nil), 404, "NotFound")
	b.refused(b.ask(b.program(gatewayApp, seven...), "GET", "/trunks", nil), 403, "ApplicationNotListed")
}

func TestNumbersAreOrdered(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	profile, _ := b.trunks(w)
	b.choose(enterprise1, "")
	at := "/tenants/" + enterprise1
	order := func(change map[string]any, numbers ...string) map[string]any {
		d := map[string]any{"usage": "CallingUserAssignment", "callingProfileId": profile, "telephoneNumbers": numbers}
		for k, v := range change {
			d[k] = v
		}
		return d
	}
	o := b.ended(w, b.ask(w, "POST", at+"/numbers/upload", order(map[string]any{"ticketId": "T1", "civicAddressId": "eeeeeeee-0000-4000-8000-00000000000e"}, "+442079460010", "+442079460011")))
	if o.str("status") != "success" || o.body["numbersSucceeded"] != 2.0 {
		t.Errorf("%s", o.raw)
	}
	n := b.must(b.ask(w, "GET", at+"/numbers/%2B442079460010", nil), 200)
	if n.str("isoCountryCode") != "GB" || n.str("tnUploadJobId") != o.str("id") || n.str("locationId") == "" || n.str("assignmentStatus") != "Unassigned" {
		t.Errorf("%s", n.raw)
	}
	b.must(b.ask(w, "GET", at+"/numbers/+442079460010", nil), 200)
	b.refused(b.ask(w, "GET", at+"/numbers/+442079460099", nil), 404, "NotFound")

	// Each number for itself.
	b.choose(enterprise2, "")
	o = b.ended(w, b.ask(w, "POST", "/tenants/"+enterprise2+"/numbers/upload", order(nil, "+442079460010", "+9991234567", "+442079460020")))
	if o.str("status") != "partial_success" || !strings.Contains(string(o.raw), "number_in_use") || !strings.Contains(string(o.raw), "unknown_country_code") {
		t.Errorf("%s", o.raw)
	}
	o = b.ended(w, b.ask(w, "POST", at+"/numbers/upload", order(map[string]any{"civicAddressId": "eeeeeeee-0000-4000-8000-00000000000f"}, "+442079460030")))
	if o.str("status") != "error" || !strings.Contains(string(o.raw), "unable_to_match_geography_entry") {
		t.Errorf("%s", o.raw)
	}
	// The order as a whole.
	for name, d := range map[string]map[string]any{
		"no number":           order(nil),
		"a number twice":      order(nil, "+442079460040", "+442079460040"),
		"no E.164":            order(nil, "02079460040"),
		"no such profile":     order(map[string]any{"callingProfileId": uuid.NewString()}, "+442079460040"),
		"no such usage":       order(map[string]any{"usage": "Fun"}, "+442079460040"),
		"another offer":       order(map[string]any{"usage": "ConferenceAssignment"}, "+442079460040"),
		"other capabilities":  order(map[string]any{"capabilities": []string{"Mobile"}}, "+442079460040"),
		"address and place":   order(map[string]any{"civicAddressId": uuid.NewString(), "locationId": uuid.NewString()}, "+442079460040"),
		"toll-free for users": order(map[string]any{"country": "US"}, "+18005550100"),
		"toll-free, no land":  order(map[string]any{"usage": "FirstPartyAppAssignment"}, "+18005550100"),
	} {
		if g := b.ask(w, "POST", at+"/numbers/upload", d); g.status != 400 || g.code != "InvalidRequest" {
			t.Errorf("%s: %d %s", name, g.status, g.raw)
		}
	}
	o = b.ended(w, b.ask(w, "POST", at+"/numbers/upload", order(map[string]any{"usage": "FirstPartyAppAssignment", "country": "US"}, "+18005550100")))
	if n := b.ask(w, "GET", at+"/numbers/+18005550100", nil); !strings.Contains(string(n.raw), "TollFree") {
		t.Errorf("%s, %s", o.raw, n.raw)
	}

	// Changed, assigned, released.
	if !b.env.Assign(tenantA, enterprise1, "+442079460010", "UserAssigned") {
		t.Fatal("not assigned")
	}
	o = b.ended(w, b.ask(w, "POST", at+"/numbers/assign", map[string]any{"usage": "FirstPartyAppAssignment", "telephoneNumbers": []string{"+442079460010", "+442079460011", "+442079460099"}}))
	if o.body["numbersSucceeded"] != 1.0 || !strings.Contains(string(o.raw), "number_assigned") || !strings.Contains(string(o.raw), "not_found") {
		t.Errorf("%s", o.raw)
	}
	if n := b.ask(w, "GET", at+"/numbers/+442079460011", nil); n.str("usage") != "FirstPartyAppAssignment" || n.str("locationId") == "" {
		t.Errorf("what is not said does not stay: %s", n.raw)
	}
	if g := b.ask(w, "GET", at+"/numbers?assignmentStatus=UserAssigned&callingProfileId="+profile, nil); len(g.value()) != 1 {
		t.Errorf("%s", g.raw)
	}
	status := b.must(b.ask(w, "GET", "/numberstatus?tenantId="+enterprise1, nil), 200)
	if len(status.value()) != 4 || !strings.Contains(string(status.raw), "DirectRouting") {
		t.Errorf("%s", status.raw)
	}
	o = b.ended(w, b.ask(w, "POST", at+"/numbers/release", map[string]any{"telephoneNumbers": []string{"+442079460010", "+442079460011"}}))
	if o.str("status") != "partial_success" || !strings.Contains(string(o.raw), "release_completed") {
		t.Errorf("%s", o.raw)
	}
	b.refused(b.ask(w, "DELETE", "/callingprofiles/"+profile, nil), 409, "InUse")
	orders := b.must(b.ask(w, "GET", at+"/orders", nil), 200)
	if len(orders.value()) != 5 || strings.Contains(string(orders.raw), "telephoneNumbers") {
		t.Errorf("%s", orders.raw)
	}
	if first := orders.value()[0].(map[string]any); first["kind"] != "release" {
		t.Errorf("the newest is not first: %v", first)
	}
	if g := b.ask(w, "GET", at+"/orders?ticketId=T1", nil); len(g.value()) != 1 {
		t.Errorf("%s", g.raw)
	}

	// Without consent nothing; suspended is for reading.
	b.choose(enterprise1, "Suspended")
	b.must(b.ask(w, "GET", at+"/numbers", nil), 200)
	b.refused(b.ask(w, "POST", at+"/numbers/release", map[string]any{"telephoneNumbers": []string{"+442079460010"}}), 403, "TenantNotConsented")
	b.choose(enterprise1, "Removed")
	b.refused(b.ask(w, "GET", at+"/numbers", nil), 403, "TenantNotConsented")
	b.refused(b.ask(w, "GET", "/tenants/"+uuid.NewString()+"/civicaddresses", nil), 403, "TenantNotConsented")
}

func TestConsentsPlansAndAddresses(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	id := b.choose(enterprise1, "")
	c := b.must(b.ask(w, "GET", "/consents/"+id, nil), 200)
	relation := func(status, comment string) map[string]any {
		r := map[string]any{"status": status}
		if comment != "" {
			r["comment"] = comment
		}
		return map[string]any{"customerRelationship": r}
	}
	b.refused(b.ask(w, "PATCH", "/consents/"+id, relation("ContractTerminated", "")), 400, "InvalidRequest")
	b.refused(b.ask(w, "PATCH", "/consents/"+id, relation("Friends", "x")), 400, "InvalidRequest")
	b.refused(b.ask(w, "PATCH", "/consents/"+id, map[string]any{"status": "Removed"}), 400, "InvalidRequest") // is the enterprise's to say
	b.refused(b.ask(w, "PATCH", "/consents/"+id, map[string]any{}), 400, "InvalidRequest")
	b.must(b.ask(w, "PATCH", "/consents/"+id, relation("AgreementSigned", "since May"), "If-Match", c.header.Get("ETag")), 200)
	b.refused(b.ask(w, "PATCH", "/consents/"+id, relation("None", ""), "If-Match", c.header.Get("ETag")), 412, "PreconditionFailed")
	for query, want := range map[string]int{"": 1, "?tenantId=" + enterprise1: 1, "?tenantId=" + enterprise2: 0, "?status=Active": 1, "?status=Removed": 0} {
		if g := b.ask(w, "GET", "/consents"+query, nil); len(g.value()) != want || g.body["value"] == nil {
			t.Errorf("%s: %s", query, g.raw)
		}
	}
	b.refused(b.ask(w, "GET", "/consents?status=active", nil), 400, "InvalidRequest")
	if g := b.ask(w, "GET", "/capabilityplans?tenantId="+enterprise1, nil); len(g.value()) != len(plans) {
		t.Errorf("%s", g.raw)
	}
	list := b.ask(w, "GET", "/tenants/"+enterprise1+"/civicaddresses", nil)
	if len(list.value()) != 2 {
		t.Errorf("%s", list.raw)
	}
	b.must(b.ask(w, "GET", "/tenants/"+enterprise1+"/civicaddresses/eeeeeeee-0000-4000-8000-00000000000e", nil), 200)
	b.refused(b.ask(w, "GET", "/tenants/"+enterprise1+"/civicaddresses/"+uuid.NewString(), nil), 404, "NotFound")
}

func TestTenThousandConsentsInPages(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	const n = 10_000
	for i := range n {
		if _, err := b.env.Choose(tenantA, Lead{Tenant: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: fmt.Sprintf("Enterprise %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	seen, pages := map[string]bool{}, 0
	for next := "/consents?top=777"; next != ""; pages++ {
		g := b.must(b.ask(w, "GET", next, nil), 200)
		for _, v := range g.value() {
			seen[v.(map[string]any)["tenantId"].(string)] = true
		}
		if pages == 3 { // what comes meanwhile disturbs nobody
			b.choose(enterprise1, "")
		}
		next = g.str("nextLink")
	}
	if len(seen) != n+1 || pages != 13 {
		t.Errorf("%d consents in %d pages", len(seen), pages)
	}
	t.Logf("%d consents in %d pages took %v", len(seen), pages, time.Since(began))
	for _, bad := range []string{"top=0", "top=1001", "top=x", "skiptoken=!!!"} {
		b.refused(b.ask(w, "GET", "/consents?"+bad, nil), 400, "InvalidRequest")
	}
	if g := b.must(b.ask(w, "GET", "/consents", nil), 200); len(g.value()) != usualPage {
		t.Errorf("%d on a page unless told otherwise", len(g.value()))
	}
	p := b.browser()
	p.signIn("Admin")
	if page := p.get("/operator/consents"); strings.Count(page.text, "/operator/consents/") != leaf || !strings.Contains(page.text, "1 to 50 of 10001") {
		t.Errorf("the portal shows %d", strings.Count(page.text, "/operator/consents/"))
	}
}

func TestCallDurations(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	profile, _ := b.trunks(w)
	b.choose(enterprise1, "")
	b.ended(w, b.ask(w, "POST", "/tenants/"+enterprise1+"/numbers/upload", map[string]any{"usage": "CallingUserAssignment", "callingProfileId": profile, "telephoneNumbers": []string{"+442079460010"}}))
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	rec := func(id string, change map[string]any) map[string]any {
		r := map[string]any{"callId": id, "direction": "Inbound", "tenantId": enterprise1, "caller": "+14255550100", "callee": "+442079460010", "startTime": at.Format(time.RFC3339), "durationSeconds": 61}
		for k, v := range change {
			r[k] = v
		}
		return r
	}
	send := func(records ...any) got { return b.ask(w, "POST", "/callduration", map[string]any{"records": records}) }
	g := b.must(send(rec("a", nil), rec("b", map[string]any{"durationSeconds": 0}), rec("c", map[string]any{"callee": "+1"}), rec("d", map[string]any{"startTime": at.AddDate(0, 0, -31).Format(time.RFC3339)}), rec("e", map[string]any{"direction": "Up"}), rec("", nil)), 200)
	if g.body["accepted"] != 2.0 || fmt.Sprint(g.body["rejected"]) == "" || !strings.Contains(string(g.raw), `"index":2,"code":"unknown_number"`) || !strings.Contains(string(g.raw), `"index":3,"code":"too_old"`) || strings.Count(string(g.raw), "invalid_record") != 2 {
		t.Errorf("%s", g.raw)
	}
	if g := b.must(send(rec("a", map[string]any{"durationSeconds": 62}), rec("a", map[string]any{"direction": "Outbound"})), 200); g.body["accepted"] != 2.0 || g.body["replaced"] != 1.0 {
		t.Errorf("%s", g.raw)
	}
	span := "?from=" + at.Add(-time.Hour).Format(time.RFC3339) + "&to=" + at.Add(time.Hour).Format(time.RFC3339)
	if g := b.must(b.ask(w, "GET", "/callduration"+span, nil), 200); len(g.value()) != 3 || !strings.Contains(string(g.raw), `"durationSeconds":62`) {
		t.Errorf("%s", g.raw)
	}
	b.refused(b.ask(w, "GET", "/callduration", nil), 400, "InvalidRequest")
	b.refused(b.ask(w, "GET", "/callduration?from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z", nil), 400, "InvalidRequest")
	b.refused(send(), 400, "InvalidRequest")
	many := make([]any, maxRecords+1)
	for i := range many {
		many[i] = rec(fmt.Sprint(i), nil)
	}
	b.refused(send(many...), 413, "PayloadTooLarge")
	b.refused(b.ask(b.person("Admin"), "POST", "/callduration", map[string]any{"records": []any{rec("a", nil)}}), 403, "RoleMissing") // Admin is not for data
}

func TestARepeatedRequestIsDoneOnce(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	first := []string{"Repeatability-Request-ID", uuid.NewString(), "Repeatability-First-Sent", time.Now().UTC().Format(http.TimeFormat)}
	trunk := map[string]any{"trunkFqdn": "1r1.a." + suffix}
	// Its answer is lost: the client does not know that it was done.
	b.env.SetFaults(Faults{Lose: true, Next: 1})
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.env.URL()+root+"/trunks", strings.NewReader(`{"trunkFqdn":"1r1.a.`+suffix+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(first); i += 2 {
		req.Header.Set(first[i], first[i+1])
	}
	if res, err := b.http.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatalf("an answer came: %s", res.Status)
	}
	again := b.must(b.ask(w, "POST", "/trunks", trunk, first...), 201)
	third := b.must(b.ask(w, "POST", "/trunks", trunk, first...), 201)
	if again.str("trunkId") != third.str("trunkId") || again.header.Get("Repeatability-Result") != "accepted" {
		t.Errorf("%s, %s", again.raw, third.raw)
	}
	if g := b.ask(w, "GET", "/trunks", nil); len(g.value()) != 1 {
		t.Errorf("it was done more than once: %s", g.raw)
	}
	b.refused(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "other." + suffix}, first...), 400, "RepeatabilityMismatch")
	b.refused(b.ask(w, "POST", "/trunks", trunk, "Repeatability-Request-ID", "x", first[2], first[3]), 400, "InvalidRequest")
	b.refused(b.ask(w, "POST", "/trunks", trunk, "Repeatability-Request-ID", uuid.NewString()), 400, "InvalidRequest")
	b.refused(b.ask(w, "POST", "/trunks", trunk, "Repeatability-Request-ID", uuid.NewString(), first[2], time.Now().Add(-2*time.Hour).UTC().Format(http.TimeFormat)), 412, "PreconditionFailed")
	// Another caller's ID is another ID.
	b.list(billingApp)
	b.refused(b.ask(b.program(billingApp, seven...), "POST", "/trunks", trunk, first...), 409, "AlreadyExists")
	// A refusal is repeated too.
	bad := []string{"Repeatability-Request-ID", uuid.NewString(), first[2], first[3]}
	b.refused(b.ask(w, "POST", "/trunks", map[string]any{}, bad...), 400, "InvalidRequest")
	b.refused(b.ask(w, "POST", "/trunks", map[string]any{}, bad...), 400, "InvalidRequest")
	// They do not pile up.
	b.env.mu.Lock()
	o := b.env.operators[tenantA]
	for i := range repeats {
		o.repeats[fmt.Sprint(i)] = repeat{at: time.Now().Add(-time.Duration(i) * time.Second)}
	}
	b.env.mu.Unlock()
	b.must(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "1r9." + suffix}, "Repeatability-Request-ID", uuid.NewString(), first[2], first[3]), 201)
	if n := len(o.repeats); n > repeats {
		t.Errorf("%d are kept", n)
	}
}

func TestFaultsOnDemand(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	b.env.SetFaults(Faults{Status: 429, RetryAfter: 1500 * time.Millisecond, Next: 2, Below: "/trunks"})
	b.must(b.ask(w, "GET", "/callingprofiles", nil), 200)
	for range 2 {
		g := b.ask(w, "GET", "/trunks", nil)
		b.refused(g, 429, "TooManyRequests")
		if g.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After: %q", g.header.Get("Retry-After"))
		}
	}
	b.must(b.ask(w, "GET", "/trunks", nil), 200)
	b.env.SetFaults(Faults{Status: 503, RetryAfter: time.Minute, Date: true})
	g := b.ask(w, "GET", "/trunks", nil)
	b.refused(g, 503, "ServiceUnavailable")
	if at, err := http.ParseTime(g.header.Get("Retry-After")); err != nil || time.Until(at) < 50*time.Second {
		t.Errorf("Retry-After: %q", g.header.Get("Retry-After"))
	}
	b.env.SetFaults(Faults{Status: 500})
	b.refused(b.ask(w, "POST", "/trunks", map[string]any{"trunkFqdn": "a.b"}), 500, "InternalError")
	b.env.SetFaults(Faults{Slow: 100 * time.Millisecond})
	began := time.Now()
	if g := b.must(b.ask(w, "GET", "/trunks", nil), 200); len(g.value()) != 0 || time.Since(began) < 100*time.Millisecond {
		t.Errorf("after %v: %s", time.Since(began), g.raw)
	}
	asked := b.env.Requests()
	if last := asked[len(asked)-1]; last.Operation != "Trunks_List" || last.App != gatewayApp || last.Status != 200 {
		t.Errorf("the last request is remembered as %+v", last)
	}
}

func TestHostileSizes(t *testing.T) {
	b := newBench(t, nil)
	w := b.gateway()
	profile, _ := b.trunks(w)
	b.choose(enterprise1, "")
	b.refused(b.ask(w, "POST", "/trunks", `{"trunkFqdn":"`+strings.Repeat("a", maxBody)+`"}`), 413, "PayloadTooLarge")
	b.refused(b.ask(w, "POST", "/trunks", strings.Repeat("[", 100_000)), 400, "InvalidRequest")
	numbers := make([]string, maxNumbers+1)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("+4420%08d", i)
	}
	order := func(n []string) map[string]any {
		return map[string]any{"usage": "CallingUserAssignment", "callingProfileId": profile, "telephoneNumbers": n}
	}
	b.refused(b.ask(w, "POST", "/tenants/"+enterprise1+"/numbers/upload", order(numbers)), 413, "PayloadTooLarge")
	began := time.Now()
	if o := b.ended(w, b.ask(w, "POST", "/tenants/"+enterprise1+"/numbers/upload", order(numbers[:maxNumbers]))); o.body["numbersSucceeded"] != float64(maxNumbers) {
		t.Errorf("%.300s", o.raw)
	}
	t.Logf("10,000 numbers took %v", time.Since(began))
	if p := b.browser().get(root + "/trunks?trunkFqdn=" + strings.Repeat("a", 60_000)); p.status != 431 {
		t.Errorf("a very long path: %d", p.status)
	}
	for _, path := range []string{"/trunks/..%2f..%2fpartnersettings", "/trunks/%00", "/tenants/" + enterprise1 + "/numbers/%2B44%0a", "/../../operator"} {
		if g := b.ask(w, "GET", path, nil); g.status < 300 && len(g.body) > 0 {
			t.Errorf("%s: %d %s", path, g.status, g.raw)
		}
	}
}

func FuzzABody(f *testing.F) {
	for _, seed := range []string{`{"trunkFqdn":"a.b"}`, `{"records":[{}]}`, `{"customerRelationship":{"status":"None"}}`, `{"telephoneNumbers":["+44"]}`, `{"contact":{"email":null}}`, `[]`, `{`} {
		f.Add(seed, byte(0))
	}
	o := newOperator(Operator{Tenant: tenantA, Name: "A", Suffix: suffix})
	e := &Environment{cfg: Config{Work: time.Hour}, operators: map[string]*operator{tenantA: o}}
	o.chosen(enterprise1, Lead{Name: "C"})
	t, err := o.createTrunk(trunkDraft{TrunkFQDN: "a.b"}, principal{})
	if err != nil {
		f.Fatal(err)
	}
	p, err := o.createProfile(profileDraft{Name: "P", Region: "R", OfferTypes: []OfferType{{OfferTypeName: "Calling"}}, TrunkIDs: []string{t.TrunkID}}, principal{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string, which byte) {
		op := operations[int(which)%len(operations)]
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"tenantId": enterprise1, "consentId": o.consents[0].ID, "trunkId": o.trunks[0].TrunkID, "callingProfileId": p.CallingProfileID, "applicationId": gatewayApp, "telephoneNumber": "+44", "orderId": uuid.NewString(), "civicAddressId": uuid.NewString()} {
			r.SetPathValue(name, value)
		}
		c := &call{principal: principal{app: gatewayApp}, e: e, o: o, r: r, body: []byte(body)}
		if strings.Contains(op.name, "_Delete") || len(o.trunks) > 100 || len(o.profiles) > 100 {
			return
		}
		if out, err := op.do(c); err == nil && out.body == nil && out.status != http.StatusNoContent {
			t.Errorf("%s answers nothing", op.name)
		}
		o.settle(time.Now().Add(2 * time.Hour))
	})
}
