package door_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// vocabulary is of an API that is not: it has words for some things only.
var vocabulary = door.Vocabulary{
	Kinds: map[fault.Kind]string{
		fault.Internal: "Broken", fault.Invalid: "Wrong", fault.Denied: "Denied", fault.NotFound: "Missing", fault.Conflict: "Conflict", fault.Exhausted: "Full", fault.Unavailable: "Away",
	},
	Before: map[fault.Kind]string{fault.Denied: "No. "},
	Reasons: map[error]door.Words{
		errGone:        {Status: http.StatusGone, Code: "Gone", Inner: "ForGood"},
		door.ErrLarge:  {Status: http.StatusRequestEntityTooLarge, Code: "Large", Sentence: "More than {} bytes."},
		door.ErrTwice:  {Code: "Twice", Sentence: "'{}' is there twice."},
		door.ErrMethod: {Status: http.StatusMethodNotAllowed, Code: "Method"},
	},
	Broken: "Something is broken.",
}

var errGone error = fault.New(fault.NotFound, "It has gone.")

// open is a door behind which do happens, and what it logs.
func open(do func(h http.Header, q *door.Request) (door.Answer, error)) (*door.Door, *bytes.Buffer) {
	var log bytes.Buffer
	return &door.Door{
		Name: "an API", Media: "application/json", ClientID: "x-client", CorrelationID: "x-correlation", Challenge: "Bearer at=here",
		Greet:    func(h http.Header, q *door.Request) { h.Set("x-id", q.About.ID) },
		Serve:    do,
		Explain:  vocabulary.Explain,
		Envelope: func(_ http.Header, _ *door.Request, f *door.Failure) any { return map[string]any{"error": f} },
		Level:    func(*door.Request, int) slog.Level { return slog.LevelInfo },
		Log:      slog.New(slog.NewTextHandler(&log, nil)),
	}, &log
}

func TestWhatIsAnswered(t *testing.T) {
	for name, tt := range map[string]struct {
		ans    door.Answer
		err    error
		status int
		header string // "name: value"
		body   string
	}{
		"nothing":         {ans: door.Answer{Status: 204}, status: 204},
		"JSON":            {ans: door.Answer{Status: 200, Body: map[string]string{"a": "<>"}}, status: 200, header: "Content-Type: application/json", body: `{"a":"<>"}`},
		"text":            {ans: door.Answer{Status: 200, Body: "3", Header: map[string]string{"ETag": "x"}}, status: 200, header: "ETag: x", body: `3`},
		"a failure":       {err: &door.Failure{Status: 418, Code: "Tea", Message: "m", Target: "t"}, status: 418, body: `{"error":{"code":"Tea","message":"m","target":"t"}}`},
		"who is unknown":  {err: &door.Failure{Status: 401, Code: "Who", Message: "m", Bearer: ", error=bad"}, status: 401, header: "Www-Authenticate: Bearer at=here, error=bad", body: `{"error":{"code":"Who","message":"m"}}`},
		"a reason":        {err: fmt.Errorf("look: %w", errGone), status: 410, body: `{"error":{"code":"Gone","message":"It has gone.","innererror":{"code":"ForGood"}}}`},
		"a kind":          {err: fault.New(fault.Conflict, "Meanwhile."), status: 409, body: `{"error":{"code":"Conflict","message":"Meanwhile."}}`},
		"a beginning":     {err: fault.New(fault.Denied, "Ask."), status: 403, body: `{"error":{"code":"Denied","message":"No. Ask."}}`},
		"what is away":    {err: fault.New(fault.Unavailable, "Away."), status: 503, header: "Retry-After: 5", body: `{"error":{"code":"Away","message":"Away."}}`},
		"what is ours":    {err: errors.New("disk on fire"), status: 500, body: `{"error":{"code":"Broken","message":"Something is broken."}}`},
		"ours, in public": {err: fault.New(fault.Internal, "disk on fire"), status: 500, body: `{"error":{"code":"Broken","message":"Something is broken."}}`},
	} {
		d, _ := open(func(http.Header, *door.Request) (door.Answer, error) { return tt.ans, tt.err })
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if key, value, is := strings.Cut(tt.header, ": "); is && w.Header().Get(key) != value {
			t.Errorf("%s: %v", name, w.Header())
		}
		head := httptest.NewRecorder()
		d.ServeHTTP(head, httptest.NewRequest("HEAD", "/", nil))
		if head.Code != tt.status || head.Body.Len() > 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") {
			t.Errorf("%s, only its head: %d %v %s", name, head.Code, head.Header(), head.Body)
		}
	}
}

func TestEveryKindHasAStatus(t *testing.T) {
	for _, k := range fault.Kinds() {
		if f := vocabulary.Explain(fault.New(k, "x")); f.Status < 400 || f.Code == "" {
			t.Errorf("%s: %+v", k, f)
		}
	}
}

// TestARequestHasItsNames in the context, the answer and the log; one that a
// client makes up counts if it is a word.
func TestARequestHasItsNames(t *testing.T) {
	for client, known := range map[string]bool{"my-thing": true, "mischief\nline": false, strings.Repeat("x", 129): false, "": false} {
		d, log := open(func(_ http.Header, q *door.Request) (door.Answer, error) {
			q.Is(subscription.Principal{Object: "somebody"})
			q.Note(slog.String("more", "less"))
			about := subscription.RequestOf(q.Context())
			return door.Answer{Status: 200, Body: fmt.Sprint(about.Client, " ", about.Correlation == cmp.Or(about.Client, about.ID), " ", about.Principal)}, nil
		})
		r := httptest.NewRequest("GET", "/a?secret=b", nil)
		r.Header.Set("x-client", client)
		r.Header.Set("x-correlation", client)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		want := map[bool]string{true: client, false: ""}[known]
		if id := w.Header().Get("x-id"); len(id) != 36 || !strings.Contains(log.String(), "request="+id) {
			t.Errorf("%q: %v", client, w.Header())
		}
		if w.Body.String() != want+" true somebody" {
			t.Errorf("%q: %s", client, w.Body)
		}
		for _, part := range []string{"path=/a ", "principal=somebody", "more=less", "status=200"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log has no %q: %s", part, log)
			}
		}
		if strings.Contains(log.String(), "mischief") || strings.Contains(log.String(), "secret") {
			t.Errorf("%s", log)
		}
	}
}

// TestAPanicEndsOneRequest and is told: where bodies have secrets in them, not
// with its value.
func TestAPanicEndsOneRequest(t *testing.T) {
	for _, secret := range []bool{false, true} {
		var seen []byte
		d, log := open(func(_ http.Header, q *door.Request) (door.Answer, error) {
			if err := q.Read(100); err != nil {
				t.Error(err)
			}
			seen = q.Content
			panic(string(q.Content))
		})
		d.Secret = secret
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("canary")))
		if w.Code != 500 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(log.String(), "canary") == secret || !strings.Contains(log.String(), "door_test.go") {
			t.Errorf("%s", log)
		}
		if secret && bytes.Contains(seen, []byte("canary")) {
			t.Error("the body stays in memory")
		}
	}
}

func TestBodiesAndQueriesHaveBounds(t *testing.T) {
	d, _ := open(func(_ http.Header, q *door.Request) (door.Answer, error) {
		query, err := door.ReadQuery(q.URL.RawQuery)
		if err != nil {
			return door.Answer{}, err
		}
		if err := q.Read(4); err != nil {
			return door.Answer{}, err
		}
		return door.Answer{Status: 200, Body: query.Get("API-version") + string(q.Content)}, nil
	})
	for _, tt := range []struct {
		query, body string
		status      int
		says        string
	}{
		{"api%2DVersion=1", "abcd", 200, "1abcd"},
		{"", "abcde", 413, `{"error":{"code":"Large","message":"More than 4 bytes."}}`},
		{"A=1&a=2", "", 400, `{"error":{"code":"Twice","message":"'a' is there twice."}}`},
		{"a=%zz", "", 400, `{"error":{"code":"Wrong","message":"The query of the URL cannot be read."}}`},
	} {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest("POST", "/?"+tt.query, strings.NewReader(tt.body)))
		if w.Code != tt.status || w.Body.String() != tt.says {
			t.Errorf("%s %s: %d %s", tt.query, tt.body, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/", errReader{})
	if err := (&door.Request{Request: r}).Read(4); !errors.Is(err, door.ErrCut) {
		t.Errorf("a body that is cut off: %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("gone") }

func TestBearer(t *testing.T) {
	for said, want := range map[string]string{"": "", "Bearer": "", "Bearer a": "a", "bEARER  a ": "a", "Basic a": "", "Bearera": ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", said)
		if got := (&door.Request{Request: r}).Bearer(); got != want {
			t.Errorf("%q: %q", said, got)
		}
	}
}

func TestRoutes(t *testing.T) {
	routes := [][2]string{{"GET", "a"}, {"PUT", "a/{x}"}, {"GET", "a/{x}"}, {"GET", "{y}/b"}}
	find := func(method, path string) (string, map[string]string, error) {
		rt, vars, err := door.Find(routes, method, func(rt [2]string) (string, map[string]string) {
			return rt[0], door.Fit(strings.Split(rt[1], "/"), strings.Split(path, "/"))
		})
		return rt[1], vars, err
	}
	if at, vars, err := find("GET", "A/one"); at != "a/{x}" || vars["x"] != "one" || err != nil {
		t.Errorf("%s %v %v", at, vars, err)
	}
	if at, vars, err := find("GET", "b/b"); at != "{y}/b" || vars["y"] != "b" || err != nil {
		t.Errorf("%s %v %v", at, vars, err)
	}
	if _, _, err := find("GET", "a/b/c"); !errors.Is(err, door.ErrNoRoute) {
		t.Errorf("%v", err)
	}
	_, vars, err := find("DELETE", "a/one")
	if f := vocabulary.Explain(err); f.Status != 405 || f.Allow != "GET, PUT" || vars["x"] != "one" {
		t.Errorf("%+v %v", f, vars)
	}
}

func TestLimits(t *testing.T) {
	var l door.Limits[string]
	now, slow := time.Now(), door.Rate{Burst: 2, PerSecond: 0.1}
	for want := 1; want >= 0; want-- {
		if left, err := l.Take("one", slow, now); left != want || err != nil {
			t.Errorf("%d left, %v", left, err)
		}
	}
	_, err := l.Take("one", slow, now)
	if f := vocabulary.Explain(err); f.Status != 429 || f.Code != "Full" || f.Wait.Round(time.Second) != 10*time.Second {
		t.Errorf("%+v", f)
	}
	if _, err := l.Take("another", slow, now); err != nil {
		t.Errorf("what one uses up is missing to another: %v", err)
	}
	if _, err := l.Take("one", slow, now.Add(10*time.Second)); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// TestLimitsForgetWhoIsIdle first: a flood of names is no way to begin anew.
func TestLimitsForgetWhoIsIdle(t *testing.T) {
	var l door.Limits[int]
	now, rate := time.Now(), door.Rate{Burst: 1, PerSecond: 0.01}
	for key := range 9_999 {
		l.Take(key, rate, now)
	}
	now = now.Add(100 * time.Second) // all are full again
	l.Take(-1, rate, now)
	l.Take(-2, rate, now) // makes room
	if _, err := l.Take(-1, rate, now); err == nil {
		t.Error("who has nothing left was forgotten")
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "a\nb", strings.Repeat("ä", 200), "\xff\xfe", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := door.Printable(s); len(got) > 204 || strings.ContainsAny(got, "\n\r\x00\x7f") || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%q is %q", s, got)
		}
	})
}
