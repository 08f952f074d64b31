package link

import (
	"context"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Control is the upper end of the link. Its methods may be called from any
// goroutine; on several control nodes at once, each has its own.
type Control struct{}

// Publication is a snapshot for some edges.
type Publication struct {
	Gateway  string // whose it is
	Revision uint64 // grows with every publication, whatever the gateway
	Nodes    []string
	Snapshot *snapshot.Snapshot // its Revision and Gateway are set to those above
}

// NewControl makes the upper end and its streams where they are missing.
func NewControl(ctx context.Context, conn *Conn) (*Control, error) { return nil, errTodo }

// Close ends it; what was published stays.
func (c *Control) Close() {}

// Publish assigns a snapshot to edges and returns when the link has it safe;
// edges that are away get it when they come back. Publishing the same again
// does nothing. The error is fault.Conflict when an edge has been assigned a
// newer revision, which Newest tells.
func (c *Control) Publish(ctx context.Context, p Publication) error { return errTodo }

// Newest is the greatest revision that has ever been assigned or reported: a
// store that was restored from a backup goes on from there.
func (c *Control) Newest() uint64 { return 0 }

// Withdraw takes its snapshot from an edge, which drains then and waits for
// another. Revision is a new one, as for a publication.
func (c *Control) Withdraw(ctx context.Context, revision uint64, nodes ...string) error {
	return errTodo
}

// Edges are all edges that have ever reported, by name, as they stood last.
func (c *Control) Edges() []EdgeStatus { return nil }

// Edge is one of them.
func (c *Control) Edge(node string) (EdgeStatus, bool) { return EdgeStatus{}, false }

// Forget removes an edge that will not come back, with what it was assigned.
func (c *Control) Forget(ctx context.Context, node string) error { return errTodo }

// Changed has a value after Edges has changed in more than signs of life. One
// reader.
func (c *Control) Changed() <-chan struct{} { return nil }

// Ask puts a question to a live edge and waits for its answer, which is
// decoded into out (nil: nobody cares); in may be nil. The error is
// fault.Unavailable when the edge is away or does not answer before ctx is
// done, or in 10 s; others are the edge's own, with their kinds.
func (c *Control) Ask(ctx context.Context, node, question string, in, out any) error {
	return errTodo
}

// Records hands the entries of all edges to keep, in batches, until ctx is
// done. A batch has arrived when keep returns nil; otherwise it comes again.
// Entries may come twice and in any order.
func (c *Control) Records(ctx context.Context, keep func(context.Context, []record.Entry) error) error {
	return errTodo
}
