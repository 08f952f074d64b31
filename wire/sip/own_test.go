package sip

import (
	"testing"
	"unsafe"
)

func TestOwnKeepsTheTextAndNotTheMessage(t *testing.T) {
	message := "From: <sip:a@b>;tag=1"
	from, tag, none := message[6:15], message[20:], ""
	old := unsafe.StringData(from)
	Own(&from, &tag, &none)
	if from != "<sip:a@b>" || tag != "1" || none != "" {
		t.Errorf("%q %q %q", from, tag, none)
	}
	if unsafe.StringData(from) == old {
		t.Error("it is still a part of the message")
	}
	Own()
}

func TestPartOfARequest(t *testing.T) {
	m, err := Parse([]byte("INVITE sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nf: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	part := m.Part("From", "CSeq", "Route")
	if part.Method != "INVITE" || part.RequestURI != "sip:b@b" || part.Get("From") != m.Get("From") || part.Has("Route") || part.Has("Via") {
		t.Errorf("%s", part)
	}
	if cseq, err := part.CSeq(); err != nil || cseq.Seq != 7 || len(part.headers) != 2 {
		t.Errorf("%v %v", cseq, err)
	}
}
