package sip

import "strconv"

// CSeq is a command sequence number with its method.
type CSeq struct {
	Seq    uint32 // below 2^31 (RFC 3261 8.1.1.5)
	Method string
}

// ParseCSeq reads a CSeq value.
func ParseCSeq(s string) (c CSeq, err error) {
	err = asError(c.parse(trim(s)))
	return c, err
}

func (c *CSeq) parse(s string) *ParseError {
	seq, n, ok := parseDigits(s, 1<<31-1)
	switch {
	case n == 0:
		return refuse("CSeq", 0, "no sequence number")
	case !ok:
		return refuse("CSeq", 0, "sequence number above 2147483647")
	}
	method := trimLeft(s[n:])
	at := len(s) - len(method)
	if at == n {
		return refuse("CSeq", n, "no blank after the sequence number")
	}
	if !clsToken.all(method) {
		return refuse("CSeq", at, "malformed method")
	}
	c.Seq, c.Method = seq, method
	return nil
}

// String writes the value.
func (c CSeq) String() string { return strconv.FormatUint(uint64(c.Seq), 10) + " " + c.Method }
