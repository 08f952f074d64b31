package snapshot

import (
	"slices"
	"strings"
	"time"
)

// MCP is the gateway's own Mobile Control Point: how the mobile core reaches
// it, and whom it asks about subscribers of Teams Phone Mobile.
type MCP struct {
	Names   []string      `json:"names,omitempty"`   // host names that the core's Route has for it
	URL     string        `json:"url,omitempty"`     // of the consultation interface; empty: nobody can be asked, and all calls go on as they are
	TLS     TLS           `json:"tls,omitzero"`      // towards it
	Timeout time.Duration `json:"timeout,omitempty"` // of one question, in nanoseconds; 0: a second
	Routing []string      `json:"routing,omitempty"` // beginnings of the numbers by which the core sends subscribers' calls to Teams, E.164
}

// Routes tells whether a number in E.164 is a routing number.
func (m *MCP) Routes(number string) bool {
	return m != nil && slices.ContainsFunc(m.Routing, func(prefix string) bool { return strings.HasPrefix(number, prefix) })
}
