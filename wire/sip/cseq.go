package sip

// CSeq is a command sequence number with its method.
type CSeq struct {
	Seq    uint32 // below 2^31
	Method string
}

// ParseCSeq reads a CSeq value.
func ParseCSeq(s string) (CSeq, error) { panic("todo") }

// String writes the value.
func (c CSeq) String() string { panic("todo") }
