package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/sandbox/authority"
)

const (
	loginTenant   = "11111111-1111-4111-8111-111111111111"
	loginPassword = "lamp river onion forty"
)

// loginHouse is the sign-in pages behind TLS, with an administrator who has a
// link, and an application that asks for permissions.
type loginHouse struct {
	t         *testing.T
	url       string
	directory *directory.Set
	us        directory.Caller
	link      string
	robot     directory.Application
	program   *httptest.Server // on the person's machine: it waits for an answer
	answers   chan url.Values
}

func newLoginHouse(t *testing.T) *loginHouse {
	t.Helper()
	h := &loginHouse{t: t, us: directory.Ourselves(loginTenant, "test"), answers: make(chan url.Values, 4)}
	root, err := authority.New("Tandem test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := root.Issue(authority.Terms{}, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h.url = "https://localhost:" + port
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + t.TempDir() + "/control.db", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h.directory, err = directory.Open(t.Context(), directory.Config{
		Store: s, Tenant: directory.Tenant{ID: loginTenant, Name: "lab.telecom.example"}, Address: h.url, Audiences: []string{h.url}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = login.Handler(login.Config{Directory: h.directory, URL: h.url, Resources: []string{h.url + "/"}, Log: slog.New(slog.DiscardHandler)})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.program = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			h.answers <- r.URL.Query()
		}
		fmt.Fprint(w, "<!doctype html><title>program</title><h1>The program goes on</h1>")
	}))
	t.Cleanup(h.program.Close)
	h.people()
	return h
}

func (h *loginHouse) people() {
	ctx := h.t.Context()
	fail := func(err error) {
		if err != nil {
			h.t.Helper()
			h.t.Fatal(err)
		}
	}
	ann, err := h.directory.CreateUser(ctx, h.us, directory.User{Name: "ann@lab.telecom.example", DisplayName: "Ann Archer", Enabled: true})
	fail(err)
	fail(h.directory.AssignDirectoryRole(ctx, h.us, directory.GlobalAdministrator, ann.ID))
	i, err := h.directory.Invite(ctx, h.us, ann.ID, false)
	fail(err)
	h.link = string(login.InvitationURL(h.url, loginTenant, i))
	graph, err := h.directory.Resource(ctx, loginTenant, directory.GraphID)
	fail(err)
	var access []directory.Access
	for _, value := range []string{"Application.Read.All", "Directory.Read.All"} {
		role, _ := graph.Role(value)
		access = append(access, directory.Access{ID: role.ID, Type: directory.RoleAccess})
	}
	h.robot, err = h.directory.CreateApplication(ctx, h.us, directory.Application{DisplayName: "Billing Service", Required: []directory.RequiredAccess{{Resource: directory.GraphID, Access: access}}})
	fail(err)
}

// TestABrowserSignsInAndConsents: a person follows the link, chooses a password,
// adds an app and a passkey, signs in to a program with either, and consents.
func TestABrowserSignsInAndConsents(t *testing.T) {
	c := openChromium(t)
	h := newLoginHouse(t)
	c.open(h.link)
	c.sees("Choose a password")
	c.picture("password")
	c.types("New password", loginPassword)
	c.types("Once more", loginPassword)
	c.press("Set the password")
	c.sees("Add a second factor")
	c.picture("enrol")
	seed := strings.ReplaceAll(fmt.Sprint(c.eval(`document.querySelector(".seed").textContent`)), " ", "")
	used := time.Now()
	c.types("Six digits", h.code(seed, used))
	c.press("Add the app")
	c.sees("Recovery codes")
	c.press("I have kept them")
	c.sees("Your account")
	c.picture("account")

	// A passkey beside it, of an authenticator inside the browser.
	c.call("WebAuthn.enable", nil, nil)
	c.call("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
	}}, nil)
	c.press("Add another factor")
	c.sees("Add another factor")
	c.press("Add a passkey")
	c.sees("Your account")
	c.until(`document.body.innerText.includes("Passkey")`)
	c.picture("account-two")
	c.press("Sign out")
	c.sees("You are signed out")
	c.picture("signed-out")

	// A program on this machine opens the browser (RFC 8252).
	verifier := strings.Repeat("abcdefghij", 5)
	sum := sha256.Sum256([]byte(verifier))
	redirect := strings.Replace(h.program.URL, "127.0.0.1", "localhost", 1)
	q := url.Values{
		"client_id": {directory.GraphToolsID}, "redirect_uri": {redirect}, "response_type": {"code"}, "state": {"s-1"}, "nonce": {"n-1"},
		"scope":          {"Application.Read.All AppRoleAssignment.ReadWrite.All openid profile offline_access"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	c.open(h.url + "/" + loginTenant + "/oauth2/v2.0/authorize?" + q.Encode())
	c.sees("Sign in")
	c.picture("signin")
	c.types("User name", "ann@lab.telecom.example")
	c.types("Password", "wrong")
	c.press("Sign in")
	c.until(`document.querySelector("[role=alert]")`)
	c.picture("signin-wrong")
	c.types("Password", loginPassword)
	c.press("Sign in")
	c.sees("Second factor")
	c.picture("factor")
	c.press("Use a passkey")
	c.sees("Allow Microsoft Graph Command Line Tools to act for you?")
	c.picture("consent")
	c.press("Accept")
	answer := h.answer()
	if answer.Get("state") != "s-1" || answer.Get("code") == "" {
		t.Fatalf("the program got %v", answer)
	}
	token := h.post("token", url.Values{"grant_type": {"authorization_code"}, "client_id": {directory.GraphToolsID}, "code": {answer.Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
	id, err := oidc.NewVerifier(h.url+"/"+loginTenant+"/v2.0", h.directory, &oidc.Config{ClientID: directory.GraphToolsID}).Verify(t.Context(), token["id_token"])
	if err != nil || id.Nonce != "n-1" {
		t.Fatalf("%v %v", token, err)
	}
	var claims struct {
		Methods []string `json:"amr"`
	}
	if err := id.Claims(&claims); err != nil || strings.Join(claims.Methods, " ") != "pwd hwk mfa" {
		t.Errorf("%+v %v", claims, err)
	}

	// An administrator consents for everybody, signed in as they are.
	c.open(h.url + "/" + loginTenant + "/adminconsent?client_id=" + h.robot.AppID)
	c.sees("Allow Billing Service for everybody?")
	c.picture("adminconsent")
	c.press("Accept")
	c.sees("Consent is given")
	c.picture("done")

	// A program without a browser, and the other factor.
	device := h.post("devicecode", url.Values{"client_id": {directory.CommandID}, "scope": {h.url + "//.default openid offline_access"}})
	c.open(h.url + "/" + loginTenant + "/signout")
	c.sees("Sign out?")
	c.picture("signout")
	c.press("Sign out")
	c.sees("You are signed out")
	c.open(device["verification_uri"])
	c.sees("Sign in")
	c.types("User name", "ann@lab.telecom.example")
	c.types("Password", loginPassword)
	c.press("Sign in")
	c.sees("Second factor")
	c.types("Code of your authenticator app", h.code(seed, later(used.Add(30*time.Second), time.Now())))
	c.press("Continue")
	c.sees("Enter the code")
	c.picture("device")
	c.types("Code", device["user_code"])
	c.press("Next")
	c.sees("Sign in to Tandem?")
	c.picture("device-confirm")
	c.press("Continue")
	c.sees("You are signed in")
	if got := h.post("token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {directory.CommandID}, "device_code": {device["device_code"]}}); got["access_token"] == "" {
		t.Errorf("%v", got)
	}
	c.open(h.url + "/" + loginTenant + "/oauth2/v2.0/authorize?" + url.Values{"client_id": {directory.GraphToolsID}, "redirect_uri": {"https://evil.example/"}}.Encode())
	c.sees("This request cannot be answered")
	c.picture("error")
}

// code is what the app shows at a time. The step after the one that was used is
// taken as well, so that nobody waits half a minute.
func (h *loginHouse) code(seed string, at time.Time) string {
	h.t.Helper()
	code, err := totp.GenerateCode(seed, at)
	if err != nil {
		h.t.Fatal(err)
	}
	return code
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// answer is what the browser brought to the program.
func (h *loginHouse) answer() url.Values {
	h.t.Helper()
	select {
	case q := <-h.answers:
		return q
	case <-time.After(browserTime):
		h.t.Fatal("the browser does not come back to the program")
	}
	return nil
}

// post asks one of the endpoints of programs.
func (h *loginHouse) post(endpoint string, form url.Values) map[string]string {
	h.t.Helper()
	client := &http.Client{Timeout: browserTime, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, h.url+"/"+loginTenant+"/oauth2/v2.0/"+endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var all map[string]any
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		h.t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range all {
		out[k] = fmt.Sprint(v)
	}
	return out
}
