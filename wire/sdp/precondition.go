package sdp

import (
	"slices"
	"strings"
)

// Preconditions are what must be reserved for a media section before the
// called user may be alerted: quality of service, the one type there is
// (RFC 3312, updated by RFC 4032). As its writer sees it: local is the writer's
// own network, remote that of who reads it.
type Preconditions struct {
	current [3]flow
	desired []desire
}

// status is whose network a line is about.
type status uint8

const (
	local status = iota
	remote
	endToEnd
)

var statusNames = [...]string{"local", "remote", "e2e"}

// flow is a direction as RFC 3312 section 5 writes it: none, or any of both.
type flow uint8

const (
	sends flow = 1 << iota
	receives
)

var flowNames = [...]string{"none", "send", "recv", "sendrecv"}

// desire is an a=des line.
type desire struct {
	strength string // mandatory, optional, none, failure, unknown
	of       status
	flow     flow
}

// Preconditions reads those of a section. Lines that cannot be read are none.
func (m *Media) Preconditions() Preconditions {
	var p Preconditions
	for _, l := range m.Lines {
		name, rest, _ := strings.Cut(l.Value, ":")
		words := strings.Fields(rest)
		if l.Type != 'a' || len(words) < 3 || words[0] != "qos" {
			continue
		}
		switch {
		case name == "curr":
			of, flow, ok := state(words[1], words[2])
			if ok {
				p.current[of] = flow
			}
		case name == "des" && len(words) > 3 && len(p.desired) < 8:
			of, flow, ok := state(words[2], words[3])
			if ok && slices.Contains(strengths[:], words[1]) {
				p.desired = append(p.desired, desire{words[1], of, flow})
			}
		}
	}
	return p
}

var strengths = [...]string{"mandatory", "optional", "none", "failure", "unknown"}

func state(of, direction string) (status, flow, bool) {
	s, f := slices.Index(statusNames[:], of), slices.Index(flowNames[:], direction)
	return status(max(s, 0)), flow(max(f, 0)), s >= 0 && f >= 0
}

// Asked tells whether there are any.
func (p Preconditions) Asked() bool { return len(p.desired) > 0 }

// Met tells whether the writer has reserved all that it calls mandatory of its
// own network (RFC 3312 section 7). What it wants of ours is there.
func (p Preconditions) Met() bool {
	return !slices.ContainsFunc(p.desired, func(d desire) bool { return d.strength == "mandatory" && !p.reserved(d) })
}

// reserved tells whether a wish about the writer's own network is fulfilled.
func (p Preconditions) reserved(d desire) bool {
	return d.of != local || p.current[local]&d.flow == d.flow
}

// Answer is the lines of an answer from one whose resources are always there
// (RFC 3312 section 5.1.2): its local is the other's remote, the wishes are
// given back as they are, and it asks to be told of what is not reserved yet.
func (p Preconditions) Answer() []Line {
	if !p.Asked() {
		return nil
	}
	var lines []Line
	say := func(words ...string) { lines = append(lines, Line{Type: 'a', Value: strings.Join(words, " ")}) }
	if slices.ContainsFunc(p.desired, func(d desire) bool { return d.of == endToEnd }) {
		say("curr:qos", "e2e", "sendrecv")
	}
	if slices.ContainsFunc(p.desired, func(d desire) bool { return d.of != endToEnd }) {
		say("curr:qos", "local", "sendrecv")
		say("curr:qos", "remote", flowNames[p.current[local].turned()])
	}
	for _, d := range p.desired {
		say("des:qos", d.strength, statusNames[d.of.turned()], flowNames[d.flow.turned()])
	}
	for _, d := range p.desired {
		if !p.reserved(d) {
			say("conf:qos", "remote", flowNames[d.flow.turned()])
		}
	}
	return lines
}

// turned is the same network as the other side names it.
func (s status) turned() status {
	switch s {
	case local:
		return remote
	case remote:
		return local
	}
	return s
}

// turned is the same flow as the other side sees it.
func (f flow) turned() flow {
	return f&sends<<1 | f&receives>>1
}
