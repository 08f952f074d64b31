package graph

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// list answers with the part of a collection that was asked for. The
// collection is named as the context names it: "servicePrincipals".
func (a *api) list(q *request, k *kind, collection string, all []object) (answer, error) {
	v, err := q.query.view(k)
	if err != nil {
		return answer{}, err
	}
	more, err := q.query.expansions(k)
	if err != nil {
		return answer{}, err
	}
	if len(more) > 0 {
		v.top = min(v.top, mostExpanded)
	}
	page, next, count := v.page(all)
	if q.counts() {
		return ok(strconv.Itoa(count))
	}
	values := make([]object, len(page))
	for i, o := range page {
		values[i] = chosen(o, v.names)
		if err := a.expand(q, more, o, values[i]); err != nil {
			return answer{}, err
		}
	}
	body := object{"@odata.context": a.context(q, collection, v.names), "value": values}
	if v.count {
		body["@odata.count"] = count
	}
	if next != "" {
		body["@odata.nextLink"] = a.next(q, next)
	}
	return ok(body)
}

// counts tells whether only the number is wanted: users/$count.
func (q *request) counts() bool {
	return len(q.parts) > 0 && strings.EqualFold(q.parts[len(q.parts)-1], "$count")
}

// one answers with an object.
func (a *api) one(q *request, k *kind, collection string, o object) (answer, error) {
	names, err := q.query.names(k)
	if err != nil {
		return answer{}, err
	}
	more, err := q.query.expansions(k)
	if err != nil {
		return answer{}, err
	}
	out := chosen(o, names)
	if err := a.expand(q, more, o, out); err != nil {
		return answer{}, err
	}
	return ok(a.entity(q, collection, out, names))
}

// made answers with a new object.
func (a *api) made(q *request, collection string, o object) (answer, error) {
	ans, err := created(a.entity(q, collection, o, nil))
	if id, is := o["id"].(string); is {
		ans.Header = map[string]string{"Location": a.URL + "/" + q.version + "/" + collection + "/" + url.PathEscape(id)}
	}
	return ans, err
}

// entity is an object that says what it is.
func (a *api) entity(q *request, collection string, o object, names []string) object {
	o["@odata.context"] = a.context(q, collection, names) + "/$entity"
	return o
}

// context is the URL that says what an answer is (OData 4.01 part 1, §10).
func (a *api) context(q *request, collection string, names []string) string {
	s := a.URL + "/" + q.version + "/$metadata#" + collection
	if names != nil {
		s += "(" + strings.Join(names, ",") + ")"
	}
	return s
}

// next is the URL of the next page.
func (a *api) next(q *request, token string) string {
	v := url.Values{"$skiptoken": {token}}
	for _, name := range q.query.known {
		if name != "skiptoken" {
			v.Set("$"+name, q.query.values[name])
		}
	}
	return a.URL + q.URL.EscapedPath() + "?" + v.Encode()
}

// values are the elements of a list as filters see them.
func values[T any](list []T, f func(T) any) []any {
	all := make([]any, len(list))
	for i, e := range list {
		all[i] = f(e)
	}
	return all
}

// texts are strings as filters see them.
func texts(list []string) []any { return values(list, func(s string) any { return s }) }

// orNull is a string, or nothing.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// shaped is a list of objects of the domain as objects of Graph.
func shaped[T any](list []T, f func(T) object) []object {
	all := make([]object, len(list))
	for i, e := range list {
		all[i] = f(e)
	}
	return all
}

// only is a list without what another kind of object is, when the path casts:
// members/microsoft.graph.user.
func (q *request) only(all []object) []object {
	cast := q.vars["cast"]
	if cast == "" {
		return all
	}
	return slices.DeleteFunc(all, func(o object) bool {
		is, _ := o["@odata.type"].(string)
		return !strings.EqualFold(is, "#"+cast)
	})
}
