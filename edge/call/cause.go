package call

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// Who ended a call, in the words of record.Cause.
const (
	byGateway = "gateway"
	byCommand = "operator command"
)

// cause is why a call ends, and how the far sides are told.
type cause struct {
	record.Cause
	far        *sip.Message // the BYE or CANCEL that ended it; interop takes from it what may cross
	headers    [][2]string  // of the final response to the caller
	reasons    []sip.Reason // of the final response to the caller
	unrecorded bool         // no record is to be written
	elsewhere  bool         // somebody else has taken the call
}

// gatewayCause is a decision of ours. status is for a caller that has no
// answer yet.
func gatewayCause(status, q850 int, text string) cause {
	if status == 0 {
		status = 500
	}
	return cause{
		Cause:   record.Cause{By: byGateway, Status: status, Q850: q850, Text: text},
		reasons: []sip.Reason{{Protocol: "Q.850", Cause: q850, Text: publicText[q850]}},
	}
}

var (
	commandCause = cause{Cause: record.Cause{By: byCommand, Status: 480, Q850: 16, Text: "ended by command"}}
	drainCause   = cause{Cause: record.Cause{By: byGateway, Status: 503, Q850: 41, Text: "the node is stopping"}}
)

// byeCause: a leg has hung up.
func byeCause(by relay.Side, bye *sip.Message) cause {
	c := cause{Cause: record.Cause{By: by.String(), Q850: 16, Text: "normal clearing"}, far: bye}
	c.adopt(bye)
	return c
}

// cancelCause: the caller gave up before the answer.
func cancelCause(msg *sip.Message) cause {
	c := cause{Cause: record.Cause{By: relay.Caller.String(), Status: 487, Q850: 16, Text: "the caller gave up before the answer"}, far: msg}
	c.adopt(msg)
	return c
}

// adopt takes what a far side said about why.
func (c *cause) adopt(m *sip.Message) {
	if m == nil {
		return
	}
	for _, r := range m.Reasons() {
		if strings.EqualFold(r.Protocol, "Q.850") && r.Cause > 0 && r.Cause < 128 {
			c.Q850 = r.Cause
		}
		if r.Text != "" {
			c.Text += ": " + r.Text
		}
	}
}

// cancelReason is the Reason of a CANCEL that follows. What the caller's own
// CANCEL said comes first: SIP 200, answered elsewhere, keeps a phone from
// showing a missed call (RFC 3326 section 2).
func (c cause) cancelReason() string {
	if c.elsewhere {
		return sip.Reason{Protocol: "SIP", Cause: 200, Text: "Call completed elsewhere"}.String()
	}
	if c.far != nil {
		if said := interop.Reasons(c.far); len(said) > 0 {
			return said[0].String()
		}
	}
	if c.Q850 == 0 {
		return ""
	}
	return sip.Reason{Protocol: "Q.850", Cause: c.Q850, Text: publicText[c.Q850]}.String()
}

// failure is how the last attempt ended.
type failure struct {
	peer string
	msg  *sip.Message // its final response, nil when there was none
	from interop.Leg
	err  error // why there was none
}

// cause is how the caller is told that no attempt came through.
func (f failure) cause() cause {
	switch {
	case f.msg != nil:
		return f.answeredCause()
	case f.err == nil:
		return gatewayCause(503, 41, "there is no target to try")
	case isFull(f.err):
		return gatewayCause(503, 42, f.peer+": "+f.err.Error())
	case errors.Is(f.err, sip.ErrTimeout), isSilent(f.err):
		return gatewayCause(504, 102, f.peer+" did not answer: "+f.err.Error())
	}
	return gatewayCause(503, 38, f.peer+" could not be reached: "+f.err.Error())
}

func isSilent(err error) bool {
	_, ok := errors.AsType[errSilent](err)
	return ok
}

func isFull(err error) bool {
	_, ok := errors.AsType[*peer.Full](err)
	return ok
}

func (f failure) answeredCause() cause {
	told := interop.Fail(f.msg, f.from)
	c := cause{
		Cause: record.Cause{
			By: relay.Callee.String(), Status: told.Status, Q850: q850Of(told),
			Text: fmt.Sprintf("%s answered %d %s", f.peer, f.msg.Status, f.msg.Reason),
		},
		reasons: told.Reasons,
	}
	c.diagnose(f.msg, f.from)
	for _, r := range f.msg.Reasons() {
		if r.Text != "" {
			c.Text += " (" + r.Text + ")"
		}
	}
	return c
}

func q850Of(f interop.Failure) int {
	for _, r := range f.Reasons {
		if strings.EqualFold(r.Protocol, "Q.850") {
			return r.Cause
		}
	}
	return interop.Q850(f.Status)
}

// retryAfter reads the header (RFC 3261 20.33); comments and parameters are
// not for us.
func retryAfter(m *sip.Message) time.Duration {
	v := strings.TrimSpace(m.Get("Retry-After"))
	if i := strings.IndexAny(v, " ;("); i >= 0 {
		v = v[:i]
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
