package arm

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// page is which part of a list is wanted.
type page struct {
	after string
	limit int
	tag   *subscription.Tag
}

// page reads $top, $skipToken and $filter.
func (q *request) page() (p page, err error) {
	p.limit = usualInPage
	if top := q.query.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 {
			return p, fail(http.StatusBadRequest, "InvalidQueryParameter", "The $top '%s' is invalid: write a number from 1 to %d.", door.Printable(top), mostInPage)
		}
		p.limit = min(n, mostInPage)
	}
	if token := q.query.Get("$skipToken"); token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || !utf8.Valid(b) || strings.ContainsRune(string(b), 0) {
			return p, fail(http.StatusBadRequest, "InvalidSkipToken", "The $skipToken is invalid: take nextLink of the page before as it is.")
		}
		p.after = string(b)
	}
	p.tag, err = tagFilter(q.query.Get("$filter"))
	return p, err
}

// list is a page of values.
type list struct {
	Value any    `json:"value"`
	Next  string `json:"nextLink,omitempty"`
}

// pageOf is a page, with the URL of the next one.
func (a *api) pageOf(q *request, value any, next string) list {
	if next == "" {
		return list{Value: value}
	}
	v := url.Values{"api-version": {q.apiText}, "$skipToken": {base64.RawURLEncoding.EncodeToString([]byte(next))}}
	for _, name := range []string{"$filter", "$top"} {
		if s := q.query.Get(name); s != "" {
			v.Set(name, s)
		}
	}
	return list{value, a.URL + (&url.URL{Path: q.path}).EscapedPath() + "?" + v.Encode()}
}

// tagFilter reads the filters that lists have: "tagName eq 'a'", and with that
// "and tagValue eq 'b'" (Azure Resource Manager docs, "Resources - List").
func tagFilter(s string) (*subscription.Tag, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	words, good := filterWords(s)
	match := func(i int, word string) bool { return strings.EqualFold(words[i].text, word) && !words[i].quoted }
	if good && (len(words) == 3 || len(words) == 7) && match(0, "tagName") && match(1, "eq") && words[2].quoted {
		tag := &subscription.Tag{Name: words[2].text}
		if len(words) == 3 {
			return tag, nil
		}
		if match(3, "and") && match(4, "tagValue") && match(5, "eq") && words[6].quoted {
			tag.Value = &words[6].text
			return tag, nil
		}
	}
	return nil, fail(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s': write tagName eq 'name', and tagValue eq 'value' after 'and' if you like.", door.Printable(s))
}

type filterWord struct {
	text   string
	quoted bool
}

// filterWords splits a filter. A quote inside quotes is written twice (OData
// 4.01 part 2, §5.1.1.6.1).
func filterWords(s string) (words []filterWord, good bool) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, " \t") {
		if s[0] != '\'' {
			end := strings.IndexAny(s, " \t'")
			if end < 0 {
				end = len(s)
			}
			words, s = append(words, filterWord{s[:end], false}), s[end:]
			continue
		}
		var b strings.Builder
		for s = s[1:]; ; s = s[1:] {
			end := strings.IndexByte(s, '\'')
			if end < 0 {
				return nil, false
			}
			b.WriteString(s[:end])
			s = s[end+1:]
			if !strings.HasPrefix(s, "'") {
				break
			}
			b.WriteByte('\'')
		}
		words = append(words, filterWord{b.String(), true})
	}
	return words, true
}
