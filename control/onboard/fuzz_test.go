package onboard

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/tandemgw/tandem/control/gateway"
)

// FuzzFacts: what people declare is taken or refused, and what is taken is what
// it is asked for.
func FuzzFacts(f *testing.F) {
	for _, s := range []string{
		"+442079460000", "+44 20 7946 0000, +1-555-0100", "2026-01-10", "PCMA,PCMU", "198.51.100.1", "2001:db8::1", "yes", "3", "a@b.example", "",
		"https://login.microsoftonline.com/common/adminconsent?client_id=7a4d3a60-6f0b-4b6c-9f43-3f7a5b0c1e01",
		"https://x@login/adminconsent/?client_id=7a4d3a60-6f0b-4b6c-9f43-3f7a5b0c1e01&client_id=x", "//adminconsent", "\x00", "%zz",
		"/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/../providers/Microsoft.KeyVault/vaults/one-billing",
		"/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/one-billing",
	} {
		f.Add(s)
	}
	facts := Facts()
	f.Fuzz(func(t *testing.T, value string) {
		for _, x := range facts {
			if x.judge(x.Name, value) != nil || value == "" {
				continue
			}
			if strings.ContainsFunc(value, unicode.IsControl) || len(x.Choices) > 0 && !slices.Contains(x.Choices, value) {
				t.Errorf("%s takes %q", x.Name, value)
			}
			switch x.Name {
			case "consent-url.*":
				u, err := url.Parse(value)
				if err != nil || u.Scheme != "https" || u.User != nil || len(u.Query().Get("client_id")) != 36 {
					t.Errorf("a consent URL %q", value)
				}
			case "verification-numbers", "integration-numbers":
				for _, n := range numbers(value) {
					if n != gateway.E164(n) || !strings.HasPrefix(n, "+") {
						t.Errorf("a number %q of %q", n, value)
					}
				}
			case "vault.*":
				if strings.Count(value, "/") != 8 || strings.ContainsAny(value, "?#%\\ ") || strings.Contains(value, "./") {
					t.Errorf("a vault %q", value)
				}
			}
		}
	})
}
