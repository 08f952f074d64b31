package sip

// ClientTx is a client transaction: a request of ours and what comes back.
type ClientTx struct{}

// Cancel gives the INVITE up: a CANCEL is sent as soon as a provisional
// response allows it (RFC 3261 section 9.1), with reason as its Reason header
// unless empty. The transaction goes on until its final response (commonly
// 487, or a 2xx that crossed), for 64*T1 at most.
func (tx *ClientTx) Cancel(reason string) { panic("todo") }
