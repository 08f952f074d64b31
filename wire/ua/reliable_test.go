package ua

import (
	"testing"

	"github.com/tandemgw/tandem/wire/sip"
)

// reliably is a response to an INVITE with the headers of RFC 3262.
func reliably(status int, tag, require, rseq string) *sip.Message {
	req := sip.NewRequest("INVITE", "sip:b@example")
	req.Add("From", "<sip:a@example>;tag=a")
	req.Add("To", "<sip:b@example>")
	req.Add("Call-ID", "x")
	req.Add("CSeq", "314159 INVITE")
	m := sip.NewResponse(req, status, "")
	if tag != "" {
		m.TagTo(tag)
	}
	if require != "" {
		m.Set("Require", require)
	}
	if rseq != "" {
		m.Set("RSeq", rseq)
	}
	return m
}

// RFC 3262 sections 4 and 7.1.
func TestWhatIsAReliableResponse_3262_4(t *testing.T) {
	for _, tc := range []struct {
		name string
		msg  *sip.Message
		want uint32
	}{
		{"with all it needs", reliably(183, "b", "100rel", "988789"), 988789},
		{"among other tags, in any case", reliably(180, "b", "timer, 100REL", "1"), 1},
		{"the greatest number", reliably(180, "b", "100rel", "4294967295"), 4294967295},
		{"100 never is", reliably(100, "b", "100rel", "1"), 0},
		{"a final response never is", reliably(200, "b", "100rel", "1"), 0},
		{"without Require", reliably(183, "b", "", "1"), 0},
		{"without RSeq", reliably(183, "b", "100rel", ""), 0},
		{"number 0", reliably(183, "b", "100rel", "0"), 0},
		{"a number too great", reliably(183, "b", "100rel", "4294967296"), 0},
		{"no number", reliably(183, "b", "100rel", "one"), 0},
		{"without a tag there is no dialog to acknowledge it in", reliably(183, "", "100rel", "1"), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := RSeqOf(tc.msg); ok != (tc.want != 0) || ok && got != tc.want {
				t.Errorf("%d, %v; want %d", got, ok, tc.want)
			}
		})
	}
}

// RFC 3262 section 7.2; the example is its own.
func TestRAck_3262_7_2(t *testing.T) {
	prack := func(rack string) *sip.Message {
		m := sip.NewRequest("PRACK", "sip:b@example")
		if rack != "" {
			m.Set("RAck", rack)
		}
		return m
	}
	got, err := RAckOf(prack("776656 1 INVITE"))
	if want := (RAck{776656, sip.CSeq{Seq: 1, Method: "INVITE"}}); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	if got.String() != "776656 1 INVITE" {
		t.Errorf("written as %q", got.String())
	}
	if got, err := RAckOf(prack("776656  \t1   INVITE")); err != nil || got.CSeq.Seq != 1 {
		t.Errorf("blanks: %v, %v", got, err)
	}
	for _, bad := range []string{"", "1", "1 INVITE", "x 1 INVITE", "0 1 INVITE", "4294967296 1 INVITE", "1 4294967296 INVITE", "1 1", "-1 1 INVITE"} {
		if got, err := RAckOf(prack(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		} else if bad := err.(*sip.ParseError); bad.Status != 400 {
			t.Errorf("status %d", bad.Status)
		}
	}
}

// RFC 3262 section 4: in order, nothing twice, nothing behind a gap.
func TestOrder_3262_4(t *testing.T) {
	var o Order
	for _, step := range []struct {
		rseq string
		want bool
	}{{"7", true}, {"7", false}, {"9", false}, {"8", true}, {"7", false}, {"9", true}, {"10", true}} {
		rack, ok := o.Take(reliably(183, "b", "100rel", step.rseq))
		if ok != step.want || ok && rack.String() != step.rseq+" 314159 INVITE" {
			t.Errorf("RSeq %s: %v, %v", step.rseq, rack, ok)
		}
	}
	last := Order{maxRSeq}
	if _, ok := last.Take(reliably(183, "b", "100rel", "1")); ok {
		t.Error("the numbers began again")
	}
}

func FuzzRAck(f *testing.F) {
	f.Add("776656 1 INVITE", "1")
	f.Add("  1\t2 \t X", "4294967295")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, rack, rseq string) {
		m := sip.NewRequest("PRACK", "sip:b@example")
		m.Set("RAck", rack)
		if a, err := RAckOf(m); err == nil {
			m.Set("RAck", a.String())
			if again, err := RAckOf(m); err != nil || again != a {
				t.Errorf("%q is %v, and read again %v, %v", rack, a, again, err)
			}
		}
		var o Order
		if a, ok := o.Take(reliably(183, "b", "100rel", rseq)); ok && a.RSeq == 0 {
			t.Errorf("RSeq %q was taken for 0", rseq)
		}
	})
}
