package sip

import "testing"

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ sentence, in, display, uri, params string }{
		{"brackets", "<sip:a@h>;tag=1", "", "sip:a@h", ";tag=1"},
		{"a quoted name", `"John \"J\" Doe" <sip:a@h>`, `John "J" Doe`, "sip:a@h", ""},
		{"a name of tokens with no blank, as Teams writes it", "John Doe<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;tag=240cd7", "John Doe", "sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone", ";tag=240cd7"},
		{"a name in UTF-8 without quotes", "Zoë Ångström <sip:a@h>", "Zoë Ångström", "sip:a@h", ""},
		{"a name in Latin-1", "Zo\xeb <sip:a@h>", "Zo\xeb", "sip:a@h", ""},
		{"a name with brackets of another kind", "Doe (Sales) [2] <sip:a@h>", "Doe (Sales) [2]", "sip:a@h", ""},
		{"brackets within quotes", `"<sip:x@y>" <sip:a@h>`, "<sip:x@y>", "sip:a@h", ""},
		{"an empty name", `"" <sip:a@h>`, "", "sip:a@h", ""},
		{"no brackets: parameters are the header's", "sip:a@h;tag=1;user=phone", "", "sip:a@h", ";tag=1;user=phone"},
		{"blanks everywhere", "\t sip:a@h ; tag = 1 ", "", "sip:a@h", "; tag = 1"},
		{"a telephone number", "<tel:+14255550123>", "", "tel:+14255550123", ""},
		{"parameters of the URI stay within", "<sip:h;lr>;a;b=\"x;y\"", "", "sip:h;lr", ";a;b=\"x;y\""},
		{"an IPv6 parameter", "<sip:h>;received=[2001:db8::1];x=2001:db8::1", "", "sip:h", ";received=[2001:db8::1];x=2001:db8::1"},
		{"control characters are not shown", "\"a\\\x07\\\x00b\" <sip:h>", "ab", "sip:h", ""},
	} {
		a, err := ParseAddress(c.in)
		if err != nil || a.Display != c.display || a.URI.String() != c.uri || string(a.Params) != c.params {
			t.Errorf("%s: %q %q %q, %v", c.sentence, a.Display, a.URI, a.Params, err)
		}
		if a.Raw != trim(c.in) {
			t.Errorf("%s: raw %q", c.sentence, a.Raw)
		}
		again, err := ParseAddress(a.String())
		if again.Raw = a.Raw; err != nil || again != a {
			t.Errorf("%s: written %s, read %#v, %v", c.sentence, a, again, err)
		}
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		offset       int
	}{
		{"nothing", "", 0},
		{"the star of REGISTER", "*", 0},
		{"quotes not closed", `"a <sip:h>`, 0},
		{"quotes closed by an escaped one", `"a\"`, 0},
		{"a control character in quotes", "\"\x00\" <sip:h>", 0},
		{"a line break behind a backslash", "\"\\\n\" <sip:h>", 0},
		{"quotes closed by nothing", `"a\`, 0},
		{"a name and nothing", `"a"`, 3},
		{"a name and no bracket", `"a" sip:h`, 4},
		{"a comma in a bare name", "Bell, A <sip:h>", 4},
		{"another address as the name", "sip:x@y <sip:h>", 3},
		{"bracket not closed", "<sip:h", 6},
		{"blanks within the brackets", "< sip:h >", 1},
		{"text behind the brackets", "<sip:h> x", 8},
		{"a second address", "<sip:h>, <sip:i>", 7},
		{"empty parameter", "<sip:h>;;a", 7},
		{"parameter name", "<sip:h>;a@=1", 7},
		{"parameter value", "<sip:h>;a=<b>", 7},
		{"quotes not closed in a parameter", `<sip:h>;a="b`, 7},
		{"text behind the quotes", `<sip:h>;a="b"c`, 7},
		{"headers without brackets", "sip:h?a=b", 5},
		{"a comma without brackets", "sip:h,sip:i", 5},
		{"an at sign in a parameter name", "sip:user;x@host", 8},
	} {
		_, err := ParseAddress(c.in)
		if e, ok := err.(*ParseError); !ok || e.Status != 400 || e.Offset != c.offset {
			t.Errorf("%s: %v, want a 400 at %d", c.sentence, err, c.offset)
		}
	}
}

func TestTheTagOfAnAddress(t *testing.T) {
	for in, want := range map[string]string{"<sip:h>;TAG=x": "x", "<sip:h;tag=y>": "", "sip:h;a=b;tag=z": "z"} {
		if a, err := ParseAddress(in); err != nil || a.Tag() != want {
			t.Errorf("%s: %q, %v", in, a.Tag(), err)
		}
	}
}

func TestParams(t *testing.T) {
	p := Params(`;a=1; B = "x;\"y" ;lr`)
	for name, want := range map[string]string{"a": "1", "b": `x;"y`, "LR": ""} {
		if v, ok := p.Get(name); !ok || v != want {
			t.Errorf("%s: %q %t, want %q", name, v, ok, want)
		}
	}
	if _, ok := p.Get("x"); ok {
		t.Error("found within quotes")
	}
	for _, c := range []struct {
		sentence  string
		got, want Params
	}{
		{"set in its place", p.With("A", "2"), `;A=2; B = "x;\"y" ;lr`},
		{"set at the end", p.With("c", ""), p + ";c"},
		{"set first", Params("").With("rport", "5060"), ";rport=5060"},
		{"set once", Params(";a=1;b;a=2").With("a", "3"), ";a=3;b"},
		{"quoted", Params("").With("text", Quote("a\"b\\\r\n")), `;text="a\"b\\  "`},
		{"removed", p.Without("b"), ";a=1;lr"},
		{"removed twice", Params(";a;b;A=2").Without("a"), ";b"},
		{"not there", p.Without("z"), p},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.sentence, c.got, c.want)
		}
	}
}
