package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// shorthand reads a value as `az` takes it on its command line (Azure CLI docs,
// "Shorthand syntax"): JSON, or lists and objects with the quotes left out,
// [a,b] and {name:x,tags:{a:b}}, single quotes around what has a meaning of
// its own, with '/ for a quote in them, null, or @file. Anything else is text.
//
// The result is nil, string, []any or map[string]any; JSON also gives bool and
// json.Number.
func shorthand(s string) (any, error) {
	if file, ok := strings.CutPrefix(s, "@"); ok && file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("read the value of an option: %v", err)
		}
		s = strings.TrimSpace(string(data))
	}
	if v, ok := asJSON(s); ok {
		return v, nil
	}
	p := shortParser{text: s}
	if !strings.HasPrefix(s, "[") && !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, "'") && s != "null" {
		return s, nil
	}
	v, err := p.value(0)
	if err == nil && p.at < len(s) {
		err = p.wrong("nothing more")
	}
	if err != nil {
		return nil, usageError{err}
	}
	return v, nil
}

// asJSON reads lists, objects and strings of JSON; a bare word is text.
func asJSON(s string) (any, bool) {
	if !strings.HasPrefix(s, "[") && !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, `"`) {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || dec.More() {
		return nil, false
	}
	return v, true
}

// shortParser walks over a shorthand value.
type shortParser struct {
	text string
	at   int // bytes read
}

// maxDepth of lists and objects in each other: more than any resource has.
const maxDepth = 32

func (p *shortParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%q nests too deep: write a file and give it as @FILE", clip(p.text, 40))
	}
	switch p.peek() {
	case '[':
		return p.list(depth)
	case '{':
		return p.object(depth)
	case '\'':
		return p.quoted()
	}
	word := p.word(",]}")
	if word == "" {
		return nil, p.wrong("a value")
	}
	if word == "null" {
		return nil, nil
	}
	return word, nil
}

func (p *shortParser) list(depth int) (any, error) {
	list := []any{}
	p.at++
	for p.peek() != ']' {
		if len(list) > 0 && !p.take(',') {
			return nil, p.wrong("a comma or ]")
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	p.at++
	return list, nil
}

func (p *shortParser) object(depth int) (any, error) {
	object := map[string]any{}
	p.at++
	for p.peek() != '}' {
		if len(object) > 0 && !p.take(',') {
			return nil, p.wrong("a comma or }")
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("%q stands twice in %q", key, clip(p.text, 40))
		}
		if !p.take(':') {
			return nil, p.wrong("a colon after " + key)
		}
		if object[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	p.at++
	return object, nil
}

func (p *shortParser) key() (string, error) {
	if p.peek() == '\'' {
		return p.quoted()
	}
	key := p.word(":,]}")
	if key == "" {
		return "", p.wrong("a name")
	}
	return key, nil
}

// quoted is text in single quotes, in which '/ stands for a quote.
func (p *shortParser) quoted() (string, error) {
	var b strings.Builder
	p.at++
	for {
		end := strings.IndexByte(p.text[p.at:], '\'')
		if end < 0 {
			return "", p.wrong("a closing quote")
		}
		b.WriteString(p.text[p.at : p.at+end])
		p.at += end + 1
		if p.at >= len(p.text) || p.text[p.at] != '/' {
			return b.String(), nil
		}
		b.WriteByte('\'')
		p.at++
	}
}

// word is everything up to one of the bytes in stop, without blanks around it.
func (p *shortParser) word(stop string) string {
	end := strings.IndexAny(p.text[p.at:], stop)
	if end < 0 {
		end = len(p.text) - p.at
	}
	word := p.text[p.at : p.at+end]
	p.at += end
	return strings.TrimSpace(word)
}

// peek skips blanks and gives the next byte, 0 at the end.
func (p *shortParser) peek() byte {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t') {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *shortParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *shortParser) wrong(wanted string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("%q ends where %s should stand", clip(p.text, 60), wanted)
	}
	return fmt.Errorf("%q: character %d should be %s", clip(p.text, 60), utf8.RuneCountInString(p.text[:p.at])+1, wanted)
}

// loosely gives the names of a resource their own spelling, wherever they
// stand in v: `az` takes PrimaryRegionProperties and primary-region-properties
// for primaryRegionProperties.
func loosely(v any, names []string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = loosely(v[i], names)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			out[spelling(key, names)] = loosely(x, names)
		}
		return out
	}
	return v
}

// spelling is the name that key means, key itself when it means none.
func spelling(key string, names []string) string {
	for _, name := range names {
		if bare(name) == bare(key) {
			return name
		}
	}
	return key
}

func bare(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}
