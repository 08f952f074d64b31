package teams

import (
	"strings"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// unverified is why a trunk is ignored.
const unverified = "the domain is not verified in the tenant's directory, or the trunk is not enrolled"

// verified tells whether a name is of a domain that a tenant has shown to be
// its own: Teams sends traffic to no other, and takes none from it (Azure
// Communications Gateway docs, "Register your deployment's domain name in
// Microsoft Entra").
func (s *System) verified(host string) bool {
	return s.cfg.Verified == nil || s.cfg.Verified(strings.ToLower(strings.TrimSuffix(host, ".")))
}

// strange is the refusal of a request from a trunk whose domain is not
// verified. That is no breach of a rule: the gateway may not be onboarded yet.
func (s *System) strange(req *sip.Message) *phone.Refusal {
	if req.Method != "INVITE" && req.Method != "OPTIONS" || inDialog(req) {
		return nil
	}
	who, err := sbc(req)
	if err != nil || s.verified(who.Host) {
		return nil // what is wrong with the name is judged elsewhere
	}
	return &phone.Refusal{Status: 403, Reason: quoted(63, "510532;No trunk found: "+who.Host+", "+unverified)}
}

// Reconsider is for when domains have been verified, or are no longer: trunks
// that were ignored are asked at once, instead of after an interval.
func (s *System) Reconsider() {
	for _, t := range s.cfg.Trunks {
		if !s.verified(t.FQDN) {
			continue
		}
		select {
		case s.kick[t.FQDN] <- place{s.Gates()[0], t.Port}:
		default: // one is on its way
		}
	}
}
