package record

// Stage is how far a call's record has come. A later one replaces an earlier
// one and never the other way round, so entries may arrive in any order.
type Stage int8

// The stages.
const (
	Begun Stage = iota
	Answered
	Finished
)

// Entry is a call as it stood when its node wrote it down, on its way up.
type Entry struct {
	Stage Stage
	Call  Call
	JSON  []byte // the call, as the node wrote it
}

// Owed is an entry that a node still owes to control.
type Owed struct {
	Number uint64 // grows with every entry of the node
	Stage  Stage
	JSON   []byte // the call
}
