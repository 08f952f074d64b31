package sip

import "testing"

func TestVias(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		want         Via
	}{
		{"plain", "SIP/2.0/TLS sip-du-a-eu.pstnhub.microsoft.com:5061;branch=z9hG4bK1;alias", Via{"TLS", "sip-du-a-eu.pstnhub.microsoft.com", 5061, ";branch=z9hG4bK1;alias"}},
		{"blanks everywhere", " SIP / 2.0\t/ UDP  192.0.2.1 : 5060 ; branch = x", Via{"UDP", "192.0.2.1", 5060, "; branch = x"}},
		{"a blank before the parameters", "SIP/2.0/UDP h ;branch=x", Via{"UDP", "h", 0, ";branch=x"}},
		{"a protocol in lower case", "sip/2.0/tcp h", Via{"tcp", "h", 0, ""}},
		{"IPv6", "SIP/2.0/UDP [2001:db8::1]:5060;rport", Via{"UDP", "2001:db8::1", 5060, ";rport"}},
		{"a transport we do not speak", "SIP/2.0/SCTP h", Via{"SCTP", "h", 0, ""}},
	} {
		v, err := ParseVia(c.in)
		if err != nil || v != c.want {
			t.Errorf("%s: %#v, %v", c.sentence, v, err)
		}
		if again, err := ParseVia(v.String()); err != nil || again != v {
			t.Errorf("%s: written %s, read %#v, %v", c.sentence, v, again, err)
		}
	}
	if v, _ := ParseVia("SIP/2.0/UDP h;Branch=z9hG4bKx"); v.Branch() != "z9hG4bKx" {
		t.Errorf("branch %q", v.Branch())
	}
}

func TestViasThatAreRefused(t *testing.T) {
	for _, in := range []string{
		"", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 UDP h", "SIP/3.0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/ h",
		"SIP/2.0/UDP h:", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h x", "SIP/2.0/UDP h;;", "SIP/2.0/UDP [::1",
		"SIP/2.0/UDP[::1]", "SIP/2.0/UDP h;branch=a b",
	} {
		if v, err := ParseVia(in); err == nil {
			t.Errorf("%q went through as %#v", in, v)
		}
	}
}

func TestTransports(t *testing.T) {
	for _, tr := range []Transport{UDP, TCP, TLS} {
		if got, ok := ParseTransport(tr.String()); !ok || got != tr {
			t.Errorf("%v is read as %v", tr, got)
		}
	}
	if got, ok := ParseTransport("tls"); !ok || got != TLS {
		t.Errorf("tls is read as %v", got)
	}
	for _, in := range []string{"", "SCTP", "TLS-SCTP"} {
		if _, ok := ParseTransport(in); ok {
			t.Errorf("%q went through", in)
		}
	}
	if s := Transport(9).String(); s != "" {
		t.Errorf("no transport is called %q", s)
	}
}

func TestCSeqs(t *testing.T) {
	for in, want := range map[string]CSeq{"1 INVITE": {1, "INVITE"}, "0009 \t ACK": {9, "ACK"}, "2147483647 X-y.z": {1<<31 - 1, "X-y.z"}, " 7 BYE ": {7, "BYE"}} {
		c, err := ParseCSeq(in)
		if err != nil || c != want {
			t.Errorf("%q: %v, %v", in, c, err)
		}
		if again, err := ParseCSeq(c.String()); err != nil || again != c {
			t.Errorf("%q: written %s", in, c)
		}
	}
	for _, in := range []string{"", "1", "INVITE", "1INVITE", "1 ", "-1 INVITE", "2147483648 INVITE", "99999999999999999999999 INVITE", "1 INV ITE", "1 INVITE,", "1\x00INVITE"} {
		if c, err := ParseCSeq(in); err == nil {
			t.Errorf("%q went through as %v", in, c)
		}
	}
}
