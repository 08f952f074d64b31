package operatorconnect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// document is docs/operatorconnect.openapi.yaml. Tests hold every answer of the
// API against it.
type document struct{ root map[string]any }

var theDocument = sync.OnceValue(func() document {
	text, err := os.ReadFile("../../docs/operatorconnect.openapi.yaml")
	if err != nil {
		panic(err)
	}
	var d document
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		panic(err)
	}
	return d
})

// at follows a path of keys; a $ref on the way is followed too.
func (d document) at(v any, path ...string) any {
	v = d.resolve(v)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = d.resolve(m[p])
	}
	return v
}

func (d document) resolve(v any) any {
	m, _ := v.(map[string]any)
	ref, is := m["$ref"].(string)
	if !is {
		return v
	}
	return d.at(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// operation finds one by method and path.
func (d document) operation(op operation) map[string]any {
	method, path, _ := strings.Cut(op.pattern, " ")
	m, _ := d.at(d.root, "paths", path, strings.ToLower(method)).(map[string]any)
	return m
}

// check holds a value against a schema and tells what does not fit.
func (d document) check(schema any, v any, where string) (wrong []string) {
	s, _ := d.resolve(schema).(map[string]any)
	bad := func(format string, a ...any) {
		wrong = append(wrong, where+": "+fmt.Sprintf(format, a...))
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		bad("%v is none of %v", v, enum)
	}
	switch s["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			bad("%v is no object", v)
			return wrong
		}
		properties, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := m[name.(string)]; !ok {
				bad("%s is missing", name)
			}
		}
		for name, x := range m {
			switch p, known := properties[name]; {
			case known:
				wrong = append(wrong, d.check(p, x, where+"."+name)...)
			case s["additionalProperties"] != nil && s["additionalProperties"] != false:
				wrong = append(wrong, d.check(s["additionalProperties"], x, where+"."+name)...)
			default:
				bad("nobody knows %s", name)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			bad("%v is no array", v)
		}
		for i, x := range list {
			wrong = append(wrong, d.check(s["items"], x, fmt.Sprintf("%s[%d]", where, i))...)
		}
	case "string":
		text, ok := v.(string)
		pattern, _ := s["pattern"].(string)
		switch {
		case !ok:
			bad("%v is no string", v)
		case pattern != "" && !regexp.MustCompile(pattern).MatchString(text):
			bad("%q does not match %s", text, pattern)
		case s["format"] == "uuid" && !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(text):
			bad("%q is no ID in lower case", text)
		case s["format"] == "date-time" && !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`).MatchString(text):
			bad("%q is no time", text)
		case s["format"] == "uri" && !strings.HasPrefix(text, "https://"):
			bad("%q is not absolute", text)
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			bad("%v is no integer", v)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			bad("%v is no boolean", v)
		}
	}
	return wrong
}

// judge holds an answer against what the document says of its operation.
func (d document) judge(t *testing.T, op operation, res *http.Response, body []byte) {
	t.Helper()
	responses := d.at(d.operation(op), "responses").(map[string]any)
	code := fmt.Sprint(res.StatusCode)
	described, ok := responses[code]
	if !ok {
		if res.StatusCode < 400 {
			t.Errorf("%s: the document knows no %s", op.name, code)
			return
		}
		described = responses["default"]
	}
	if res.Header.Get("request-id") == "" {
		t.Errorf("%s: no request-id", op.name)
	}
	headers, _ := d.at(described, "headers").(map[string]any)
	for name := range headers {
		optional := res.StatusCode >= 400 || name == "Retry-After"
		if res.Header.Get(name) == "" && !optional {
			t.Errorf("%s %s: no %s", op.name, code, name)
		}
	}
	schema := d.at(described, "content", "application/json", "schema")
	if schema == nil {
		if len(body) > 0 {
			t.Errorf("%s %s has a body: %s", op.name, code, body)
		}
		return
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("%s %s: %v: %.200s", op.name, code, err, body)
		return
	}
	for _, w := range d.check(schema, v, op.name) {
		t.Errorf("%s: %s", code, w)
	}
	if res.StatusCode >= 400 && d.at(v, "error", "code") != res.Header.Get("x-ms-error-code") {
		t.Errorf("%s: x-ms-error-code %q, body %s", op.name, res.Header.Get("x-ms-error-code"), body)
	}
}

func TestTheAPIIsThatOfTheDocument(t *testing.T) {
	d := theDocument()
	said := map[string]bool{}
	for path, methods := range d.at(d.root, "paths").(map[string]any) {
		for method, o := range methods.(map[string]any) {
			if id := d.at(o, "operationId"); id != nil {
				said[strings.ToUpper(method)+" "+path+" "+id.(string)] = true
			}
		}
	}
	for _, op := range operations {
		key := op.pattern + " " + op.name
		if !said[key] {
			t.Errorf("the document has no %s", key)
		}
		delete(said, key)
		roles, _ := d.operation(op)["x-roles"].([]any)
		if fmt.Sprint(roles) != fmt.Sprint(op.roles) {
			t.Errorf("%s: roles %v, the document says %v", op.name, op.roles, roles)
		}
	}
	for key := range said {
		t.Errorf("the API lacks %s", key)
	}
	// Words that the code has for itself.
	schemas := d.at(d.root, "components", "schemas")
	for name, words := range map[string][]string{"ConsentStatus": consentStatuses, "RelationshipStatus": relationships, "Usage": usages, "AssignmentStatus": assignments} {
		if got := fmt.Sprint(d.at(schemas, name, "enum")); got != fmt.Sprint(words) {
			t.Errorf("%s: the document has %s, the code %v", name, got, words)
		}
	}
	if got := fmt.Sprint(d.at(schemas, "OfferType", "properties", "offerTypeName", "enum")); got != fmt.Sprint(offers) {
		t.Errorf("offers: the document has %s, the code %v", got, offers)
	}
}
