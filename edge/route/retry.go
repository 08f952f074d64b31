package route

// Outcome is how an attempt at a target ended without an answer.
type Outcome struct {
	Status int   // final SIP status, 0 when none came
	Err    error // why none came: no response in time, or the transport failed
}

// Retry tells whether the next target may be tried. Every other final answer
// stands: the far side has decided about the call, and asking again would ring
// a phone twice or leave several missed calls behind (Azure Communications
// Gateway docs, "Reliability"; Microsoft Teams docs, "Direct Routing: trunk
// failover").
func Retry(o Outcome) bool {
	switch o.Status {
	case 0:
		return o.Err != nil
	case 408, 503, 504:
		return true
	}
	return false
}
