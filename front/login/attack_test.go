package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/login"
)

// TestNobodyIsSentElsewhere: addresses are compared letter by letter; a request
// with another one is answered here, and tells the other nothing (RFC 9700
// §4.1).
func TestNobodyIsSentElsewhere(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		for _, tt := range []struct {
			client, redirect string
			ok               bool
		}{
			{h.web, back, true},
			{h.web, back + "?x=1", true},
			{h.web, back + "?x=2", false},
			{h.web, back + "/", false},
			{h.web, back + "/../evil", false},
			{h.web, back + "#x", false},
			{h.web, "https://portal.telecom.example/Back", false},
			{h.web, "http://portal.telecom.example/back", false},
			{h.web, "https://portal.telecom.example:444/back", false},
			{h.web, "https://portal.telecom.example.evil.example/back", false},
			{h.web, "https://portal.telecom.example@evil.example/back", false},
			{h.web, "https://evil.example\\@portal.telecom.example/back", false},
			{h.web, "https://portal.telecom.example%2eevil.example/back", false},
			{h.web, "//evil.example/back", false},
			{h.web, "javascript:alert(1)", false},
			{h.web, "", false}, // there are two
			{h.web, loopback, false},
			{h.native, "http://localhost", true},
			{h.native, "http://localhost:1", true},
			{h.native, "http://localhost:8400/", true},
			{h.native, "http://localhost:8400/evil", false},
			{h.native, "http://localhost:8400/?x", false},
			{h.native, "https://localhost:8400", false},
			{h.native, "http://127.0.0.1:8400", false}, // another name than the registered one
			{h.native, "http://localhost.evil.example:8400", false},
			{h.native, "http://localhost:80@evil.example", false},
			{h.native, "http://localhost:8400#@evil.example", false},
			{h.native, "http://evil.example:8400", false},
			{h.native, "com.telecom.desk:/back", true},
			{h.native, "com.telecom.desk:/back2", false},
			{h.native, "com.telecom.desk://evil/back", false},
			{h.robot, back, false}, // it has none
		} {
			pairs := []string{}
			if tt.redirect == "" {
				pairs = append(pairs, "redirect_uri", "-")
			}
			b.get(h.request(tt.client, tt.redirect, pairs...))
			went := b.last.StatusCode == http.StatusSeeOther
			if strings.HasPrefix(b.title(), "Allow") {
				b.fill("answer", "answer", "no")
				to, _ := b.left()
				bare, _, _ := strings.Cut(tt.redirect, "?")
				if went = true; to != bare {
					t.Errorf("%s: sent to %s", tt.redirect, to)
				}
			}
			if went != tt.ok || !tt.ok && b.last.Header.Get("Location") != "" {
				t.Errorf("%s: %s %s", tt.redirect, b.last.Status, b.last.Header.Get("Location"))
			}
		}
		twice := h.request(h.web, back) + "&redirect_uri=" + url.QueryEscape("https://evil.example/")
		b.get(twice).shows("This request cannot be answered")
		b.get(h.request(h.web, back) + "&client_id=" + h.native).shows("This request cannot be answered")
	})
}

// TestSigningInLeadsBackToOurselves only: what stands in back is a page of ours
// or nothing.
func TestSigningInLeadsBackToOurselves(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		for _, to := range []string{
			"https://evil.example/", "//evil.example/" + tenant + "/account", "/\\evil.example", "\\\\evil.example", "/" + tenant + "/../../evil", "/" + tenant + "/signin", "javascript:alert(1)",
			"/" + tenant + "//evil.example/account", "/%2f/evil.example", "/" + tenant + "/account\r\nX: y", "/" + strings.ToUpper(tenant) + "/evil", "https:/" + tenant + "/account",
		} {
			b.get("/" + tenant + "/signin?" + url.Values{"back": {to}}.Encode())
			if u := b.last.Request.URL; b.last.StatusCode != 200 || u.Host != "api.telecom.example:8443" || u.Path != "/"+tenant+"/account" {
				t.Errorf("%q leads to %s (%s)", to, u, b.last.Status)
			}
		}
	})
}

// TestPKCE is required where there is no secret, and S256 (RFC 7636; RFC 9700
// §2.1.1).
func TestPKCE(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		for name, pairs := range map[string][]string{
			"none":           {"code_challenge", "-", "code_challenge_method", "-"},
			"plain":          {"code_challenge", verifier, "code_challenge_method", "plain"},
			"without method": {"code_challenge_method", "-"},
			"too short":      {"code_challenge", "x"},
			"method alone":   {"code_challenge", "-"},
			"lower case":     {"code_challenge_method", "s256"},
		} {
			if to, q := b.get(h.request(h.native, loopback, pairs...)).left(); to != loopback || q.Get("error") != "invalid_request" || q.Get("state") != "the state" || q.Get("code") != "" {
				t.Errorf("%s: %s %v", name, to, q)
			}
		}
		for name, pairs := range map[string][]string{
			"no verifier": {"code_verifier", "-"}, "another": {"code_verifier", strings.Repeat("x", 43)}, "the challenge": {"code_verifier", s256(verifier)},
			"too short": {"code_verifier", "x"}, "in another form": {"code_verifier", verifier + "="},
		} {
			if r := h.redeem(h.native, loopback, b.codeFor(h.native, loopback), pairs...); r.Code != 400 || r.text("error") != "invalid_grant" {
				t.Errorf("%s: %s", name, r.Body)
			}
		}
		// A challenge that was taken away on the way: the program notices.
		code := b.codeFor(h.web, back, "code_challenge", "-", "code_challenge_method", "-")
		if r := h.redeem(h.web, back, code); r.text("error") != "invalid_grant" {
			t.Errorf("a verifier without a challenge: %s", r.Body)
		}
		if r := h.redeem(h.web, back, code, "code_verifier", "-"); r.Code != 200 {
			t.Errorf("neither, with a secret: %s", r.Body)
		}
	})
}

// TestACodeIsGoodOnce for the program and the address it was given to; shown
// again, what was given for it is revoked (RFC 6749 §4.1.2).
func TestACodeIsGoodOnce(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		code := b.codeFor(h.native, loopback)
		for name, r := range map[string]reply{
			"of another program":  h.redeem(h.web, loopback, code),
			"another address":     h.redeem(h.native, "http://localhost:8401", code),
			"no address":          h.redeem(h.native, "", code, "redirect_uri", "-"),
			"another code":        h.redeem(h.native, loopback, code+"x"),
			"a well-known client": h.redeem(directory.AzureCLIID, loopback, code),
		} {
			if r.Code != 400 || r.text("error") != "invalid_grant" {
				t.Errorf("%s: %d %s", name, r.Code, r.Body)
			}
		}
		got := h.redeem(h.native, loopback, code)
		if got.Code != 200 {
			t.Fatalf("%s", got.Body)
		}
		if r := h.redeem(h.native, loopback, code); r.text("error") != "invalid_grant" {
			t.Errorf("twice: %s", r.Body)
		}
		if r := h.refresh(h.native, got.text("refresh_token")); r.text("error") != "invalid_grant" {
			t.Errorf("what was given for a code that was shown twice: %s", r.Body)
		}
		if r := h.redeem(h.web, back, b.codeFor(h.web, back), "client_secret", "-"); r.Code != 401 || r.text("error") != "invalid_client" {
			t.Errorf("without the secret: %s", r.Body)
		}
		if r := h.redeem(h.web, back, b.codeFor(h.web, back), "client_secret", "wrong"); r.Code != 401 {
			t.Errorf("with a wrong secret: %s", r.Body)
		}
		old := b.codeFor(h.native, loopback)
		time.Sleep(6 * time.Minute)
		if r := h.redeem(h.native, loopback, old); !strings.Contains(r.text("error_description"), "AADSTS70008") {
			t.Errorf("too late: %s", r.Body)
		}
	})
}

// TestOneOfManyGetsTheCode: programs at once are one after the other.
func TestOneOfManyGetsTheCode(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		code := h.browser("192.0.2.30:1").moveIn(h.ann).codeFor(h.native, loopback)
		var mu sync.Mutex
		var all sync.WaitGroup
		good := 0
		for range 20 {
			all.Go(func() {
				r := h.redeem(h.native, loopback, code)
				mu.Lock()
				defer mu.Unlock()
				if r.Code == 200 {
					good++
				}
			})
		}
		all.Wait()
		if good > 1 {
			t.Errorf("%d programs got tokens for one code", good)
		}
	})
}

// TestARefreshTokenIsReplaced, and one that comes again ends its whole family
// (RFC 9700 §4.14.2).
func TestARefreshTokenIsReplaced(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		first := h.redeem(h.native, loopback, b.codeFor(h.native, loopback)).text("refresh_token")
		if r := h.refresh(h.web, first, "client_secret", h.webSecret); r.text("error") != "invalid_grant" {
			t.Errorf("of another program: %s", r.Body)
		}
		// What nobody has consented to is refused, and the token is still good.
		if r := h.refresh(h.native, first, "scope", "Directory.Read.All"); r.text("error") != "invalid_grant" || !strings.Contains(r.text("error_description"), "AADSTS65001") {
			t.Errorf("%s", r.Body)
		}
		if r := h.refresh(h.native, first, "scope", base+"//.default"); r.Code == 200 {
			t.Errorf("a token for the resource API, which the program may not have: %s", r.Body)
		}
		second := h.refresh(h.native, first)
		if second.Code != 200 || second.text("refresh_token") == first || second.text("id_token") == "" {
			t.Fatalf("%s", second.Body)
		}
		third := h.refresh(h.native, second.text("refresh_token"))
		if third.Code != 200 {
			t.Fatalf("%s", third.Body)
		}
		// An answer that was lost is given once more; it is the same.
		if r := h.refresh(h.native, second.text("refresh_token")); r.text("refresh_token") != third.text("refresh_token") {
			t.Errorf("the second again, at once: %s", r.Body)
		}
		if r := h.refresh(h.native, first); !strings.Contains(r.text("error_description"), "AADSTS54005") {
			t.Errorf("the first again: %s", r.Body)
		}
		if r := h.refresh(h.native, third.text("refresh_token")); !strings.Contains(r.text("error_description"), "AADSTS50173") {
			t.Errorf("the newest, after that: %s", r.Body)
		}
		// A server's token wants its secret, always.
		web := h.redeem(h.web, back, b.codeFor(h.web, back)).text("refresh_token")
		if r := h.refresh(h.web, web); r.text("error") != "invalid_client" {
			t.Errorf("without the secret: %s", r.Body)
		}
		if r := h.refresh(h.web, web, "client_secret", h.webSecret); r.Code != 200 {
			t.Errorf("%s", r.Body)
		}
		// Whoever is disabled has nothing, and whoever is reset.
		last := h.redeem(h.native, loopback, b.codeFor(h.native, loopback)).text("refresh_token")
		enable := func(is bool) {
			must[directory.User](h)(h.directory.UpdateUser(t.Context(), us, h.ann.ID, func(u *directory.User) error { u.Enabled = is; return nil }))
		}
		enable(false)
		if r := h.refresh(h.native, last); r.text("error") != "invalid_grant" {
			t.Errorf("of somebody who is disabled: %s", r.Body)
		}
		b.get("/" + tenant + "/account").shows("Sign in")
		enable(true)
		h.invite(h.ann)
		if r := h.refresh(h.native, last); r.text("error") != "invalid_grant" {
			t.Errorf("of somebody who was reset: %s", r.Body)
		}
		b.get("/" + tenant + "/account").shows("Sign in")
	})
}

// TestFormsComeFromOurPages: no other page sends one in somebody's name.
func TestFormsComeFromOurPages(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		ann, bob := h.browser("192.0.2.30:1").moveIn(h.ann), h.browser("192.0.2.31:1").moveIn(h.bob)
		at := h.request(h.native, loopback, "prompt", "consent")
		bob.get(at).shows("Allow Desk Tool to act for you?")
		bobs := hiddenIn.FindStringSubmatch(bob.body)[2]
		for name, send := range map[string]func() *http.Response{
			"without proof": func() *http.Response { return ann.get(at).fill("answer", "answer", "yes", "proof", "").last },
			"with the proof of somebody else": func() *http.Response {
				return ann.get(at).fill("answer", "answer", "yes", "proof", bobs).last
			},
			"from another site": func() *http.Response {
				ann.get(at)
				v := url.Values{"answer": {"yes"}, "back": {at}, "proof": {hiddenIn.FindStringSubmatch(ann.body)[2]}}
				r, _ := http.NewRequest("POST", base+"/"+tenant+"/consent", strings.NewReader(v.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
				r.Header.Set("Origin", "https://evil.example")
				return ann.took(ann.client.Do(r)).last
			},
			"to sign out": func() *http.Response { return ann.get("/"+tenant+"/account").fill("Sign out", "proof", "x").last },
		} {
			if res := send(); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s", name, res.Status)
			}
		}
		ann.get("/" + tenant + "/account").shows("Your account")
		// Signing somebody in as oneself takes a form of ours too.
		v := url.Values{"name": {h.bob.Name}, "password": {password}}
		fresh := h.browser("192.0.2.32:1")
		if fresh.took(fresh.client.PostForm(base+"/"+tenant+"/signin", v)); fresh.last.StatusCode != http.StatusForbidden || fresh.cookie("session") != "" {
			t.Errorf("a sign-in without a page: %s", fresh.last.Status)
		}
	})
}

// TestNobodyLaysOutASession for somebody else to fill: its name changes at each
// step, and one that we have not given is none.
func TestNobodyLaysOutASession(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		h.browser("192.0.2.30:1").moveIn(h.ann)
		b := h.browser("192.0.2.33:1")
		u, _ := url.Parse(base)
		laid := "A234567890123456789012345X"
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-tandem-session", Value: laid, Path: "/", Secure: true}})
		b.get("/" + tenant + "/account").shows("Sign in")
		b.fill("password", "name", h.ann.Name, "password", password).shows("Second factor")
		half := b.cookie("session")
		if half == laid || half == "" {
			t.Error("the session has the name that was laid out")
		}
		// Half a session opens nothing.
		for _, at := range []string{"/" + tenant + "/account", "/" + tenant + "/device", h.request(h.native, loopback), "/" + tenant + "/enrol"} {
			if b.get(at); b.title() != "Second factor" {
				t.Errorf("half a session opens %q at %s", b.title(), at)
			}
		}
		b.fill("code", "code", h.code(h.ann)).shows("Your account")
		whole := b.cookie("session")
		if whole == half {
			t.Error("the session keeps its name")
		}
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-tandem-session", Value: half, Path: "/", Secure: true}})
		b.get("/" + tenant + "/account").shows("Sign in")
	})
}

// TestACodeOfTheAppIsGoodOnce, and few are tried.
func TestACodeOfTheAppIsGoodOnce(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		h.browser("192.0.2.30:1").moveIn(h.ann)
		code := h.code(h.ann)
		half := func(from string) *browser {
			return h.browser(from).get("/"+tenant+"/signin").fill("password", "name", h.ann.Name, "password", password).shows("Second factor")
		}
		one, two := half("192.0.2.34:1"), half("192.0.2.35:1")
		one.fill("code", "code", code).shows("Your account")
		if two.fill("code", "code", code).shows("Second factor"); two.last.StatusCode != 401 {
			t.Errorf("the same code again: %s", two.last.Status)
		}
		for range 9 {
			two.fill("code", "code", "000000")
		}
		if two.fill("code", "code", h.code(h.ann)).shows("Second factor"); two.last.StatusCode != http.StatusTooManyRequests || two.last.Header.Get("Retry-After") == "" {
			t.Errorf("after ten wrong ones the right one: %s", two.last.Status)
		}
		time.Sleep(2 * time.Minute)
		two.fill("code", "code", h.code(h.ann)).shows("Your account")
	})
}

// TestGuessingLocksNobodyOutForEver: strangers wait, the person in a browser
// that is known does not, every pause ends, and the control socket always helps.
func TestGuessingLocksNobodyOutForEver(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		home := h.browser("192.0.2.30:1").moveIn(h.ann)
		home.get("/" + tenant + "/account").fill("Sign out").shows("You are signed out")
		guess := func(i int, name string) *browser {
			b := h.browser("198.51.100." + string(rune('0'+i%10)) + ":1") // from all over the world
			return b.get("/"+tenant+"/signin").fill("password", "name", name, "password", "wrong")
		}
		for i := range 10 {
			if b := guess(i, h.ann.Name); b.last.StatusCode != 401 {
				t.Fatalf("guess %d: %s", i, b.last.Status)
			}
		}
		held := func(name string) bool {
			b := h.browser("203.0.113.9:1").get("/"+tenant+"/signin").fill("password", "name", name, "password", password)
			return b.last.StatusCode == http.StatusTooManyRequests
		}
		if !held(h.ann.Name) {
			t.Error("after ten guesses strangers go on")
		}
		// Nobody learns by this who there is.
		for i := range 10 {
			guess(i, "nobody@lab.telecom.example")
		}
		if !held("nobody@lab.telecom.example") {
			t.Error("who does not exist can be told from who does")
		}
		home.get("/" + tenant + "/signin").signIn(h.ann).shows("Your account")
		// They guess on for a day, whenever they may.
		for i := range 24 * 4 {
			guess(i, h.ann.Name)
			time.Sleep(15*time.Minute + time.Second)
			if held(h.ann.Name) {
				t.Fatalf("after %d pauses strangers wait longer than a quarter of an hour", i)
			}
			if i%20 == 19 { // the session has ended meanwhile
				home.get("/" + tenant + "/account").signIn(h.ann).shows("Your account")
			}
		}
		for i := range 12 {
			guess(i, h.ann.Name)
		}
		h.browser("203.0.113.10:1").moveIn(h.ann).shows("Your account") // by a new link
	})
}

// TestGuessesOfPasswordsAtOnceAreCounted: of many under different names from one
// address, those that are on their way when the limit is reached are held back.
func TestGuessesOfPasswordsAtOnceAreCounted(t *testing.T) {
	h := &house{door: open(t)}
	var tried, held atomic.Int32
	var all sync.WaitGroup
	for i := range 60 {
		b := h.browser("198.51.100.1:1").get("/" + tenant + "/signin")
		all.Go(func() {
			switch b.fill("password", "name", fmt.Sprintf("nobody-%d@lab.telecom.example", i), "password", "wrong"); b.last.StatusCode {
			case http.StatusUnauthorized:
				tried.Add(1)
			case http.StatusTooManyRequests:
				held.Add(1)
			}
		})
	}
	all.Wait()
	if n := tried.Load(); n < 20 || n > 22 || n+held.Load() != 60 {
		t.Errorf("%d passwords were tried, %d were held back", n, held.Load())
	}
}

// TestNamesAreNotTold: who does not exist takes as long to be refused as who
// does, and is told the same.
func TestNamesAreNotTold(t *testing.T) {
	h := &house{seed: map[string]string{}}
	h.door = open(t)
	h.furnish()
	h.password(h.ann)
	took := func(name string) (least time.Duration, page string) {
		var all []time.Duration
		for i := range 6 {
			b := h.browser("198.51.100." + string(rune('1'+i)) + ":1").get("/" + tenant + "/signin")
			begun := time.Now()
			b.fill("password", "name", name, "password", "wrong")
			all = append(all, time.Since(begun))
			_, page, _ = strings.Cut(b.text(), "<main>")
			page, _, _ = strings.Cut(page, "<footer>")
			page = strings.ReplaceAll(strings.ReplaceAll(page, name, ""), hiddenIn.FindStringSubmatch(b.body)[2], "")
		}
		slices.Sort(all)
		return all[0], page
	}
	// The machine may be busy with something else: one quiet round is enough.
	for round := range 4 {
		known, one := took(h.ann.Name)
		unknown, two := took("nobody@lab.telecom.example")
		invited, three := took(h.bob.Name) // who has no password yet
		if one != two || one != three {
			t.Fatalf("the pages differ:\n%s\n%s\n%s", one, two, three)
		}
		same := func(d time.Duration) bool { return d > known/3 && d < known*3 } // without a hash it would be a hundredth
		if same(unknown) && same(invited) {
			return
		}
		if round == 3 {
			t.Errorf("unknown: %v, invited: %v, known: %v", unknown, invited, known)
		}
		h.Handler = login.Handler(login.Config{Directory: h.directory, URL: base, Log: slog.New(slog.DiscardHandler)}) // nobody is held back for the address
		must[directory.Invitation](h)(h.directory.Invite(t.Context(), us, h.bob.ID, true))
		h.password(h.ann)
	}
}

func (h *house) password(u directory.User) {
	h.Helper()
	h.browser("192.0.2.40:1").get(h.invite(u)).fill("password", "password", password, "again", password).shows("Add a second factor")
}

// TestAssertions are signed by their issuer with a key that is its own (RFC
// 7523 §3, RFC 8725 §3.1).
func TestAssertions(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		issuer := base + "/" + tenant + "/v2.0" // ourselves
		robot := must[directory.ServicePrincipal](h)(h.directory.AddPrincipal(t.Context(), us, h.robot, ""))
		p := must[directory.ServicePrincipal](h)(h.directory.PrincipalOf(t.Context(), us, h.web))
		must[directory.FederatedCredential](h)(h.directory.AddFederated(t.Context(), us, h.robot, directory.FederatedCredential{Name: "web", Issuer: issuer, Subject: p.ID}))
		ask := func(assertion string) reply {
			return h.do("POST", "/"+tenant+"/oauth2/v2.0/token", url.Values{
				"grant_type": {"client_credentials"}, "client_id": {h.robot}, "scope": {base + "//.default"}, "client_assertion": {assertion},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			})
		}
		good := must[directory.Token](h)(h.directory.IssueFor(t.Context(), p.ID, issuer, directory.FederatedAudience))
		if r := ask(string(good.Raw)); r.Code != 200 || decode(t, r.text("access_token"))["oid"] != robot.ID {
			t.Fatalf("%s", r.Body)
		}
		parts := strings.Split(string(good.Raw), ".")
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
		keys, err := h.directory.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.Keys[0].MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(public)
		for name, key := range map[string][]byte{"the published key as a secret": public, "its hash": sum[:]} {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", keys.Keys[0].KeyID))
			if err != nil {
				t.Fatal(err)
			}
			forged, err := jwt.Signed(signer).Claims(decode(t, string(good.Raw))).Serialize()
			if err != nil {
				t.Fatal(err)
			}
			if r := ask(forged); r.Code != 401 || r.text("error") != "invalid_client" {
				t.Errorf("%s: %d %s", name, r.Code, r.Body)
			}
		}
		other := must[directory.Token](h)(h.directory.IssueFor(t.Context(), p.ID, issuer, base))
		another := must[directory.Token](h)(h.directory.IssueFor(t.Context(), robot.ID, issuer, directory.FederatedAudience))
		for name, assertion := range map[string]string{
			"no algorithm": none, "no signature": parts[0] + "." + parts[1] + ".", "for another audience": string(other.Raw), "of another subject": string(another.Raw), "nonsense": "x.y.z",
		} {
			if r := ask(assertion); r.Code != 401 || r.text("error") != "invalid_client" {
				t.Errorf("%s: %d %s", name, r.Code, r.Body)
			}
		}
		time.Sleep(2 * time.Hour)
		if r := ask(string(good.Raw)); r.Code != 401 {
			t.Errorf("too old: %s", r.Body)
		}
	})
}

// TestTokensOfPeopleAreForWhatTheyAllowed: one that lets a program read a name
// is nothing at the resource API.
func TestTokensOfPeopleAreForWhatTheyAllowed(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann)
		if _, q := b.get(h.request(h.native, loopback, "scope", base+"//.default openid")).left(); q.Get("error") != "access_denied" {
			t.Errorf("a token for the resource API: %v", q)
		}
		if _, q := b.get(h.request(h.native, loopback, "scope", "https://nobody.example/.default")).left(); q.Get("error") != "invalid_resource" {
			t.Errorf("%v", q)
		}
		if _, q := b.get(h.request(h.native, loopback, "scope", "No.Such.Scope")).left(); q.Get("error") != "invalid_scope" {
			t.Errorf("%v", q)
		}
		if _, q := b.get(h.request(h.native, loopback, "response_type", "token")).left(); q.Get("error") != "unsupported_response_type" || q.Get("access_token") != "" {
			t.Errorf("%v", q)
		}
		id := h.redeem(h.native, loopback, b.codeFor(h.native, loopback)).text("id_token")
		if r := h.do("GET", "/"+tenant+"/openid/userinfo", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+id) }); r.Code != 401 {
			t.Errorf("an ID token as an access token: %s", r.Body)
		}
		if _, err := h.directory.Verify(t.Context(), id, login.Issuers(base, tenant), []string{h.native}); err == nil {
			t.Error("an ID token is an access token")
		}
	})
}

// TestNobodyIsSentElsewhereAfterSigningOut: the address is one of the program's,
// letter by letter (OpenID Connect RP-Initiated Logout §3).
func TestNobodyIsSentElsewhereAfterSigningOut(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		for _, tt := range []struct {
			client, to string
			ok         bool
		}{
			{h.web, back, true},
			{h.web, back + "?x=1", true},
			{h.web, back + "?x=2", false},
			{h.web, back + "/", false},
			{h.web, back + "#x", false},
			{h.web, strings.ToUpper(back), false},
			{h.web, "https://portal.telecom.example@evil.example/back", false},
			{h.web, "https://portal.telecom.example.evil.example/back", false},
			{h.web, "//evil.example/back", false},
			{h.web, "javascript:alert(1)", false},
			{h.native, back, false}, // another program's
			{"", back, false},
			{"00000000-0000-4000-8000-0000000000d9", back, false},
		} {
			b := h.browser("192.0.2.30:1").get("/" + tenant + "/oauth2/v2.0/logout?" + url.Values{"client_id": {tt.client}, "post_logout_redirect_uri": {tt.to}, "state": {"s"}}.Encode())
			to := b.last.Header.Get("Location")
			if left := strings.HasPrefix(to, tt.to) && tt.to != ""; left != tt.ok || !tt.ok && to != "" {
				t.Errorf("%s of %q: %s %s", tt.to, tt.client, b.last.Status, to)
			}
		}
	})
}
