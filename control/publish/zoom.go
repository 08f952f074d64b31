package publish

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Zoom is Zoom Phone Cloud Peering. There are no defaults: what Zoom gives to
// an operator stands in no public document.
type Zoom struct {
	Peers   []string       `yaml:"peers"`   // host:port, in the order to try
	Sources []netip.Prefix `yaml:"sources"` // of its signalling
	Media   []netip.Prefix `yaml:"media"`   // of its media; none: sources
	Names   []string       `yaml:"names"`   // one of which its certificate must bear; none: those of peers
	TLS     TLS            `yaml:"tls"`
	Suites  []string       `yaml:"suites"` // of SRTP, the best liked first; none: AES_CM_128_HMAC_SHA1_80
	Limits  Limits         `yaml:"limits"`

	Interworking Interworking `yaml:"interworking"`
}

// errZoom is for a gateway that has Zoom among its platforms.
var errZoom = gateway.Problems{{
	Path: "properties.platforms", Code: gateway.Unsupported,
	Message: "Zoom's addresses are not public, and services.zoom of the deployment does not say them: write the peers and sources that Zoom gave you there, or take Zoom from the platforms",
}}

// zoom makes the group of Zoom's servers, one peer each, tried in turn from
// every region.
func (c *compiler) zoom() error {
	services := c.platforms(snapshot.Zoom)
	if len(services) == 0 {
		return nil
	}
	z := c.in.Services.Zoom
	if len(z.Peers) == 0 || len(z.Sources) == 0 {
		return errZoom
	}
	g := snapshot.Group{
		Name: zoomGroup, Side: snapshot.Cloud, Services: services, Profile: "zoom", Codecs: zoomCodecs,
		Suites: z.Suites, TLS: c.tls(ZoomTLS, z.TLS),
	}
	media := z.Media
	if len(media) == 0 {
		media = z.Sources
	}
	for i, address := range z.Peers {
		host, port, err := SplitProxy(address)
		if err != nil {
			return err
		}
		g.Peers = append(g.Peers, snapshot.Peer{
			Name:         zoomGroup + "-" + strconv.Itoa(i+1),
			Transport:    "TLS",
			SRTP:         true, // Zoom has no other (Azure Communications Gateway docs, Zoom Phone Cloud Peering)
			Host:         host,
			Port:         port,
			Priority:     c.everywhere(i),
			Sources:      z.Sources,
			MediaSources: media,
			Names:        z.Names,
			Options:      c.in.Options,
			Limits:       snapshot.Limits(z.Limits),
		})
	}
	c.out.Groups = append(c.out.Groups, g)
	c.testLines()
	return nil
}

// zoomCodecs are what Zoom speaks, whatever the operator does: what both have
// passes as it is (Azure Communications Gateway docs, Zoom Phone Cloud
// Peering).
var zoomCodecs = []string{"OPUS", "G722", "PCMA", "PCMU"}

// testLines are numbers that are routed to Zoom and from it whatever is
// provisioned.
func (c *compiler) testLines() {
	for _, l := range c.p.ZoomConfig.TestLines {
		c.line(l.E164(), snapshot.Zoom)
	}
}

// emergencyOfZoom adds the form in which Zoom dials the emergency service,
// +44999 for 999 (Azure Communications Gateway docs, "Emergency calling for
// Zoom Phone Cloud Peering").
func (c *compiler) emergencyOfZoom() {
	code := c.in.Operator.CountryCode
	if len(c.platforms(snapshot.Zoom)) == 0 || code == "" {
		return
	}
	for _, s := range c.out.Emergency {
		if long := "+" + code + s; s[0] != '+' && !slices.Contains(c.out.Emergency, long) {
			c.out.Emergency = append(slices.Clip(c.out.Emergency), long)
		}
	}
}
