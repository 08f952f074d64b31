package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// look is how a command writes: to a terminal or not, and when it is.
type look struct {
	width int  // columns; 0 when nobody's terminal is known
	color bool // ANSI colours
	now   time.Time
	zone  *time.Location
}

// lookOf finds out what w is.
func lookOf(w io.Writer) look {
	l := look{now: time.Now(), zone: time.Local}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return l
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		l.width = width
	}
	// no-color.org: any value but an empty one.
	l.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return l
}

// Colours, each with one meaning.
const (
	good   = "32" // it worked
	bad    = "31" // it failed
	notice = "33" // our own decisions
	quiet  = "2"  // what matters less
	strong = "1"
)

// paint colours s; empty stays empty, so that paddings are not painted.
func (l look) paint(color, s string) string {
	if !l.color || color == "" || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// cell is a piece of a table with its colour.
type cell struct{ text, color string }

// table writes rows in columns as wide as they need; on a terminal the last
// column is cut where the line ends.
func (l look) table(w io.Writer, head []string, rows [][]cell) {
	for _, line := range l.lines(head, rows) {
		fmt.Fprintln(w, line)
	}
}

// lines are those of a table, the first one its head.
func (l look) lines(head []string, rows [][]cell) []string {
	widths := make([]int, len(head))
	titles := make([]cell, len(head))
	for i, h := range head {
		titles[i] = cell{h, quiet}
	}
	all := append([][]cell{titles}, rows...)
	for _, r := range all {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var lines []string
	for _, r := range all {
		lines = append(lines, l.line(widths, r))
	}
	return lines
}

// tableWidth is how many columns of a terminal a table takes.
func tableWidth(head []string, rows [][]cell) (width int) {
	for _, line := range (look{}).lines(head, rows) {
		width = max(width, utf8.RuneCountInString(line))
	}
	return width
}

func (l look) line(widths []int, r []cell) string {
	var line strings.Builder
	used, blanks := 0, 0 // blanks are owed until something follows them
	for i, c := range r {
		if i == len(r)-1 && l.width > 0 {
			c.text = clip(c.text, max(8, l.width-used))
		}
		if c.text != "" {
			line.WriteString(strings.Repeat(" ", blanks))
			line.WriteString(l.paint(c.color, c.text))
			blanks = 0
		}
		blanks += widths[i] + 2 - utf8.RuneCountInString(c.text)
		used += widths[i] + 2
	}
	return line.String()
}

// clip cuts s to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n-1)]) + "…"
}

// pad fills s up to n characters.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// wrap breaks s at blanks into lines of at most n characters; a longer word is
// cut.
func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		for utf8.RuneCountInString(word) > n {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:n])), string(r[n:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// plain shows control characters of text from the network instead of obeying
// them.
func plain(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unprintable(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unprintable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// unprintable also covers the marks that turn the direction of writing.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// lasting writes a duration as people say it: "0.4s", "12s", "4m12s", "3h05m", "12d".
func lasting(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// when writes a time as short as today allows.
func (l look) when(t time.Time) string {
	t, now := t.In(l.zone), l.now.In(l.zone)
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format(time.TimeOnly)
	}
	if t.Year() == now.Year() {
		return t.Format("Jan _2 15:04")
	}
	return t.Format(time.DateOnly)
}

// exactly writes a time to the millisecond, with its zone.
func (l look) exactly(t time.Time) string { return t.In(l.zone).Format("2006-01-02 15:04:05.000 MST") }
