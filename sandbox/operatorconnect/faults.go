package operatorconnect

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults are the ways in which the API misbehaves. The zero Faults behave.
type Faults struct {
	Status     int           `json:"status,omitempty"`     // answer with this and do nothing: 429, 500, 503
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // Retry-After of that, in seconds
	Date       bool          `json:"date,omitempty"`       // Retry-After as an HTTP date
	Slow       time.Duration `json:"slow,omitempty"`       // wait this long before anything
	Lose       bool          `json:"lose,omitempty"`       // do it, and close the connection without an answer
	Below      string        `json:"below,omitempty"`      // only for paths that begin so: "/trunks"
	Next       int           `json:"next,omitempty"`       // only for so many requests; 0: until it is changed
}

// SetFaults makes the API misbehave.
func (e *Environment) SetFaults(f Faults) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = f
}

// faulty are the faults of one request.
func (e *Environment) faulty(r *http.Request) Faults {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.faults
	if !strings.HasPrefix(strings.TrimPrefix(r.URL.Path, root), f.Below) {
		return Faults{}
	}
	if f.Next > 0 {
		if e.faults.Next--; e.faults.Next == 0 {
			e.faults = Faults{}
		}
	}
	return f
}

func (f Faults) refusal() *refusal {
	code, known := map[int]string{http.StatusTooManyRequests: "TooManyRequests", http.StatusServiceUnavailable: "ServiceUnavailable"}[f.Status]
	if !known {
		code = "InternalError"
	}
	no := refuse(f.Status, code, "", "This fault was asked for.")
	if f.RetryAfter > 0 {
		value := strconv.Itoa(int((f.RetryAfter + time.Second - 1) / time.Second))
		if f.Date {
			value = time.Now().Add(f.RetryAfter + time.Second).UTC().Format(http.TimeFormat)
		}
		no.header = http.Header{"Retry-After": {value}}
	}
	return no
}

// Request is one that the API has seen.
type Request struct {
	At        time.Time `json:"at"`
	Operation string    `json:"operation,omitempty"` // as the document calls it
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	App       string    `json:"app,omitempty"` // whose token it bore, if that was good
	Who       string    `json:"who,omitempty"`
	Status    int       `json:"status"`         // 0: its answer was lost
	Code      string    `json:"code,omitempty"` // of the refusal
}

// maxAsked is how many requests are remembered.
const maxAsked = 1000

func (e *Environment) note(r *http.Request, op operation, p principal, status int, code string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.asked) >= maxAsked {
		e.asked = slices.Delete(e.asked, 0, maxAsked/2)
	}
	e.asked = append(e.asked, Request{time.Now(), op.name, r.Method, clip(r.URL.Path, 300), p.app, clip(p.name, 100), status, code})
}

// Requests are the newest that the API has seen, the newest last.
func (e *Environment) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// Control is how faults are made and enterprises consent by hand, for whoever
// runs the sandbox:
//
//	GET  /requests          what the API has seen
//	PUT  /faults            Faults as JSON; durations in nanoseconds
//	POST /leads/{operator}  a Lead as JSON: an enterprise chooses the operator
func (e *Environment) Control() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e.Requests()) // the reader is gone: its own affair
	})
	m.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm)).Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.SetFaults(f)
		w.WriteHeader(http.StatusNoContent)
	})
	m.HandleFunc("POST /leads/{operator}", func(w http.ResponseWriter, r *http.Request) {
		var l Lead
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&l)
		if err == nil {
			_, err = e.Choose(r.PathValue("operator"), l)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return m
}
