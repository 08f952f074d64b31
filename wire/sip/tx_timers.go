package sip

import "time"

// Timers are those of RFC 3261 table 4, kept per peer; zero fields mean the
// defaults beside them.
type Timers struct {
	T1        time.Duration // round-trip estimate: 500 ms
	T2        time.Duration // longest retransmit interval: 4 s
	T4        time.Duration // longest life of a message in the network: 5 s
	Invite    time.Duration // B: INVITE without any response: 64*T1
	NonInvite time.Duration // F: other request without final response: 64*T1
	Linger    time.Duration // D, J, L, M: how long a finished transaction absorbs retransmissions: 64*T1
}

func (t Timers) withDefaults() Timers {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&t.T1, 500*time.Millisecond)
	set(&t.T2, 4*time.Second)
	set(&t.T4, 5*time.Second)
	set(&t.Invite, 64*t.T1)
	set(&t.NonInvite, 64*t.T1)
	set(&t.Linger, 64*t.T1)
	return t
}
