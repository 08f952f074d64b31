package interop

import (
	"strings"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Plan is how a peer writes numbers. The zero Plan takes numbers with a plus
// and no others, and writes them so.
type Plan struct {
	CountryCode   string // "44"
	Trunk         string // prefix of national numbers: "0"; "" where there is none
	International string // prefix of international numbers: "00"
	Format        Format // of the numbers it is sent
}

// Format is how numbers are written towards a peer. What is not E.164, such
// as a service code, is written as it came.
type Format uint8

// The formats.
const (
	Plus          Format = iota // E.164 with a plus: +442079460123
	Digits                      // E.164 without: 442079460123
	International               // with the international prefix: 00442079460123
	National                    // own country's with the trunk prefix, others with the international one
)

// formats are the words of snapshot.NumberPlan.
var formats = map[string]Format{"": Plus, "plus": Plus, "digits": Digits, "international": International, "national": National}

// PlanOf is the plan of a peer: its own country and prefix count before those
// of its group.
func PlanOf(g *snapshot.Group, p *snapshot.Peer) Plan {
	of := g.Interworking.Plan
	plan := Plan{CountryCode: of.CountryCode, Trunk: of.Trunk, International: of.International, Format: formats[of.Format]}
	if p.CountryCode != "" {
		plan.CountryCode, plan.Trunk = p.CountryCode, p.TrunkPrefix
	}
	if plan.International == "" {
		plan.International = "00"
	}
	return plan
}

// shortest is how many digits a national number has at least where no trunk
// prefix tells it from a service or emergency code.
const shortest = 7

// Normalise gives number in E.164 with a plus. When no rule applies it gives
// the digits as they came and reports false: service codes and emergency
// numbers look like that, and whoever routes the call decides.
func (p Plan) Normalise(number string) (string, bool) {
	n := strip(number)
	digits, plus := strings.CutPrefix(n, "+")
	if !allDigits(digits) {
		return n, false
	}
	if plus {
		digits = p.withoutTrunk(digits)
	} else {
		var ok bool
		if digits, ok = p.complete(digits); !ok {
			return n, false
		}
	}
	// ITU-T E.164 6.1: at most 15 digits, and no country code begins with 0.
	if !allDigits(digits) || len(digits) < 3 || len(digits) > 15 || digits[0] == '0' || p.withoutTrunk(digits) != digits {
		return n, false
	}
	return "+" + digits, true
}

// complete puts the country code before digits that came without a plus.
func (p Plan) complete(digits string) (string, bool) {
	if p.International != "" && strings.HasPrefix(digits, p.International) {
		return digits[len(p.International):], true
	}
	if p.CountryCode == "" && p.Format != Digits {
		return "", false
	}
	switch {
	case p.Trunk != "" && strings.HasPrefix(digits, p.Trunk):
		return p.CountryCode + digits[len(p.Trunk):], p.CountryCode != ""
	case p.Format == Digits && digits[0] != '0' && (len(digits) > shortest || len(digits) == shortest && p.Trunk != ""):
		return digits, true // it is written to like that, so it writes so
	case p.Trunk == "" && p.CountryCode != "" && len(digits) >= shortest:
		return p.CountryCode + digits, true
	}
	return "", false
}

// withoutTrunk repairs +44 (0)20…: people write the trunk prefix in brackets,
// and programs lose the brackets. Where the prefix is 0 no national number
// begins with it.
func (p Plan) withoutTrunk(digits string) string {
	if p.Trunk != "0" || p.CountryCode == "" {
		return digits
	}
	if rest, ok := strings.CutPrefix(digits, p.CountryCode+p.Trunk); ok {
		return p.CountryCode + rest
	}
	return digits
}

// Write gives an E.164 number as the peer wants it; anything else as it is. So
// is what is too short for a number of any country: +911 and +44999 are
// emergency calls, and must not become calls to abroad.
func (p Plan) Write(number string) string {
	digits, plus := strings.CutPrefix(number, "+")
	if !plus || p.Format == Plus || !allDigits(digits) || len(digits) < shortest {
		return number
	}
	switch {
	case p.Format == Digits:
		return digits
	case p.Format == National && p.CountryCode != "" && strings.HasPrefix(digits, p.CountryCode):
		return p.Trunk + digits[len(p.CountryCode):]
	}
	return p.International + digits
}

// number reads the user of a URI as a number. What is no number keeps the
// form it has on the wire, which is fit for another URI.
func (p Plan) number(u sip.URI) (string, bool) {
	if !callable(u) {
		return "", false
	}
	// Parameters of a telephone number may stand in the user part
	// (RFC 3261 19.1.6); they speak of the sender's network.
	user, params, _ := strings.Cut(u.User, ";")
	n, ok := p.within(u, params).Normalise(sip.Unescape(user))
	if ok || dialled(n) {
		return strings.ReplaceAll(n, "#", "%23"), ok
	}
	return user, false
}

// within is the plan that a number with phone-context is to be read by. A
// country code says of which country it is a national number (RFC 3966 5.1.5);
// longer prefixes name regions whose dialling nobody knows, domains say
// nothing.
func (p Plan) within(u sip.URI, params string) Plan {
	if params == "" && u.Scheme == "tel" {
		params = string(u.Params)
	}
	if params == "" {
		return p
	}
	context, _ := sip.Params(";" + strings.TrimPrefix(params, ";")).Get("phone-context")
	code, ok := strings.CutPrefix(sip.Unescape(context), "+")
	if !ok || !allDigits(code) || len(code) > 3 || code[0] == '0' || code == p.CountryCode {
		return p
	}
	return Plan{CountryCode: code, International: p.International}
}

// callable reports whether a URI names somebody a call can be from or for.
func callable(u sip.URI) bool {
	return u.Scheme == "sip" || u.Scheme == "sips" || u.Scheme == "tel"
}

// strip drops visual separators (RFC 3966 section 5.1.1).
func strip(number string) string {
	if !strings.ContainsAny(number, "-.() ") {
		return number
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.() ", r) {
			return -1
		}
		return r
	}, number)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// dialled reports whether s could be keyed on a telephone, so that user=phone
// is true of it.
func dialled(s string) bool {
	s = strings.TrimPrefix(s, "+")
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '*' && c != '#' {
			return false
		}
	}
	return s != ""
}
