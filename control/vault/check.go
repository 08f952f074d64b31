package vault

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
)

// Limits of a vault (Azure Key Vault docs, "Azure Key Vault service limits",
// and "Vaults - Create Or Update").
const (
	maxPolicies    = 1024
	maxPrefixes    = 1000
	maxConnections = 64
	minRetention   = 7
	maxRetention   = 90
)

const badName = "A vault's name must be 3 to 24 letters, digits and hyphens, begin with a letter, end with a letter or digit, and have no two hyphens in a row."

var vaultNameForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$`)

// vaultName is the form of a name, which is a label of a host name.
func vaultName(s string) bool {
	return vaultNameForm.MatchString(s) && !strings.Contains(s, "--")
}

// check refuses a vault that cannot be.
func (s *Set) check(id ID, v Vault) error {
	switch {
	case !vaultName(id.Name):
		return invalid("%s", badName)
	case v.Location == "":
		return invalid("The location property is required for this definition.")
	case v.RetentionDays < minRetention || v.RetentionDays > maxRetention:
		return invalid("softDeleteRetentionInDays must be %d to %d.", minRetention, maxRetention)
	case len(v.Policies) > maxPolicies:
		return invalid("accessPolicies has more than %d entries.", maxPolicies)
	case len(v.Network.Allowed) > maxPrefixes:
		return invalid("networkAcls.ipRules has more than %d entries.", maxPrefixes)
	}
	for i, p := range v.Policies {
		if err := s.checkPolicy(p); err != nil {
			return invalid("accessPolicies[%d]: %s", i, err)
		}
		if j := slices.IndexFunc(v.Policies[:i], p.same); j >= 0 {
			return invalid("accessPolicies[%d] and [%d] are of the same principal: write one.", j, i)
		}
	}
	return subscription.CheckTags(v.Tags)
}

func (s *Set) checkPolicy(p Policy) error {
	switch {
	case !strings.EqualFold(p.Tenant, s.Tenant):
		return fmt.Errorf("tenantId must be that of the vault, '%s'", s.Tenant)
	case uuid.Validate(p.Object) != nil:
		return fmt.Errorf("objectId must be the ID of a principal, a UUID")
	case p.Application != "" && uuid.Validate(p.Application) != nil:
		return fmt.Errorf("applicationId must be the ID of an application, a UUID")
	}
	for _, may := range p.Secrets {
		if !slices.Contains(Permissions(), may) {
			return fmt.Errorf("permissions.secrets: '%.40s' is unknown: write any of %s", may, words(Permissions()))
		}
	}
	return nil
}

func words(list []Permission) string {
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(p))
	}
	return b.String()
}

var connectionName = regexp.MustCompile(`^[\w.-]{1,80}$`)

func (c Connection) check() error {
	switch {
	case !connectionName.MatchString(c.Name):
		return invalid("The name of the private endpoint connection is not valid: write 1 to 80 letters, digits, underscores, periods and hyphens.")
	case c.State != Pending && c.State != Approved && c.State != Rejected:
		return invalid("privateLinkServiceConnectionState.status must be Pending, Approved or Rejected.")
	case len(c.Description) > 1024 || len(c.Endpoint) > 1024:
		return invalid("The description, or the ID of the private endpoint, has more than 1024 characters.")
	case len(c.Sources) > maxPrefixes:
		return fault.New(fault.Invalid, fmt.Sprintf("A private endpoint has at most %d source addresses.", maxPrefixes))
	}
	return nil
}
