package ua

import (
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// maxRSeq is the highest number of a reliable provisional response
// (RFC 3262 section 7.1).
const maxRSeq = 1<<32 - 1

// FirstRSeq is the greatest number that the first reliable provisional
// response of a dialog may bear (RFC 3262 section 3).
const FirstRSeq = 1<<31 - 1

// RSeqOf is the number of a reliable provisional response; false when msg is
// none: one bears Require: 100rel, RSeq, and a tag (RFC 3262 section 4).
func RSeqOf(msg *sip.Message) (uint32, bool) {
	if msg.Status <= 100 || msg.Status >= 200 || !msg.HasToken("Require", "100rel") || IDOf(msg).RemoteTag == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(msg.Get("RSeq"), 10, 32)
	return uint32(n), err == nil && n > 0
}

// RAck names the reliable provisional response that a PRACK acknowledges
// (RFC 3262 section 7.2).
type RAck struct {
	RSeq uint32
	CSeq sip.CSeq // of the response
}

// String is the value of the header.
func (a RAck) String() string { return strconv.FormatUint(uint64(a.RSeq), 10) + " " + a.CSeq.String() }

// RAckOf reads the RAck of a PRACK. The error is a *sip.ParseError.
func RAckOf(prack *sip.Message) (RAck, error) {
	number, rest, _ := strings.Cut(strings.TrimSpace(prack.Get("RAck")), " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 0 {
		return RAck{}, &sip.ParseError{Header: "RAck", Msg: "no number of a response", Status: 400}
	}
	cseq, err := sip.ParseCSeq(rest)
	if err != nil {
		return RAck{}, &sip.ParseError{Header: "RAck", Msg: "no CSeq of a response", Status: 400}
	}
	return RAck{uint32(n), cseq}, nil
}

// Order is the order of the reliable provisional responses of one early
// dialog, as their receiver keeps it. The zero value has seen none.
type Order struct{ last uint32 }

// Take tells whether resp, a reliable response, is the next one, which is to
// be acknowledged by what it gives. One that comes again, and one behind a gap,
// is neither acknowledged nor heeded: its sender repeats it, and the one that
// is missing (RFC 3262 section 4).
func (o *Order) Take(resp *sip.Message) (RAck, bool) {
	n, ok := RSeqOf(resp)
	if !ok || o.last == maxRSeq || o.last != 0 && n != o.last+1 {
		return RAck{}, false
	}
	cseq, err := resp.CSeq()
	if err != nil {
		return RAck{}, false
	}
	o.last = n
	return RAck{n, cseq}, true
}
