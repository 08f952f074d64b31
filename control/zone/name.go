package zone

import (
	"fmt"
	"strings"
)

// The names of a gateway. Regions are counted from 1, in the order of the
// resource's service locations.

// RegionName is where the operator calls a region: its "hostname".
func RegionName(base string, n int) string { return fmt.Sprintf("r%d.%s", n, base) }

// CloudName is where Direct Routing calls a region (Microsoft Learn, "Azure
// Communications Gateway: Microsoft Teams Direct Routing", April 2024).
func CloudName(base string, n int) string { return fmt.Sprintf("1r%d.%s", n, base) }

// CustomerName is a customer's own name in a region.
func CustomerName(label, base string, n int) string { return label + "." + CloudName(base, n) }

// MCPName is the mobile control point of a region: its "MCP hostname".
func MCPName(base string, n int) string { return "mcp." + RegionName(base, n) }

// APIName is the Provisioning API.
func APIName(base string) string { return "provapi." + base }

// PeerGroupSRV is the SRV record by which a peer group finds a region.
func PeerGroupSRV(g PeerGroup, base string, n int) string {
	return service(g.Transport)[0] + fmt.Sprintf("%s-region%d.%s", strings.ToLower(g.Name), n, base)
}

// CertificateNames are those that a certificate of a region bears when it is
// ordered here: the regional names, the names below them that SRV records lead
// to, and those of customers.
func CertificateNames(base string, n int) []string {
	return []string{RegionName(base, n), "*." + RegionName(base, n), CloudName(base, n), "*." + CloudName(base, n)}
}

// edgeName is one edge in SRV records. It is counted, since nodes' own names
// are nobody's business.
func edgeName(base string, n, i int) string { return fmt.Sprintf("sbc%d.%s", i+1, RegionName(base, n)) }

// service is how SRV records of a transport begin. The cloud's documents name
// `_sip._tls`; RFC 3263 §4.1 looks for `_sips._tcp`, so both are there.
func service(transport string) []string {
	switch transport {
	case "tls":
		return []string{"_sip._tls.", "_sips._tcp."}
	case "tcp":
		return []string{"_sip._tcp."}
	default:
		return []string{"_sip._udp."}
	}
}
