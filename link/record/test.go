package record

import "time"

// TestCall is what became of a call that the gateway placed itself, to see that
// the way is there. Durations are zero where it did not come so far.
type TestCall struct {
	ID      string    `json:"id"`
	Node    string    `json:"node"`
	Region  string    `json:"region"`
	Towards Side      `json:"towards"` // the network that it was placed to
	From    string    `json:"from"`
	To      string    `json:"to"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"` // zero: it is under way

	Call   string        `json:"call,omitempty"` // ID of its call record
	Peer   string        `json:"peer,omitempty"` // that took it, or was tried last
	Ring   time.Duration `json:"ring,omitempty"` // from the INVITE until it rang
	Answer time.Duration `json:"answer,omitempty"`
	Status int           `json:"status,omitempty"` // final SIP status; 0: none came

	Sent     uint64   `json:"sent,omitempty"`     // packets of media
	Received uint64   `json:"received,omitempty"` // that came back
	Heard    bool     `json:"heard,omitempty"`    // there was more in them than silence
	Echo     bool     `json:"echo,omitempty"`     // the tone that was sent came back
	MOS      float64  `json:"mos,omitempty"`      // of what came from the far side; 0: it could not be judged
	OneWay   string   `json:"oneWay,omitempty"`   // which way nothing was heard, in words; empty: none such is known
	Cause    Cause    `json:"cause,omitzero"`     // of its call record
	Problem  string   `json:"problem,omitempty"`  // why the way is not good, with what to do; empty: it is
	Notes    []string `json:"notes,omitempty"`    // how it was routed
}
