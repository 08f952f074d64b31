package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/edge/rule"
	"github.com/tandemgw/tandem/link/snapshot"
)

// RuleConfig is one of the operator's own rules on messages.
type RuleConfig struct {
	Name      string         `yaml:"name"`
	Groups    []string       `yaml:"groups"`    // of peers; "operator" and "cloud" are all of a side; none: operator
	Direction string         `yaml:"direction"` // "in": from them; "out": to them
	On        []string       `yaml:"on"`        // methods, and responses as 183, 18x, 4xx; none: INVITE
	When      string         `yaml:"when"`      // CEL; empty: always
	Do        []ActionConfig `yaml:"do"`
}

// ActionConfig is one change: exactly one of the first five.
type ActionConfig struct {
	Set     string `yaml:"set"` // what to change: header.NAME, sdp.NAME, request.user, from.display …
	Add     string `yaml:"add"`
	Remove  string `yaml:"remove"`
	Replace string `yaml:"replace"`
	Reject  int    `yaml:"reject"` // status

	Value string `yaml:"value"`
	Expr  string `yaml:"expr"` // CEL that gives the value
	Match string `yaml:"match"`
	Text  string `yaml:"text"` // of reject
}

// rule is the rule as the snapshot has it.
func (c RuleConfig) rule() snapshot.Rule {
	r := snapshot.Rule{Name: c.Name, Direction: c.Direction, On: c.On, When: c.When}
	for _, a := range c.Do {
		r.Do = append(r.Do, a.action())
	}
	return r
}

func (a ActionConfig) action() snapshot.Action {
	out := snapshot.Action{Value: cmp.Or(a.Value, a.Text), Expr: a.Expr, Match: a.Match, Status: a.Reject}
	for _, op := range a.ops() {
		if op.what != "" {
			out.Do, out.Target = op.name, op.what
		}
	}
	if a.Reject != 0 {
		out.Do = "reject"
	}
	return out
}

type opConfig struct{ name, what string }

func (a ActionConfig) ops() []opConfig {
	return []opConfig{{"set", a.Set}, {"add", a.Add}, {"remove", a.Remove}, {"replace", a.Replace}}
}

// rules are those of the file, with the groups they are for.
func (c *Config) rules() []publish.Rule {
	var out []publish.Rule
	for _, r := range c.Rules {
		groups := r.Groups
		if len(groups) == 0 {
			groups = []string{string(snapshot.Operator)}
		}
		out = append(out, publish.Rule{Groups: groups, Rule: r.rule()})
	}
	return out
}

// rules checks the operator's own rules. Their groups can only be told once
// all else is right.
func (k *configCheck) rules() {
	k.ruleList()
	if k.problems.Errors() == nil {
		k.ruleGroups()
	}
}

// ruleList checks the rules as such.
func (k *configCheck) ruleList() {
	var list []snapshot.Rule
	for i, r := range k.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		if slices.ContainsFunc(k.Rules[:i], func(x RuleConfig) bool { return x.Name == r.Name }) {
			k.bad(path+".name", "%q is the name of a rule above: traces could not tell them apart", r.Name)
		}
		for j, a := range r.Do {
			k.oneAction(fmt.Sprintf("%s.do[%d]", path, j), a)
		}
		list = append(list, r.rule())
	}
	_, problems := rule.Compile(list)
	for _, p := range problems {
		path := fmt.Sprintf("rules[%d]", p.Rule)
		if p.Path != "" {
			path += "." + p.Path
		}
		k.bad(path, "%s", p.Text)
	}
}

func (k *configCheck) oneAction(path string, a ActionConfig) {
	n := 0
	for _, op := range a.ops() {
		if op.what != "" {
			n++
		}
	}
	if a.Reject != 0 {
		n++
	}
	if n > 1 {
		k.bad(path, "it is to do %d things: write an action for each", n)
	}
	if a.Text != "" && a.Reject == 0 || a.Value != "" && a.Reject != 0 {
		k.bad(path, "text belongs to reject, and value to the others")
	}
}

// ruleGroups checks that the groups of rules exist.
func (k *configCheck) ruleGroups() {
	if len(k.Rules) == 0 {
		return
	}
	snap, err := k.Snapshot(0)
	if err != nil {
		return // told where it belongs
	}
	names := []string{string(snapshot.Operator), string(snapshot.Cloud)}
	for _, g := range snap.Groups {
		names = append(names, g.Name)
	}
	for i, r := range k.Rules {
		for j, g := range r.Groups {
			k.oneOf(fmt.Sprintf("rules[%d].groups[%d]", i, j), strings.TrimSpace(g), names...)
		}
	}
}
