package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

func (l look) liveCalls(w io.Writer, calls []record.LiveCall) {
	var ids []string
	for _, c := range calls {
		ids = append(ids, c.ID)
	}
	short := shortest(ids)
	var rows [][]cell
	for _, c := range calls {
		rows = append(rows, []cell{
			{c.ID[:min(short, len(c.ID))], strong},
			{c.State, stateColor(c.State)},
			{lasting(l.now.Sub(c.Began)), ""},
			{plain(c.From), ""},
			{plain(c.To), ""},
			{way(c.Call), ""},
		})
	}
	nodes := make([]string, len(calls))
	for i, c := range calls {
		nodes[i] = c.Node
	}
	l.callTable(w, []string{"ID", "STATE", "AGE", "FROM", "TO", "PEERS"}, rows, nodes)
}

// callTable is a table of calls. Where there are several nodes, the last column
// has the node: a terminal has no room for the peers as well.
func (l look) callTable(w io.Writer, head []string, rows [][]cell, nodes []string) {
	if last := len(head) - 1; len(slices.Compact(slices.Sorted(slices.Values(nodes)))) > 1 {
		head[last] = "NODE"
		for i := range rows {
			rows[i][last] = cell{plain(nodes[i]), ""}
		}
	}
	l.table(w, head, rows)
}

func (l look) pastCalls(w io.Writer, calls []record.Call) {
	var ids []string
	for _, c := range calls {
		ids = append(ids, c.ID)
	}
	short := shortest(ids)
	var rows [][]cell
	for _, c := range calls {
		text, color := result(c)
		rows = append(rows, []cell{
			{c.ID[:min(short, len(c.ID))], strong},
			{l.when(c.Began), ""},
			{text, color},
			{plain(c.From), ""},
			{plain(c.To), ""},
			{way(c), ""},
		})
	}
	nodes := make([]string, len(calls))
	for i, c := range calls {
		nodes[i] = c.Node
	}
	l.callTable(w, []string{"ID", "BEGAN", "RESULT", "FROM", "TO", "PEERS"}, rows, nodes)
}

// shortest gives the length of ID that tells the listed calls apart. The
// first ten characters are the time, so twelve are the least that is likely
// to tell a call from those not listed.
func shortest(ids []string) int {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	n := 12
	for i := 1; i < len(ids); i++ {
		same := 0
		for same < len(ids[i]) && same < len(ids[i-1]) && ids[i][same] == ids[i-1][same] {
			same++
		}
		n = max(n, same+1)
	}
	return n
}

func stateColor(state string) string {
	switch state {
	case record.Talking:
		return good
	case record.Ending:
		return quiet
	}
	return notice
}

// way is the path of a call through the gateway.
func way(c record.Call) string {
	return plain(cmp.Or(c.Caller.Peer, "?")) + " → " + plain(cmp.Or(c.Callee.Peer, "?"))
}

// result says in a word or two how a call ended.
func result(c record.Call) (text, color string) {
	switch {
	case c.Ended == nil:
		return "not ended", notice
	case c.Cause.By == record.ByNodeLost:
		return "node lost", bad
	case c.Answered != nil && c.Failed():
		return "cut " + lasting(c.Ended.Sub(*c.Answered)), bad
	case c.Answered != nil:
		return "ok " + lasting(c.Ended.Sub(*c.Answered)), good
	}
	text = fmt.Sprintf("%d %s", c.Cause.Status, word(c.Cause.Status))
	if c.Failed() {
		return text, bad
	}
	return text, ""
}

func word(status int) string {
	switch status {
	case 480:
		return "no answer"
	case 486, 600:
		return "busy"
	case 487:
		return "cancelled"
	case 603:
		return "declined"
	}
	return "failed"
}

// call writes all there is to know of one call.
func (l look) call(w io.Writer, c record.LiveCall) {
	fmt.Fprintf(w, "%s  %s\n", l.paint(strong, plain(c.From)+" → "+plain(c.To)), l.paint(quiet, c.ID))
	l.outcome(w, c)
	fmt.Fprintln(w)
	l.times(w, c.Call)
	fmt.Fprintln(w)
	l.legs(w, c.Call)
	if len(c.Attempts) > 0 {
		fmt.Fprintln(w)
		l.attempts(w, c.Call)
	}
	if len(c.Transfers) > 0 {
		fmt.Fprintln(w)
		l.transfers(w, c.Call)
	}
}

// outcome is the answer to "what became of it?".
func (l look) outcome(w io.Writer, c record.LiveCall) {
	text, color := result(c.Call)
	if c.State != "" {
		text, color = c.State, stateColor(c.State)
	} else if by := c.Cause.By; by != "" && by != record.ByNodeLost {
		text += ", ended by " + plain(by)
	}
	if c.Cause.Q850 != 0 {
		text += fmt.Sprintf(" (Q.850 cause %d)", c.Cause.Q850)
	}
	fmt.Fprintln(w, l.paint(color, text))
	for _, line := range wrap(plain(c.Cause.Text), 78) {
		fmt.Fprintln(w, l.paint(color, line))
	}
	l.microsoft(w, c.Cause)
	if c.Answered == nil || c.Cause.By == record.ByNodeLost { // a lost node took its counts along
		return
	}
	for _, g := range []record.Leg{c.Caller, c.Callee} {
		l.unheard(w, g)
	}
}

// microsoft tells what the cloud's own reason means, and by what Microsoft's
// support finds the call.
func (l look) microsoft(w io.Writer, c record.Cause) {
	said := c.Explanation
	if c.MicrosoftCode != 0 {
		said = fmt.Sprintf("Microsoft code %d", c.MicrosoftCode)
		if c.Explanation != "" {
			said += ": " + c.Explanation
		}
	}
	for _, line := range wrap(plain(said), 78) {
		fmt.Fprintln(w, line)
	}
	if c.Correlation != "" {
		fmt.Fprintln(w, l.paint(quiet, "for Microsoft's support: "+plain(c.Correlation)))
	}
}

func (l look) times(w io.Writer, c record.Call) {
	l.fact(w, "service", serviceOf(c))
	l.fact(w, "began", l.exactly(c.Began))
	if c.Answered != nil {
		l.fact(w, "answered", "after "+lasting(c.Answered.Sub(c.Began)))
	}
	if c.Ended != nil {
		l.fact(w, "ended", fmt.Sprintf("after %s, at %s", lasting(c.Ended.Sub(c.Began)), c.Ended.In(l.zone).Format(time.TimeOnly)))
	}
	l.fact(w, "transcoded", c.Transcoding)
	l.fact(w, "node", fmt.Sprintf("%s in %s, snapshot %d", c.Node, c.Region, c.Revision))
}

func serviceOf(c record.Call) string {
	words := []string{c.Service}
	if c.Account != "" {
		words = append(words, "of "+c.Account)
	}
	if c.Emergency {
		words = append(words, "emergency")
	}
	if c.Test {
		words = append(words, "test of ours, not billed")
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

func (l look) fact(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s%s\n", l.paint(quiet, pad(name, 11)), plain(value))
	}
}

// legs sets both sides next to each other.
func (l look) legs(w io.Writer, c record.Call) {
	row := func(name string, of func(record.Leg) string) []cell {
		return []cell{{name, quiet}, {plain(of(c.Caller)), ""}, {plain(of(c.Callee)), ""}}
	}
	rows := [][]cell{
		row("peer", func(g record.Leg) string {
			if g.Peer == "" {
				return "none"
			}
			return fmt.Sprintf("%s (%s)", g.Peer, g.Side)
		}),
		row("signalling", func(g record.Leg) string { return strings.TrimSpace(g.Transport + " " + g.Address) }),
		row("Call-ID", func(g record.Leg) string { return clip(g.CallID, 32) }),
		row("codec", func(g record.Leg) string { return g.Codec }),
		row("media", func(g record.Leg) string {
			switch {
			case g.Keying != "":
				return strings.TrimSpace(g.SRTP + " by " + g.Keying)
			case g.SRTP != "":
				return g.SRTP
			case g.Codec != "":
				return "RTP in the clear"
			}
			return ""
		}),
		row("from", func(g record.Leg) string { return g.Media.Remote }),
		row("received", func(g record.Leg) string { return received(g.Media) }),
		row("fax", func(g record.Leg) string {
			if g.Media.Fax == 0 {
				return ""
			}
			return fmt.Sprintf("%d datagrams of T.38", g.Media.Fax)
		}),
		row("lost", func(g record.Leg) string { return share(g.Media) }),
		row("jitter", func(g record.Leg) string {
			if !g.Media.Received {
				return ""
			}
			return g.Media.Jitter.Round(100 * time.Microsecond).String()
		}),
		row("heard here", heardFrom),
		row("there", heardThere),
		row("wideband", wideband),
		row("over time", whiles),
		row("round trip", roundTrip),
		row("dropped", func(g record.Leg) string {
			if g.Media.Dropped == 0 {
				return ""
			}
			return fmt.Sprintf("%d packets refused", g.Media.Dropped)
		}),
	}
	rows = slices.DeleteFunc(rows, func(r []cell) bool { return r[1].text == "" && r[2].text == "" })
	l.table(w, []string{"", "CALLER", "CALLEE"}, rows)
}

func received(m record.Media) string {
	text := fmt.Sprintf("%d packets", m.Packets)
	if !m.Received {
		text = "nothing"
	}
	if m.Silent >= time.Second {
		text += ", silent for " + lasting(m.Silent)
	}
	return text
}

func share(m record.Media) string {
	if !m.Received {
		return ""
	}
	return fmt.Sprintf("%d (%.1f %%)", m.Lost, 100*float64(m.Lost)/float64(m.Lost+m.Packets))
}

// transfers tells who has come to the place of whom.
func (l look) transfers(w io.Writer, c record.Call) {
	var rows [][]cell
	for _, t := range c.Transfers {
		text, color := "none yet", quiet
		switch {
		case t.Status >= 300:
			text, color = fmt.Sprint(t.Status), bad
		case t.Status != 0:
			text, color = fmt.Sprint(t.Status), good
		}
		rows = append(rows, []cell{
			{"+" + lasting(t.At.Sub(c.Began)), ""},
			{plain(t.How) + " of the " + plain(t.By), ""},
			{cmp.Or(plain(t.Left.Peer), "-"), ""},
			{clip(plain(t.To), 30), ""},
			{text, color},
		})
	}
	l.table(w, []string{"AT", "TRANSFER", "LEFT", "TO", "RESULT"}, rows)
}

func (l look) attempts(w io.Writer, c record.Call) {
	var rows [][]cell
	for i, a := range c.Attempts {
		text, color := "no answer yet", quiet
		switch {
		case a.Error != "":
			text, color = a.Error, bad
		case a.Status >= 300:
			text, color = fmt.Sprint(a.Status), bad
		case a.Status != 0:
			text, color = fmt.Sprint(a.Status), good
		}
		peer := a.Peer
		if a.Region != "" && a.Region != c.Region {
			peer += " by " + a.Region
		}
		rows = append(rows, []cell{
			{fmt.Sprint(i + 1), quiet},
			{"+" + lasting(a.At.Sub(c.Began)), ""},
			{plain(peer), ""},
			{plain(a.Target), ""},
			{plain(text), color},
		})
	}
	lines := l.lines([]string{"#", "AT", "TRIED", "TARGET", "RESULT"}, rows)
	fmt.Fprintln(w, lines[0])
	for i, a := range c.Attempts {
		fmt.Fprintln(w, lines[i+1])
		for _, why := range wrap(plain(a.Why), 76) {
			fmt.Fprintln(w, "   "+l.paint(notice, why))
		}
	}
}
