package interop

import "strings"

// Plan is how a peer writes numbers that are not in E.164. The zero Plan
// takes numbers with a plus and no others.
type Plan struct {
	CountryCode   string // "44"
	Trunk         string // prefix of national numbers: "0"; "" where there is none
	International string // prefix of international numbers: "00"
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
	switch {
	case !allDigits(digits):
		return n, false
	case plus:
	case p.International != "" && strings.HasPrefix(digits, p.International):
		digits = digits[len(p.International):]
	case p.CountryCode == "":
		return n, false
	case p.Trunk != "" && strings.HasPrefix(digits, p.Trunk):
		digits = p.CountryCode + digits[len(p.Trunk):]
	case p.Trunk == "" && len(digits) >= shortest:
		digits = p.CountryCode + digits
	default:
		return n, false
	}
	// ITU-T E.164 6.1: at most 15 digits, and no country code begins with 0.
	if len(digits) < 3 || len(digits) > 15 || digits[0] == '0' {
		return n, false
	}
	return "+" + digits, true
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
