package phone

import (
	"cmp"
	"time"

	"github.com/tandemgw/tandem/sandbox/ice"
)

// Violation is one broken rule.
type Violation struct {
	Time    time.Time `json:"time"`
	Rule    string    `json:"rule"`    // short key: "contact-fqdn"
	Message string    `json:"message"` // what was seen
	CallID  string    `json:"callId,omitempty"`
}

// Fault is a broken rule with the document the rule stands in.
type Fault struct {
	Violation
	Source string `json:"source"`
}

// Faults lists the rules the gateway broke, the oldest first, with their
// sources.
func (x *Exchange) Faults() []Fault {
	all := []Fault{} // [] in JSON, not null
	for _, v := range x.Violations() {
		source := x.cfg.Manner.Sources[v.Rule]
		if source == "" {
			source = cmp.Or(Sources[v.Rule], ice.Sources[v.Rule])
		}
		all = append(all, Fault{v, source})
	}
	return all
}

// Sources says where the rules stand that every far side has.
var Sources = map[string]string{
	"100rel":          "RFC 3262 section 3",
	"answer":          "RFC 3264 section 6",
	"cseq":            "RFC 3261 section 12.2.2",
	"dialog":          "RFC 3261 section 12.1",
	"forks-shown":     "many softswitches refuse a second early dialog; a gateway in front of them joins forks",
	"hold":            "RFC 3264 section 8.4",
	"info":            "RFC 6086 section 4; application/dtmf-relay as gateways use it",
	"invite-sdp":      "RFC 3264 section 5",
	"late-2xx":        "RFC 3261 section 13.2.2.4",
	"late-offer":      "RFC 3261 section 13.2.1",
	"method":          "RFC 3261 section 8.2.1",
	"mirror":          "RFC 3261 section 12.2.1.1",
	"no-ack":          "RFC 3261 section 13.3.1.4",
	"notify":          "RFC 3515 section 2.4",
	"prack":           "RFC 3262 section 3",
	"precondition":    "RFC 3312 section 5.1",
	"rack":            "RFC 3262 section 7.2",
	"refer-answer":    "RFC 3515 section 2.4.2",
	"refer-early-bye": "RFC 5589 section 6.1",
	"refer-notify":    "RFC 3515 section 2.4.4",
	"refresh":         "RFC 4028 section 7.4",
	"reinvite-answer": "RFC 3264 section 8",
	"reinvite-sdp":    "RFC 3264 section 8",
	"resume":          "RFC 3264 section 8.4",
	"rseq":            "RFC 3262 sections 4 and 7.1",
	"sdp-changed":     "RFC 3261 section 13.2.1",
	"sdp-media":       "RFC 3264 section 8",
	"sdp-origin":      "RFC 3264 section 8",
	"sdp-version":     "RFC 3264 section 8",
	"session-expired": "RFC 4028 section 10",
	"session-expires": "RFC 4028 section 9",
	"silence":         "RFC 3389: a side that says nothing sends comfort noise where that was agreed",
	"srtp-key":        "RFC 4568 section 6.1",
	"update-answer":   "RFC 3311 section 5.1",
	"update-sdp":      "RFC 3311 section 5.2",
}
