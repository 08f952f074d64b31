package sip

// ServerTx is a server transaction: a request of a peer and our answer.
type ServerTx struct{}

// Request is the request; its top Via carries received and rport already.
// Nil once the transaction has sent its final response.
func (tx *ServerTx) Request() *Message { panic("todo") }

// Source is where the request came from.
func (tx *ServerTx) Source() Source { panic("todo") }

// Respond sends a response. A final one moves the machine on; after a 2xx to
// INVITE further 2xx pass through for 64*T1, since its retransmission is the
// user's work (RFC 6026); everything else that comes too late is ErrState.
func (tx *ServerTx) Respond(m *Message) error { panic("todo") }

// OnCancel sets what is called, at most once, when the peer cancels this
// INVITE before its final response; the CANCEL is already answered. Set after
// the CANCEL came, it is called at once.
func (tx *ServerTx) OnCancel(f func(cancel *Message)) { panic("todo") }

// OnEnd sets what is called once when the transaction is over: nil after its
// normal course, ErrNoAck, ErrNoResponse, ErrClosed or *TransportError.
func (tx *ServerTx) OnEnd(f func(error)) { panic("todo") }
