package snapshot

// Rule changes messages of a peer group as its operator wants. Which ones, and
// what it may change, is edge/rule's to say.
type Rule struct {
	Name      string   `json:"name"`
	Direction string   `json:"direction"`      // "in": from the peers; "out": to them
	On        []string `json:"on,omitempty"`   // methods of requests, and responses as "183", "18x", "4xx"; empty: INVITE
	When      string   `json:"when,omitempty"` // condition in CEL; empty: always
	Do        []Action `json:"do"`
}

// Action is one change.
type Action struct {
	Do     string `json:"do"`               // "set", "add", "remove", "replace", "reject"
	Target string `json:"target,omitempty"` // "header.X-Account", "request.user", "from.display", "sdp.ptime"
	Value  string `json:"value,omitempty"`  // text; of replace what is put in, with $1 for groups; of reject the reason
	Expr   string `json:"expr,omitempty"`   // instead of Value: an expression in CEL that gives it
	Match  string `json:"match,omitempty"`  // replace: regular expression (RE2)
	Status int    `json:"status,omitempty"` // reject
}
