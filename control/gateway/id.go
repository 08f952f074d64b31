package gateway

import (
	"regexp"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
)

// ID names a gateway in the resource API.
type ID struct{ Subscription, Group, Name string }

// String is the path of the resource, as written by whoever made it.
func (id ID) String() string {
	return "/subscriptions/" + id.Subscription + "/resourceGroups/" + id.Group + "/providers/Microsoft.VoiceServices/communicationsGateways/" + id.Name
}

// Key is the same for all spellings of one ID: the resource API's paths know
// no case (Azure Resource Manager docs, "Resource naming").
func (id ID) Key() string {
	return strings.ToLower(id.Subscription + "/" + id.Group + "/" + id.Name)
}

var idForm = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.VoiceServices/communicationsGateways/([^/]+)$`)

// ParseID reads what String writes, in any case.
func ParseID(s string) (ID, error) {
	m := idForm.FindStringSubmatch(s)
	if m == nil {
		return ID{}, fault.New(fault.Invalid, "not the ID of a gateway: write /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.VoiceServices/communicationsGateways/<name>")
	}
	return ID{m[1], m[2], m[3]}, nil
}

// LineID names a test line of a gateway.
type LineID struct {
	Gateway ID
	Name    string
}

// String is the path of the resource.
func (id LineID) String() string { return id.Gateway.String() + "/testLines/" + id.Name }
