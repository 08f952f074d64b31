package graph

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
)

// Pages (Microsoft Graph docs, "Paging Microsoft Graph data in your app").
const (
	usualInPage = 100
	mostInPage  = 999
	maxSearch   = 500 // characters
)

// query is what the URL says beside the path.
type query struct {
	values map[string]string // names in lower case, without "$"
	known  []string          // of it, what goes on in the next page
}

// odata are the options of OData that may be asked for.
var odata = []string{"filter", "select", "top", "skiptoken", "search", "count", "orderby", "expand", "format"}

// readQuery reads all options. "$" may be left out (Microsoft Graph docs, "Use
// query parameters to customize responses"); some clients encode it.
func readQuery(raw string) (q query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil || !utf8.ValidString(raw) {
		return q, badRequest("The query of the URL cannot be read.")
	}
	q.values = map[string]string{}
	for name, v := range values {
		bare, dollar := strings.CutPrefix(strings.ToLower(name), "$")
		if !slices.Contains(odata, bare) {
			if dollar {
				return q, unsupported("The query option '%s' is not supported.", name)
			}
			continue
		}
		if _, twice := q.values[bare]; twice || len(v) > 1 {
			return q, badRequest("Query option '%s' was specified more than once, but it must be specified at most once.", name)
		}
		if !utf8.ValidString(v[0]) {
			return q, badRequest("The query option '%s' is not UTF-8.", name)
		}
		q.values[bare] = v[0]
		q.known = append(q.known, bare)
	}
	slices.Sort(q.known)
	return q, nil
}

func (q query) get(name string) string { return strings.TrimSpace(q.values[name]) }

// pinned is the value that a property must have for a filter of objects of a
// kind to hold: there is no need to look at all others.
func (q query) pinned(k *kind, name string) (string, bool) {
	text := q.get("filter")
	if text == "" {
		return "", false
	}
	t, err := parseFilter(text, k)
	if err != nil {
		return "", false // it will be told
	}
	return pins(t, name)
}

func pins(t term, name string) (string, bool) {
	switch t := t.(type) {
	case compare:
		if text, is := t.to.(string); is && t.op == "eq" && len(t.path) == 1 && t.path[0] == name {
			return text, true
		}
	case both:
		if text, is := pins(t.a, name); is {
			return text, true
		}
		return pins(t.b, name)
	}
	return "", false
}

// one is a list of what was found, if anything was.
func one[T any](found T, err error) ([]T, error) {
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	return []T{found}, err
}

// view is which objects of a list are wanted, and what of them.
type view struct {
	filter, search term // nil: all
	names          []string
	order          string // property; "" is the ID
	down           bool
	top            int
	after          *[2]string // key and ID of the last of the page before
	count          bool
}

// view reads the options for objects of a kind.
func (q query) view(k *kind) (v view, err error) {
	v.top = usualInPage
	if text := q.get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostInPage {
			return v, badRequest("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", text, mostInPage)
		}
		v.top = n
	}
	if text := q.get("filter"); text != "" {
		if v.filter, err = parseFilter(text, k); err != nil {
			return v, err
		}
	}
	if text := q.get("search"); text != "" {
		if v.search, err = parseSearch(text, k); err != nil {
			return v, err
		}
	}
	if v.names, err = q.names(k); err != nil {
		return v, err
	}
	if text := q.get("count"); text != "" && !strings.EqualFold(text, "false") {
		if v.count = strings.EqualFold(text, "true"); !v.count {
			return v, badRequest("Invalid value '%s' for $count query option found. Valid values are 'false' and 'true'.", text)
		}
	}
	if err := v.readOrder(q.get("orderby"), k); err != nil {
		return v, err
	}
	return v, v.readToken(q.get("skiptoken"))
}

// names reads $select.
func (q query) names(k *kind) (names []string, err error) {
	text := q.get("select")
	if text == "" {
		return nil, nil
	}
	for said := range strings.SplitSeq(text, ",") {
		if said = strings.TrimSpace(said); said == "*" {
			return nil, nil
		}
		name, of := k.property(said)
		switch {
		case of != nil:
			names = append(names, name)
		case !k.has(said):
			return nil, badRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type '%s'.", said, k.name)
		}
	}
	if names == nil {
		names = []string{} // of those asked for we keep none
	}
	return names, nil
}

// readOrder reads $orderby, which may name one property.
func (v *view) readOrder(text string, k *kind) error {
	if text == "" {
		return nil
	}
	words := strings.Fields(text)
	name, of := k.property(words[0])
	if of == nil {
		return badRequest("Could not find a property named '%s' on type '%s'.", words[0], k.name)
	}
	v.order = name
	v.down = len(words) == 2 && strings.EqualFold(words[1], "desc")
	if len(words) > 2 || len(words) == 2 && !v.down && !strings.EqualFold(words[1], "asc") || of.is == structure || of.is == collection {
		return unsupported("Sorting is supported by one property that is no collection, and 'asc' or 'desc'.")
	}
	return nil
}

func (v *view) readToken(text string) error {
	if text == "" {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	v.after = new([2]string)
	if err == nil {
		err = json.Unmarshal(b, v.after)
	}
	if err != nil {
		return refusal(400, "Directory_ExpiredPageToken", "The specified page token value is invalid: take @odata.nextLink of the page before as it is.")
	}
	return nil
}

// key is by what an object is sorted: as text, that is in the same order.
func (v *view) key(o object) [2]string {
	id, _ := o["id"].(string)
	switch it := o[v.order].(type) {
	case string, named:
		return [2]string{strings.ToLower(names(it)[0]), id}
	case bool:
		return [2]string{strconv.FormatBool(it), id}
	case time.Time:
		return [2]string{it.UTC().Format("2006-01-02T15:04:05.000000000"), id}
	}
	return [2]string{"", id}
}

// page is the part of a list that is wanted, with the token of the next part,
// and how many there are in all.
func (v *view) page(all []object) (page []object, next string, count int) {
	all = slices.DeleteFunc(all, func(o object) bool {
		s := scope{it: o}
		return v.filter != nil && !v.filter.holds(s) || v.search != nil && !v.search.holds(s)
	})
	keys := make(map[string][2]string, len(all))
	for _, o := range all {
		id, _ := o["id"].(string)
		keys[id] = v.key(o)
	}
	key := func(o object) [2]string {
		id, _ := o["id"].(string)
		return keys[id]
	}
	order := func(a, b [2]string) int {
		n := slices.Compare(a[:], b[:])
		if v.down {
			return -n
		}
		return n
	}
	slices.SortFunc(all, func(a, b object) int { return order(key(a), key(b)) })
	count = len(all)
	if v.after != nil {
		all = all[firstAfter(all, func(o object) bool { return order(key(o), *v.after) > 0 }):]
	}
	if len(all) > v.top {
		last := key(all[v.top-1])
		b, err := json.Marshal(last)
		if err != nil {
			panic(err) // two strings
		}
		all, next = all[:v.top], base64.RawURLEncoding.EncodeToString(b)
	}
	return all, next, count
}

func firstAfter(all []object, is func(object) bool) int {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return i
	}
	return len(all)
}

// chosen is an object with the properties that were asked for.
func chosen(o object, names []string) object {
	if names == nil {
		return o
	}
	c := object{}
	for _, name := range names {
		c[name] = o[name]
	}
	for name, v := range o {
		if strings.HasPrefix(name, "@odata.") || strings.HasSuffix(name, "@odata.context") {
			c[name] = v
		}
	}
	return c
}

// parseSearch reads $search: "property:text" in quotes, with AND and OR in
// between (Microsoft Graph docs, "Use the $search query parameter"). A text
// is found where a word begins with it.
func parseSearch(s string, k *kind) (t term, err error) {
	if utf8.RuneCountInString(s) > maxSearch {
		return nil, unsupported("The $search has more than %d characters.", maxSearch)
	}
	join := ""
	for {
		s = strings.TrimSpace(s)
		if !strings.HasPrefix(s, `"`) {
			return nil, badSearch()
		}
		said, rest, closed := strings.Cut(s[1:], `"`)
		property, text, good := strings.Cut(said, ":")
		if !closed || !good || strings.TrimSpace(text) == "" {
			return nil, badSearch()
		}
		name, of := k.property(strings.TrimSpace(property))
		if of == nil || of.is != aText.is && of.is != aGUID.is {
			return nil, badRequest("Could not find a property named '%s' on type '%s' that can be searched.", property, k.name)
		}
		next := term(found{name, strings.ToLower(strings.TrimSpace(text))})
		switch join {
		case "AND":
			next = both{t, next}
		case "OR":
			next = either{t, next}
		}
		t = next
		if s = strings.TrimSpace(rest); s == "" {
			return t, nil
		}
		join, s, _ = strings.Cut(s, " ")
		if join = strings.ToUpper(cmp.Or(join, "?")); join != "AND" && join != "OR" {
			return nil, badSearch()
		}
	}
}

func badSearch() error {
	return badRequest(`Invalid $search: write "displayName:text" in double quotes, and AND or OR between two of these.`)
}

// found is that a property has a word that begins so.
type found struct{ property, text string }

func (t found) holds(s scope) bool {
	return slices.ContainsFunc(names(property{t.property}.of(s)), func(name string) bool {
		name = strings.ToLower(name)
		for at := 0; ; {
			i := strings.Index(name[at:], t.text)
			if i < 0 {
				return false
			}
			if at += i; at == 0 || strings.ContainsRune(" -_.,/'@()", rune(name[at-1])) {
				return true
			}
			at++
		}
	})
}
