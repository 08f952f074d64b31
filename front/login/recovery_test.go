package login_test

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRecoveryCodes stand in for a factor that is lost: each once, and those that
// are renewed no more.
func TestRecoveryCodes(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.30:1").moveIn(h.ann).shows("Your account")
		codes := h.codes
		if len(codes) != 10 || len(codes[0]) != 19 || !strings.Contains(b.text(), "10 left") {
			t.Fatalf("%q: %s", codes, b.text())
		}
		half := func(from string) *browser {
			return h.browser(from).get("/"+tenant+"/signin").fill("password", "name", h.ann.Name, "password", password).shows("Second factor")
		}
		on := func(b *browser) *browser { return b.get(html.UnescapeString(onOf.FindStringSubmatch(b.body)[1])) }
		other := half("192.0.2.36:1").fill("recovery", "recovery", strings.ToLower(strings.ReplaceAll(codes[3], "-", " "))).shows("You are signed in")
		if !strings.Contains(other.text(), "9 are left") {
			t.Errorf("%s", other.text())
		}
		on(other).shows("Your account")
		// It goes where the program wants.
		there := h.browser("192.0.2.37:1").get(h.request(h.native, loopback)).fill("password", "name", h.ann.Name, "password", password).fill("recovery", "recovery", codes[4])
		if on(there); there.title() != "Allow Desk Tool to act for you?" {
			t.Errorf("leads to %s", there.title())
		}
		for name, typed := range map[string]string{"used": codes[3], "of nobody": "AAAA-BBBB-CCCC-DDDD", "nothing but signs": "----"} {
			b := half("192.0.2.38:1").fill("recovery", "recovery", typed).shows("Second factor")
			if b.last.StatusCode != http.StatusUnauthorized || !strings.Contains(b.text(), "none of your codes") {
				t.Errorf("%s: %s", name, b.last.Status)
			}
		}
		got := h.counted()
		if got["ann@lab.telecom.example signIn Denied: wrong recovery code 192.0.2.38"] != 3 {
			t.Errorf("the trail: %v", got)
		}
		// Another one's are not hers.
		h.browser("192.0.2.31:1").moveIn(h.bob)
		if b := half("192.0.2.39:1").fill("recovery", "recovery", h.codes[0]); b.last.StatusCode != http.StatusUnauthorized {
			t.Errorf("of somebody else: %s", b.last.Status)
		}
		// Renewed, the old ones are good no more.
		b.get("/" + tenant + "/account").fill("Make new ones").shows("Recovery codes")
		fresh := codesOf.FindAllStringSubmatch(b.body, -1)
		if len(fresh) != 10 || fresh[0][1] == codes[0] {
			t.Fatalf("%v", fresh)
		}
		if b := half("192.0.2.40:1").fill("recovery", "recovery", codes[0]); b.last.StatusCode != http.StatusUnauthorized {
			t.Errorf("an old one: %s", b.last.Status)
		}
		half("192.0.2.41:1").fill("recovery", "recovery", fresh[0][1]).shows("You are signed in")
		// Guesses are counted with those of the app.
		guess := half("192.0.2.42:1")
		for range 12 {
			guess.fill("recovery", "recovery", "AAAA-BBBB-CCCC-DDDD")
		}
		if guess.fill("recovery", "recovery", fresh[1][1]); guess.last.StatusCode != http.StatusTooManyRequests {
			t.Errorf("after twelve guesses the right one: %s", guess.last.Status)
		}
		time.Sleep(time.Hour)
		// Who is reset has none.
		h.invite(h.ann)
		if n, err := h.directory.RecoveryCodes(t.Context(), h.ann.ID); n != 0 || err != nil {
			t.Errorf("after a reset: %d, %v", n, err)
		}
		for _, c := range append(codes, fresh[0][1]) {
			if strings.Contains(h.log.String(), c) {
				t.Error("the log shows a code")
			}
		}
	})
}

// TestOnlyAWholeSessionMakesRecoveryCodes: the password alone does not.
func TestOnlyAWholeSessionMakesRecoveryCodes(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		h.browser("192.0.2.30:1").moveIn(h.ann)
		half := h.browser("192.0.2.36:1").get("/"+tenant+"/signin").fill("password", "name", h.ann.Name, "password", password).shows("Second factor")
		if _, err := h.directory.NewRecoveryCodes(t.Context(), half.cookie("session")); err == nil {
			t.Error("half a session makes codes")
		}
		if n, err := h.directory.RecoveryCodes(t.Context(), h.ann.ID); n != 10 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
