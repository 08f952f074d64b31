// Package door is what the APIs of front do alike, whatever dialect they
// speak: a request gets its names, its token and body are taken in bounds, its
// principal is counted, its path finds a route; whatever happens, a panic
// included, is answered and told once.
//
// A dialect gives its own words as values: a Door has its headers and the shape
// of its errors, a Vocabulary what it calls them. The door refuses to know any
// resource, any permission, and any status but those that all have. Start
// reading at Door.ServeHTTP.
package door

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/subscription"
)

// Door is where the requests of one API come in.
type Door struct {
	Name  string // of the API, in the log
	Media string // Content-Type of its JSON

	// Headers by which clients name a request, and what it belongs to.
	ClientID, CorrelationID string
	// Secret is of an API in whose bodies there are secrets: they are wiped,
	// and of a panic only the type is told, not the value.
	Secret bool

	// Challenge is what WWW-Authenticate tells who has no good token: where to
	// get one.
	Challenge string

	Greet    func(h http.Header, q *Request)                 // puts into h what every answer bears
	Serve    func(h http.Header, q *Request) (Answer, error) // does what is asked
	Explain  func(error) *Failure                            // the failure of any error
	Envelope func(h http.Header, q *Request, f *Failure) any // the body of a failure, and headers of its own
	Level    func(q *Request, status int) slog.Level         // how loud it is told
	Log      *slog.Logger
}

// Answer is what a request is answered with.
type Answer struct {
	Status int
	Body   any // nil: none; a string is sent as text
	Header map[string]string
}

// ServeHTTP lets whatever happens be answered and told once.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	q := &Request{Request: r}
	q.About = subscription.Request{ID: uuid.NewString(), Client: word(r.Header.Get(d.ClientID))}
	q.About.Correlation = cmp.Or(word(r.Header.Get(d.CorrelationID)), q.About.ID)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	d.Greet(h, q)
	status, err := d.guarded(w, q)
	d.tell(q, status, err, time.Since(begun))
}

// guarded lets a panic end this request and nothing else.
func (d *Door) guarded(w http.ResponseWriter, q *Request) (status int, err error) {
	defer func() {
		if d.Secret {
			clear(q.Content)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			if d.Secret {
				p = fmt.Sprintf("of type %T", p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			status = d.fail(w, q, err)
		}
	}()
	ans, err := d.Serve(w.Header(), q)
	if err != nil {
		return d.fail(w, q, err), err
	}
	for k, v := range ans.Header {
		w.Header().Set(k, v)
	}
	d.write(w, q, ans.Status, ans.Body)
	return ans.Status, nil
}

// fail answers with an error.
func (d *Door) fail(w http.ResponseWriter, q *Request, err error) int {
	f := d.Explain(err)
	h := w.Header()
	if f.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", d.Challenge+f.Bearer)
	}
	if f.Wait > 0 {
		h.Set("Retry-After", Seconds(f.Wait))
	}
	if f.Allow != "" {
		h.Set("Allow", f.Allow)
	}
	d.write(w, q, f.Status, d.Envelope(h, q, f))
	return f.Status
}

// write answers.
func (d *Door) write(w http.ResponseWriter, q *Request, status int, body any) {
	media, text := d.Media, []byte(nil)
	switch it := body.(type) {
	case nil:
		w.WriteHeader(status)
		return
	case string:
		media, text = "text/plain; charset=utf-8", []byte(it)
	default:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(body); err != nil {
			panic(err) // our own types
		}
		if d.Secret {
			defer clear(b.Bytes()[:b.Cap()])
		}
		text = bytes.TrimRight(b.Bytes(), "\n")
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if q.Method != http.MethodHead {
		w.Write(text) // the client has gone, or reads it
	}
}

// tell logs the request, once: who asked for what, and never the query, where
// people put what belongs elsewhere.
func (d *Door) tell(q *Request, status int, err error, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("method", Printable(q.Method)), slog.String("path", Printable(q.URL.Path)), slog.Int(obs.KeyStatus, status),
		slog.Duration(obs.KeyDuration, took), slog.String("principal", Printable(q.About.Principal.String())), slog.String(obs.KeyRemote, q.RemoteAddr),
		slog.String("request", q.About.ID), slog.String("correlation", q.About.Correlation), slog.String("clientRequest", q.About.Client),
	}
	attrs = append(attrs, q.notes...)
	if err != nil {
		attrs = append(attrs, slog.Any(obs.KeyError, err))
	}
	d.Log.LogAttrs(context.WithoutCancel(q.Context()), d.Level(q, status), d.Name, attrs...)
}

var wordForm = regexp.MustCompile(`^[\w.:/+=-]{1,128}$`)

// word is an ID that a client made up, if it looks like one.
func word(s string) string {
	if !wordForm.MatchString(s) {
		return ""
	}
	return s
}

// Printable is what a client wrote, fit for a message and for a log.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// Seconds is a duration as Retry-After has it: whole, at least one, since some
// clients refuse less.
func Seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
