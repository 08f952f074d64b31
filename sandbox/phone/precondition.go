package phone

import (
	"strings"

	"github.com/tandemgw/tandem/wire/sdp"
)

// qos are the preconditions of one description: resources on each segment, as
// 3GPP TS 24.229 section 6.1 uses RFC 3312.
type qos struct {
	ours, theirs bool // resources are reserved on that side
	known        bool // the far side spoke of preconditions as well
}

// lines are the attributes; nil preconditions have none.
func (q *qos) lines() []string {
	if q == nil {
		return nil
	}
	status := func(reserved bool) string {
		if reserved {
			return "sendrecv"
		}
		return "none"
	}
	return []string{
		"curr:qos local " + status(q.ours), "curr:qos remote " + status(q.theirs),
		"des:qos mandatory local sendrecv", "des:qos mandatory remote sendrecv",
	}
}

// read takes the far side's status: its local one is our remote one.
func (q *qos) read(m *sdp.Media) {
	if q == nil {
		return
	}
	for _, l := range m.Lines {
		if l.Type == 'a' && strings.HasPrefix(l.Value, "curr:qos local ") {
			q.theirs, q.known = strings.HasSuffix(l.Value, "sendrecv"), true
		}
	}
}

// met reports whether telephones may ring.
func (q *qos) met() bool { return q == nil || !q.known || q.ours && q.theirs }
