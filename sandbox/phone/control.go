package phone

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Handler is the control port: faults, numbers, calls and violations as HTTP
// and JSON. Durations are nanoseconds.
//
//	GET  /violations            with the source of each rule
//	GET  /calls                 facts, the oldest first
//	POST /calls                 a CallSpec; answers with its facts once it is answered or has failed
//	POST /calls/{n}/{hangup|hold|resume|refresh|restart|update}
//	POST /calls/{n}/press       {"keys":"12#","how":"info"}
//	POST /calls/{n}/transfer    {"to":"+44…"}; answers when the far side has told how it went
//	PUT  /numbers/{number}      a Behaviour
//	PUT  /faults/{proxy or site}  Faults
//	POST /drop/{proxy or site}
func (x *Exchange) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /violations", func(w http.ResponseWriter, _ *http.Request) { answer(w, x.Faults(), nil) })
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		all := []Facts{}
		for _, c := range x.Calls() {
			all = append(all, c.Brief())
		}
		answer(w, all, nil)
	})
	mux.HandleFunc("POST /calls", func(w http.ResponseWriter, r *http.Request) {
		spec, err := body[CallSpec](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		if spec.Duration == 0 {
			spec.Duration = 10 * time.Second // nobody is there to hang up
		}
		c, err := x.cfg.Manner.Dial(r.Context(), spec)
		if err != nil {
			answer(w, nil, err)
			return
		}
		_ = c.Wait(r.Context()) // the facts tell
		answer(w, c.Brief(), nil)
	})
	mux.HandleFunc("POST /calls/{n}/{act}", x.act)
	mux.HandleFunc("PUT /numbers/{number}", func(w http.ResponseWriter, r *http.Request) {
		b, err := body[Behaviour](w, r)
		if err == nil {
			x.Answer(r.PathValue("number"), b)
		}
		answer(w, b, err)
	})
	mux.HandleFunc("PUT /faults/{gate}", func(w http.ResponseWriter, r *http.Request) {
		f, err := body[Faults](w, r)
		if err == nil {
			err = x.SetFaults(r.PathValue("gate"), f)
		}
		answer(w, f, err)
	})
	mux.HandleFunc("POST /drop/{gate}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, x.Drop(r.PathValue("gate")))
	})
	return mux
}

// act hangs a listed call up, or puts it on hold, or takes it back.
func (x *Exchange) act(w http.ResponseWriter, r *http.Request) {
	calls := x.Calls()
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(calls) {
		http.NotFound(w, r)
		return
	}
	c := calls[n]
	var with struct{ To, Keys, How string }
	if r.ContentLength > 0 {
		if with, err = body[struct{ To, Keys, How string }](w, r); err != nil {
			answer(w, nil, err)
			return
		}
	}
	switch r.PathValue("act") {
	case "hangup":
		c.HangUp()
	case "hold":
		err = c.Hold(r.Context())
	case "resume":
		err = c.Resume(r.Context())
	case "refresh":
		err = c.Refresh(r.Context())
	case "restart":
		err = c.RestartICE(r.Context())
	case "update":
		err = c.Update(r.Context(), true)
	case "press":
		c.Press(with.Keys, with.How)
	case "transfer":
		err = x.transfer(r.Context(), c, with.To)
	default:
		http.NotFound(w, r)
		return
	}
	answer(w, c.Brief(), err)
}

func (x *Exchange) transfer(ctx context.Context, c *Call, to string) error {
	if x.cfg.Manner.Transfer == nil {
		return errors.New("this side transfers no calls")
	}
	t, err := x.cfg.Manner.Transfer(ctx, c, to)
	if err != nil {
		return err
	}
	return t.Wait(ctx)
}

func body[T any](w http.ResponseWriter, r *http.Request) (v T, err error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	return v, d.Decode(&v)
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the asker is gone: his own affair
}
