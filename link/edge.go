package link

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
)

// EdgeConfig is the lower end of the link.
type EdgeConfig struct {
	Node string
	Dir  string // keeps the copy of the snapshot
	Log  *slog.Logger
}

// Edge is the lower end of the link.
type Edge struct{}

// Assignment is what an edge is to do.
type Assignment struct {
	Gateway  string
	Revision uint64
	Snapshot *snapshot.Snapshot // nil: none; drain and wait
}

// Spool is an edge's store of call entries, as much of it as the link needs.
type Spool interface {
	// Owed gives entries that have not arrived, by ascending number, from after
	// a number on.
	Owed(ctx context.Context, after uint64, limit int) ([]record.Owed, error)
	// Arrived tells that entries have.
	Arrived([]record.Owed)
	// Owing has a value after there is more to give.
	Owing() <-chan struct{}
}

// NewEdge reads the copy on disk. Nothing goes over the network before Start.
func NewEdge(c EdgeConfig) (*Edge, error) { return nil, errTodo }

// Copy is the assignment on disk, zero when there is none or it is damaged.
func (e *Edge) Copy() Assignment { return Assignment{} }

// Answer says who answers a question. All answerers are named before Start.
func (e *Edge) Answer(question string, f func(ctx context.Context, in json.RawMessage) (any, error)) {
}

// Start begins to follow what is assigned over a connection, which the edge
// takes over.
func (e *Edge) Start(conn *Conn) {}

// Assignments gives each new assignment, the newest when several have come
// meanwhile. The reader says by Applied what became of it.
func (e *Edge) Assignments() <-chan Assignment { return nil }

// Applied puts an assignment on the disk, from where the next start takes it.
func (e *Edge) Applied(a Assignment) error { return errTodo }

// Report says how the edge stands, now and as soon as the link is there.
func (e *Edge) Report(s EdgeStatus) {}

// Upload sends what the spool owes, until ctx is done.
func (e *Edge) Upload(ctx context.Context, spool Spool) {}

// Counters tells how the link stands.
func (e *Edge) Counters() Counters { return Counters{} }

// Counters are figures of an edge's end of the link.
type Counters struct {
	Connected bool
	Uploaded  uint64 // entries that have arrived
	Received  uint64 // snapshots
	Refused   uint64 // snapshots that were damaged or old
	Asked     uint64 // questions answered
}

// Close ends it.
func (e *Edge) Close() {}
