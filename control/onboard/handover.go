package onboard

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Draft is a message to somebody, ready to be sent.
type Draft struct {
	Key     string   `json:"key,omitempty"` // distinguishes those of one step: "billing-service"; "" when it has one
	To      Actor    `json:"to"`
	Address string   `json:"address,omitempty"` // mail address or place, where it is known
	Subject string   `json:"subject"`           // of the mail
	Message string   `json:"message"`           // ready to be pasted
	Files   []File   `json:"files,omitempty"`   // that go with it
	Asks    []string `json:"asks,omitempty"`    // names of the facts that the answer brings
}

// File goes with a message.
type File struct {
	Name    string `json:"name"` // "onboarding-form.md"
	Content string `json:"content"`
}

// HandOver is a Draft and what has become of it.
type HandOver struct {
	ID   string `json:"id"` // "B4", "A11/billing-service"
	Step string `json:"step"`
	Draft
	State    HandState `json:"state"`
	Drafted  time.Time `json:"drafted,omitzero"` // first written by apply, or sent
	Sent     time.Time `json:"sent,omitzero"`
	SentBy   string    `json:"sentBy,omitempty"`
	Waiting  time.Time `json:"waiting,omitzero"` // when the answer was last looked for
	Answered time.Time `json:"answered,omitzero"`
	Answer   string    `json:"answer,omitempty"`  // what it said, in a line
	Changed  bool      `json:"changed,omitempty"` // what would be sent now differs from what was
}

// HandState is where a hand-over is.
type HandState string

// The states of a hand-over, in their order.
const (
	Drafted  HandState = "drafted"
	Sent     HandState = "sent"
	Awaiting HandState = "waiting" // looked for since, not there yet
	Answered HandState = "answered"
)

// splitID takes the ID of a hand-over apart.
func splitID(id string) (step, key string) {
	step, key, _ = strings.Cut(id, "/")
	return step, key
}

func handID(step, key string) string {
	if key == "" {
		return step
	}
	return step + "/" + key
}

// drafts are the hand-overs of a step: as they would be sent now, those that
// were sent as they were.
func (s *Set) drafts(ctx context.Context, w *World, st Step, status Status) (list []HandOver, err error) {
	var now []Draft
	if st.Draft != nil && status.open() {
		now, err = write(ctx, w, st)
	}
	seen := map[string]bool{}
	for _, d := range now {
		id := handID(st.ID, d.Key)
		seen[id] = true
		h, ok := w.sent[id]
		switch {
		case !ok:
			h = HandOver{ID: id, Step: st.ID, Draft: d, State: Drafted}
		case h.State == Drafted:
			h.Draft = d
		default:
			h.Changed = !reflect.DeepEqual(h.Draft, d)
		}
		list = append(list, h)
	}
	for _, id := range slices.Sorted(maps.Keys(w.sent)) {
		if step, _ := splitID(id); step == st.ID && !seen[id] {
			list = append(list, w.sent[id])
		}
	}
	return list, err
}

func write(ctx context.Context, w *World, st Step) (list []Draft, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(w, st, "message", p)
		}
	}()
	return st.Draft(ctx, w)
}

// wait keeps the hand-overs of a step that was looked at: those that are not
// answered are waited for. Somebody may have sent one since, or have the answer.
func wait(ctx context.Context, tx *store.Tx, sub Subject, hands []HandOver) error {
	if len(hands) == 0 {
		return nil
	}
	known, err := loadHandOvers(ctx, tx, sub)
	if err != nil {
		return err
	}
	now := store.Time(store.Micros(time.Now()))
	for _, h := range hands {
		old, ok := known[h.ID]
		switch {
		case !ok:
			h.Drafted = now
			err = tell(ctx, tx, sub, Event{Step: h.Step, What: Wrote, Detail: h.ID + ": " + h.Draft.Subject})
		case old.State == Drafted && !reflect.DeepEqual(old.Draft, h.Draft):
			old.Draft = h.Draft
			h = old
		case old.State == Sent, old.State == Awaiting:
			h = old
			h.State, h.Waiting = Awaiting, now
		default:
			continue
		}
		if err == nil {
			err = h.keep(ctx, tx, sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Sending is what is said of a hand-over that has left.
type Sending struct {
	ID string    `json:"id"`
	At time.Time `json:"at,omitzero"` // zero: now
	By string    `json:"by"`
}

// Send keeps that a hand-over was sent, as it would be written now. It sends
// nothing: people send from their own mail. One that was sent before is sent
// again.
func (s *Set) Send(ctx context.Context, sub Subject, say Sending) (h HandOver, err error) {
	w, st, err := s.handing(ctx, sub, &say.ID)
	if err != nil {
		return h, err
	}
	d, err := drafted(ctx, w, st, say.ID)
	if err != nil {
		return h, err
	}
	h = w.sent[say.ID]
	at := store.Time(store.Micros(time.Now()))
	h = HandOver{ID: say.ID, Step: st.ID, Draft: d, State: Sent, Drafted: h.Drafted, Sent: at, SentBy: say.By}
	if h.Drafted.IsZero() {
		h.Drafted = at
	}
	if !say.At.IsZero() {
		h.Sent = store.Time(store.Micros(say.At))
	}
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.begin(ctx, tx, w.Subject, Options{}, say.By); err != nil {
			return err
		}
		if err := h.keep(ctx, tx, sub); err != nil {
			return err
		}
		return tell(ctx, tx, sub, Event{Step: st.ID, What: SentIt, Who: say.By, Detail: h.ID + " on " + h.Sent.Format(time.DateOnly)})
	})
	return h, err
}

// drafted is what would be handed over now under an ID.
func drafted(ctx context.Context, w *World, st Step, id string) (Draft, error) {
	now, err := write(ctx, w, st)
	if err != nil {
		return Draft{}, fmt.Errorf("write the message of %s: %w", id, err)
	}
	_, key := splitID(id)
	i := slices.IndexFunc(now, func(d Draft) bool { return d.Key == key })
	if i < 0 {
		return Draft{}, unknownHand(st, now, id)
	}
	return now[i], nil
}

// Reply is the answer to a hand-over.
type Reply struct {
	ID    string            `json:"id"`
	At    time.Time         `json:"at,omitzero"` // zero: now
	By    string            `json:"by"`
	Text  string            `json:"text,omitempty"`  // what it said, in a line
	Facts map[string]string `json:"facts,omitempty"` // that it brought
}

// Answer keeps the answer to a hand-over, with the facts that it asked for.
func (s *Set) Answer(ctx context.Context, sub Subject, r Reply) (h HandOver, err error) {
	w, st, err := s.handing(ctx, sub, &r.ID)
	if err != nil {
		return h, err
	}
	h, ok := w.sent[r.ID]
	if !ok {
		// Asked by other ways, such as the telephone.
		d, err := drafted(ctx, w, st, r.ID)
		if err != nil {
			return h, err
		}
		h = HandOver{ID: r.ID, Step: st.ID, Draft: d}
	}
	for _, name := range h.Asks {
		if r.Facts[name] == "" && !w.Has(name) {
			f, _ := s.fact(name)
			return h, fault.New(fault.Invalid, fmt.Sprintf("the answer to %s brings %s (%s): add %s=…", r.ID, name, f.Title, name))
		}
	}
	values, err := s.judgeFacts(r.Facts, r.By)
	if err != nil {
		return h, err
	}
	at := store.Time(store.Micros(time.Now()))
	if !r.At.IsZero() {
		at = store.Time(store.Micros(r.At))
	}
	h.State, h.Answered, h.Answer = Answered, at, r.Text
	if h.Sent.IsZero() {
		h.Sent, h.SentBy = at, r.By
	}
	if h.Drafted.IsZero() {
		h.Drafted = at
	}
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.begin(ctx, tx, w.Subject, Options{}, r.By); err != nil {
			return err
		}
		if err := s.sayAll(ctx, tx, sub, values); err != nil {
			return err
		}
		if err := h.keep(ctx, tx, sub); err != nil {
			return err
		}
		detail := h.ID + " on " + at.Format(time.DateOnly)
		if r.Text != "" {
			detail += ": " + r.Text
		}
		return tell(ctx, tx, sub, Event{Step: st.ID, What: GotAnswer, Who: r.By, Detail: detail})
	})
	return h, err
}

// handing finds the step of a hand-over, and gives its ID the spelling under
// which it is kept, whichever letters it was written in.
func (s *Set) handing(ctx context.Context, sub Subject, id *string) (*World, Step, error) {
	w, err := s.world(ctx, sub, Options{})
	if err != nil {
		return nil, Step{}, err
	}
	step, key := splitID(*id)
	steps := s.steps[w.Track]
	i := slices.IndexFunc(steps, func(st Step) bool { return strings.EqualFold(st.ID, step) })
	switch {
	case i < 0:
		return nil, Step{}, fault.New(fault.NotFound, fmt.Sprintf("there is no step %q in track %s", step, w.Track))
	case steps[i].Draft == nil:
		return nil, Step{}, fault.New(fault.Invalid, steps[i].ID+" hands nothing over: \""+steps[i].Title+"\"")
	}
	*id = handID(steps[i].ID, strings.ToLower(key))
	return w, steps[i], nil
}

func unknownHand(st Step, now []Draft, id string) error {
	var ids []string
	for _, d := range now {
		ids = append(ids, handID(st.ID, d.Key))
	}
	if len(ids) == 0 {
		return fault.New(fault.Conflict, st.ID+" has nothing to hand over now")
	}
	return fault.New(fault.NotFound, fmt.Sprintf("nothing is handed over under %q: write %s", id, strings.Join(ids, " or ")))
}
