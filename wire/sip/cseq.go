package sip

import "strconv"

// CSeq is a command sequence number with its method.
type CSeq struct {
	Seq    uint32 // below 2^31 (RFC 3261 8.1.1.5)
	Method string
}

// ParseCSeq reads a CSeq value.
func ParseCSeq(s string) (CSeq, error) {
	c, e := parseCSeq(trim(s))
	return c, asError(e)
}

func parseCSeq(s string) (CSeq, *ParseError) {
	seq, n, ok := parseDigits(s, 1<<31-1)
	switch {
	case n == 0:
		return CSeq{}, refuse("CSeq", 0, "no sequence number")
	case !ok:
		return CSeq{}, refuse("CSeq", 0, "sequence number above 2147483647")
	}
	method := trimLeft(s[n:])
	at := len(s) - len(method)
	if at == n {
		return CSeq{}, refuse("CSeq", n, "no blank after the sequence number")
	}
	if !clsToken.all(method) {
		return CSeq{}, refuse("CSeq", at, "malformed method")
	}
	return CSeq{Seq: seq, Method: method}, nil
}

// String writes the value.
func (c CSeq) String() string { return strconv.FormatUint(uint64(c.Seq), 10) + " " + c.Method }
