package snapshot

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Account is an enterprise that numbers belong to.
type Account struct {
	Name      string `json:"name"`
	Tenant    string `json:"tenant,omitempty"`    // its directory in the cloud, a GUID
	Subdomain string `json:"subdomain,omitempty"` // label before a region's domain by which Direct Routing tells its calls; empty: it is the carrier's own tenant
	AnyCaller bool   `json:"anyCaller,omitempty"` // its callers of Direct Routing are not screened
}

// Accounts are the accounts there are: immutable, safe to share and to copy.
// The zero value is empty.
type Accounts struct {
	byName  []Account
	byLabel []int32 // indexes into byName of those with a subdomain, by it
}

// NewAccounts makes the list. A name or a subdomain that stands twice is an
// error; subdomains are the same in either case, as DNS is.
func NewAccounts(list ...Account) (Accounts, error) {
	a := Accounts{byName: slices.Clone(list)}
	slices.SortFunc(a.byName, func(x, y Account) int { return strings.Compare(x.Name, y.Name) })
	for i, x := range a.byName {
		if i > 0 && a.byName[i-1].Name == x.Name {
			return Accounts{}, fmt.Errorf("account %q stands twice", x.Name)
		}
		if x.Subdomain != "" {
			a.byLabel = append(a.byLabel, int32(i))
		}
	}
	label := func(i int32) string { return strings.ToLower(a.byName[i].Subdomain) }
	slices.SortFunc(a.byLabel, func(x, y int32) int { return strings.Compare(label(x), label(y)) })
	for i, x := range a.byLabel {
		if i > 0 && label(a.byLabel[i-1]) == label(x) {
			return Accounts{}, fmt.Errorf("accounts %q and %q have the same subdomain %q", a.byName[a.byLabel[i-1]].Name, a.byName[x].Name, label(x))
		}
	}
	return a, nil
}

// Len is how many accounts there are.
func (a Accounts) Len() int { return len(a.byName) }

// All is every account, by name. RO.
func (a Accounts) All() []Account { return a.byName }

// Find gives an account by name.
func (a Accounts) Find(name string) (Account, bool) {
	i, ok := slices.BinarySearchFunc(a.byName, name, func(x Account, name string) int { return strings.Compare(x.Name, name) })
	if !ok {
		return Account{}, false
	}
	return a.byName[i], true
}

// At gives an account by its subdomain.
func (a Accounts) At(subdomain string) (Account, bool) {
	i, ok := slices.BinarySearchFunc(a.byLabel, strings.ToLower(subdomain), func(x int32, label string) int {
		return strings.Compare(strings.ToLower(a.byName[x].Subdomain), label)
	})
	if !ok {
		return Account{}, false
	}
	return a.byName[a.byLabel[i]], true
}

// Equal tells whether both hold the same accounts.
func (a Accounts) Equal(b Accounts) bool { return slices.Equal(a.byName, b.byName) }

// IsZero tells whether there are none.
func (a Accounts) IsZero() bool { return len(a.byName) == 0 }

// MarshalJSON writes the accounts as a list.
func (a Accounts) MarshalJSON() ([]byte, error) { return json.Marshal(a.byName) }

// UnmarshalJSON reads the list.
func (a *Accounts) UnmarshalJSON(data []byte) error {
	var list []Account
	err := json.Unmarshal(data, &list)
	if err == nil {
		*a, err = NewAccounts(list...)
	}
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	return nil
}
