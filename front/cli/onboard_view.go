package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/front/ops"
)

// page is how wide onboarding is written: lines are read, not scanned.
func (l look) page() int {
	if l.width == 0 {
		return 80
	}
	return min(max(l.width, 60), 100)
}

// sign is what a step's line begins with, and in which colour.
func sign(st onboard.Status) (string, string) {
	switch st.State {
	case onboard.Done, onboard.Declared:
		return "✓", good
	case onboard.Ready:
		if st.Will != "" {
			return "+", good
		}
		return "!", notice
	case onboard.Waiting:
		return "…", notice
	case onboard.Drifted:
		return "~", notice
	case onboard.Failed:
		return "✗", bad
	case onboard.Blocked:
		if st.Follows {
			return "+", good
		}
		return "·", quiet
	}
	return "–", quiet // skipped, not offered yet
}

// legend says what the signs mean.
var legend = []struct{ sign, means string }{
	{"✓", "done"},
	{"+", "apply does it"},
	{"!", "a person acts"},
	{"…", "takes its time"},
	{"~", "was done, is no longer"},
	{"✗", "went wrong"},
	{"·", "needs others first"},
	{"–", "does not apply, or is not offered yet"},
}

// short is for the end of a line.
var short = map[onboard.Actor]string{onboard.GlobalAdmin: "Global Admin"}

// the is somebody within a sentence.
func the(a onboard.Actor) string {
	if a == onboard.You || a == onboard.Nobody || a == onboard.Tandem {
		return string(a)
	}
	return "the " + string(a)
}

// due is the end of a step's line: who must act, or why nobody does.
func due(st onboard.Status) string {
	switch st.State {
	case onboard.Done:
		return ""
	case onboard.Declared, onboard.Skipped, onboard.NotOffered:
		return string(st.State)
	case onboard.Blocked:
		if st.Follows {
			return "Tandem, after " + few(st.BlockedBy, 1)
		}
		return "after " + few(st.BlockedBy, 2)
	case onboard.Waiting:
		if st.Who == onboard.Nobody {
			return "takes its time"
		}
		return "waits for " + cmp.Or(short[st.Who], string(st.Who))
	case onboard.Drifted:
		switch {
		case st.Follows:
			return "Tandem, after " + few(st.BlockedBy, 1)
		case len(st.BlockedBy) > 0:
			return "drifted, after " + few(st.BlockedBy, 1)
		case st.Will != "":
			return "Tandem repairs it"
		}
	case onboard.Failed:
		if st.Will != "" {
			return "Tandem tries again"
		}
		return "failed"
	}
	if st.Outside {
		return "Tandem, with --outside"
	}
	return cmp.Or(short[st.Who], string(st.Who))
}

// few names some of many.
func few(ids []string, n int) string {
	if len(ids) <= n {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s +%d", strings.Join(ids[:n], ", "), len(ids)-n)
}

// because is what stands below a step's line.
func because(st onboard.Status) string {
	switch st.State {
	case onboard.Ready, onboard.Waiting, onboard.Drifted, onboard.Failed, onboard.NotOffered:
		if st.Will != "" && st.State == onboard.Ready && st.Will != st.Title {
			return st.Will
		}
		return st.Detail
	case onboard.Blocked:
		if st.Follows && st.Will != st.Title {
			return st.Will
		}
	case onboard.Skipped, onboard.Declared:
		return st.Detail
	}
	return ""
}

// heading of a plan.
func (l look) heading(w io.Writer, p onboard.Plan) {
	fmt.Fprintf(w, "Onboarding of %s to %s\n", l.paint(strong, plain(p.Subject.Gateway.Name)), plain(onboard.ServiceTitle(p.Subject.Service)))
	text := string(p.Track) + " track, " + string(p.Environment)
	if p.Identity != "" {
		text += "; identity: " + p.Identity
	}
	l.block(w, "", quiet, text)
	if len(p.Outside) > 0 {
		var parts []string
		for _, part := range p.Outside {
			parts = append(parts, string(part))
		}
		l.block(w, "", notice, "elsewhere, and changed only with --outside: "+strings.Join(parts, ", "))
	}
}

// block writes text broken into lines, each behind the indent.
func (l look) block(w io.Writer, indent, color, text string) {
	for _, line := range wrap(plain(text), l.page()-utf8.RuneCountInString(indent)) {
		fmt.Fprintln(w, indent+l.paint(color, line))
	}
}

// plan writes how each step stands, below the headings of the document.
func (l look) plan(w io.Writer, p onboard.Plan) {
	l.heading(w, p)
	l.steps(w, p)
	fmt.Fprintln(w)
	l.legend(w, p)
	l.result(w, p)
}

func (l look) steps(w io.Writer, p onboard.Plan) {
	ids := 0
	for _, st := range p.Steps {
		ids = max(ids, len(st.ID))
	}
	for _, section := range p.Sections() {
		fmt.Fprintln(w)
		l.block(w, "", strong, section.Title)
		for _, st := range section.Steps {
			l.row(w, st, ids)
		}
	}
}

// row is a step's line, and what stands below it. The title gets more lines
// where it is long.
func (l look) row(w io.Writer, st onboard.Status, ids int) {
	mark, color := sign(st)
	right, lead := plain(due(st)), 6+ids
	room := l.page() - lead - utf8.RuneCountInString(right) - 2
	title := color
	if color != quiet {
		title = ""
	}
	for i, line := range wrap(plain(st.Title), max(room, 20)) {
		if i > 0 {
			fmt.Fprintln(w, strings.Repeat(" ", lead)+l.paint(title, line))
			continue
		}
		end := ""
		if right != "" {
			end = strings.Repeat(" ", max(2, l.page()-lead-utf8.RuneCountInString(line)-utf8.RuneCountInString(right))) + l.paint(color, right)
		}
		fmt.Fprintln(w, "  "+l.paint(color, mark)+" "+l.paint(title, pad(st.ID, ids))+"  "+l.paint(title, line)+end)
	}
	l.block(w, strings.Repeat(" ", lead), quiet, because(st))
}

// legend explains the signs that were used.
func (l look) legend(w io.Writer, p onboard.Plan) {
	used := map[string]bool{}
	for _, st := range p.Steps {
		mark, _ := sign(st)
		used[mark] = true
	}
	line := ""
	for _, e := range legend {
		if !used[e.sign] {
			continue
		}
		part := e.sign + " " + e.means
		if line != "" && utf8.RuneCountInString(line)+3+utf8.RuneCountInString(part) > l.page() {
			fmt.Fprintln(w, l.paint(quiet, line))
			line = ""
		}
		if line != "" {
			line += "   "
		}
		line += part
	}
	if line != "" {
		fmt.Fprintln(w, l.paint(quiet, line))
	}
}

// result is a plan in a line.
func (l look) result(w io.Writer, p onboard.Plan) {
	color, text := notice, p.Summary()
	if p.Finished() {
		color, text = good, "nothing is left to do: "+text
	}
	l.block(w, "", color, fmt.Sprintf("%d steps: %s", len(p.Steps), text))
}

// next tells what to do next, with what to type, where to go and what to paste.
func (l look) next(w io.Writer, p onboard.Plan, flags string) {
	acts, people := p.Acts(), p.Next()
	if len(acts)+len(people) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", l.paint(strong, "What to do next"))
	if len(acts) > 0 {
		outside := ""
		if len(p.Outside) > 0 {
			outside = " --outside"
		}
		fmt.Fprintln(w)
		l.command(w, "  ", "tandem onboard apply"+outside, flags)
		l.block(w, "    ", quiet, "does "+few(acts, 8))
	}
	for _, st := range people {
		fmt.Fprintln(w)
		l.task(w, st, slices.DeleteFunc(slices.Clone(p.HandOvers), func(h onboard.HandOver) bool { return h.Step != st.ID }), flags)
	}
}

// command is to be typed, or copied: where it is too long for a line, the shell
// goes on reading.
func (l look) command(w io.Writer, indent, command, flags string) {
	if strings.HasPrefix(command, "tandem onboard ") && !strings.HasSuffix(command, flags) {
		command += flags
	}
	line := "$"
	for _, word := range shellWords(plain(command)) {
		if utf8.RuneCountInString(indent+line+" "+word) > l.page()-2 && line != "$" {
			fmt.Fprintln(w, indent+l.paint(strong, line+" \\"))
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(w, indent+l.paint(strong, line))
}

// shellWords are those of a command; what is in quotes is one.
func shellWords(command string) []string {
	quoted := false
	return strings.FieldsFunc(command, func(r rune) bool {
		if r == '\'' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

// task is what somebody has to do for a step.
func (l look) task(w io.Writer, st onboard.Status, hands []onboard.HandOver, flags string) {
	title := st.Title
	if st.Optional {
		title += " (recommended)"
	}
	l.block(w, "  ", strong, st.ID+" "+title)
	text := string(st.Who)
	switch {
	case st.State == onboard.Waiting && st.Who == onboard.Nobody:
		text = "takes its time"
	case st.State == onboard.Waiting:
		text = "waits for " + the(st.Who)
	case st.Outside:
		text = "Tandem, if it may change what is elsewhere"
	}
	if st.Detail != "" {
		text += ": " + st.Detail
	}
	l.block(w, "    ", notice, text)
	l.instruction(w, st, flags)
	for _, h := range hands {
		l.hand(w, h, flags)
	}
}

func (l look) instruction(w io.Writer, st onboard.Status, flags string) {
	if st.Outside {
		l.command(w, "    ", "tandem onboard apply --outside", flags)
	}
	i := st.Instruction
	if i == nil {
		return
	}
	l.block(w, "    ", "", i.Text)
	if i.Command != "" && !strings.HasPrefix(i.Command, "tandem onboard show ") { // said of the message itself
		l.command(w, "    ", i.Command, flags)
	}
	if i.Where != "" {
		fmt.Fprintln(w, "    at "+l.paint(strong, plain(i.Where)))
	}
	if i.Paste != "" {
		fmt.Fprintln(w, "    paste")
		verbatim(w, "      ", i.Paste)
	}
}

// verbatim writes text as it is, to be pasted elsewhere.
func verbatim(w io.Writer, indent, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(w, strings.TrimRight(indent+plain(strings.TrimRight(line, "\r\n")), " "))
	}
}

// hand tells what is to be done about a message.
func (l look) hand(w io.Writer, h onboard.HandOver, flags string) {
	day := func(t time.Time) string { return t.In(cmp.Or(l.zone, time.UTC)).Format(time.DateOnly) }
	switch h.State {
	case onboard.Drafted:
		l.block(w, "    ", "", "The message to "+the(h.To)+" is ready: "+h.Draft.Subject)
		l.command(w, "    ", "tandem onboard show "+h.ID, flags)
		l.command(w, "    ", "tandem onboard sent "+h.ID, flags)
	case onboard.Sent, onboard.Awaiting:
		l.block(w, "    ", "", "Sent to "+the(h.To)+" on "+day(h.Sent)+"; when the answer is there:")
		command := "tandem onboard answered " + h.ID
		for _, name := range h.Asks {
			command += " " + name + "=…"
		}
		l.command(w, "    ", command, flags)
		if h.Changed {
			l.block(w, "    ", notice, "What was sent is no longer right: send it again, and say so by tandem onboard sent "+h.ID)
		}
	case onboard.Answered:
		l.block(w, "    ", "", "Answered on "+day(h.Answered)+": "+cmp.Or(h.Answer, h.Draft.Subject))
	}
}

// step is all about one step.
func (l look) step(w io.Writer, st onboard.Status, hands []onboard.HandOver, flags string) {
	l.row(w, st, len(st.ID))
	if st.State == onboard.Done {
		l.block(w, "    ", "", st.Detail)
	}
	if !st.Done.IsZero() {
		l.block(w, "    ", quiet, l.exactly(st.Done)+", "+st.DoneBy)
	}
	if !st.Drifted.IsZero() {
		l.block(w, "    ", notice, "no longer since "+l.exactly(st.Drifted))
	}
	l.block(w, "    ", quiet, st.Note)
	for _, e := range st.Evidence {
		l.block(w, "    ", "", e.Name+": "+e.Value)
	}
	if st.Instruction != nil || st.Outside {
		fmt.Fprintln(w)
		l.instruction(w, st, flags)
	}
	for _, h := range hands {
		fmt.Fprintln(w)
		verbatim(w, "  ", letter(h))
		for _, f := range h.Files {
			fmt.Fprintf(w, "\n  %s\n\n", l.paint(strong, plain(f.Name)))
			verbatim(w, "  ", f.Content)
		}
		fmt.Fprintln(w)
		if dates := h.Dates(); dates != "" {
			l.block(w, "  ", quiet, h.ID+" "+dates)
		}
		if h.State == onboard.Drafted {
			l.command(w, "  ", "tandem onboard show "+h.ID+" --save .", flags)
			l.command(w, "  ", "tandem onboard sent "+h.ID, flags)
			continue
		}
		l.hand(w, h, flags)
	}
}

// event is something that happened, as apply tells it.
func (l look) event(w io.Writer, e onboard.Event) {
	mark, color := "·", quiet
	switch e.What {
	case onboard.Began, onboard.EndedWith, onboard.Wrote:
		return // said otherwise
	case onboard.Acting:
		mark, color = "+", ""
	case onboard.DidIt, onboard.SeenDone, onboard.Repaired:
		mark, color = "✓", good
	case onboard.WentWrong:
		mark, color = "✗", bad
	case onboard.SeenDrift:
		mark, color = "~", notice
	case onboard.NowWaiting:
		mark, color = "…", notice
	}
	text := string(e.What) + ": " + e.Detail
	if e.What == onboard.Acting || e.Detail == "" {
		text = cmp.Or(e.Detail, string(e.What))
	}
	for i, line := range wrap(plain(text), l.page()-10) {
		if i == 0 {
			fmt.Fprintln(w, "  "+l.paint(color, mark)+" "+pad(plain(e.Step), 4)+"  "+line)
		} else {
			fmt.Fprintln(w, "          "+l.paint(quiet, line))
		}
	}
}

// status is a plan as it was last seen, and what is done now. Brief is without
// the steps that nobody can do anything about.
func (l look) status(w io.Writer, s ops.OnboardStatus, brief bool) {
	l.heading(w, s.Plan)
	switch {
	case s.Apply != nil && !s.Apply.Ended:
		l.block(w, "", notice, "apply of "+s.Apply.By+" is at "+cmp.Or(s.Apply.Step, "its beginning"))
	case s.Apply != nil && s.Apply.Problem != "":
		l.block(w, "", bad, "the last apply ended: "+s.Apply.Problem)
	}
	if s.At.IsZero() {
		fmt.Fprintln(w, "nothing has been looked at yet: tandem onboard plan")
		return
	}
	fmt.Fprintln(w, l.paint(quiet, "as of "+l.exactly(s.At)))
	shown := s.Plan
	if brief {
		shown.Steps = slices.DeleteFunc(slices.Clone(shown.Steps), func(st onboard.Status) bool {
			return st.State.Settled() || st.State == onboard.NotOffered || st.State == onboard.Blocked
		})
	}
	l.steps(w, shown)
	fmt.Fprintln(w)
	l.result(w, s.Plan)
}

// questions are the facts that can be declared.
func (l look) questions(w io.Writer, list []onboard.Question) {
	for _, q := range list {
		if len(q.Said) == 0 && q.Learned {
			continue // steps find it out
		}
		form := cmp.Or(strings.Join(q.Choices, " or "), q.Form)
		if q.Default != "" {
			form += "; " + q.Default + " unless said"
		}
		head := l.paint(strong, plain(q.Name))
		if q.Step != "" {
			head += "  " + l.paint(quiet, plain(q.Step))
		}
		fmt.Fprintln(w, head)
		l.block(w, "    ", "", q.Title)
		l.block(w, "    ", quiet, form)
		for _, v := range q.Said {
			l.block(w, "    ", good, "✓ "+v.Name+"="+v.Value+"  ("+v.By+", "+v.At.Format(time.DateOnly)+")")
		}
	}
}
