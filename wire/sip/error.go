package sip

import "fmt"

// ParseError tells why a message or a header is refused and what to answer.
type ParseError struct {
	Header string // name of the header, "" for the start line or the framing
	Offset int    // byte of the message, or of the string when a bare value was parsed
	Msg    string // what is wrong, fit for a reason phrase
	Status int    // SIP status to answer with; 0: drop, no answer can be made
}

// Error tells all of it.
func (e *ParseError) Error() string {
	what := "sip: "
	if e.Header != "" {
		what += e.Header + ": "
	}
	if e.Status == 0 {
		return fmt.Sprintf("%s%s at byte %d (drop)", what, e.Msg, e.Offset)
	}
	return fmt.Sprintf("%s%s at byte %d (%d)", what, e.Msg, e.Offset, e.Status)
}

// Reason is the reason phrase to answer with: what is wrong for a 400, the
// standard phrase for a status that says it already.
func (e *ParseError) Reason() string {
	switch {
	case e.Status != 400:
		return StatusText(e.Status)
	case e.Header == "":
		return "Bad Request: " + e.Msg
	}
	return "Bad " + e.Header + ": " + e.Msg
}

// refuse is a 400; the offset counts from the start of the value parsed.
func refuse(header string, offset int, msg string) *ParseError {
	return &ParseError{Header: header, Offset: offset, Msg: msg, Status: 400}
}

// asError keeps a nil *ParseError from becoming a non-nil error.
func asError(e *ParseError) error {
	if e == nil {
		return nil
	}
	return e
}

// shift moves the error's offset when what was parsed began later.
func (e *ParseError) shift(by int) *ParseError {
	if e != nil {
		e.Offset += by
	}
	return e
}
