package graph

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// decode reads the body, an object of a kind, into a struct. What the body
// leaves out is as in current, in structures within too (Microsoft Graph docs,
// "Update user": existing properties that are not in the body keep their
// values); null is nothing.
func (q *request) decode(k *kind, current object, into any) error {
	given, err := q.object()
	if err != nil {
		return err
	}
	merged, err := merge(k, current, given, "")
	if err != nil {
		return err
	}
	b, err := json.Marshal(merged)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	clear(b)
	if err != nil {
		return badBody("The body has a value that cannot be read.") // never quoted: it may be a password
	}
	return nil
}

// object reads the body as a JSON object.
func (q *request) object() (object, error) {
	var o object
	if !utf8.Valid(q.Content) || json.Unmarshal(q.Content, &o) != nil || o == nil {
		return nil, badRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format: it must be one object.")
	}
	return o, nil
}

// merge lays what is given over what there is, once it is known to be of the
// kind. Names are the same in any case.
func merge(k *kind, current, given object, at string) (object, error) {
	out := maps.Clone(current)
	if out == nil {
		out = object{}
	}
	seen := map[string]bool{}
	for _, said := range slices.Sorted(maps.Keys(given)) {
		if strings.HasPrefix(said, "@") || strings.Contains(said, "@odata.type") {
			continue // clients say what kind of object it is
		}
		v := given[said]
		name, of := k.property(said)
		switch {
		case seen[strings.ToLower(said)]:
			return nil, badBody("Property '%s' stands in the body twice.", at+said)
		case of == nil && k.has(said) && empty(v):
			continue
		case of == nil && k.has(said):
			return nil, badBody("Property '%s' is not kept by this directory: leave it out.", at+said)
		case of == nil:
			return nil, badBody("Invalid property '%s'.", at+said)
		case slices.Contains(k.fixed, name) && v != nil:
			return nil, badBody("Property '%s' is read-only and cannot be set.", at+said)
		case slices.Contains(k.fixed, name):
			continue
		}
		seen[strings.ToLower(said)] = true
		was, _ := current[name].(object)
		it, err := of.value(v, was, at+name)
		if err != nil {
			return nil, err
		}
		out[name] = it
	}
	return out, nil
}

// value is what is given, once it is known to be of the kind.
func (k *kind) value(v any, was object, at string) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch it := v.(type) {
	case string:
		switch k.is {
		case text:
			return v, nil
		case guid:
			if _, err := uuid.Parse(it); err == nil && len(it) == 36 {
				return strings.ToLower(it), nil
			}
		case moment:
			if t, err := time.Parse(time.RFC3339, it); err == nil {
				return t, nil
			}
		}
	case bool:
		if k.is == boolean {
			return v, nil
		}
	case map[string]any:
		if k.is == structure {
			return merge(k, was, it, at+"/")
		}
	case []any:
		if k.is == collection {
			list := make([]any, len(it))
			for i, e := range it {
				e, err := k.of.value(e, nil, at)
				if err != nil {
					return nil, err
				}
				if e == nil {
					return nil, badBody("Property '%s' has null as an element.", at)
				}
				list[i] = e
			}
			return list, nil
		}
	}
	return nil, badBody("Property '%s' has a value of the wrong type: it is %s.", at, string(k.is))
}

// empty tells whether a value asks for nothing.
func empty(v any) bool {
	switch it := v.(type) {
	case nil:
		return true
	case string:
		return it == ""
	case bool:
		return !it
	case float64:
		return it == 0
	case []any:
		return len(it) == 0
	case map[string]any:
		for _, v := range it {
			if !empty(v) {
				return false
			}
		}
		return true
	}
	return false
}

// sized bounds how many elements a list in a body may have.
func sized[T any](list []T, most int, name string) error {
	if len(list) > most {
		return badBody("Property '%s' has more than %d elements.", name, most)
	}
	return nil
}

// reference reads the body of a $ref: the ID that stands last in @odata.id
// (Microsoft Graph docs, "Add members").
func (q *request) reference() (string, error) {
	o, err := q.object()
	if err != nil {
		return "", err
	}
	at, _ := o["@odata.id"].(string)
	parts, good := path(at[strings.LastIndexByte(strings.TrimRight(at, "/"), '/')+1:])
	if !good || len(parts) == 0 {
		return "", badBody("The body must be {\"@odata.id\": \"%s\"}.", "https://…/v1.0/directoryObjects/{id}")
	}
	return parts[len(parts)-1], nil
}
