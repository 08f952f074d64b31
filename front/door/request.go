package door

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/control/subscription"
)

// Request is one on its way.
type Request struct {
	*http.Request
	About   subscription.Request // what it is called, and who asks
	Content []byte               // the body, once it is read

	notes []slog.Attr
}

// Note puts something more into the line of the log.
func (q *Request) Note(attrs ...slog.Attr) { q.notes = append(q.notes, attrs...) }

// Bearer is the token of the request, "" when it has none.
func (q *Request) Bearer() string {
	kind, raw, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(raw)
}

// Is says who asks; what is audited from here on knows it.
func (q *Request) Is(p subscription.Principal) {
	q.About.Principal = p
	q.Request = q.WithContext(subscription.WithRequest(q.Context(), q.About))
}

// Read takes the body, of so many bytes at the most.
func (q *Request) Read(most int64) (err error) {
	q.Content, err = io.ReadAll(http.MaxBytesReader(nil, q.Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &slip{error: ErrLarge, about: strconv.FormatInt(most, 10)}
	}
	if err != nil {
		return &slip{error: ErrCut}
	}
	return nil
}

// Query is the parameters of a URL, whose names are the same in any case.
type Query map[string]string

// Get gives a parameter, "" when it is not there.
func (q Query) Get(name string) string { return q[strings.ToLower(name)] }

// ReadQuery also decodes names: some clients write "api%2Dversion".
func ReadQuery(raw string) (Query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &slip{error: ErrQuery}
	}
	q := Query{}
	for name, v := range values {
		name = strings.ToLower(name)
		if _, twice := q[name]; twice || len(v) > 1 {
			return nil, &slip{error: ErrTwice, about: name}
		}
		q[name] = v[0]
	}
	return q, nil
}
