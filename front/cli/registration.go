package cli

import (
	"fmt"
	"io"

	"github.com/tandemgw/tandem/link/record"
)

// withRegistrations adds a column for those peers that we register with, if
// there are any.
func (l look) withRegistrations(peers []record.PeerHealth, header []string, rows [][]cell) ([]string, [][]cell) {
	found := false
	for i, p := range peers {
		text, color := "-", ""
		if p.Registration != nil {
			found = true
			text, color = l.registered(*p.Registration)
		}
		rows[i] = append(rows[i], cell{text, color})
	}
	if found {
		return append(header, "REG"), rows
	}
	for i := range rows {
		rows[i] = rows[i][:len(rows[i])-1]
	}
	return header, rows
}

// registered is a registration in a few words: how long it lasts. A failure
// while it lasts is a warning.
func (l look) registered(r record.Registration) (text, color string) {
	switch {
	case r.Until == nil:
		return "no", bad
	case r.Why != "":
		return lasting(r.Until.Sub(l.now)), notice
	}
	return lasting(r.Until.Sub(l.now)), good
}

// registrationTroubles tells why registrations fail.
func (l look) registrationTroubles(w io.Writer, peers []record.PeerHealth) {
	for _, p := range peers {
		r := p.Registration
		if r == nil || r.Why == "" {
			continue
		}
		state, color := "is not registered", bad
		if r.Until != nil {
			state, color = "is registered until "+l.when(*r.Until)+" and cannot be any longer", notice
		}
		fmt.Fprintf(w, "\n%s with %s %s:\n", plain(r.AOR), l.paint(strong, plain(p.Peer)), l.paint(color, state))
		for _, line := range wrap(plain(r.Why), 76) {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

// registration is one in full.
func (l look) registration(r record.Registration) string {
	if r.Until == nil {
		return "no, as " + r.AOR + ": " + r.Why
	}
	s := "until " + l.when(*r.Until) + " as " + r.AOR
	if r.Why != "" {
		s += "; not any longer: " + r.Why
	}
	return s
}
