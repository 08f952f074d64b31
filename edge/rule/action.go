package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// action is one change, compiled.
type action struct {
	op     string
	target target
	value  string
	expr   cel.Program // nil: value
	match  *regexp.Regexp
	status int
}

// target is what an action changes: exactly one of the three is set.
type target struct {
	header string
	sdp    string // name of an attribute

	part  string // "request", "from", "to", "asserted"
	field string // "user", "host", "display", "param"
	param string // name
}

// fixed are headers that transactions, dialogs, the body or the proof of who
// calls hang on; and those of which a URI part may be changed by its own name.
var fixed = []string{
	"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "Record-Route", "Max-Forwards", "Content-Length", "Content-Type",
	"Content-Encoding", "Require", "Proxy-Require", "Supported", "Allow", "RSeq", "RAck", "Session-Expires", "Min-SE", "Replaces", "Refer-To", "Event", "Subscription-State", "Identity",
	"Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Unsupported", "Retry-After",
}

// fixedAttributes are those that media hang on.
var fixedAttributes = []string{
	"rtpmap", "fmtp", "crypto", "setup", "fingerprint", "rtcp", "rtcp-mux", "mid", "group", "sendrecv", "sendonly", "recvonly", "inactive",
	"candidate", "remote-candidates", "ice-ufrag", "ice-pwd", "ice-lite", "ice-options", "end-of-candidates", "curr", "des", "conf",
}

// compact forms are other names of the same headers (RFC 3261 7.3.3).
var compact = map[string]string{
	"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length", "c": "Content-Type",
	"e": "Content-Encoding", "k": "Supported", "x": "Session-Expires", "r": "Refer-To", "o": "Event", "y": "Identity",
}

var (
	token     = regexp.MustCompile(`^[A-Za-z0-9!%*_+'~.-]{1,64}$`)
	attribute = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

// Ops are what actions do, in the order in which they are told.
var Ops = []string{"set", "add", "remove", "replace", "reject"}

func (c *compiler) action(path string, a *snapshot.Action) action {
	out := action{op: a.Do, value: a.Value, status: a.Status}
	switch {
	case !slices.Contains(Ops, a.Do):
		c.bad(path, "%q: write one of %s", a.Do, strings.Join(Ops, ", "))
		return out
	case a.Do == "reject":
		c.reject(path, a)
		return out
	}
	out.target = c.target(path, a.Do, a.Target)
	switch {
	case len(a.Value) > maxText:
		c.bad(path+".value", "it is longer than %d bytes", maxText)
	case a.Value != "" && a.Expr != "":
		c.bad(path, "value and expr exclude each other")
	case a.Do == "remove" && (a.Value != "" || a.Expr != ""):
		c.bad(path, "remove takes no value")
	case unsafe(a.Value):
		c.bad(path+".value", "it has a line break or a control character")
	case a.Expr != "":
		out.expr = c.program(path+".expr", a.Expr, cel.StringType)
	}
	out.match = c.match(path, a)
	return out
}

func (c *compiler) match(path string, a *snapshot.Action) *regexp.Regexp {
	if (a.Do == "replace") != (a.Match != "") {
		c.bad(path+".match", "replace, and nothing else, needs a regular expression to look for")
		return nil
	}
	if a.Match == "" {
		return nil
	}
	if len(a.Match) > maxText {
		c.bad(path+".match", "it is longer than %d bytes", maxText)
		return nil
	}
	re, err := regexp.Compile(a.Match)
	if err != nil {
		c.bad(path+".match", "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re
}

func (c *compiler) reject(path string, a *snapshot.Action) {
	if a.Status < 400 || a.Status > 699 {
		c.bad(path+".status", "%d: calls are refused with 400 to 699", a.Status)
	}
	if a.Target != "" || a.Expr != "" || a.Match != "" {
		c.bad(path, "reject takes a status and a text")
	}
	if unsafe(a.Value) || len(a.Value) > 200 {
		c.bad(path+".text", "it has a control character, or more than 200 bytes")
	}
}

// target reads "header.X-Account", "sdp.ptime", "request.user", "from.param.x".
func (c *compiler) target(path, op, s string) (t target) {
	what, rest, _ := strings.Cut(s, ".")
	switch what {
	case "header":
		t.header = rest
		full := rest
		if long, ok := compact[strings.ToLower(rest)]; ok {
			full = long
		}
		switch {
		case !token.MatchString(rest):
			c.bad(path, "%q: write header. and the name of a header", s)
		case slices.ContainsFunc(fixed, func(h string) bool { return strings.EqualFold(h, full) }):
			c.bad(path, "the header %s cannot be changed: the call hangs on it", full)
		}
	case "sdp":
		t.sdp = rest
		switch {
		case !attribute.MatchString(rest):
			c.bad(path, "%q: write sdp. and the name of an attribute", s)
		case slices.Contains(fixedAttributes, strings.ToLower(rest)):
			c.bad(path, "the attribute %s cannot be changed: the media hang on it", rest)
		}
	case "request", "from", "to", "asserted":
		t.part = what
		t.field, t.param, _ = strings.Cut(rest, ".")
		c.part(path, op, s, t)
	default:
		c.bad(path, "%q: write header.NAME, sdp.NAME, or a part of request, from, to, asserted such as from.user", s)
	}
	return t
}

func (c *compiler) part(path, op, s string, t target) {
	ok := t.field == "user" || t.field == "host" || t.field == "display" && t.part != "request"
	if t.field == "param" {
		ok = token.MatchString(t.param) && !slices.Contains([]string{"tag", "transport", "maddr", "lr", "method"}, strings.ToLower(t.param))
	} else if t.param != "" {
		ok = false
	}
	switch {
	case !ok:
		c.bad(path, "%q: of a URI there are user, host, display (not of request) and param.NAME", s)
	case op == "add":
		c.bad(path, "%s has one value: set it", s)
	case op == "remove" && (t.field == "user" || t.field == "host"):
		c.bad(path, "%s cannot be removed: set it", s)
	}
}

// run changes m.
func (a *action) run(m *sip.Message, env map[string]any) error {
	value, err := a.text(env)
	if err != nil {
		return err
	}
	switch {
	case a.target.header != "":
		return a.header(m, value)
	case a.target.sdp != "":
		return a.attribute(m, value)
	}
	return a.uri(m, value)
}

// text is the value, made by the expression if there is one.
func (a *action) text(env map[string]any) (string, error) {
	if a.expr == nil {
		return a.value, nil
	}
	v, _, err := a.expr.Eval(env)
	if err != nil {
		return "", fmt.Errorf("expr: %w", err)
	}
	s, ok := v.Value().(string)
	if !ok {
		return "", fmt.Errorf("expr gives a %s and no text", v.Type())
	}
	if unsafe(s) || len(s) > maxText {
		return "", fmt.Errorf("expr gives a text with control characters, or of more than %d bytes", maxText)
	}
	return s, nil
}

func unsafe(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// change makes a new value of an old one.
func (a *action) change(old, value string) (string, error) {
	if a.op != "replace" {
		return value, nil
	}
	s := a.match.ReplaceAllString(old, value)
	if len(s) > maxText {
		return "", fmt.Errorf("it became longer than %d bytes", maxText)
	}
	return s, nil
}

func (a *action) header(m *sip.Message, value string) error {
	name := a.target.header
	switch a.op {
	case "set":
		m.Set(name, value)
	case "add":
		m.Add(name, value)
	case "remove":
		m.Del(name)
	case "replace":
		var values []string
		for v := range m.Values(name) {
			v, err := a.change(v, value)
			if err != nil {
				return err
			}
			values = append(values, v)
		}
		if values == nil {
			return nil
		}
		m.Del(name)
		for _, v := range values {
			m.Add(name, v)
		}
	}
	return nil
}

// uri changes a part of Request-URI, From, To or P-Asserted-Identity.
func (a *action) uri(m *sip.Message, value string) error {
	if a.target.part == "request" {
		u, err := sip.ParseURI(m.RequestURI)
		if err != nil {
			return err
		}
		if err := a.field(&u, nil, value); err != nil {
			return err
		}
		return set(u.String(), func(s string) { m.RequestURI = s })
	}
	name := map[string]string{"from": "From", "to": "To", "asserted": "P-Asserted-Identity"}[a.target.part]
	at, err := m.Address(name)
	if err != nil || !m.Has(name) {
		return nil // what is not there stays so
	}
	if err := a.field(&at.URI, &at.Display, value); err != nil {
		return err
	}
	if _, err := sip.ParseAddress(at.String()); err != nil {
		return fmt.Errorf("%s would not be a valid address any more: %w", name, err)
	}
	m.SetFirst(name, at.String())
	return nil
}

// set takes a URI that reads.
func set(uri string, to func(string)) error {
	if _, err := sip.ParseURI(uri); err != nil {
		return fmt.Errorf("%q would not be a valid URI: %w", uri, err)
	}
	to(uri)
	return nil
}

func (a *action) field(u *sip.URI, display *string, value string) (err error) {
	switch a.target.field {
	case "user":
		u.User, err = a.change(u.User, value)
	case "host":
		u.Host, err = a.change(u.Host, value)
	case "display":
		*display, err = a.change(*display, value)
	case "param":
		old, there := u.Params.Get(a.target.param)
		switch {
		case a.op == "remove":
			u.Params = u.Params.Without(a.target.param)
		case a.op == "set" || there:
			if value, err = a.change(old, value); err == nil {
				u.Params = u.Params.With(a.target.param, value)
			}
		}
	}
	return err
}
