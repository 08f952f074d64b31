package sip

// Address is one name-addr or addr-spec with its parameters: From, To,
// Contact, Route, P-Asserted-Identity.
type Address struct {
	Display string // unquoted, escapes resolved, free of control characters
	URI     URI
	Params  Params // of the header, not of the URI
	Raw     string // the whole value as on the wire, unfolded
}

// ParseAddress reads one address.
func ParseAddress(s string) (Address, error) { panic("todo") }

// Tag is the tag parameter, "" when absent.
func (a Address) Tag() string { panic("todo") }

// String writes the address anew, the URI in angle brackets; Raw is not used.
func (a Address) String() string { panic("todo") }
