package publish

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Fault is something wrong with what is said of a number or an account.
type Fault struct {
	Line int    // in a file, from 1; 0 when there is none
	Key  string // "service"
	Text string // what to do
}

// NumberRules are what numbers are held against.
type NumberRules struct {
	Platforms []string // services that the gateway is for
	Header    bool     // it has a custom header
	Accounts  snapshot.Accounts
}

// Check tells what is wrong with a number.
func (r NumberRules) Check(n snapshot.Number) (faults []Fault) {
	bad := func(key, format string, args ...any) {
		faults = append(faults, Fault{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if !snapshot.IsE164(n.E164) {
		bad("number", "%q: write + and 1 to 15 digits, country code first", n.E164)
	}
	if n.ELIN != "" && !snapshot.IsE164(n.ELIN) {
		bad("elin", "%q: write + and 1 to 15 digits, country code first", n.ELIN)
	}
	if text := r.service(n.Service); text != "" {
		bad("service", "%s", text)
	}
	if text := r.account(n); text != "" {
		bad("account", "%s", text)
	}
	switch {
	case n.Header == "":
	case !wordOf(n.Header, 100):
		bad("header", "%q: write 1 to 100 letters, digits, hyphens and underscores", n.Header)
	case n.Service == snapshot.TeamsPhoneMobile:
		bad("header", "calls of Teams Phone Mobile bear no custom header: remove it")
	case !r.Header:
		bad("header", "the gateway has no custom header: name it in gateway.properties.customSipHeaders")
	}
	return faults
}

func (r NumberRules) service(s snapshot.Service) string {
	word := string(s)
	switch {
	case word == "":
		return "missing: write " + strings.Join(r.Platforms, " or ")
	case slices.Contains(r.Platforms, word):
		return ""
	case slices.Contains(gateway.Platforms, word):
		return word + " is not among gateway.properties.platforms: add it there or change it here"
	}
	if meant := gateway.Suggest(word, r.Platforms); meant != "" {
		return fmt.Sprintf("%q is unknown: did you mean %s?", word, meant)
	}
	return fmt.Sprintf("%q is unknown: write %s", word, strings.Join(r.Platforms, " or "))
}

// account: where accounts are described, a number's must be one of them, or it
// is misspelt. Direct Routing finds the tenant by it.
func (r NumberRules) account(n snapshot.Number) string {
	name := n.Account
	_, known := r.Accounts.Find(name)
	switch {
	case known:
		return ""
	case n.Service == snapshot.TeamsDirectRouting && name == "":
		return "missing: Direct Routing finds the tenant by the account; name one of accounts"
	case name == "" || n.Service != snapshot.TeamsDirectRouting && r.Accounts.Len() == 0 && wordOf(name, 100):
		return ""
	case !wordOf(name, 100):
		return fmt.Sprintf("%q: write 1 to 100 letters, digits, hyphens and underscores", name)
	}
	if meant := gateway.Suggest(name, r.names()); meant != "" {
		return fmt.Sprintf("%q is not among accounts: did you mean %s?", name, meant)
	}
	return fmt.Sprintf("%q is not among accounts: describe it there", name)
}

// names are those of the accounts, as many as are worth a guess.
func (r NumberRules) names() (names []string) {
	for _, a := range r.Accounts.All()[:min(r.Accounts.Len(), 1000)] {
		names = append(names, a.Name)
	}
	return names
}

// The longest subdomain, and the longest name with the domain of a region
// behind it: the directory that the customer registers it in takes no longer
// one (Azure Communications Gateway docs, "Connect to Direct Routing").
const (
	maxLabel = 10
	maxName  = 48
)

// CheckAccount tells what is wrong with an account. Domain is that of a region.
func CheckAccount(a snapshot.Account, domain string) (faults []Fault) {
	bad := func(key, format string, args ...any) {
		faults = append(faults, Fault{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if !wordOf(a.Name, 100) {
		bad("name", "%q: write 1 to 100 letters, digits, hyphens and underscores", a.Name)
	}
	if a.Tenant != "" && !guid(a.Tenant) {
		bad("tenant", "%q: write the ID of the customer's Microsoft tenant, such as 00000000-0000-4000-8000-000000000001", a.Tenant)
	}
	full := a.Subdomain + "." + domain
	switch {
	case a.Subdomain == "":
	case !wordOf(a.Subdomain, maxLabel) || strings.HasPrefix(a.Subdomain, "-") || strings.HasSuffix(a.Subdomain, "-"):
		bad("subdomain", "%q: write one label of 1 to %d letters, digits, hyphens and underscores", a.Subdomain, maxLabel)
	case len(full) > maxName:
		bad("subdomain", "%s has %d characters, and no customer can register more than %d: shorten it, or sip.domain", full, len(full), maxName)
	}
	return faults
}

// wordOf: letters, digits, hyphens and underscores.
func wordOf(s string, longest int) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func guid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if c := s[i]; hyphen != (c == '-') || !hyphen && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}
