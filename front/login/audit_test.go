package login_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
)

// counted are the lines that the trail has got since it was last asked: who, what
// came of it, from where, how often.
func (h *house) counted() map[string]int64 {
	h.Helper()
	if err := h.directory.Flush(h.Context()); err != nil {
		h.Fatal(err)
	}
	lines := map[string]int64{}
	for _, l := range h.told {
		who := l.By.Name
		if who == "" {
			who = strings.TrimPrefix(l.Target, "/tenants/"+tenant)
		}
		action := l.Action[strings.LastIndex(l.Action, "/")+1:]
		lines[fmt.Sprintf("%s %s %s %s", who, action, l.Outcome, l.Source)] += l.Times
	}
	h.told = nil
	return lines
}

// TestWhatIsRefusedIsInTheTrail, and by whom, as far as there is somebody.
func TestWhatIsRefusedIsInTheTrail(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		ann := h.browser("192.0.2.30:1").moveIn(h.ann)
		bob := h.browser("192.0.2.31:1").moveIn(h.bob)
		h.counted()
		guess := func(name, password string) *browser {
			return h.browser("198.51.100.7:1").get("/"+tenant+"/signin").fill("password", "name", name, "password", password)
		}
		ask := func(pairs ...string) { h.do("POST", "/"+tenant+"/oauth2/v2.0/token", form(pairs...)) }
		for _, tt := range []struct {
			name string
			do   func()
			want string
			n    int64
		}{
			{"a wrong password", func() { guess(h.ann.Name, "canary-of-the-guess") }, "ann@lab.telecom.example signIn Denied: wrong password 198.51.100.7", 1},
			{"of nobody", func() { guess("canary-of-the-name", "canary-of-the-guess") }, "/signIns signIn Denied: no such user 198.51.100.7", 1},
			{"a wrong second factor", func() { guess(h.ann.Name, password).shows("Second factor").fill("code", "code", "000000") }, "ann@lab.telecom.example signIn Denied: wrong second factor 198.51.100.7", 1},
			{"who is held back", func() {
				for range 12 {
					h.browser("198.51.100.9:1").get("/"+tenant+"/signin").fill("password", "name", h.bob.Name, "password", "wrong")
				}
			}, "bob@lab.telecom.example signIn Denied: held back after wrong guesses 198.51.100.9", 2},
			{"an unknown client", func() { ask("client_id", "stray-of-the-client") }, "/signIns signIn Denied: no such application 192.0.2.1", 1},
			{"a wrong secret", func() { ask("client_secret", "canary-of-the-guess"); ask("client_secret", "x") }, "onboarding signIn Denied: wrong secret 192.0.2.1", 2},
			{"a wrong assertion", func() {
				ask("client_secret", "-", "client_assertion", "x.y.z", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			}, "onboarding signIn Denied: wrong assertion 192.0.2.1", 1},
			{"an assertion of nobody", func() {
				ask("client_id", "stray\x00of-the-client", "client_secret", "-", "client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			}, "/signIns signIn Denied: wrong assertion 192.0.2.1", 1},
			{"a consent that takes an administrator", func() { bob.get(h.request(h.native, loopback, "scope", "Directory.ReadWrite.All")) }, "bob@lab.telecom.example allow Denied: it takes an administrator 192.0.2.31", 1},
			{"a consent that is declined", func() { bob.get(h.request(h.native, loopback, "prompt", "consent")).fill("answer", "answer", "no") }, "bob@lab.telecom.example allow Denied: declined 192.0.2.31", 1},
			{"a code that comes twice", func() {
				code := ann.codeFor(h.native, loopback)
				h.redeem(h.native, loopback, code)
				h.redeem(h.native, loopback, code)
			}, "ann@lab.telecom.example signIn Denied: " + directory.ErrSpent.Error() + " 192.0.2.1", 1},
			{"a refresh token that comes again", func() {
				first := h.redeem(h.native, loopback, ann.codeFor(h.native, loopback)).text("refresh_token")
				h.refresh(h.native, first)
				time.Sleep(time.Minute)
				h.refresh(h.native, first)
			}, "ann@lab.telecom.example signIn Denied: " + directory.ErrSpent.Error() + " 192.0.2.1", 1},
			{"a program each minute", func() {
				time.Sleep(time.Hour - time.Duration(time.Now().UnixNano())%time.Hour)
				for range 59 {
					ask()
					time.Sleep(time.Minute)
				}
			}, "onboarding signIn Succeeded 192.0.2.1", 59},
		} {
			tt.do()
			got := h.counted()
			if got[tt.want] != tt.n {
				t.Errorf("%s: %d of %q in %v", tt.name, got[tt.want], tt.want, got)
			}
			if text, _ := json.Marshal(got); strings.Contains(string(text), "-of-the-") {
				t.Errorf("%s: the trail has what was guessed: %s", tt.name, text)
			}
		}
	})
}
