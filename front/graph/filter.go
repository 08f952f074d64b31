package graph

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/front/door"
)

// A filter is what $filter says (OData 4.01 part 2, §5.1.1), as far as Graph's
// clients of the directory say it: comparisons, startswith, endswith, in, any,
// and, or, not. Names are the same in any case, and so are strings, as the
// directory has it.

// What a filter may have: above what anybody writes, far below what costs.
const (
	maxFilter = 4096 // bytes
	maxTerms  = 100  // comparisons, and values of "in"
	maxDepth  = 16   // of brackets and "not"
)

// term is a filter or a part of one.
type term interface {
	holds(scope) bool
}

// scope is what names in a filter mean: properties of the object, and the
// variable of an "any".
type scope struct {
	it       any
	variable string
	element  any
}

type (
	both    struct{ a, b term }
	either  struct{ a, b term }
	negated struct{ t term }
	compare struct {
		path property
		op   string // eq, ne, lt, le, gt, ge
		to   any    // string, bool, time.Time, nil
	}
	starts struct {
		path property
		text string // in lower case
		end  bool   // of the string rather than its begin
	}
	within struct {
		path property
		list []any
	}
	some struct { // any
		path     property
		variable string
		t        term // nil: whether there is an element at all
	}
)

// property names a value: properties, one within the other.
type property []string

// of is the value, nil when there is none.
func (p property) of(s scope) any {
	it := s.it
	if s.variable != "" && p[0] == s.variable {
		it, p = s.element, p[1:]
	}
	for _, name := range p {
		o, is := it.(object)
		if !is {
			return nil
		}
		it = o.get(name)
	}
	return it
}

func (t both) holds(s scope) bool    { return t.a.holds(s) && t.b.holds(s) }
func (t either) holds(s scope) bool  { return t.a.holds(s) || t.b.holds(s) }
func (t negated) holds(s scope) bool { return !t.t.holds(s) }

func (t compare) holds(s scope) bool {
	v := t.path.of(s)
	switch t.op {
	case "eq":
		return equal(v, t.to)
	case "ne":
		return !equal(v, t.to)
	}
	order, comparable := ordered(v, t.to)
	switch t.op {
	case "lt":
		return comparable && order < 0
	case "le":
		return comparable && order <= 0
	case "gt":
		return comparable && order > 0
	}
	return comparable && order >= 0
}

func (t within) holds(s scope) bool {
	v := t.path.of(s)
	return slices.ContainsFunc(t.list, func(to any) bool { return equal(v, to) })
}

func (t starts) holds(s scope) bool {
	has := strings.HasPrefix
	if t.end {
		has = strings.HasSuffix
	}
	return slices.ContainsFunc(names(t.path.of(s)), func(name string) bool { return has(strings.ToLower(name), t.text) })
}

func (t some) holds(s scope) bool {
	list, _ := t.path.of(s).([]any)
	for _, e := range list {
		if t.t == nil || t.t.holds(scope{it: s.it, variable: t.variable, element: e}) {
			return true
		}
	}
	return false
}

// names are all that a text says.
func names(v any) []string {
	switch it := v.(type) {
	case string:
		return []string{it}
	case named:
		return it
	}
	return nil
}

// equal tells whether a value, or another name for the same, is this one.
func equal(v, to any) bool {
	if it, is := v.(named); is {
		return slices.ContainsFunc(it, func(name string) bool { return equal(name, to) })
	}
	order, comparable := ordered(v, to)
	return comparable && order == 0
}

// ordered compares two values of one kind. Two that are not there are equal.
func ordered(a, b any) (order int, comparable bool) {
	switch a := a.(type) {
	case nil:
		return 0, b == nil
	case named:
		return ordered(a[0], b)
	case string:
		if b, is := b.(string); is {
			return strings.Compare(strings.ToLower(a), strings.ToLower(b)), true
		}
	case bool:
		if b, is := b.(bool); is && a == b {
			return 0, true
		}
	case time.Time:
		if b, is := b.(time.Time); is {
			return a.Compare(b), true
		}
	}
	return 0, false
}

// parser reads a filter.
type parser struct {
	words    []lexeme
	kind     *kind // of objects
	variable string
	element  *kind // of what the variable stands for; nil: of no properties
	terms    int
	depth    int
}

// lexeme is one of a filter.
type lexeme struct {
	text   string
	quoted bool
}

// parseFilter reads a filter of objects of a kind.
func parseFilter(text string, k *kind) (term, error) {
	if len(text) > maxFilter || !utf8.ValidString(text) {
		return nil, unsupported("The $filter is not text, or has more than %d bytes.", maxFilter)
	}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	p := &parser{words: words, kind: k}
	t, err := p.or()
	if err == nil && len(p.words) > 0 {
		err = invalidFilter("there is '%s' where the expression could end.", p.words[0].text)
	}
	return t, err
}

func invalidFilter(format string, args ...any) error {
	return badRequest("Invalid filter clause: "+format, args...)
}

// split makes words of a filter. A quote inside quotes is written twice
// (OData 4.01 part 2, §5.1.1.14.1).
func split(s string) (words []lexeme, err error) {
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		switch s[0] {
		case '(', ')', ',':
			words, s = append(words, lexeme{text: s[:1]}), s[1:]
		case '\'':
			text, rest, good := quoted(s[1:])
			if !good {
				return nil, invalidFilter("there is an unterminated string literal.")
			}
			words, s = append(words, lexeme{text, true}), rest
		default:
			end := strings.IndexAny(s, " \t'(),")
			if end < 0 {
				end = len(s)
			}
			words, s = append(words, lexeme{text: s[:end]}), s[end:]
		}
	}
	return words, nil
}

// quoted reads a string up to its closing quote.
func quoted(s string) (text, rest string, good bool) {
	var b strings.Builder
	for {
		end := strings.IndexByte(s, '\'')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(s[:end])
		if s = s[end+1:]; !strings.HasPrefix(s, "'") {
			return b.String(), s, true
		}
		b.WriteByte('\'')
		s = s[1:]
	}
}

// is tells whether the next word is this one.
func (p *parser) is(text string) bool {
	return len(p.words) > 0 && !p.words[0].quoted && strings.EqualFold(p.words[0].text, text)
}

// take takes the next word if it is this one.
func (p *parser) take(text string) bool {
	if !p.is(text) {
		return false
	}
	p.words = p.words[1:]
	return true
}

// want takes a word that must be there.
func (p *parser) want(text string) error {
	if p.take(text) {
		return nil
	}
	return invalidFilter("'%s' is missing%s.", text, p.before())
}

// before says where something is missing.
func (p *parser) before() string {
	if len(p.words) == 0 {
		return " at the end"
	}
	return " before '" + door.Printable(p.words[0].text) + "'"
}

// next takes any word.
func (p *parser) next() (w lexeme, err error) {
	if len(p.words) == 0 {
		return w, invalidFilter("the expression ends too early.")
	}
	w, p.words = p.words[0], p.words[1:]
	return w, nil
}

func (p *parser) or() (term, error) {
	t, err := p.and()
	for err == nil && p.take("or") {
		var b term
		b, err = p.and()
		t = either{t, b}
	}
	return t, err
}

func (p *parser) and() (term, error) {
	t, err := p.single()
	for err == nil && p.take("and") {
		var b term
		b, err = p.single()
		t = both{t, b}
	}
	return t, err
}

// single is what stands between "and" and "or".
func (p *parser) single() (t term, err error) {
	if p.depth++; p.depth > maxDepth {
		return nil, unsupported("The $filter is nested deeper than %d.", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("not"):
		t, err = p.single()
		return negated{t}, err
	case p.take("("):
		if t, err = p.or(); err != nil {
			return nil, err
		}
		return t, p.want(")")
	}
	if err := p.count(); err != nil {
		return nil, err
	}
	w, err := p.next()
	if err != nil {
		return nil, err
	}
	if w.quoted {
		return nil, invalidFilter("write the property first, and '%s' behind the operator.", w.text)
	}
	if p.is("(") {
		return p.call(w.text)
	}
	return p.comparison(w.text)
}

// count bounds how much there is to compare.
func (p *parser) count() error {
	if p.terms++; p.terms > maxTerms {
		return unsupported("The $filter has more than %d comparisons.", maxTerms)
	}
	return nil
}

// call reads a function, or an "any".
func (p *parser) call(name string) (term, error) {
	p.take("(")
	if at := strings.LastIndexByte(name, '/'); at >= 0 && strings.EqualFold(name[at+1:], "any") {
		return p.any(name[:at])
	}
	end := strings.EqualFold(name, "endswith")
	if !end && !strings.EqualFold(name, "startswith") {
		return nil, unsupported("The function '%s' is not supported in $filter.", name)
	}
	w, err := p.next()
	if err != nil {
		return nil, err
	}
	path, k, err := p.path(w)
	if err != nil {
		return nil, err
	}
	if k.is != text {
		return nil, unsupported("The function '%s' works on strings, and '%s' is none.", name, w.text)
	}
	if err := p.want(","); err != nil {
		return nil, err
	}
	if w, err = p.next(); err != nil {
		return nil, err
	}
	if !w.quoted {
		return nil, invalidFilter("'%s' is not a string: put it in quotes.", w.text)
	}
	return starts{path, strings.ToLower(w.text), end}, p.want(")")
}

// any reads a lambda: "appRoles/any(r:r/value eq 'Data.Read')". There is one
// variable at a time, as with Graph.
func (p *parser) any(name string) (term, error) {
	if p.variable != "" {
		return nil, unsupported("An 'any' within another is not supported in $filter.")
	}
	path, k, err := p.path(lexeme{text: name})
	if err != nil {
		return nil, err
	}
	if k.is != collection {
		return nil, unsupported("'any' works on collections, and '%s' is none.", name)
	}
	if p.take(")") {
		return some{path: path}, nil
	}
	w, err := p.next()
	if err != nil {
		return nil, err
	}
	variable, rest, good := strings.Cut(w.text, ":")
	if w.quoted || !good || variable == "" || strings.Contains(variable, "/") {
		return nil, invalidFilter("an 'any' begins with a variable and a colon, as in tags/any(t:t eq 'x').")
	}
	if rest != "" {
		p.words = append([]lexeme{{text: rest}}, p.words...)
	}
	p.variable, p.element = strings.ToLower(variable), k.of
	t, err := p.or()
	p.variable, p.element = "", nil
	if err != nil {
		return nil, err
	}
	return some{path, strings.ToLower(variable), t}, p.want(")")
}

// comparison reads what stands behind a property.
func (p *parser) comparison(name string) (term, error) {
	path, k, err := p.path(lexeme{text: name})
	if err != nil {
		return nil, err
	}
	if k.is == collection || k.is == structure {
		return nil, unsupported("'%s' cannot be compared in $filter.", name)
	}
	op, err := p.next()
	if err != nil {
		return nil, err
	}
	switch word := strings.ToLower(op.text); {
	case op.quoted:
		return nil, invalidFilter("there is no operator behind '%s'.", name)
	case word == "in":
		return p.in(path, k, name)
	case word == "eq" || word == "ne" || word == "lt" || word == "le" || word == "gt" || word == "ge":
		to, err := p.literal(k, name)
		return compare{path, word, to}, err
	}
	return nil, invalidFilter("'%s' is not an operator: use eq, ne, lt, le, gt, ge or in.", op.text)
}

func (p *parser) in(path property, k *kind, name string) (term, error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	t := within{path: path}
	for {
		v, err := p.literal(k, name)
		if err == nil {
			err = p.count()
		}
		if err != nil {
			return nil, err
		}
		t.list = append(t.list, v)
		if !p.take(",") {
			return t, p.want(")")
		}
	}
}

// literal reads a value that a property of a kind can have.
func (p *parser) literal(k *kind, name string) (any, error) {
	w, err := p.next()
	if err != nil {
		return nil, err
	}
	if w.quoted {
		if k.is == text || k.is == guid {
			return w.text, nil
		}
		return nil, mismatch(name, k)
	}
	if strings.EqualFold(w.text, "null") {
		return nil, nil
	}
	switch k.is {
	case guid:
		if _, err := uuid.Parse(w.text); err == nil && len(w.text) == 36 {
			return w.text, nil
		}
	case boolean:
		if b := strings.EqualFold(w.text, "true"); b || strings.EqualFold(w.text, "false") {
			return b, nil
		}
	case moment:
		if at, err := time.Parse(time.RFC3339, w.text); err == nil {
			return at, nil
		}
	}
	return nil, mismatch(name, k)
}

func mismatch(name string, k *kind) error {
	return invalidFilter("'%s' is compared with what it cannot be: it is %s.", name, k.is)
}

// path reads the name of a property, and finds out of what kind it is.
func (p *parser) path(w lexeme) (property, *kind, error) {
	if w.quoted {
		return nil, nil, invalidFilter("'%s' is a string where a property must stand.", w.text)
	}
	names := strings.Split(w.text, "/")
	k, at := p.kind, 0
	if p.variable != "" && strings.EqualFold(names[0], p.variable) {
		names[0] = p.variable
		k, at = p.element, 1
	}
	for i := at; i < len(names); i++ {
		name, next := k.property(names[i])
		if next == nil {
			return nil, nil, badRequest("Invalid filter clause: Could not find a property named '%s' on type '%s'.", names[i], k.name)
		}
		names[i], k = name, next
	}
	return names, k, nil
}
