package onboard

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Formats of a report.
const (
	Markdown = "md"
	HTML     = "html"
)

// Report is the procedure for the audit file: how each step stands now and what
// shows it, what was declared and handed over, and all that happened.
func (s *Set) Report(ctx context.Context, sub Subject, opts Options, format string) (string, error) {
	if format != Markdown && format != HTML {
		return "", fault.New(fault.Invalid, fmt.Sprintf("format %q: write md or html", format))
	}
	p, err := s.Plan(ctx, sub, opts)
	if err != nil {
		return "", err
	}
	r := report{Plan: p}
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		r.Events, err = newestEvents(ctx, tx, sub, reportEvents)
		return err
	})
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if format == HTML {
		err = page.Execute(&b, r)
	} else {
		r.markdown(&b)
	}
	return b.String(), err
}

// reportEvents bounds a report to the newest; a procedure has some hundred.
const reportEvents = 10000

type report struct {
	Plan
	Events []Event
}

// Swept is how many older events there were: they are numbered.
func (r report) Swept() int64 {
	if len(r.Events) == 0 {
		return 0
	}
	return r.Events[len(r.Events)-1].Seq - int64(len(r.Events))
}

// Documents are what the tracks follow.
var documents = map[Track]string{
	Track2022:    "\"Prepare to deploy Azure Communications Gateway\" (December 2022)",
	TrackCurrent: "\"Connect Azure Communications Gateway to Operator Connect or Teams Phone Mobile\"",
}

// Document is the one that is followed.
func (r report) Document() string { return documents[r.Track] }

// Service is the service as people call it.
func (r report) Service() string { return ServiceTitle(r.Subject.Service) }

// Summary is "12 done, 3 declared, 2 ready".
func (p Plan) Summary() string {
	var words []string
	n := p.Tally()
	for _, state := range []State{Done, Declared, Skipped, Ready, Waiting, Blocked, Drifted, Failed, NotOffered} {
		if n[state] > 0 {
			words = append(words, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(words, ", ")
}

// Section is a part of the document.
type Section struct {
	Title string
	Steps []Status
}

// Sections are the steps below their headings, in the order of the first of
// each.
func (p Plan) Sections() (list []Section) {
	for _, st := range p.Steps {
		i := slices.IndexFunc(list, func(s Section) bool { return s.Title == st.Section })
		if i < 0 {
			i, list = len(list), append(list, Section{Title: st.Section})
		}
		list[i].Steps = append(list[i].Steps, st)
	}
	return list
}

// Hands are the hand-overs of a step.
func (r report) Hands(step string) []HandOver { return r.handed(step) }

// Dates are when a hand-over went through its states.
func (h HandOver) Dates() string {
	var words []string
	for _, d := range []struct {
		word string
		at   time.Time
	}{{"drafted", h.Drafted}, {"sent", h.Sent}, {"looked for the answer", h.Waiting}, {"answered", h.Answered}} {
		if !d.at.IsZero() {
			words = append(words, d.word+" "+d.at.Format(time.DateOnly))
		}
	}
	return strings.Join(words, ", ")
}

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"moment": moment, "mark": mark}).Parse(pageText))

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// mark is the sign of a state.
func mark(s State) string { return marks[s] }

var marks = map[State]string{
	Done: "✓", Declared: "✓", Skipped: "–", Ready: "○", Waiting: "…", Blocked: "·", Drifted: "~", Failed: "✗", NotOffered: "◌",
}

// markdown writes the report as text that is read as it is, too.
func (r report) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Onboarding of gateway %s to %s\n\n", inline(r.Subject.Gateway.Name), r.Service())
	fmt.Fprintf(w, "%s, of %s.\n\n", r.Summary(), moment(r.At))
	rows := [][]string{{"Gateway", r.Subject.Gateway.String()}, {"Document", r.Document()}, {"Environment", string(r.Environment)}}
	if r.Identity != "" {
		rows = append(rows, []string{"The gateway signs in as", r.Identity})
	}
	for _, part := range r.Outside {
		rows = append(rows, []string{"Elsewhere", string(part)})
	}
	table(w, []string{"", ""}, rows)
	for _, sec := range r.Sections() {
		fmt.Fprintf(w, "\n## %s\n", inline(sec.Title))
		for _, st := range sec.Steps {
			r.step(w, st)
		}
	}
	r.lists(w)
}

func (r report) step(w io.Writer, st Status) {
	fmt.Fprintf(w, "\n### %s %s %s\n\n", mark(st.State), st.ID, inline(st.Title))
	line := "**" + string(st.State) + "**"
	if st.State == Ready || st.State == Waiting {
		line += ": " + string(st.Who)
	}
	if !st.Done.IsZero() {
		line += ", " + moment(st.Done) + ", " + inline(st.DoneBy)
	}
	if !st.Drifted.IsZero() {
		line += "; no longer since " + moment(st.Drifted)
	}
	if len(st.BlockedBy) > 0 {
		line += " by " + strings.Join(st.BlockedBy, ", ")
	}
	if st.Optional {
		line += " (recommended)"
	}
	fmt.Fprintln(w, line)
	for _, text := range []string{st.Detail, st.Note} {
		if text != "" {
			fmt.Fprintf(w, "\n%s\n", inline(text))
		}
	}
	var rows [][]string
	for _, e := range st.Evidence {
		rows = append(rows, []string{e.Name, e.Value})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"Evidence", ""}, rows)
	}
	for _, h := range r.Hands(st.ID) {
		fmt.Fprintf(w, "\nTo the %s: %s (%s). %s\n", h.To, inline(h.Draft.Subject), strings.TrimPrefix(h.Dates(), ", "), inline(h.Answer))
	}
}

func (r report) lists(w io.Writer) {
	if len(r.Facts) > 0 {
		fmt.Fprint(w, "\n## Declared and recorded\n\n")
		var rows [][]string
		for _, f := range r.Facts {
			rows = append(rows, []string{f.Name, f.Value, moment(f.At), f.By})
		}
		table(w, []string{"Fact", "Value", "When", "By"}, rows)
	}
	if len(r.Events) > 0 {
		fmt.Fprint(w, "\n## What happened\n\n")
		if n := r.Swept(); n > 0 {
			fmt.Fprintf(w, "%d older events are no longer kept; of each step the last of its kind is.\n\n", n)
		}
		var rows [][]string
		for _, e := range r.Events {
			rows = append(rows, []string{moment(e.At), e.Step, string(e.What), e.Who, e.Detail})
		}
		table(w, []string{"When", "Step", "What", "Who", ""}, rows)
	}
}

func table(w io.Writer, head []string, rows [][]string) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range rows {
		for i := range r {
			r[i] = inline(r[i])
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
	}
}

// inline is text that cannot leave its place in Markdown.
func inline(s string) string {
	return strings.NewReplacer("\n", " ", "\r", " ", "\\", "\\\\", "|", "\\|", "[", "\\[", "<", "&lt;", "`", "'").Replace(s)
}
