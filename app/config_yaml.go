package app

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tandemgw/tandem/control/gateway"
)

// reader turns YAML into a Go value and remembers where each part of it
// stood, so that every later complaint can name its line. It does what
// yaml.Unmarshal does not: it goes on after a mistake, knows columns, and
// guesses what a misspelt key should have been.
type reader struct {
	problems Problems
	places   map[string]place // by path: "sip.listeners[0].bind"
	broken   map[string]bool  // paths that could not be read
	aliases  int              // those we are inside of
	aliased  int              // nodes reached through aliases
}

type place struct{ line, column int }

// maxAliased bounds what aliases of aliases can multiply a file to. How deep
// it nests is bounded by the types, none of which holds itself.
const maxAliased = 10_000

func newReader() *reader {
	return &reader{places: map[string]place{}, broken: map[string]bool{}}
}

// read decodes the one document of data into v, a pointer.
func (r *reader) read(data []byte, v any) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		r.complain(place{1, 1}, "", "the file is empty: begin with tandem.example.yaml")
		return
	case err != nil:
		r.syntax(err)
		return
	}
	if err := dec.Decode(&more); err == nil {
		r.complain(place{more.Line, more.Column}, "", "a second document begins here: write one only")
	} else if err != io.EOF {
		r.syntax(err)
	}
	r.value("", doc.Content[0], reflect.ValueOf(v).Elem())
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax reports an error of the YAML parser, which tells its line in words.
func (r *reader) syntax(err error) {
	text, line := err.Error(), 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	r.complain(place{line, 1}, "", "not YAML: "+text)
}

func (r *reader) complain(at place, path, text string) {
	r.broken[path] = true
	r.problems = append(r.problems, Problem{Line: at.line, Column: at.column, Path: path, Text: text})
}

// at is where a path stands, or the nearest part around it that does.
func (r *reader) at(path string) place {
	for path != "" {
		if p, ok := r.places[path]; ok {
			return p
		}
		path = parent(path)
	}
	return place{1, 1}
}

// unread tells whether a path, or what is around it, could not be read.
func (r *reader) unread(path string) bool {
	for path != "" {
		if r.broken[path] {
			return true
		}
		path = parent(path)
	}
	return r.broken[""]
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

func (r *reader) has(path string) bool { _, ok := r.places[path]; return ok }

func (r *reader) value(path string, n *yaml.Node, v reflect.Value) {
	here := place{n.Line, n.Column}
	if _, known := r.places[path]; !known {
		r.places[path] = here
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
		r.aliases++
		defer func() { r.aliases-- }()
	}
	if r.aliases > 0 {
		r.aliased++
	}
	switch {
	case r.aliased == maxAliased+1: // said once
		r.complain(here, path, "aliases multiply the file beyond reason: write out what is meant")
	case r.aliased > maxAliased:
	case n.ShortTag() == "!!null":
		r.null(here, path, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(path, n, v.Elem())
	case scalars[v.Type()].parse != nil:
		r.scalar(path, n, v)
	case v.Kind() == reflect.Struct:
		r.mapping(path, n, v)
	case v.Kind() == reflect.Map:
		r.words(path, n, v)
	case v.Kind() == reflect.Slice:
		r.list(path, n, v)
	default:
		r.plain(path, n, v)
	}
}

// null: a section may be left empty, a value may not.
func (r *reader) null(here place, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
	case reflect.Struct:
		if scalars[v.Type()].parse != nil {
			r.complain(here, path, "has no value: "+scalars[v.Type()].want)
		}
	default:
		r.complain(here, path, "has no value: write one or remove the key")
	}
}

func (r *reader) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		r.complain(place{n.Line, n.Column}, path, "is "+kindOf(n)+": write keys and values here")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, here := n.Content[i], place{n.Content[i].Line, n.Content[i].Column}
		sub := join(path, key.Value)
		if line, twice := seen[key.Value]; twice {
			r.complain(here, sub, fmt.Sprintf("stands twice, first in line %d: remove one", line))
			continue
		}
		seen[key.Value] = key.Line
		field, ok := fieldByKey(v, key.Value)
		if to := moved[sub]; to != "" {
			r.complain(here, sub, "is now part of "+to+": write it there")
			continue
		}
		if !ok {
			text, meant := unknownKey(v.Type(), key.Value)
			r.complain(here, sub, text)
			if meant != "" {
				r.broken[join(path, meant)] = true // or it would be missed as well
			}
			continue
		}
		// A scalar is pointed at itself, a section at its key.
		if n.Content[i+1].Kind != yaml.ScalarNode || n.Content[i+1].ShortTag() == "!!null" {
			r.places[sub] = here
		}
		r.value(sub, n.Content[i+1], field)
	}
}

// moved are keys that were two halves of one thing, and what they are now.
var moved = map[string]string{
	"control.login.issuer":      "control.directory.outside",
	"control.onboard.directory": "control.directory.outside",
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (r *reader) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		r.complain(place{n.Line, n.Column}, path, "is "+kindOf(n)+": write a list, [a, b] or lines that begin with \"- \"")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, x := range n.Content {
		r.value(fmt.Sprintf("%s[%d]", path, i), x, v.Index(i))
	}
}

// words reads a mapping whose keys are free: tags.
func (r *reader) words(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		r.complain(place{n.Line, n.Column}, path, "is "+kindOf(n)+": write keys and values here")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		word := reflect.New(v.Type().Elem()).Elem()
		r.value(join(path, n.Content[i].Value), n.Content[i+1], word)
		v.SetMapIndex(reflect.ValueOf(n.Content[i].Value), word)
	}
}

// scalars are the values with a syntax of their own.
var scalars = map[reflect.Type]struct {
	parse func(string) (any, error)
	want  string
}{
	reflect.TypeFor[time.Duration]():  {func(s string) (any, error) { return time.ParseDuration(s) }, "write a duration such as 30s or 5m"},
	reflect.TypeFor[netip.AddrPort](): {func(s string) (any, error) { return netip.ParseAddrPort(s) }, "write an IP address and a port, such as 192.0.2.1:5061"},
	reflect.TypeFor[netip.Addr]():     {func(s string) (any, error) { return netip.ParseAddr(s) }, "write an IP address such as 192.0.2.1"},
	reflect.TypeFor[netip.Prefix]():   {func(s string) (any, error) { return gateway.ParsePrefix(s) }, "write a range such as 192.0.2.0/24"},
	reflect.TypeFor[PortRange]():      {func(s string) (any, error) { return parsePorts(s) }, "write a range of ports such as 20000-24999"},
}

func (r *reader) scalar(path string, n *yaml.Node, v reflect.Value) {
	kind := scalars[v.Type()]
	x, err := kind.parse(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.complain(place{n.Line, n.Column}, path, valueOf(n)+": "+kind.want)
		return
	}
	v.Set(reflect.ValueOf(x))
}

// plain reads text, truth and numbers. Text takes what stands there whatever
// YAML would make of it: +441134960000 and 911 are no numbers to us.
func (r *reader) plain(path string, n *yaml.Node, v reflect.Value) {
	here := place{n.Line, n.Column}
	if n.Kind != yaml.ScalarNode {
		r.complain(here, path, valueOf(n)+": write a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			r.complain(here, path, valueOf(n)+": write true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Uint16:
		x, err := strconv.ParseUint(n.Value, 10, 16)
		if err != nil {
			r.complain(here, path, valueOf(n)+": write a number from 0 to 65535")
		}
		v.SetUint(x)
	default:
		x, err := strconv.Atoi(n.Value)
		if err != nil {
			r.complain(here, path, valueOf(n)+": write a whole number")
		}
		v.SetInt(int64(x))
	}
}

func valueOf(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return strconv.Quote(n.Value)
	}
	return kindOf(n)
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a section"
	}
	return "a single value"
}

// fieldByKey finds the field of a struct that a key names.
func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if k := keyOf(v.Type().Field(i), "yaml"); k == key && k != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// keyOf is the name of a field in a format, "" when it has none.
func keyOf(f reflect.StructField, format string) string {
	name, _, _ := strings.Cut(f.Tag.Get(format), ",")
	if name == "-" {
		return ""
	}
	return name
}

// unknownKey says what is wrong with a key, and which one was meant if that
// can be guessed.
func unknownKey(t reflect.Type, key string) (text, meant string) {
	if key == "<<" {
		return "merge keys are not read: repeat the values, or use an alias for a whole value", ""
	}
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		if k := keyOf(f, "yaml"); k != "" {
			keys = append(keys, k)
		} else if keyOf(f, "json") == key {
			return "is set by the gateway itself: remove it", ""
		}
	}
	if meant = gateway.Suggest(key, keys); meant != "" {
		return "unknown key: did you mean " + meant + "?", meant
	}
	slices.Sort(keys)
	return "unknown key: known here are " + strings.Join(keys, ", "), ""
}

func parsePorts(s string) (PortRange, error) {
	low, high, ok := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	if !ok || cmp.Or(err1, err2) != nil {
		return PortRange{}, fmt.Errorf("ports %q: not a range", s)
	}
	return PortRange{uint16(first), uint16(last)}, nil
}
