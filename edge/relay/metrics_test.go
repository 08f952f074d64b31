package relay

import (
	"testing"
	"time"
)

// RFC 3611 5.1: a side that asks for VoIP metrics is told, with each report of
// ours, how what it sends sounds here; another is not.
func TestVoIPMetricsForWhoAsks(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		own := func(n *Negotiated) { n.Reports = Own }
		set(t, m, Caller, caller.agreed(own, func(n *Negotiated) { n.Metrics = true }))
		set(t, m, Callee, callee.agreed(own))
		m.Answered()
		for range 10 {
			caller.quiet(time.Second)
			caller.seq += 2 // are lost
		}
		told := caller.port.Stats().VoIP
		if told.At.IsZero() || told.Loss < 0.02 || told.Loss > 0.06 || told.R < 70 || told.R > 93 || told.MOSLQ < told.MOSCQ || told.MOSCQ < 3 {
			t.Errorf("%+v", told)
		}
		if v := callee.port.Stats().VoIP; !v.At.IsZero() {
			t.Errorf("who has not asked is told %+v", v)
		}
		if len(callee.rtcp) == 0 {
			t.Error("no reports at all")
		}
	})
}
