// Package rule carries out the operator's own rules on messages: a condition in
// CEL, and what to set, add, remove, replace or refuse.
//
// Rules are data of a peer group (snapshot.Rule). Compile checks them and makes
// them quick; what it refuses is told with the place in the rule. Apply runs
// those of one direction over one message. What a dialog, a transaction or the
// media hang on cannot be touched, by any rule.
//
// Start reading at Compile and Set.Apply. Pure: no I/O, no clock.
package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Bounds of what an operator may write.
const (
	MaxRules   = 200  // of one group
	MaxActions = 32   // of one rule
	maxText    = 4096 // bytes of one condition, value or expression
	maxCost    = 100_000
)

// Set is the compiled rules of one peer group. nil is a set without rules.
type Set struct {
	in, out []*rule
}

// rule is one, compiled.
type rule struct {
	name string
	on   []kind
	when cel.Program // nil: always
	do   []action

	founding bool // it may change who calls whom, or refuse: for INVITEs that make a dialog
}

// Problem is one thing wrong with a rule.
type Problem struct {
	Rule int    // index
	Path string // within it: "when", "do[2].expr"
	Text string // what is wrong, and where in the expression
}

// Compile checks rules and makes them ready; of wrong ones all problems are
// told.
func Compile(list []snapshot.Rule) (*Set, []Problem) {
	if len(list) == 0 {
		return nil, nil
	}
	c := &compiler{}
	if len(list) > MaxRules {
		c.rule = MaxRules
		c.bad("", "there are %d rules, and at most %d are taken", len(list), MaxRules)
		return nil, c.problems
	}
	s := &Set{}
	for i := range list {
		c.rule = i
		r := c.compile(&list[i])
		switch list[i].Direction {
		case "in":
			s.in = append(s.in, r)
		case "out":
			s.out = append(s.out, r)
		default:
			c.bad("direction", "%q: write in for messages from these peers, or out for messages to them", list[i].Direction)
		}
	}
	if c.problems != nil {
		return nil, c.problems
	}
	return s, nil
}

type compiler struct {
	rule     int
	problems []Problem
}

func (c *compiler) bad(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.rule, path, fmt.Sprintf(format, args...)})
}

func (c *compiler) compile(r *snapshot.Rule) *rule {
	out := &rule{name: r.Name}
	if !name.MatchString(r.Name) {
		c.bad("name", "%q: name the rule with letters, digits, dots and hyphens", r.Name)
	}
	for i, on := range r.On {
		k, ok := kindOf(on)
		if !ok {
			c.bad(fmt.Sprintf("on[%d]", i), "%q: write a method, a status such as 183, or a class such as 18x or 4xx", on)
		}
		out.on = append(out.on, k)
	}
	if len(out.on) == 0 {
		out.on = []kind{{method: "INVITE"}}
	}
	if r.When != "" {
		out.when = c.condition(r.When)
	}
	switch {
	case len(r.Do) == 0:
		c.bad("do", "the rule does nothing: write what to set, add, remove, replace or reject")
	case len(r.Do) > MaxActions:
		c.bad("do", "there are %d actions, and at most %d are taken", len(r.Do), MaxActions)
		return out
	}
	onlyInvite := !slices.ContainsFunc(out.on, func(k kind) bool { return k.method != "INVITE" })
	for i := range r.Do {
		a := c.action(fmt.Sprintf("do[%d]", i), &r.Do[i])
		if a.target.part != "" && !onlyInvite {
			c.bad(fmt.Sprintf("do[%d]", i), "%s belongs to the dialog once it stands: only rules on INVITE alone may change it", r.Do[i].Target)
		}
		if a.op == "reject" && (!onlyInvite || r.Direction != "in") {
			c.bad(fmt.Sprintf("do[%d]", i), "only rules of direction in, on INVITE alone, may reject")
		}
		out.do = append(out.do, a)
		out.founding = out.founding || a.op == "reject" || a.target.part != ""
	}
	return out
}

var method = regexp.MustCompile(`^[A-Z]{2,20}$`)

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// kind is which messages a rule is for.
type kind struct {
	method string // of a request
	low    int    // of a response: from this status
	high   int    // to this
}

func kindOf(s string) (kind, bool) {
	if method.MatchString(s) {
		return kind{method: s}, s != "ACK" && s != "CANCEL" // nobody could answer
	}
	digits := strings.TrimRight(s, "x")
	n, err := strconv.Atoi(digits)
	if err != nil || len(s) != 3 || len(digits) == 0 {
		return kind{}, false
	}
	k := kind{low: n, high: n}
	for range len(s) - len(digits) {
		k.low, k.high = k.low*10, k.high*10+9
	}
	return k, k.low >= 100 && k.high <= 699 && k.high != 100 // 100 goes from hop to hop
}

func (k kind) fits(m *sip.Message) bool {
	if m.IsRequest() {
		return k.method == m.Method
	}
	return k.method == "" && m.Status >= k.low && m.Status <= k.high
}

// Facts are what conditions may ask of beside the message.
type Facts struct {
	Peer, Group, Service string // Service is known once a call is routed
	Emergency            bool
	Dialog               bool // the message belongs to a dialog: rules that change who calls whom, or refuse, are left out
}

// Refusal is what a rule answers a call with.
type Refusal struct {
	Status int
	Text   string
}

// Result is what the rules made of a message.
type Result struct {
	Message *sip.Message // the one given, when nothing changed it
	Applied []string     // names of the rules that did, in order
	Notes   []string     // what went wrong, for the trace
	Refuse  *Refusal
}

// In runs the rules for messages that came from a peer.
func (s *Set) In(m *sip.Message, f Facts) Result {
	if s == nil {
		return Result{Message: m}
	}
	return apply(s.in, m, f)
}

// Out runs the rules for messages that leave for a peer. What the message
// hangs on is as it was.
func (s *Set) Out(m *sip.Message, f Facts) Result {
	if s == nil {
		return Result{Message: m}
	}
	return apply(s.out, m, f)
}

// apply runs rules in order, each on what the ones before have made. One that
// fails changes nothing and is noted: a mistake in a rule must not end calls.
func apply(rules []*rule, m *sip.Message, f Facts) Result {
	out := Result{Message: m}
	for _, r := range rules {
		if f.Dialog && r.founding || !slices.ContainsFunc(r.on, func(k kind) bool { return k.fits(m) }) {
			continue
		}
		env := environment(out.Message, f)
		ok, err := r.holds(env)
		if err != nil {
			out.Notes = append(out.Notes, "rule "+r.name+": "+err.Error())
		}
		if !ok {
			continue
		}
		next := out.Message.Clone()
		refuse, err := r.run(next, env)
		if err != nil {
			out.Notes = append(out.Notes, "rule "+r.name+" left the message as it was: "+err.Error())
			continue
		}
		out.Message, out.Applied = next, append(out.Applied, r.name)
		if refuse != nil {
			out.Refuse = refuse
			return out
		}
	}
	return out
}

func (r *rule) run(m *sip.Message, env map[string]any) (*Refusal, error) {
	for i := range r.do {
		a := &r.do[i]
		if a.op == "reject" {
			return &Refusal{a.status, a.value}, nil
		}
		if err := a.run(m, env); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
