package onboard

import "time"

// Draft is a message to somebody, ready to be sent.
type Draft struct {
	Key     string // distinguishes those of one step: "billing-service"; "" when it has one
	To      Actor
	Address string   // mail address or place, where it is known
	Subject string   // of the mail
	Message string   // ready to be pasted
	Files   []File   // that go with it
	Asks    []string // names of the facts that the answer brings
}

// File goes with a message.
type File struct {
	Name    string `json:"name"` // "onboarding-form.md"
	Content string `json:"content"`
}

// HandOver is a Draft and what has become of it.
type HandOver struct {
	ID   string // "B4", "A10/billing-service"
	Step string
	Draft
	State    HandState
	Drafted  time.Time // first seen by apply, or sent
	Sent     time.Time
	Waiting  time.Time // last looked for the answer
	Answered time.Time
	Answer   string // what the answer said, in a line
	SentBy   string
	Changed  bool // what would be sent now differs from what was
}

// HandState is where a hand-over is.
type HandState string

// The states of a hand-over, in their order.
const (
	Drafted  HandState = "drafted"
	Sent     HandState = "sent"
	Awaiting HandState = "waiting" // looked for since, not there yet
	Answered HandState = "answered"
)
