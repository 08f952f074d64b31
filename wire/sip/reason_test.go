package sip

import (
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	for in, want := range map[string]Reason{
		`Q.850;cause=16;text="Normal call clearing"`:                                   {"Q.850", 16, "Normal call clearing"},
		`SIP ;cause=200 ;text="Call completed elsewhere"`:                              {"SIP", 200, "Call completed elsewhere"},
		`Q.850;cause=34;text="0d7c1a52-0000-4000-8000-000000000009;Call was declined"`: {"Q.850", 34, "0d7c1a52-0000-4000-8000-000000000009;Call was declined"},
		"SIP":                     {"SIP", 0, ""},
		`Q.850;cause=1;text="\""`: {"Q.850", 1, `"`},
	} {
		r, err := ParseReason(in)
		if err != nil || r != want {
			t.Errorf("%s: %#v, %v", in, r, err)
		}
		if again, err := ParseReason(r.String()); err != nil || again != r {
			t.Errorf("%s: written %s", in, r)
		}
	}
	for _, in := range []string{"", ";cause=1", "SIP;cause=x", "SIP;cause=1000", "SIP;cause=-1", "SIP cause=1", `SIP;text="`} {
		if r, err := ParseReason(in); err == nil {
			t.Errorf("%q went through as %#v", in, r)
		}
	}
}

func TestReasonsOfAMessage(t *testing.T) {
	m := mustParse(t, options+"Reason: SIP;cause=480;text=\"a, b\", nonsense;cause=x\nreason: Q.850;cause=19\n\n")
	got := m.Reasons()
	if len(got) != 2 || got[0] != (Reason{"SIP", 480, "a, b"}) || got[1] != (Reason{"Q.850", 19, ""}) {
		t.Errorf("%#v", got)
	}
}

func TestEveryStatusHasAPhrase(t *testing.T) {
	for _, status := range []int{100, 180, 183, 200, 202, 302, 403, 408, 416, 480, 481, 483, 486, 487, 488, 491, 500, 501, 503, 504, 505, 513, 603, 608} {
		if phrases[status] == "" {
			t.Errorf("%d has none", status)
		}
	}
	for status, want := range map[int]string{499: "Bad Request", 299: "OK", 699: "Busy Everywhere", 799: ""} {
		if got := StatusText(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

func TestIdentifiersAreUniqueTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		for _, id := range []string{NewTag(), NewBranch(), NewCallID()} {
			if seen[id] || !clsToken.all(id) {
				t.Fatalf("%q is no token or came twice", id)
			}
			seen[id] = true
		}
	}
	if b := NewBranch(); !strings.HasPrefix(b, "z9hG4bK") || len(b) != 27 {
		t.Errorf("branch %q", b)
	}
}
