package sip

// Reason is one value of the Reason header (RFC 3326).
type Reason struct {
	Protocol string // "Q.850" or "SIP"
	Cause    int
	Text     string
}

// ParseReason reads one value.
func ParseReason(s string) (Reason, error) { panic("todo") }

// String writes the value.
func (r Reason) String() string { panic("todo") }

// StatusText is the standard reason phrase of a status.
func StatusText(status int) string { panic("todo") }
