package link

// Questions that every edge answers, with the types of question and answer.
const (
	AskCalls     = "calls"     // nothing -> []record.LiveCall
	AskTrace     = "trace"     // string, the ID of a call -> record.Trace
	AskHangup    = "hangup"    // string, the ID of a call -> nothing
	AskPeers     = "peers"     // nothing -> []record.PeerHealth
	AskExplain   = "explain"   // ExplainQuestion -> record.Explanation
	AskListeners = "listeners" // nothing -> []ListenerCheck: each was asked by OPTIONS
)

// ExplainQuestion is an INVITE that nobody sent.
type ExplainQuestion struct {
	From   string `json:"from"` // peer or address that it would come from
	Invite string `json:"invite"`
}

// ListenerCheck is what became of asking a listener of an edge.
type ListenerCheck struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // why it did not answer; empty: it did
}
