package app

import (
	"maps"
	"regexp"
	"slices"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/wire/codec"
)

// accessInfo is what P-Access-Network-Info may be set to (RFC 7315 section 5.4):
// a type, and parameters of tokens or quoted text.
var accessInfo = regexp.MustCompile(`^[A-Za-z0-9-]+(;[a-z0-9-]+(=([A-Za-z0-9.:_-]+|"[A-Za-z0-9 .:_-]*"))?)*$`)

// interworkings checks what sides and peer groups want otherwise.
func (k *configCheck) interworkings() {
	k.interworking("services.teams.interworking", k.Services.Teams.Interworking, "teams", "teams-mobile", "direct-routing")
	k.interworking("services.zoom.interworking", k.Services.Zoom.Interworking, "zoom")
	k.interworking("operator.interworking", k.Operator.Interworking, "core", "ims")
	p := k.Gateway.Properties
	var groups []string
	for _, g := range p.PeerGroups {
		groups = append(groups, g.PeerGroupName)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Operator.InterworkingByGroup)) {
		path := "operator.interworkingByGroup." + name
		if i := k.Operator.InterworkingByGroup[name]; i != nil {
			k.interworking(path, *i, "core", "ims")
		}
		switch {
		case k.Control != nil: // gateways come and go
		case p.OperatorPeerGroupConfigScheme != gateway.PeerGroupScheme:
			k.bad(path, "the gateway has no peer groups: write this in operator.interworking")
		case !slices.Contains(groups, name):
			k.oneOf(path, name, groups...)
		}
	}
}

// interworking checks one section; profiles are those that its side may have.
func (k *configCheck) interworking(path string, i publish.Interworking, profiles ...string) {
	for _, w := range []struct {
		key, word string
		words     []string
	}{
		{"profile", i.Profile, profiles},
		{"early", i.Early, publish.EarlyWords},
		{"ringback", i.Ringback, codec.Countries()},
		{"history", i.History, publish.HistoryWords},
		{"reliable", i.Reliable, publish.ReliableWords},
		{"dtmf", i.DTMF, publish.DTMFWords},
		{"hold", i.Hold, publish.HoldWords},
		{"caller", i.Caller, publish.CallerWords},
		{"rtcp", i.RTCP, publish.RTCPWords},
		{"keying", i.Keying, publish.KeyingWords},
		{"numbers.format", i.Numbers.Format, publish.FormatWords},
	} {
		if w.word != "" {
			k.oneOf(path+"."+w.key, w.word, w.words...)
		}
	}
	for key, name := range map[string]string{"trunkContext": i.TrunkContext, "operator": i.Operator} {
		if name != "" && !hostName.MatchString(name) {
			k.bad(path+"."+key, "%q: write a domain, such as core.example", name)
		}
	}
	if i.Keying == "dtls" && !slices.Contains(profiles, "core") {
		k.unwise(path+".keying", "the service takes keys from the description alone and refuses every other call: write sdes or either")
	}
	if i.TrunkContext != "" && !i.TenantGroup {
		k.bad(path+".trunkContext", "means nothing without tenantGroup: write both or none")
	}
	if i.Access != "" && !accessInfo.MatchString(i.Access) {
		k.bad(path+".access", "%q: write the type of the access network and its parameters, such as GSTN", i.Access)
	}
	if i.Trusted != nil && *i.Trusted && !slices.Contains(profiles, "core") {
		k.unwise(path+".trusted", "callers who hide their number would be told to it: leave it out unless a contract says so")
	}
	k.numberPlan(path+".numbers", i.Numbers)
}

// keying is what a peer group's section, or that of all, says.
func (k *configCheck) keying(group string) string {
	if own := k.Operator.InterworkingByGroup[group]; own != nil {
		return own.Keying
	}
	return k.Operator.Interworking.Keying
}

func (k *configCheck) numberPlan(path string, n publish.NumberPlan) {
	if n.CountryCode != "" && !country.MatchString(n.CountryCode) {
		k.bad(path+".countryCode", "%q: write the country code without plus, such as 44", n.CountryCode)
	}
	for key, prefix := range map[string]string{"trunkPrefix": n.TrunkPrefix, "internationalPrefix": n.InternationalPrefix} {
		if prefix != "" && !digits.MatchString(prefix) {
			k.bad(path+"."+key, "%q: write digits", prefix)
		}
	}
	if n.TrunkPrefix != "" && n.CountryCode == "" {
		k.bad(path+".trunkPrefix", "means nothing without countryCode: write both or none")
	}
	if n.Format == "national" && n.CountryCode == "" && k.Operator.CountryCode == "" {
		k.bad(path+".format", "national numbers want a countryCode: write it here")
	}
}
