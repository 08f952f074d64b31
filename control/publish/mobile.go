package publish

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Mobile is what the Mobile Control Point wants to know of Microsoft and of the
// mobile core. The consultation interface is not public: its shape is ours.
type Mobile struct {
	Consultation string        `yaml:"consultation"` // URL at which Microsoft is asked whose calls are a subscriber's
	Timeout      time.Duration `yaml:"timeout"`      // of one question; 0: a second
	TLS          TLS           `yaml:"tls"`          // towards it; without a certificate of its own the cloud listener's is shown
	// RoutingNumbers are the beginnings of the numbers, in E.164, that Microsoft
	// names for subscribers' calls and that the core routes to the gateway.
	RoutingNumbers []string `yaml:"routingNumbers"`
	Names          []string `yaml:"names"` // by which the core's Route knows us, beside those of our zone
}

// mobile makes the Mobile Control Point.
func (c *compiler) mobile() {
	if !c.p.IntegratedMCPEnabled {
		return
	}
	m := c.in.Services.Mobile
	c.out.MCP = &snapshot.MCP{
		Names: slices.Clone(m.Names), URL: m.Consultation, Timeout: m.Timeout, Routing: m.RoutingNumbers, TLS: c.tls(MobileTLS, m.TLS),
	}
	for i, r := range c.out.Regions {
		if base, ok := strings.CutPrefix(r.Domain, fmt.Sprintf("1r%d.", i+1)); ok {
			c.out.MCP.Names = append(c.out.MCP.Names, zone.MCPName(base, i+1))
		}
	}
}
