package sdp

import (
	"net/netip"
	"strings"
	"testing"
)

func section(t *testing.T, attributes ...string) *Media {
	t.Helper()
	s, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 97\r\na=rtpmap:97 AMR/8000\r\n" +
		strings.Join(attributes, "\r\n") + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Carried()
}

func TestPreconditions_3312_5(t *testing.T) {
	for _, tc := range []struct {
		name   string
		offer  []string
		met    bool
		answer []string
	}{
		{
			"nothing is reserved yet, as a mobile begins (RFC 3312 section 13.1)",
			[]string{"a=curr:qos local none", "a=curr:qos remote none", "a=des:qos mandatory local sendrecv", "a=des:qos mandatory remote sendrecv"},
			false,
			[]string{
				"a=curr:qos local sendrecv", "a=curr:qos remote none",
				"a=des:qos mandatory remote sendrecv", "a=des:qos mandatory local sendrecv", "a=conf:qos remote sendrecv",
			},
		},
		{
			"reserved, as its UPDATE says",
			[]string{"a=curr:qos local sendrecv", "a=curr:qos remote none", "a=des:qos mandatory local sendrecv", "a=des:qos none remote sendrecv"},
			true,
			[]string{"a=curr:qos local sendrecv", "a=curr:qos remote sendrecv", "a=des:qos mandatory remote sendrecv", "a=des:qos none local sendrecv"},
		},
		{
			"one direction is missing; ours is the other one of it",
			[]string{"a=curr:qos local send", "a=curr:qos remote none", "a=des:qos mandatory local sendrecv"},
			false,
			[]string{"a=curr:qos local sendrecv", "a=curr:qos remote recv", "a=des:qos mandatory remote sendrecv", "a=conf:qos remote sendrecv"},
		},
		{
			"only sending is wanted",
			[]string{"a=curr:qos local send", "a=des:qos mandatory local send"},
			true,
			[]string{"a=curr:qos local sendrecv", "a=curr:qos remote recv", "a=des:qos mandatory remote recv"},
		},
		{
			"what is optional keeps nobody waiting, and we should like to know",
			[]string{"a=curr:qos local none", "a=des:qos optional local sendrecv"},
			true,
			[]string{"a=curr:qos local sendrecv", "a=curr:qos remote none", "a=des:qos optional remote sendrecv", "a=conf:qos remote sendrecv"},
		},
		{
			"end to end",
			[]string{"a=curr:qos e2e none", "a=des:qos mandatory e2e sendrecv"},
			true,
			[]string{"a=curr:qos e2e sendrecv", "a=des:qos mandatory e2e sendrecv"},
		},
		{"none at all", nil, true, nil},
		{"what cannot be read is none", []string{"a=des:qos", "a=des:qos perhaps local sendrecv", "a=curr:sec local none", "a=des:qos mandatory local both"}, true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := section(t, tc.offer...).Preconditions()
			if p.Met() != tc.met {
				t.Errorf("met: %v", p.Met())
			}
			var got []string
			for _, l := range p.Answer() {
				got = append(got, string(l.Type)+"="+l.Value)
			}
			if strings.Join(got, "\n") != strings.Join(tc.answer, "\n") {
				t.Errorf("answered\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.answer, "\n"))
			}
		})
	}
}

// A description is a new one when a reservation is what changed in it.
func TestAReservationIsANewVersion(t *testing.T) {
	end := End{RTP: netip.MustParseAddrPort("198.51.100.1:30000"), RTCP: netip.MustParseAddrPort("198.51.100.1:30001"), ID: 1, Codecs: []string{"PCMA"}}
	offer, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n" +
		"a=curr:qos local none\r\na=des:qos mandatory local sendrecv\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1", "1", "2"} {
		if i == 2 {
			offer.Media[0].Lines[0].Value = "curr:qos local sendrecv"
		}
		end.Lines = offer.Carried().Preconditions().Answer()
		if end.Sent, err = Answer(offer, offer, end); err != nil {
			t.Fatal(err)
		}
		if got := end.Sent.Origin.Version; got != want {
			t.Errorf("answer %d has version %s, want %s:\n%s", i, got, want, end.Sent.Bytes())
		}
		if !strings.Contains(string(end.Sent.Bytes()), "\r\na=curr:qos local sendrecv\r\n") {
			t.Errorf("the lines are missing:\n%s", end.Sent.Bytes())
		}
	}
}
