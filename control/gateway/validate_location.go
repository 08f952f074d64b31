package gateway

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/subscription"
)

// locations checks the service regions and the operator's side of each.
func (c *checker) locations() {
	path, list := props+"serviceLocations", c.Properties.ServiceLocations
	switch want := c.regions(); {
	case want == 0: // the sku is unknown, and said to be
	case len(list) != want && want == 1:
		c.add(path, OutOfRange, "%d service locations: a lab deployment has exactly one", len(list))
	case len(list) != want:
		c.add(path, OutOfRange, "%d service locations: a standard deployment has two; for one, set sku.name to lab", len(list))
	}
	var names []string
	for i, l := range list {
		here := at(path, i)
		if !locationName.MatchString(l.Name) {
			c.add(here+".name", InvalidFormat, "%q: name the service region, for example westeurope", l.Name)
		}
		c.first(here+".name", subscription.Normal(l.Name), names)
		names = append(names, subscription.Normal(l.Name))
		c.region(here+".primaryRegionProperties", l.PrimaryRegionProperties)
	}
}

// regions is how many service regions the sku has, 0 when it is unknown.
func (c *checker) regions() int {
	switch c.SKU.Name {
	case lab:
		return 1
	case SKUs[0]:
		return 2
	}
	return 0
}

func (c *checker) region(path string, r PrimaryRegionProperties) {
	if len(r.OperatorAddresses) == 0 && c.Properties.OperatorPeerGroupConfigScheme == StaticScheme {
		c.add(path+".operatorAddresses", Required, "missing: give at least one address of the operator's peers for this region")
	}
	c.addresses(path+".operatorAddresses", r.OperatorAddresses)
	switch direct := c.Properties.E911Type == directToESRP; {
	case direct && len(r.ESRPAddresses) == 0:
		c.add(path+".esrpAddresses", Required, "missing: e911Type DirectToEsrp needs the addresses of the emergency service in every region")
	case !direct && len(r.ESRPAddresses) > 0:
		c.add(path+".esrpAddresses", Contradiction, "used only with e911Type DirectToEsrp: change e911Type or remove them")
	}
	c.addresses(path+".esrpAddresses", r.ESRPAddresses)
	c.prefixes(path+".allowedSignalingSourceAddressPrefixes", r.AllowedSignalingSourceAddressPrefixes)
	c.prefixes(path+".allowedMediaSourceAddressPrefixes", r.AllowedMediaSourceAddressPrefixes)
}

// addresses checks a list of single far sides: addresses, or names to resolve.
func (c *checker) addresses(path string, list []string) {
	for i, s := range list {
		here := at(path, i)
		c.first(here, s, list[:i])
		if a, err := netip.ParseAddr(s); err == nil {
			c.unicast(here, a)
			continue
		}
		if _, err := netip.ParsePrefix(s); err == nil {
			c.add(here, InvalidFormat, "%q is a range: write one address; ranges belong in the allowed source prefixes", s)
			continue
		}
		if !isHostname(s) {
			c.add(here, InvalidFormat, "%q: write an IP address or a host name, without port", s)
		}
	}
}

func (c *checker) unicast(path string, a netip.Addr) {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		c.add(path, InvalidValue, "%s is nobody's address: write the address of one machine", a)
	}
}

// prefixes checks a list of allowed sources. Private ranges are as good as
// public ones: most operators reach the gateway over private peering.
func (c *checker) prefixes(path string, list []string) {
	for i, s := range list {
		here := at(path, i)
		c.first(here, s, list[:i])
		p, err := ParsePrefix(s)
		switch {
		case err != nil:
			c.add(here, InvalidFormat, "%q: write an IP address or a range such as 192.0.2.0/24", s)
		case p != p.Masked():
			c.add(here, InvalidFormat, "%s has bits outside its range: write %s for the range or %s for the one address", s, p.Masked(), p.Addr())
		case p.Bits() == 0:
			c.add(here, InvalidValue, "%s lets in everybody: write the ranges of the far side", s)
		case p.Addr().IsUnspecified() || p.Addr().IsMulticast():
			c.add(here, InvalidValue, "%s is nobody's address: write the ranges of the far side", s)
		}
	}
}

// ParsePrefix reads an allowed source: a range, or an address for itself alone.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// isHostname tells whether s has the form of RFC 1123 §2.1, with underscores
// in front for the names of SRV records (RFC 2782).
func isHostname(s string) bool {
	s = strings.TrimSuffix(s, ".")
	labels := strings.Split(s, ".")
	if len(s) > 253 || !strings.ContainsAny(labels[len(labels)-1], letters) {
		return false // a last label of digits is a mistyped address
	}
	return !slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, letters+"0123456789-_") != ""
	})
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
