package operatorconnect

import (
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
)

// NameSuffix is that of the calling profiles that a communications gateway
// manages.
const NameSuffix = "CommsGw"

// gatewayDomain is what trunks of Azure's gateways are below.
const gatewayDomain = ".commsgw.azure.com"

// gatewayTrunk tells whether a trunk is a gateway's, by its name.
func (c *Client) gatewayTrunk(fqdn string) bool {
	fqdn = strings.ToLower(strings.TrimSuffix(fqdn, "."))
	for _, suffix := range append([]string{gatewayDomain}, c.Suffixes...) {
		if suffix = "." + strings.ToLower(strings.Trim(suffix, ".")); suffix != "." && strings.HasSuffix(fqdn, suffix) {
			return true
		}
	}
	return false
}

// own tells whether this client's application is the one that manages it.
func (c *Client) own(managedBy string) bool {
	return c.Application != "" && strings.EqualFold(c.Application, managedBy)
}

// WarnProfile is the sentence about editing a calling profile that a gateway
// manages, "" when none does. Its name alone is enough: a far side that
// protects nothing is no reason to break something.
func (c *Client) WarnProfile(p Profile) string {
	if c.own(p.ManagedBy) || p.ManagedBy == "" && !strings.EqualFold(p.NameSuffix, NameSuffix) && !hasSuffixFold(p.Name, NameSuffix) {
		return ""
	}
	return fmt.Sprintf("the calling profile %s is managed by a communications gateway: editing it is likely to break calls of every number that has it", p.Name+p.NameSuffix)
}

// WarnTrunk is the sentence about editing a trunk that a gateway manages, ""
// when none does.
func (c *Client) WarnTrunk(t Trunk) string {
	if c.own(t.ManagedBy) || t.ManagedBy == "" && !c.gatewayTrunk(t.FQDN) {
		return ""
	}
	return fmt.Sprintf("the trunk %s is managed by a communications gateway: editing it is likely to break calls through it", t.FQDN)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// guarded refuses to touch what there is a warning about (Azure Communications
// Gateway docs, "Connect Azure Communications Gateway to Operator Connect or
// Teams Phone Mobile", Caution).
func guarded(warning string, force bool) error {
	if warning == "" || force {
		return nil
	}
	return &fault.Error{Kind: fault.Conflict, Public: warning, Err: &Error{Status: 409, Code: Managed, Message: "not asked for without force", RetryAfter: -1}}
}
