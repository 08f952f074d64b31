package sip_test

import (
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

func ExampleParse() {
	datagram := strings.ReplaceAll(`INVITE sip:+442079460123@r1.example;user=phone SIP/2.0
VIA: SIP/2.0/UDP 192.0.2.24:5060;branch=z9hG4bK5873
FROM: John Doe<sip:+14255550123@core.example>;tag=240cd7
TO: <sip:+442079460123@r1.example>
CALL-ID: 64ce308b
CSEQ: 1 INVITE
P-ASSERTED-IDENTITY: <tel:+14255550123>,<sip:john@core.example>

`, "\n", "\r\n")

	m, err := sip.Parse([]byte(datagram), sip.Limits{})
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	from, _ := m.From()
	fmt.Println(m.Method, from.Display, from.URI.User, from.Tag())

	ids, err := m.Addresses("P-Asserted-Identity")
	for _, id := range ids {
		fmt.Println(id.URI)
	}
	fmt.Println(err)
	// Output:
	// INVITE John Doe +14255550123 240cd7
	// tel:+14255550123
	// sip:john@core.example
	// <nil>
}

// A refusal says what to answer.
func ExampleParseError() {
	request := "OPTIONS sip:r1.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.24\r\nFrom: <sip:a.example>;tag=1\r\n" +
		"To: <sip:r1.example>\r\nCall-ID: 1\r\nCSeq: 4294967296 OPTIONS\r\n\r\n"
	m, _ := sip.Parse([]byte(request), sip.Limits{})
	e := m.Check().(*sip.ParseError)
	fmt.Println(e)
	fmt.Println(e.Status, e.Reason())
	// Output:
	// sip: CSeq: sequence number above 2147483647 at byte 130 (400)
	// 400 Bad CSeq: sequence number above 2147483647
}

// What is not touched goes out as it came in; a value cannot end its line.
func ExampleMessage_Set() {
	m, err := sip.Parse([]byte("BYE sip:a SIP/2.0\r\nt :  <sip:a>\r\nX-ODD:a\r\n b\r\nl:0\r\n\r\n"), sip.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Set("X-Account", "42\r\nX-Injected: yes")
	m.Set("T", "<sip:b>")
	fmt.Println(strings.ReplaceAll(m.String(), "\r\n", "|"))
	// Output:
	// BYE sip:a SIP/2.0|T: <sip:b>|X-ODD:a| b|l:0|X-Account: 42  X-Injected: yes||
}

func ExampleReason() {
	r, err := sip.ParseReason(`Q.850;cause=34;text="0d7c1a52;Call was declined"`)
	fmt.Println(r.Protocol, r.Cause, r.Text, err)
	r.Cause = 17 // RFC 4497 8.4.1: busy
	fmt.Println(r)
	// Output:
	// Q.850 34 0d7c1a52;Call was declined <nil>
	// Q.850;cause=17;text="0d7c1a52;Call was declined"
}
