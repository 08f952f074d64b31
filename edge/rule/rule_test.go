package rule

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const invite = `INVITE sip:9442079460123@r1.example;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
Max-Forwards: 70
From: "J Smith" <sip:01632960123@core.example;user=phone>;tag=f1
To: <sip:9442079460123@r1.example;user=phone>
Call-ID: 1@core
CSeq: 1 INVITE
Contact: <sip:192.0.2.1>
P-Asserted-Identity: <sip:+441632960123@core.example>
X-Account: 12
X-Account: 34
Content-Type: application/sdp
Content-Length: 157

v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
a=tool:x
m=audio 4000 RTP/AVP 8
a=rtpmap:8 PCMA/8000
a=ptime:30
a=X-nat:0
m=video 0 RTP/AVP 99
a=ptime:10
`

func message(t testing.TB, text string) *sip.Message {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	m, err := sip.Parse([]byte(strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body), sip.Limits{})
	if err != nil {
		// The length of the body is not what a test is about.
		head = strings.Join(strings.Split(head, "\n")[:strings.Count(head, "\n")], "\n")
		if m, err = sip.Parse([]byte(strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body), sip.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	m.Body = []byte(body)
	return m
}

// did is what of a message changed, line by line.
func did(before, after *sip.Message) (lines []string) {
	a, b := strings.Split(before.String(), "\r\n"), strings.Split(after.String(), "\r\n")
	for _, change := range []struct {
		sign       string
		list, less []string
	}{{"-", a, b}, {"+", b, a}} {
		left := map[string]int{}
		for _, l := range change.less {
			left[l]++
		}
		for _, l := range change.list {
			if left[l]--; left[l] < 0 && !strings.HasPrefix(l, "Content-Length") {
				lines = append(lines, change.sign+l)
			}
		}
	}
	return lines
}

func compile(t testing.TB, rules ...snapshot.Rule) *Set {
	t.Helper()
	for i := range rules {
		if rules[i].Name == "" {
			rules[i].Name = "r"
		}
		if rules[i].Direction == "" {
			rules[i].Direction = "in"
		}
	}
	s, problems := Compile(rules)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

func TestActions(t *testing.T) {
	for name, c := range map[string]struct {
		do   []snapshot.Action
		want []string
	}{
		"set a header":     {[]snapshot.Action{{Do: "set", Target: "header.X-Account", Value: "1"}}, []string{"-X-Account: 12", "-X-Account: 34", "+X-Account: 1"}},
		"add one":          {[]snapshot.Action{{Do: "add", Target: "header.X-New", Value: "a"}, {Do: "add", Target: "header.X-New", Value: "b"}}, []string{"+X-New: a", "+X-New: b"}},
		"remove all":       {[]snapshot.Action{{Do: "remove", Target: "header.x-account"}}, []string{"-X-Account: 12", "-X-Account: 34"}},
		"replace in each":  {[]snapshot.Action{{Do: "replace", Target: "header.X-Account", Match: `(\d)(\d)`, Value: "$2$1"}}, []string{"-X-Account: 12", "-X-Account: 34", "+X-Account: 21", "+X-Account: 43"}},
		"replace nothing":  {[]snapshot.Action{{Do: "replace", Target: "header.X-Gone", Match: "a", Value: "b"}}, nil},
		"who is called":    {[]snapshot.Action{{Do: "replace", Target: "request.user", Match: "^9", Value: "+"}}, []string{"-INVITE sip:9442079460123@r1.example;user=phone SIP/2.0", "+INVITE sip:+442079460123@r1.example;user=phone SIP/2.0"}},
		"by expression":    {[]snapshot.Action{{Do: "set", Target: "request.user", Expr: `"+" + request.user.substring(1)`}}, []string{"-INVITE sip:9442079460123@r1.example;user=phone SIP/2.0", "+INVITE sip:+442079460123@r1.example;user=phone SIP/2.0"}},
		"a parameter":      {[]snapshot.Action{{Do: "set", Target: "request.param.tgrp", Value: "7"}}, []string{"-INVITE sip:9442079460123@r1.example;user=phone SIP/2.0", "+INVITE sip:9442079460123@r1.example;user=phone;tgrp=7 SIP/2.0"}},
		"none any more":    {[]snapshot.Action{{Do: "remove", Target: "from.param.user"}}, []string{`-From: "J Smith" <sip:01632960123@core.example;user=phone>;tag=f1`, `+From: "J Smith" <sip:01632960123@core.example>;tag=f1`}},
		"who calls":        {[]snapshot.Action{{Do: "set", Target: "from.user", Value: "+441632960123"}, {Do: "remove", Target: "from.display"}}, []string{`-From: "J Smith" <sip:01632960123@core.example;user=phone>;tag=f1`, `+From: <sip:+441632960123@core.example;user=phone>;tag=f1`}},
		"who is asserted":  {[]snapshot.Action{{Do: "set", Target: "asserted.host", Value: "r1.example"}}, []string{"-P-Asserted-Identity: <sip:+441632960123@core.example>", "+P-Asserted-Identity: <sip:+441632960123@r1.example>"}},
		"set an attribute": {[]snapshot.Action{{Do: "set", Target: "sdp.ptime", Value: "20"}}, []string{"-a=ptime:30", "+a=ptime:20"}},
		"remove one":       {[]snapshot.Action{{Do: "remove", Target: "sdp.x-nat"}}, []string{"-a=X-nat:0"}},
		"replace its text": {[]snapshot.Action{{Do: "replace", Target: "sdp.ptime", Match: "3", Value: "4"}}, []string{"-a=ptime:30", "+a=ptime:40"}},
		"add a flag":       {[]snapshot.Action{{Do: "add", Target: "sdp.X-flag"}}, []string{"+a=X-flag"}},
	} {
		m := message(t, invite)
		before := m.String()
		r := compile(t, snapshot.Rule{Do: c.do}).In(m, Facts{})
		if len(r.Notes) > 0 || len(r.Applied) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if diff := cmp.Diff(c.want, did(m, r.Message)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if m.String() != before {
			t.Errorf("%s: the message that was given changed", name)
		}
		if _, err := sip.Parse(r.Message.Append(nil), sip.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConditions(t *testing.T) {
	f := Facts{Peer: "core-a", Group: "fixed", Service: "OperatorConnect"}
	for when, want := range map[string]bool{
		`request.user.startsWith("9")`:                              true,
		`from.display == "J Smith" && to.host == "r1.example"`:      true,
		`asserted.user.matches("^[+]44[0-9]+$")`:                    true,
		`header["x-account"] == "12" && !("x-gone" in header)`:      true,
		`header["x-gone"] == ""`:                                    false, // cannot be told
		`sdp.contains("PCMA") && method == "INVITE" && status == 0`: true,
		`peer == "core-b" || group != "fixed" || emergency`:         false,
		`service in ["Zoom", "OperatorConnect"]`:                    true,
	} {
		s := compile(t, snapshot.Rule{When: when, Do: []snapshot.Action{{Do: "remove", Target: "header.X-Account"}}})
		r := s.In(message(t, invite), f)
		if (len(r.Applied) == 1) != want {
			t.Errorf("%s: %+v", when, r)
		}
		if strings.Contains(when, "x-gone\"] ==") != (len(r.Notes) == 1) {
			t.Errorf("%s: notes %q", when, r.Notes)
		}
	}
}

func TestARuleIsForItsMessages(t *testing.T) {
	ringing := sip.NewResponse(message(t, invite), 183, "")
	for on, want := range map[string]bool{"183": true, "18x": true, "1xx": true, "180": false, "2xx": false, "INVITE": false} {
		s := compile(t, snapshot.Rule{Direction: "out", On: []string{on}, Do: []snapshot.Action{{Do: "set", Target: "header.X-A", Value: "1"}}})
		if r := s.Out(ringing, Facts{}); (len(r.Applied) == 1) != want {
			t.Errorf("%s: %v", on, r.Applied)
		}
		if r := s.In(ringing, Facts{}); len(r.Applied) != 0 {
			t.Errorf("%s: applied in the other direction", on)
		}
	}
}

func TestRulesFollowEachOther(t *testing.T) {
	s := compile(t,
		snapshot.Rule{Name: "one", Do: []snapshot.Action{{Do: "replace", Target: "request.user", Match: "^9", Value: "+"}}},
		snapshot.Rule{Name: "two", When: `request.user == "+442079460123"`, Do: []snapshot.Action{{Do: "set", Target: "header.X-Seen", Value: "yes"}}},
		snapshot.Rule{Name: "three", When: `header["x-seen"] == "yes"`, Do: []snapshot.Action{{Do: "reject", Status: 403, Value: "not today"}}},
		snapshot.Rule{Name: "never", Do: []snapshot.Action{{Do: "remove", Target: "header.X-Seen"}}},
	)
	r := s.In(message(t, invite), Facts{})
	if diff := cmp.Diff([]string{"one", "two", "three"}, r.Applied); diff != "" {
		t.Error(diff)
	}
	if r.Refuse == nil || r.Refuse.Status != 403 || r.Refuse.Text != "not today" {
		t.Errorf("%+v", r.Refuse)
	}
}

func TestARuleThatFailsLeavesTheMessage(t *testing.T) {
	for name, a := range map[string]snapshot.Action{
		"a user that is none":    {Do: "set", Target: "request.user", Value: "a b<>"},
		"a host that is none":    {Do: "set", Target: "from.host", Expr: `"a" + "\\" + ">"`},
		"a line break":           {Do: "set", Target: "header.X-A", Expr: `"a\r\nVia: x"`},
		"what is not there":      {Do: "set", Target: "header.X-A", Expr: `header["x-gone"]`},
		"ever longer":            {Do: "replace", Target: "header.X-Account", Match: "", Value: ""},
		"without end, at a cost": {Do: "set", Target: "header.X-A", Expr: `[1,2,3,4,5,6,7,8,9,10].map(a, [1,2,3,4,5,6,7,8,9,10].map(b, [1,2,3,4,5,6,7,8,9,10].map(c, [1,2,3,4,5,6,7,8,9,10].map(d, [1,2,3,4,5,6,7,8,9,10].map(e, string(a)+string(e))))))[0][0][0][0][0]`},
	} {
		if a.Match == "" && a.Do == "replace" {
			a.Match, a.Value = `.`, strings.Repeat("x", 1000)+strings.Repeat("$0", 1500)
		}
		m := message(t, invite)
		r := compile(t, snapshot.Rule{Do: []snapshot.Action{{Do: "set", Target: "header.X-First", Value: "1"}, a}}).In(m, Facts{})
		if r.Message != m || len(r.Notes) != 1 || len(r.Applied) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A body of several parts keeps all but the description.
func TestADescriptionAmongPartsIsChanged(t *testing.T) {
	m := message(t, invite)
	desc := string(m.Body)
	m.SetBody("multipart/mixed;boundary=x", []byte("--x\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--x\r\nContent-Type: application/sdp\r\n\r\n"+desc+"\r\n--x--\r\n"))
	r := compile(t, snapshot.Rule{Do: []snapshot.Action{{Do: "set", Target: "sdp.ptime", Value: "20"}}}).In(m, Facts{})
	want := strings.Replace(string(m.Body), "a=ptime:30\r\na=X-nat:0\r\n", "a=X-nat:0\r\na=ptime:20\r\n", 1)
	if string(r.Message.Body) != want {
		t.Errorf("%s", r.Message.Body)
	}
}

func TestWrongRulesAreToldWithTheirPlace(t *testing.T) {
	ok := []snapshot.Action{{Do: "remove", Target: "header.X-A"}}
	do := func(a snapshot.Action) snapshot.Rule { return snapshot.Rule{Direction: "in", Do: []snapshot.Action{a}} }
	for text, r := range map[string]snapshot.Rule{
		`direction: "up": write in`:                             {Direction: "up", Do: ok},
		`name: "a b": name the rule`:                            {Name: "a b", Direction: "in", Do: ok},
		`on[1]: "7xx": write a method`:                          {Direction: "in", On: []string{"BYE", "7xx"}, Do: ok},
		`on[0]: "ACK": write a method`:                          {Direction: "in", On: []string{"ACK"}, Do: ok},
		`when: line 2, column 1: undeclared reference to 'usr'`: {Direction: "in", When: "true &&\nusr == 1", Do: ok},
		`when: line 1, column 7: Syntax error`:                  {Direction: "in", When: "true ++ 1", Do: ok},
		`when: it gives a value of type string`:                 {Direction: "in", When: "from.user", Do: ok},
		`do: the rule does nothing`:                             {Direction: "in"},
		`do[0]: "": write one of set`:                           do(snapshot.Action{Target: "header.X-A"}),
		`do[0]: the header via cannot`:                          do(snapshot.Action{Do: "remove", Target: "header.via"}),
		`do[0]: the header Contact cannot`:                      do(snapshot.Action{Do: "set", Target: "header.m", Value: "x"}),
		`do[0]: the attribute crypto cannot`:                    do(snapshot.Action{Do: "remove", Target: "sdp.crypto"}),
		`do[0]: "header.": write header. and`:                   do(snapshot.Action{Do: "remove", Target: "header."}),
		`do[0]: "body": write header.NAME`:                      do(snapshot.Action{Do: "remove", Target: "body"}),
		`do[0]: "request.display": of a URI`:                    do(snapshot.Action{Do: "set", Target: "request.display", Value: "x"}),
		`do[0]: "from.param.tag": of a URI`:                     do(snapshot.Action{Do: "set", Target: "from.param.tag", Value: "x"}),
		`do[0]: from.user cannot be removed`:                    do(snapshot.Action{Do: "remove", Target: "from.user"}),
		`do[0]: to.user has one value`:                          do(snapshot.Action{Do: "add", Target: "to.user", Value: "x"}),
		`do[0].value: it has a line break`:                      do(snapshot.Action{Do: "set", Target: "header.X-A", Value: "a\r\nb"}),
		`do[0]: value and expr exclude`:                         do(snapshot.Action{Do: "set", Target: "header.X-A", Value: "a", Expr: "from.user"}),
		`do[0].expr: it gives a value of type int`:              do(snapshot.Action{Do: "set", Target: "header.X-A", Expr: "1 + 1"}),
		`do[0].match: replace, and nothing else`:                do(snapshot.Action{Do: "replace", Target: "header.X-A", Value: "a"}),
		`do[0].match: missing closing )`:                        do(snapshot.Action{Do: "replace", Target: "header.X-A", Match: "(", Value: "a"}),
		`do[0]: remove takes no value`:                          do(snapshot.Action{Do: "remove", Target: "header.X-A", Value: "a"}),
		`do[0].status: 200: calls are refused`:                  do(snapshot.Action{Do: "reject", Status: 200}),
		`do[0]: only rules of direction in`:                     {Direction: "out", Do: []snapshot.Action{{Do: "reject", Status: 403}}},
		`do[0]: from.user belongs to the dialog`:                {Direction: "out", On: []string{"INVITE", "BYE"}, Do: []snapshot.Action{{Do: "set", Target: "from.user", Value: "x"}}},
	} {
		if r.Name == "" {
			r.Name = "r"
		}
		set, problems := Compile([]snapshot.Rule{{Name: "good", Direction: "in", Do: ok}, r})
		if set != nil || len(problems) != 1 || problems[0].Rule != 1 || !strings.HasPrefix(problems[0].Path+": "+problems[0].Text, text) {
			t.Errorf("%s\ngot %v", text, problems)
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add("set", "header.X-A", "v", "", []byte(invite))
	f.Add("replace", "sdp.ptime", "$1", "(.)", []byte(invite))
	f.Add("set", "request.param.x", "a;b", "", []byte(invite))
	f.Add("set", "from.display", "\"", "", []byte(invite))
	f.Add("remove", "asserted.param.x", "", "", []byte(invite))
	f.Fuzz(func(t *testing.T, op, target, value, match string, text []byte) {
		s, problems := Compile([]snapshot.Rule{{Name: "r", Direction: "in", When: `peer == "p"`, Do: []snapshot.Action{{Do: op, Target: target, Value: value, Match: match, Status: 403}}}})
		if (s == nil) == (problems == nil) {
			t.Fatal("neither rules nor problems")
		}
		m, err := sip.Parse(text, sip.Limits{})
		if s == nil || err != nil {
			return
		}
		r := s.In(m, Facts{Peer: "p"})
		if r.Refuse != nil {
			return
		}
		again, err := sip.Parse(r.Message.Append(nil), sip.Limits{})
		if err != nil {
			t.Fatalf("a rule made a message that cannot be read: %v\n%s", err, r.Message)
		}
		for _, h := range fixed {
			if h == "From" || h == "To" {
				continue
			}
			if again.Get(h) != m.Get(h) && h != "Content-Length" {
				t.Fatalf("a rule changed %s: %q became %q", h, m.Get(h), again.Get(h))
			}
		}
	})
}

func BenchmarkRules(b *testing.B) {
	s := compile(b,
		snapshot.Rule{When: `request.user.startsWith("9") && peer == "core-a"`, Do: []snapshot.Action{{Do: "replace", Target: "request.user", Match: "^9", Value: "+"}}},
		snapshot.Rule{When: `header["x-account"] == "99"`, Do: []snapshot.Action{{Do: "remove", Target: "header.X-Account"}}},
	)
	m := message(b, invite)
	b.ReportAllocs()
	for b.Loop() {
		s.In(m, Facts{Peer: "core-a"})
	}
}
