package snapshot

import "time"

// Login is how a peer and we show each other who we are, where addresses and
// certificates do not say it all: digest authentication (RFC 3261 22) and
// registration (RFC 3261 10).
type Login struct {
	Prove    *Proof    `json:"prove,omitempty"`    // when it asks us
	Demand   *Proof    `json:"demand,omitempty"`   // what we ask of it
	Register *Register `json:"register,omitempty"` // we register with it
}

// Proof is a name and where its secret is. The secret itself never is in a
// snapshot.
type Proof struct {
	Username string `json:"username"`
	Secret   string `json:"secret"`          // "file:/etc/tandem/carrier.secret" or "env:CARRIER_SECRET"
	Realm    string `json:"realm,omitempty"` // prove: the only one that is answered, empty: any; demand: ours

	Algorithms []string `json:"algorithms,omitempty"` // demand: asked for in this order; empty: SHA-256
}

// Register is a registration.
type Register struct {
	AOR     string        `json:"aor"`               // address of record, "sip:+441134960000@carrier.example"
	Contact string        `json:"contact,omitempty"` // URI where calls shall come to; empty: the user of AOR at our listener
	Expires time.Duration `json:"expires"`           // asked for
}
