package onboard

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/gateway"
)

// TestVaultNames are 3 to 24 letters, digits and hyphens, begin with a letter,
// end with a letter or digit, and have no two hyphens in a row (Azure Key Vault
// docs, "Vaults - Create Or Update"), whatever a gateway is called.
func TestVaultNames(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9-]{1,22}[a-z0-9]$`)
	for name, want := range map[string]string{
		"Gateway-of-Telecom": "gateway-", "one": "one-", "1--2": "gw-1-2-", "---": "gw-", "-a-": "a-", "a--b--c": "a-b-c-", "0123456789": "gw-01234-", "abcdefg-h": "abcdefg-", "12345-6": "gw-12345-",
	} {
		w := &World{set: &Set{}}
		w.Subject.Gateway = gateway.ID{Subscription: "s", Group: "g", Name: name}
		for _, key := range []string{"billing-service", "call-duration", "call-duration-20"} {
			id := w.vaultID(registration{key: key})
			got := id[strings.LastIndex(id, "/")+1:]
			if !form.MatchString(got) || strings.Contains(got, "--") || !strings.HasPrefix(got, want) {
				t.Errorf("%s has the vault %s", name, got)
			}
		}
	}
}
