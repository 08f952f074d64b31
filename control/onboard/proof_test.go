package onboard_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/store"
)

// proof is the test of one step, in a world of its own where what the step needs
// is done and nothing else.
type proof struct {
	step    string       // its ID
	service string       // that it is about; "": Operator Connect
	also    []string     // other steps that its check cannot do without
	given   func(*world) // what else is so, when those are done

	open  saw            // how it stands before
	alone saw            // after Tandem has done its part and nobody else theirs; zero: as before
	way   func(*world)   // what is asked, refused and handed over on the way
	do    func(*world)   // what a person does, at the systems or by word; nil: Tandem does it all
	done  saw            // how it stands then, once Tandem has done its part
	shows func(*seenRun) // what else is so then

	// far asks the other side, without the procedure, and says what is not there.
	// It has to say something before, and nothing afterwards.
	far func(*world) error

	undo  func(*world) // somebody undoes it there, or takes their word back
	lost  saw          // how it stands then
	mends bool         // Tandem does it again; else it only tells

	never bool // a later release brings it: it is not done, whatever is there
}

// saw is the state of a step, and words of what is said about it.
type saw struct {
	state onboard.State
	words []string
}

func is(state onboard.State, words ...string) saw { return saw{state, words} }

// seenRun is what an apply has left.
type seenRun struct {
	*world
	plan   onboard.Plan
	status onboard.Status
}

// documents are the proofs of both documents.
var documents = map[onboard.Track][]proof{onboard.Track2022: proofs2022, onboard.TrackCurrent: proofsCurrent}

// proveAll proves each step below its heading.
func proveAll(t *testing.T, track onboard.Track) {
	var headings []string
	below := map[string][]proof{}
	for _, pr := range documents[track] {
		heading := stepOf(t, track, pr.step).Section
		if below[heading] == nil {
			headings = append(headings, heading)
		}
		below[heading] = append(below[heading], pr)
	}
	for _, heading := range headings {
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			for _, pr := range below[heading] {
				t.Run(pr.step, func(t *testing.T) {
					t.Parallel()
					pr.prove(t, track)
				})
			}
		})
	}
}

// stepOf is a step as the procedure has it.
func stepOf(t testing.TB, track onboard.Track, id string) onboard.Step {
	t.Helper()
	for _, st := range onboard.Steps() {
		if st.ID == id && st.Track == track {
			return st
		}
	}
	t.Fatalf("the track %s has no step %s", track, id)
	return onboard.Step{}
}

// proofOf is the proof of a step.
func proofOf(t testing.TB, track onboard.Track, id string) proof {
	t.Helper()
	i := slices.IndexFunc(documents[track], func(pr proof) bool { return pr.step == id })
	if i < 0 {
		t.Fatalf("nothing proves %s", id)
	}
	return documents[track][i]
}

// closure is what steps need, and what that needs, in an order in which it can
// be done.
func closure(t testing.TB, track onboard.Track, ids ...string) (all []string) {
	for _, id := range ids {
		needs := append(slices.Clone(stepOf(t, track, id).Needs), proofOf(t, track, id).also...)
		for _, x := range append(closure(t, track, needs...), id) {
			if !slices.Contains(all, x) {
				all = append(all, x)
			}
		}
	}
	return all
}

// only is a procedure of these steps and no others.
func (w *world) only(track onboard.Track, ids []string) {
	w.Helper()
	w.cfg.Steps = nil
	for _, id := range ids {
		w.cfg.Steps = append(w.cfg.Steps, stepOf(w, track, id))
	}
	w.start()
}

// settle does steps, each as its document says.
func (w *world) settle(track onboard.Track, ids []string) {
	w.Helper()
	opts, behind := onboard.Options{Track: track}, true
	for _, id := range ids {
		if do := proofOf(w, track, id).do; do != nil {
			if behind {
				w.apply(opts) // people find what Tandem has done before
			}
			do(w)
			behind = false
		}
		behind = behind || stepOf(w, track, id).Act != nil
	}
	p := w.apply(opts)
	for _, id := range ids {
		if st := w.step(p, id); !st.State.Settled() {
			w.Fatalf("%s, which is needed, is %s: %s", id, st.State, st.Detail)
		}
	}
}

// prove goes through a step from undone to done, to done twice, to undone by
// somebody.
func (pr proof) prove(t *testing.T, track onboard.Track) {
	w, opts := newWorld(t), onboard.Options{Track: track}
	if pr.service != "" {
		w.sub.Service = pr.service
	}
	all := closure(t, track, pr.step)
	needs := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id == pr.step })
	if len(needs) > 0 {
		w.only(track, needs)
		w.settle(track, needs)
	}
	if pr.given != nil {
		pr.given(w)
	}
	w.only(track, all)
	w.changes()

	before := w.is(w.plan(opts), pr.step, pr.open.state, pr.open.words...)
	if pr.never {
		w.unchanged(pr, opts, pr.open)
		return
	}
	w.lacks(pr, "before it is done")
	switch {
	case len(before.BlockedBy) > 0:
		t.Errorf("%s waits for %v: the test does not do what it needs", pr.step, before.BlockedBy)
	case pr.do == nil && before.Will == "":
		t.Errorf("%s is Tandem's, and it will do nothing: %+v", pr.step, before)
	case pr.do != nil:
		alone := pr.alone
		if alone.state == "" {
			alone = pr.open
		}
		w.is(w.apply(opts), pr.step, alone.state, alone.words...)
		w.lacks(pr, "before a person has acted")
	}
	if pr.way != nil {
		pr.way(w)
		w.lacks(pr, "before it is done")
	}

	if pr.do != nil {
		pr.do(w)
	}
	p := w.apply(opts)
	st := w.is(p, pr.step, pr.done.state, pr.done.words...)
	if !st.State.Settled() {
		t.Errorf("%s is not settled: %+v", pr.step, st)
	}
	w.has(pr, "after it was done")
	if pr.shows != nil {
		pr.shows(&seenRun{w, p, st})
	}
	w.changes()
	w.unchanged(pr, opts, pr.done)
	w.has(pr, "after it was done twice")

	if pr.undo == nil {
		return
	}
	pr.undo(w)
	w.lacks(pr, "after it was undone")
	w.is(w.plan(opts), pr.step, pr.lost.state, pr.lost.words...)
	if p = w.apply(opts); pr.mends {
		w.is(p, pr.step, pr.done.state, pr.done.words...)
		w.has(pr, "after it was done again")
		return
	}
	w.is(p, pr.step, pr.lost.state, pr.lost.words...)
	w.lacks(pr, "though nobody has done it again")
}

// unchanged applies, and demands that it changes nothing.
func (w *world) unchanged(pr proof, opts onboard.Options, as saw) {
	w.Helper()
	w.is(w.apply(opts), pr.step, as.state, as.words...)
	if again := w.changes(); len(again) > 0 {
		w.Errorf("there was nothing to do, and it changed %v", again)
	}
}

// changes are those that were made since it was last asked: in the tenant, its
// vaults, our zone and Operator Connect.
func (w *world) changes() []string {
	all := append(w.asked.take(), w.names.take()...)
	asked := w.connect.Requests()
	for _, r := range asked[w.heard:] {
		if r.Method != http.MethodGet {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	w.heard = len(asked)
	return all
}

func (w *world) has(pr proof, when string) {
	w.Helper()
	if err := pr.far(w); err != nil {
		w.Errorf("%s: %v", when, err)
	}
}

func (w *world) lacks(pr proof, when string) {
	w.Helper()
	if pr.far(w) == nil {
		w.Errorf("%s the other side has it", when)
	}
}

// says is the far side of what no system knows: the row of a fact, with who
// said it.
func says(name, value string) func(*world) error {
	return func(w *world) error {
		var got, who string
		err := w.store.Read(w.Context(), func(tx *store.Tx) error {
			return tx.Row(w.Context(), "SELECT value, who FROM onboard_fact WHERE name = ?", name).Scan(&got, &who)
		})
		if err == nil && (got != value || who != "anna") {
			err = fmt.Errorf("%s = %q, said by %s", name, got, who)
		}
		return err
	}
}

// all are several far sides at once.
func all(sides ...func(*world) error) func(*world) error {
	return func(w *world) error {
		for _, far := range sides {
			if err := far(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// saying is a person who says facts: name, value, name, value.
func saying(said ...string) func(*world) {
	return func(w *world) { w.Helper(); w.declare(said...) }
}

// refuses demands that a fact cannot be said.
func (w *world) refuses(name, value string) {
	w.Helper()
	if err := w.set.Declare(w.Context(), w.sub, map[string]string{name: value}, "anna"); err == nil {
		w.Errorf("%s = %q is taken", name, value)
	}
}

// sends is a person who sends a hand-over.
func (w *world) sends(id string) {
	w.Helper()
	_, err := w.set.Send(w.Context(), w.sub, onboard.Sending{ID: id, By: "anna"})
	w.must(err)
}

// answered is a person who has the answer to a hand-over.
func (w *world) answered(id, fact, value string) {
	w.Helper()
	_, err := w.set.Answer(w.Context(), w.sub, onboard.Reply{ID: id, By: "anna", Facts: map[string]string{fact: value}})
	w.must(err)
}

var errNotThere = errors.New("it is not there")

// TestPrepareToDeploy is "Prepare to deploy Azure Communications Gateway"
// (December 2022): each heading, with the steps below it, by our own directory,
// vaults and login, and the sandbox's Operator Connect.
func TestPrepareToDeploy(t *testing.T) { proveAll(t, onboard.Track2022) }

// TestConnectToOperatorConnect is "Connect Azure Communications Gateway to
// Operator Connect or Teams Phone Mobile", and what it stands on.
func TestConnectToOperatorConnect(t *testing.T) { proveAll(t, onboard.TrackCurrent) }

// TestFromNothingToTheLastHeading goes through a whole document, as people and
// Tandem do it in turns, and applies once more when all is done.
func TestFromNothingToTheLastHeading(t *testing.T) {
	for track, proofs := range documents {
		t.Run(string(track), func(t *testing.T) {
			t.Parallel()
			w, opts := newWorld(t), onboard.Options{Track: track}
			var ids []string
			for _, pr := range proofs {
				if !pr.never && pr.service == "" {
					ids = append(ids, pr.step)
				}
			}
			p := w.plan(opts)
			for _, st := range p.Steps {
				var behind []string
				for _, id := range stepOf(t, track, st.ID).Needs {
					if !w.step(p, id).State.Settled() {
						behind = append(behind, id)
					}
				}
				if open := !st.State.Settled() && st.State != onboard.NotOffered; open && !slices.Equal(st.BlockedBy, behind) || (st.State == onboard.Blocked) != (open && behind != nil) {
					t.Errorf("%s needs %v, and is %s behind %v", st.ID, behind, st.State, st.BlockedBy)
				}
			}
			w.settle(track, closure(t, track, ids...))
			p = w.plan(opts)
			if !p.Finished() || len(p.Acts()) > 0 || len(p.Next()) > 0 {
				t.Errorf("it is not at its end: %v, %+v", p.Acts(), p.Next())
			}
			for _, pr := range proofs {
				if st := w.step(p, pr.step); !st.State.Settled() && st.State != onboard.NotOffered {
					t.Errorf("%s is %s at the end: %s", st.ID, st.State, st.Detail)
				}
			}
			w.changes()
			w.apply(opts)
			if again := w.changes(); len(again) > 0 {
				t.Errorf("applied again, it changed %v", again)
			}
		})
	}
}

// TestEachHeadingHasATest, and each step a heading: testdata has the headings as
// the documents print them.
func TestEachHeadingHasATest(t *testing.T) {
	for track, proofs := range documents {
		text, err := os.ReadFile("testdata/headings-" + string(track) + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		headings, below := map[string]bool{}, map[string][]string{}
		for _, pr := range proofs {
			st := stepOf(t, track, pr.step)
			below[st.Section] = append(below[st.Section], st.ID)
			if pr.far == nil && !pr.never {
				t.Errorf("%s: nobody asks the other side", st.ID)
			}
		}
		for i, line := range lines {
			level, heading, _ := strings.Cut(line, " ")
			headings[heading] = true
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], level+"#") {
				continue // those below it have
			}
			if len(below[heading]) == 0 {
				t.Errorf("track %s: nothing proves what %q says", track, heading)
			}
		}
		for _, st := range onboard.Steps() {
			if st.Track != track {
				continue
			}
			if !headings[st.Section] {
				t.Errorf("%s stands below %q, which is no heading of the document", st.ID, st.Section)
			}
			n := 0
			for _, id := range below[st.Section] {
				if id == st.ID {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s has %d tests", st.ID, n)
			}
		}
	}
}
