package rule

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/tandemgw/tandem/wire/sip"
)

// language is what conditions and expressions are written in: CEL with its
// string functions, and these variables.
//
//	method, status                  of the message; 0 for a request
//	request.user, .host             of the Request-URI; of a response empty
//	from, to, asserted: .user, .host, .display   of From, To, P-Asserted-Identity
//	header["x-account"]             first value of a header, by its name in lower case
//	sdp                             the session description as text
//	peer, group, service, emergency
var language = sync.OnceValues(func() (*cel.Env, error) {
	party := cel.MapType(cel.StringType, cel.StringType)
	return cel.NewEnv(
		ext.Strings(), cel.ParserExpressionSizeLimit(maxText), cel.ParserRecursionLimit(64),
		cel.Variable("method", cel.StringType), cel.Variable("status", cel.IntType),
		cel.Variable("request", party), cel.Variable("from", party), cel.Variable("to", party), cel.Variable("asserted", party),
		cel.Variable("header", party), cel.Variable("sdp", cel.StringType),
		cel.Variable("peer", cel.StringType), cel.Variable("group", cel.StringType), cel.Variable("service", cel.StringType),
		cel.Variable("emergency", cel.BoolType),
	)
})

// condition compiles what must be true.
func (c *compiler) condition(text string) cel.Program { return c.program("when", text, cel.BoolType) }

// program compiles an expression that must give a type.
func (c *compiler) program(path, text string, want *cel.Type) cel.Program {
	if len(text) > maxText {
		c.bad(path, "it is longer than %d bytes", maxText)
		return nil
	}
	env, err := language()
	if err != nil {
		c.bad(path, "%v", err)
		return nil
	}
	ast, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		for _, e := range issues.Errors() {
			c.bad(path, "line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, firstLine(e.Message))
		}
		return nil
	}
	if ast.OutputType() != want && ast.OutputType() != cel.DynType {
		c.bad(path, "it gives a value of type %s, and must give a %s", ast.OutputType(), want)
		return nil
	}
	p, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		c.bad(path, "%v", err)
	}
	return p
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSpace(s)
}

// holds tells whether the condition is true. One that cannot be told is false.
func (r *rule) holds(env map[string]any) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	v, _, err := r.when.Eval(env)
	if err != nil {
		return false, fmt.Errorf("when cannot be told: %w", err)
	}
	ok, _ := v.Value().(bool)
	return ok, nil
}

// environment is what expressions see of a message; what is dear is made when
// it is asked for.
func environment(m *sip.Message, f Facts) map[string]any {
	return map[string]any{
		"method": m.Method, "status": m.Status,
		"request": func() any { return requestOf(m) },
		"from":    func() any { return partyOf(m.From()) }, "to": func() any { return partyOf(m.To()) },
		"asserted": func() any { return partyOf(m.Address("P-Asserted-Identity")) },
		"header":   func() any { return headersOf(m) },
		"sdp":      func() any { desc, _ := description(m); return string(desc) },
		"peer":     f.Peer, "group": f.Group, "service": f.Service, "emergency": f.Emergency,
	}
}

func requestOf(m *sip.Message) map[string]string {
	u, err := sip.ParseURI(m.RequestURI)
	if !m.IsRequest() || err != nil {
		u = sip.URI{}
	}
	return map[string]string{"user": u.User, "host": u.Host}
}

func headersOf(m *sip.Message) map[string]string {
	headers := map[string]string{}
	for name, value := range m.Headers() {
		if lower := strings.ToLower(name); headers[lower] == "" {
			headers[lower] = value
		}
	}
	return headers
}

func partyOf(a sip.Address, err error) map[string]string {
	if err != nil {
		a = sip.Address{}
	}
	return map[string]string{"user": a.URI.User, "host": a.URI.Host, "display": a.Display}
}
