package app

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/edge/tester"
	"github.com/tandemgw/tandem/link"
	records "github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// test places a test call and waits for what becomes of it.
func (w *world) test(q link.TestQuestion) records.TestCall {
	w.t.Helper()
	q.ID = w.t.Name() + q.To + string(q.Towards)
	var r records.TestCall
	w.until(func() string {
		var err error
		r, err = w.node.tester.Ask(q)
		w.must(err)
		if r.Ended.IsZero() {
			return fmt.Sprintf("the test call does not end: %+v", r)
		}
		return ""
	})
	return r
}

func TestTestCallsCrossTheGateway(t *testing.T) {
	w := build(t)
	for _, tt := range []struct {
		name, from, to string
		towards        records.Side
		peer           string
	}{
		{"to the core", "+14255550101", "+442079460001", "operator", "core-"},
		{"to Teams", "+442079460001", "+14255550101", "cloud", "teams-"},
	} {
		r := w.test(link.TestQuestion{Towards: tt.towards, From: tt.from, To: tt.to, Talk: 3 * time.Second})
		if r.Problem != "" || r.Answer == 0 || r.Ring == 0 || r.Status != 200 || r.Received < 100 || !r.Heard || r.OneWay != "" {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if r.MOS < 4 {
			t.Errorf("%s: MOS %v", tt.name, r.MOS)
		}
		past, err := w.node.spool.List(t.Context(), records.Filter{ID: r.Call, Limit: 1})
		w.must(err)
		if len(past) != 1 || !past[0].Test || past[0].Caller.Peer != tester.Name(snapshot.Side(past[0].Caller.Side)) || past[0].From != tt.from {
			t.Errorf("%s: its record is %+v", tt.name, past)
		}
	}
	for _, p := range w.node.peers.Health() {
		if strings.HasPrefix(p.Peer, "tester") {
			t.Errorf("%s is shown as a far side", p.Peer)
		}
	}
	for _, v := range append(w.teams.Violations(), w.core.Violations()...) {
		t.Errorf("%s: %s", v.Rule, v.Message)
	}
}

func TestATestCallTellsWhatIsWrong(t *testing.T) {
	w := build(t)
	w.core.Answer("+442079460002", phone.Behaviour{Status: 486})
	r := w.test(link.TestQuestion{Towards: "operator", From: "+14255550101", To: "+442079460002"})
	if r.Status != 486 || r.Answer != 0 || !strings.Contains(r.Problem, "486") || r.Call == "" {
		t.Errorf("%+v", r)
	}
	w.core.Answer("+442079460003", phone.Behaviour{HangUp: 500 * time.Millisecond})
	if r = w.test(link.TestQuestion{Towards: "operator", From: "+14255550101", To: "+442079460003", Talk: 20 * time.Second}); r.Answer == 0 || r.Ended.Sub(r.Began) > 10*time.Second {
		t.Errorf("one that the far side ends: %+v", r)
	}
}

// The listener for test calls is no way in for other programs of the machine.
func TestNobodyElseComesInByTheTestersListener(t *testing.T) {
	w := build(t)
	at := w.node.stack.Addr(tester.Name(snapshot.Cloud))
	knock := func() string {
		conn, err := net.Dial("tcp", at.String())
		w.must(err)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		req := sip.NewRequest("INVITE", "sip:+442079460001@"+at.String())
		for name, value := range map[string]string{
			"Via": "SIP/2.0/TCP " + conn.LocalAddr().String() + ";branch=" + sip.NewBranch(), "From": "<sip:+14255550101@x>;tag=1", "To": "<sip:+442079460001@x>",
			"Call-ID": sip.NewCallID(), "CSeq": "1 INVITE", "Contact": "<sip:x@127.0.0.1>", "Max-Forwards": "70",
		} {
			req.Set(name, value)
		}
		_, err = conn.Write(req.Append(nil))
		w.must(err)
		resp, err := sip.NewReader(conn, sip.Limits{}).Read()
		if err != nil {
			return "nothing"
		}
		return sip.StatusText(resp.Status)
	}
	if got := knock(); got != "nothing" {
		t.Errorf("while no test is under way, a stranger gets %s", got)
	}
	w.core.Answer("+442079460004", phone.Behaviour{Ring: 2 * time.Second})
	q := link.TestQuestion{ID: "x", Towards: "operator", From: "+14255550101", To: "+442079460004", Talk: time.Second}
	_, err := w.node.tester.Ask(q)
	w.must(err)
	w.until(func() string {
		if !w.node.tester.Waits() {
			return "the test call does not begin"
		}
		return ""
	})
	if got := knock(); got != "Forbidden" {
		t.Errorf("while one is, he gets %s", got)
	}
	q.ID = "y"
	if _, err := w.node.tester.Ask(q); fault.Of(err) != fault.Conflict {
		t.Errorf("a second one at once: %v", err)
	}
	if got := w.node.calls.Counters().Begun; got > 1 {
		t.Errorf("%d calls were begun", got)
	}
}
