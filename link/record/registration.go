package record

import "time"

// Registration is how our registration with a peer stands.
type Registration struct {
	AOR   string     `json:"aor"`             // the address of record
	Until *time.Time `json:"until,omitempty"` // absent: we are not registered
	Why   string     `json:"why,omitempty"`   // the last failure in one sentence; also while an older registration stands
}
