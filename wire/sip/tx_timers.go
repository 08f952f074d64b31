package sip

import (
	"cmp"
	"time"
)

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
	t.T1 = cmp.Or(t.T1, 500*time.Millisecond)
	t.T2 = cmp.Or(t.T2, 4*time.Second)
	t.T4 = cmp.Or(t.T4, 5*time.Second)
	t.Invite = cmp.Or(t.Invite, 64*t.T1)
	t.NonInvite = cmp.Or(t.NonInvite, 64*t.T1)
	t.Linger = cmp.Or(t.Linger, 64*t.T1)
	return t
}

// trying is when a non-INVITE server answers 100 for want of anything better:
// when the client's timer E has grown to T2 (RFC 4320 section 4.1), 3.5 s by
// default.
func (t Timers) trying() time.Duration {
	var at time.Duration
	for e := t.T1; e < t.T2; e *= 2 {
		at += e
	}
	return at
}
