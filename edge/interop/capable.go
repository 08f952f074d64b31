package interop

import (
	"iter"
	"strings"
)

// announce makes Allow and Supported of a profile out of what the profile has
// us do there, so that no leg is promised what is not kept. What the profile
// names itself stays.
func (p *Profile) announce() {
	for method := range p.methods() {
		p.Allow = with(p.Allow, method)
	}
	for tag := range p.extensions() {
		p.Supported = with(p.Supported, tag)
	}
}

// methods are those that only some profiles have.
func (p *Profile) methods() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = (p.Reliable == ReliableOff || yield("PRACK")) &&
			(!p.Update || yield("UPDATE")) &&
			(p.DTMF != DTMFInfo || yield("INFO")) &&
			(!p.Refer || yield("REFER"))
	}
}

// extensions are the option tags that only some profiles have.
func (p *Profile) extensions() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = (p.Reliable == ReliableOff || yield("100rel")) &&
			(!p.Replaces || yield("replaces"))
	}
}

// with is a list with one more member.
func with(list, member string) string {
	switch {
	case list == "":
		return member
	case listed(list, member):
		return list
	}
	return list + ", " + member
}

// preconditions are a caller's to ask for (RFC 3312): our own INVITEs have
// none, so that no request of ours names them.
const preconditions = "precondition"

// Knows tells whether what a Require names is done on the leg: what we
// support there and nothing else (RFC 3261 8.2.2.3).
func (p *Profile) Knows(extension string) bool {
	return listed(p.Supported, extension) || p.Preconditions && strings.EqualFold(extension, preconditions)
}

func listed(list, member string) bool {
	for m := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(m), member) {
			return true
		}
	}
	return false
}
