package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/link/record"
)

// ladder draws the messages of one call between three lifelines, caller,
// tandem and callee, with the decisions of ours where they were taken:
//
//	       teams                tandem               core-a
//	0.000  │────── INVITE ──────>│                     │
//	0.001  │ · route: core-a first of group core       │
//	0.002  │                     │────── INVITE ──────>│
type ladder struct {
	look
	w      io.Writer
	gap    int       // columns between two lifelines
	zero   time.Time // what times are counted from
	callee string    // peer drawn on the right at present
}

// Time takes ten columns, the lifelines three.
const ladderMargin = 10 + 3

// Wider than this, the eye loses the line.
const widestLadder = 120

func (l look) ladder(w io.Writer, t record.Trace) {
	if len(t.Packets) == 0 && len(t.Notes) == 0 {
		fmt.Fprintln(w, "No messages are remembered of this call.")
		return
	}
	width := min(max(80, l.width), widestLadder)
	d := &ladder{look: l, w: w, gap: (width - ladderMargin) / 2}
	d.zero = start(t)
	d.head(t)
	notes := t.Notes
	for i := range t.Packets {
		for len(notes) > 0 && notes[0].At.Before(t.Packets[i].At) {
			d.note(notes[0].At, notes[0].Text)
			notes = notes[1:]
		}
		d.packet(&t.Packets[i])
	}
	for _, n := range notes {
		d.note(n.At, n.Text)
	}
	if t.Missing > 0 {
		d.across("", quiet, fmt.Sprintf("%d messages after the first ones fell out of memory", t.Missing))
	}
	if c := t.Call; c.Ended != nil {
		fmt.Fprintln(w)
		l.outcome(w, record.LiveCall{Call: c})
	}
}

// start is the time of the first thing that happened.
func start(t record.Trace) time.Time {
	switch {
	case len(t.Packets) == 0:
		return t.Notes[0].At
	case len(t.Notes) > 0 && t.Notes[0].At.Before(t.Packets[0].At):
		return t.Notes[0].At
	}
	return t.Packets[0].At
}

// head names the call and the lifelines.
func (d *ladder) head(t record.Trace) {
	if c := t.Call; c.From != "" || c.To != "" {
		fmt.Fprintln(d.w, d.paint(strong, plain(c.From)+" → "+plain(c.To)))
	}
	fmt.Fprintf(d.w, "%s\n\n", d.paint(quiet, t.Call.ID+"  from "+d.exactly(d.zero)+", times in seconds"))
	caller, callee := first(t, "caller"), first(t, "callee")
	d.callee = callee.Peer
	d.names(strong, cmp.Or(caller.Peer, "caller"), "tandem", cmp.Or(callee.Peer, "callee"))
	d.names(quiet, strings.TrimSpace(caller.Transport+" "+caller.Remote), t.Call.Node, strings.TrimSpace(callee.Transport+" "+callee.Remote))
}

func first(t record.Trace, leg string) record.Packet {
	i := slices.IndexFunc(t.Packets, func(p record.Packet) bool { return p.Leg == leg })
	if i < 0 {
		return record.Packet{}
	}
	return t.Packets[i]
}

// names writes over the lifelines: left from the first on, right up to the
// last, the middle around its own.
func (d *ladder) names(color, left, middle, right string) {
	left, middle, right = plain(left), plain(middle), plain(right)
	left, right = clip(left, d.gap-8), clip(right, d.gap-8)
	middle = clip(middle, 12)
	line := pad(strings.Repeat(" ", 10)+left, 10+d.gap+1-utf8.RuneCountInString(middle)/2) + middle
	line = pad(line, 10+2*d.gap+3-utf8.RuneCountInString(right)) + right
	fmt.Fprintln(d.w, d.paint(color, strings.TrimRight(line, " ")))
}

func (d *ladder) packet(p *record.Packet) {
	if p.Leg != "caller" && p.Peer != d.callee && p.Peer != "" {
		d.callee = p.Peer
		d.across("", strong, plain("callee is now "+p.Peer+", "+p.Transport+" "+p.Remote))
	}
	label, color := describe(p.Raw)
	towardsTandem := !p.Out
	isCaller := p.Leg == "caller"
	arrow := d.paint(color, d.arrow(label, towardsTandem == isCaller))
	d.rung(d.clock(p.At), isCaller, arrow)
	for _, name := range []string{"Reason", "Warning"} {
		if v := field(p.Raw, name); v != "" {
			for _, line := range wrap(plain(name+": "+strings.ReplaceAll(v, ";", "; ")), d.gap-2) {
				d.rung("", isCaller, " "+d.paint(quiet, pad(line, d.gap-1)))
			}
		}
	}
}

// rung fills one of the two gaps and leaves the other empty.
func (d *ladder) rung(clock string, isCaller bool, filled string) {
	empty := strings.Repeat(" ", d.gap)
	life := d.paint(quiet, "│")
	gaps := [2]string{empty, filled}
	if isCaller {
		gaps = [2]string{filled, empty}
	}
	fmt.Fprintf(d.w, "%s%s%s%s%s%s\n", d.paint(quiet, pad(clock, 10)), life, gaps[0], life, gaps[1], life)
}

// arrow is a labelled line across a gap.
func (d *ladder) arrow(label string, rightwards bool) string {
	label = " " + clip(label, d.gap-6) + " "
	rest := d.gap - 1 - utf8.RuneCountInString(label)
	left, right := strings.Repeat("─", rest/2), strings.Repeat("─", rest-rest/2)
	if rightwards {
		return left + label + right + ">"
	}
	return "<" + left + label + right
}

func (d *ladder) note(at time.Time, text string) { d.across(d.clock(at), notice, plain(text)) }

// across writes a text between the outer lifelines.
func (d *ladder) across(clock, color, text string) {
	life := d.paint(quiet, "│")
	room := 2*d.gap + 1
	for i, line := range wrap(text, room-4) {
		mark := "· "
		if i > 0 {
			mark, clock = "  ", ""
		}
		fmt.Fprintf(d.w, "%s%s %s%s\n", d.paint(quiet, pad(clock, 10)), life, d.paint(color, pad(mark+line, room-1)), life)
	}
}

func (d *ladder) clock(at time.Time) string {
	return fmt.Sprintf("%8.3f", at.Sub(d.zero).Seconds())
}

// describe gives a message's label: the method, or the status and, for what
// does not answer an INVITE, the method it answers; and whether it brings a
// session description.
func describe(raw string) (label, color string) {
	line, _, _ := strings.Cut(raw, "\r\n")
	status, isResponse := strings.CutPrefix(line, "SIP/2.0 ")
	if isResponse {
		label, color = plain(status), statusColor(status)
		if _, method, _ := strings.Cut(field(raw, "CSeq"), " "); method != "" && method != "INVITE" {
			label += " (" + plain(method) + ")"
		}
	} else {
		method, _, _ := strings.Cut(line, " ")
		label, color = plain(method), strong
	}
	if strings.Contains(raw, "\r\n\r\nv=0") || strings.Contains(raw, "\nv=0\r\n") {
		label += " +SDP"
	}
	return label, color
}

func statusColor(status string) string {
	switch {
	case strings.HasPrefix(status, "1"):
		return ""
	case strings.HasPrefix(status, "2"):
		return good
	}
	return bad
}

// field finds the first header field of a name for display; it knows no
// compact forms and no folding, which the labels need not.
func field(raw, name string) string {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// messages writes every message whole, with the notes between.
func (l look) messages(w io.Writer, t record.Trace) {
	notes := t.Notes
	write := func(n record.Note) {
		fmt.Fprintf(w, "%s\n\n", l.paint(notice, l.clockOf(n.At)+"  · "+plain(n.Text)))
	}
	for _, p := range t.Packets {
		for len(notes) > 0 && notes[0].At.Before(p.At) {
			write(notes[0])
			notes = notes[1:]
		}
		direction := "from"
		if p.Out {
			direction = "to"
		}
		fmt.Fprintln(w, l.paint(strong, fmt.Sprintf("%s  %s %s (%s), %s %s", l.clockOf(p.At), direction, plain(p.Peer), p.Leg, plain(p.Transport), plain(p.Remote))))
		for line := range strings.SplitSeq(strings.TrimRight(p.Raw, "\r\n"), "\n") {
			fmt.Fprintln(w, strings.TrimRight("  "+plain(strings.TrimSuffix(line, "\r")), " "))
		}
		fmt.Fprintln(w)
	}
	for _, n := range notes {
		write(n)
	}
	if t.Missing > 0 {
		fmt.Fprintf(w, "%d messages fell out of memory\n", t.Missing)
	}
}

func (l look) clockOf(t time.Time) string { return t.In(l.zone).Format("15:04:05.000") }
