package sdp

import (
	"net/netip"
	"strings"
	"testing"
)

// Where digits go by INFO (RFC 6086) or in band, events would bring each of
// them twice: they are neither offered nor accepted, whatever else is added to
// a description.
func TestNoEventsWhereDigitsGoOtherwise(t *testing.T) {
	offer, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 101\r\n" +
		"a=rtpmap:101 telephone-event/8000\r\na=curr:qos local none\r\na=des:qos optional local sendrecv\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	end := End{
		RTP: netip.MustParseAddrPort("198.51.100.1:30000"), RTCP: netip.MustParseAddrPort("198.51.100.1:30001"), ID: 1,
		Codecs: []string{"PCMA", "PCMU"}, Transcode: []string{"PCMA", "PCMU"}, NoEvents: true, Bandwidth: true,
	}
	end.Lines = offer.Carried().Preconditions().Answer()
	for name, f := range map[string]func() (*Session, error){
		"offer":    func() (*Session, error) { return Offer(offer, end) },
		"answer":   func() (*Session, error) { return Answer(offer, offer, end) },
		"proposal": func() (*Session, error) { return Propose(end) },
	} {
		s, err := f()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text := string(s.Bytes())
		if strings.Contains(text, "telephone-event") {
			t.Errorf("%s: events are there:\n%s", name, text)
		}
		if b, a := strings.Index(text, "\r\nb="), strings.Index(text, "\r\na="); b < 0 || b > a || !strings.Contains(text, "a=curr:qos") { // RFC 8866 5: b= before a=
			t.Errorf("%s: bandwidth and preconditions:\n%s", name, text)
		}
		if again, err := Parse(s.Bytes()); err != nil || string(again.Bytes()) != text {
			t.Errorf("%s: read again: %v", name, err)
		}
	}
	end.NoEvents = false
	if s, _ := Answer(offer, offer, end); !strings.Contains(string(s.Bytes()), "telephone-event") {
		t.Error("events are missing where they are wanted")
	}
}
