package record

// Explanation is what would become of an INVITE that nobody sent.
type Explanation struct {
	Peer    string `json:"peer"`    // it would come from
	Group   string `json:"group"`   // of the peer
	Profile string `json:"profile"` // by which it is read

	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	Service   string `json:"service,omitempty"`
	Emergency bool   `json:"emergency,omitempty"`

	Notes   []string          `json:"notes"`             // what decided, in order
	Targets []ExplainedTarget `json:"targets,omitempty"` // in the order in which they would be tried
	Message string            `json:"message,omitempty"` // the INVITE to the first of them; addresses of media, tags, names of dialogs and keys are made up

	Status int    `json:"status,omitempty"` // with which it would be refused; 0: it would not
	Why    string `json:"why,omitempty"`
	Answer string `json:"answer,omitempty"` // the refusal
}

// ExplainedTarget is a peer that would be tried.
type ExplainedTarget struct {
	Peer    string `json:"peer"`
	Group   string `json:"group"`
	Profile string `json:"profile"`
	Why     string `json:"why"`
	Down    bool   `json:"down,omitempty"` // it does not answer OPTIONS now
}
