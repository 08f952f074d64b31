package arm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/front/door"
)

// decode reads JSON into a value. It returns all values of a wrong kind at once,
// and apart from that the names that the value does not have: those are no
// error, since Azure Resource Manager ignores them and clients of a later
// version send them.
func decode(body []byte, into any) (unknown []string, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return nil, fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", door.Printable(syntax(err)))
	}
	if d.More() {
		return nil, fail(http.StatusBadRequest, "InvalidRequestContent", "The request content has something after the JSON value.")
	}
	var c kinds
	c.check("", raw, reflect.TypeOf(into).Elem())
	if len(c.wrong) > 0 {
		return c.unknown, broken("InvalidRequestContent", c.wrong)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return c.unknown, fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", door.Printable(syntax(err)))
	}
	return c.unknown, nil
}

// syntax says where JSON ends to be JSON.
func syntax(err error) string {
	if e, ok := err.(*json.SyntaxError); ok {
		return fmt.Sprintf("%s, at byte %d", e.Error(), e.Offset)
	}
	return err.Error()
}

// kinds compares a JSON value with the Go type that it is read into.
type kinds struct {
	wrong   gateway.Problems
	unknown []string
}

// maxFindings bounds what one body can make us say.
const maxFindings = 100

func (c *kinds) expected(path, what string) {
	if len(c.wrong) < maxFindings {
		if path == "" {
			path = "$"
		}
		c.wrong = append(c.wrong, gateway.Problem{Path: path, Code: gateway.InvalidFormat, Message: "write " + what})
	}
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (c *kinds) check(path string, v any, t reflect.Type) {
	if v == nil || t == rawMessage {
		return // null leaves the value as it is
	}
	switch t.Kind() {
	case reflect.Pointer:
		c.check(path, v, t.Elem())
	case reflect.Struct:
		if m, is := v.(map[string]any); is {
			c.object(path, m, t)
			return
		}
		c.expected(path, "an object: {…}")
	case reflect.Map:
		m, is := v.(map[string]any)
		if !is {
			c.expected(path, "an object: {…}")
		}
		for _, k := range sorted(m) {
			c.check(join(path, k), m[k], t.Elem())
		}
	case reflect.Slice:
		list, is := v.([]any)
		if !is {
			c.expected(path, "a list: […]")
		}
		for i, e := range list {
			c.check(fmt.Sprintf("%s[%d]", path, i), e, t.Elem())
		}
	case reflect.String:
		if _, is := v.(string); !is {
			c.expected(path, "a text, in quotes")
		}
	case reflect.Bool:
		if _, is := v.(bool); !is {
			c.expected(path, "true or false, without quotes")
		}
	case reflect.Int:
		c.integer(path, v)
	}
}

func (c *kinds) integer(path string, v any) {
	n, is := v.(json.Number)
	i, err := n.Int64()
	if !is || err != nil || i < math.MinInt32 || i > math.MaxInt32 {
		c.expected(path, "a whole number, without quotes")
	}
}

func (c *kinds) object(path string, m map[string]any, t reflect.Type) {
	names, fields := fieldsOf(t)
	for _, k := range sorted(m) {
		i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, k) })
		switch {
		case i >= 0:
			c.check(join(path, names[i]), m[k], fields[i])
		case len(c.unknown) < maxFindings:
			c.unknown = append(c.unknown, unknownName(path, k, names))
		}
	}
}

func unknownName(path, name string, names []string) string {
	s := fmt.Sprintf("property '%s' is unknown and was ignored", door.Printable(join(path, name)))
	if near := gateway.Suggest(name, names); near != "" {
		s += fmt.Sprintf(": did you mean '%s'?", near)
	}
	return s
}

// fieldsOf are the names and types of a struct in JSON, those of what it
// embeds among them.
func fieldsOf(t reflect.Type) (names []string, types []reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		names, types = append(names, name), append(types, f.Type)
	}
	return names, types
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
