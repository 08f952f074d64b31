package sip

// Counters are the stack's figures at one moment.
type Counters struct {
	RequestsIn, RequestsOut   map[string]uint64 // by method; unknown ones under "other"
	ResponsesIn, ResponsesOut [7]uint64         // by status class 1..6
	Drops                     map[string]uint64 // what was not acted on, by cause
	Connections               int               // open stream connections
	Refused                   uint64            // connections closed before or during TLS
	ClientTx, ServerTx        int               // live, lingering ones included
}

// Counters reads the figures.
func (s *Stack) Counters() Counters { panic("todo") }
