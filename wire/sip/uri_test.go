package sip

import "testing"

func TestURIs(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		want         URI
	}{
		{"host alone", "sip:r1.lab.example", URI{Scheme: "sip", Host: "r1.lab.example"}},
		{"all parts", "sips:+4420:pw@h.example:5061;transport=tls;lr?Replaces=a%40b&X=1", URI{"sips", "+4420", "pw", "h.example", 5061, ";transport=tls;lr", "Replaces=a%40b&X=1"}},
		{"scheme in upper case", "SIP:a@h", URI{Scheme: "sip", User: "a", Host: "h"}},
		{"slashes and colons in parameters, as Teams writes them", "sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5d0f-01;x-c=in1/d/8/0a1b", URI{Scheme: "sip", Host: "api-du-a-euno.pstnhub.microsoft.com", Port: 443, Params: ";x-i=5d0f-01;x-c=in1/d/8/0a1b"}},
		{"a dialled service code", "sip:#31#*21@h", URI{Scheme: "sip", User: "#31#*21", Host: "h"}},
		{"user with parameters and a question mark", "sip:+1;npdi;rn=?@h", URI{Scheme: "sip", User: "+1;npdi;rn=?", Host: "h"}},
		{"IPv6", "sip:a@[2001:db8::1]:5060", URI{Scheme: "sip", User: "a", Host: "2001:db8::1", Port: 5060}},
		{"telephone number", "tel:+44-20-7946.0123;phone-context=example.com", URI{Scheme: "tel", User: "+44-20-7946.0123", Params: ";phone-context=example.com"}},
		{"emergency service", "urn:service:sos.fire", URI{Scheme: "urn", User: "service:sos.fire"}},
		{"any other", "http://x/y;z?a=b#c", URI{Scheme: "http", User: "//x/y;z?a=b#c"}},
		{"underscore in a host", "sip:a_b.internal", URI{Scheme: "sip", Host: "a_b.internal"}},
	} {
		u, err := ParseURI(c.in)
		if err != nil || u != c.want {
			t.Errorf("%s: %#v, %v; want %#v", c.sentence, u, err, c.want)
		}
		if again, err := ParseURI(u.String()); err != nil || again != u {
			t.Errorf("%s: written %s, read %#v, %v", c.sentence, u, again, err)
		}
	}
}

func TestURIsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		offset       int
	}{
		{"no scheme", "h.example", 0},
		{"nothing", "", 0},
		{"no scheme before the colon", ":h", 0},
		{"no host", "sip:", 4},
		{"no user before the at sign", "sip:@h", 4},
		{"no user before the password", "sip::pw@h", 4},
		{"two at signs", "sip:a@b@c", 7},
		{"blank", "sip:a b@h", 5},
		{"quote in the user", "sip:a\"@h", 5},
		{"bracket", "<sip:a@h>", 0},
		{"port of no digits", "sip:h:x", 6},
		{"port 0", "sip:h:0", 6},
		{"port above 65535", "sip:h:65536", 6},
		{"port with a tail", "sip:h:5060x", 10},
		{"empty parameter", "sip:h;;lr", 6},
		{"parameter without a name", "sip:h;=1", 6},
		{"bad character in a parameter", "sip:h;a=b\\", 9},
		{"escape cut off", "sip:%4@h", 4},
		{"escape of no hex", "sip:a@h;p=%zz", 10},
		{"bracket not closed", "sip:[::1", 4},
		{"no IPv6 address", "sip:[1.2.3.4]", 4},
		{"zone", "sip:[fe80::1%25eth0]", 4},
		{"headers with a bracket", "sip:h?a=<b>", 8},
		{"no digits", "tel:", 4},
		{"empty parameter of a number", "tel:+1;;a", 7},
		{"escape in a number's parameter", "tel:+1;a=%4", 9},
		{"blank in another URI", "urn:a b", 5},
		{"letters in a number", "tel:+1-800-FLOWERS", 12},
		{"nothing behind the scheme", "urn:", 4},
		{"scheme of no letter", "1a:b", 0},
		{"byte beyond ASCII", "sip:\xe9@h", 4},
		{"control character", "sip:a\x00@h", 5},
	} {
		_, err := ParseURI(c.in)
		if e, ok := err.(*ParseError); !ok || e.Status != 400 || e.Offset != c.offset {
			t.Errorf("%s: %v, want a 400 at %d", c.sentence, err, c.offset)
		}
	}
}

func TestAURIsHeadersAreUnescapedOnlyWhenAskedFor(t *testing.T) {
	if _, err := ParseURI("sip:a@h?subj%65ct=x%2"); err == nil {
		t.Error("an escape cut off went through")
	}
	u, err := ParseURI("sip:a@h?Replaces=1%40b%3Bto-tag%3D2&subj%65ct=x%252")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := u.Header("replaces"); !ok || v != "1@b;to-tag=2" {
		t.Errorf("Replaces %q %t", v, ok)
	}
	if v, ok := u.Header("Subject"); !ok || v != "x%2" {
		t.Errorf("Subject %q %t, unescaped more than once?", v, ok)
	}
	if _, ok := u.Header("Route"); ok {
		t.Error("a header that is not there")
	}
	for in, want := range map[string]string{"%": "%", "%4": "%4", "%zz": "%zz", "a%41": "aA", "%2525": "%25"} {
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for in, want := range map[string]string{"sip:h": "h", "sip:h:5061": "h:5061", "sip:[::1]": "[::1]", "sip:[::1]:5061": "[::1]:5061"} {
		if u, err := ParseURI(in); err != nil || u.HostPort() != want {
			t.Errorf("%s: %q, %v", in, u.HostPort(), err)
		}
	}
}
