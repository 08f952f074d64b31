package rtp

// Plan says what to do with each packet that arrives at a port. Immutable: a
// re-INVITE makes a new plan, it never edits one.
type Plan struct {
	PT  [128]uint8 // payload number in, payload number out; Drop drops, Keep gives it to Sink alone. Its zero value maps all to 0: see PassPT and MapPT
	In  *Keys      // the far side's keys; nil = it sends clear RTP
	Out *Keys      // keys for what leaves at To; nil = clear
	// InRTCP and OutRTCP are those of RTCP, where it has others (RFC 5764 without
	// multiplexing); nil = In and Out.
	InRTCP, OutRTCP *Keys
	To              *Port  // where it leaves; nil = nowhere, only counted and given to Sink
	Hold            bool   // RTP goes nowhere; RTCP passes even then (RFC 3264 §5.1)
	Ends            bool   // RTCP is read here and does not leave at To
	Clock           uint32 // RTP clock of the stream in Hz, for jitter; 0 = 8000
	// Clocks are those of payload numbers in whose clock is another; nil = none.
	Clocks map[uint8]uint32
	// Sink is given each accepted packet in the clear, RTP with its number
	// mapped already. It runs on the loop that serves the port: it must not
	// block, and must not keep pkt. It may call Send of any port. A packet that
	// is on its way when another plan is set still reaches the old Sink.
	Sink func(pkt []byte, rtcp bool)
}

// Images of payload numbers that are none.
const (
	Drop uint8 = 0xff // the packet is dropped
	Keep uint8 = 0xfe // it is given to Sink, with its number, and does not leave at To
)

// PassPT leaves all payload numbers as they are.
func PassPT() [128]uint8 {
	var m [128]uint8
	for i := range m {
		m[i] = uint8(i)
	}
	return m
}

// MapPT maps the given payload numbers and drops all others.
func MapPT(pairs map[uint8]uint8) [128]uint8 {
	var m [128]uint8
	for i := range m {
		m[i] = Drop
	}
	for from, to := range pairs {
		m[from&0x7f] = to
	}
	return m
}

// route is a compiled plan: its keys looked up, its defaults filled in.
type route struct {
	Plan
	in  *context // of the port that has the plan, under its rx lock
	out *context // of To, under To's tx lock

	inRTCP, outRTCP *context // likewise; nil = in and out
}

// compile finds the contexts of a plan. The caller holds p.rx.
func (p *Port) compile(plan *Plan) (*route, error) {
	r := &route{Plan: *plan}
	if r.Clock == 0 {
		r.Clock = defaultClock
	}
	var err error
	if r.in, err = p.contexts.get(plan.In); err != nil {
		return nil, err
	}
	if r.inRTCP, err = p.contexts.get(plan.InRTCP); err != nil {
		return nil, err
	}
	if plan.To == nil {
		return r, plan.Out.Check()
	}
	if r.out, err = plan.To.outContext(plan.Out); err != nil {
		return nil, err
	}
	r.outRTCP, err = plan.To.outContext(plan.OutRTCP)
	return r, err
}

// clockOf is the clock of a payload number as it comes.
func (r *route) clockOf(pt uint8) uint32 {
	if r == nil {
		return defaultClock
	}
	if c := r.Clocks[pt]; c != 0 {
		return c
	}
	return r.Clock
}

func (p *Port) outContext(keys *Keys) (*context, error) {
	p.tx.Lock()
	defer p.tx.Unlock()
	return p.tx.contexts.get(keys)
}
