package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Control is the upper end of the link. Its methods may be called from any
// goroutine; several control nodes have one each.
type Control struct {
	conn      *Conn              // RO
	log       *slog.Logger       // RO
	snapshots jetstream.Stream   // RO
	records   jetstream.Consumer // RO
	room      int64              // RO: for records on their way
	ends      []func()           // RO
	changed   chan struct{}      // one place
	watched   sync.WaitGroup     // the watch of who is alive
	life      context.Context    // RO: ends with Close
	die       context.CancelFunc // RO

	mu       sync.Mutex
	edges    map[string]EdgeStatus // mu: by name
	assigned map[string]order      // mu: by name
}

// Publication is a snapshot for some edges.
type Publication struct {
	Gateway  string // whose it is
	Revision uint64 // grows with every publication, whatever the gateway
	Nodes    []string
	Snapshot *snapshot.Snapshot // its revision and gateway are set to those above
}

// The streams.
const (
	snapshotStream = "TANDEM_SNAPSHOT"
	statusStream   = "TANDEM_STATUS"
	recordStream   = "TANDEM_RECORD"
	keeper         = "keeper" // the consumer of records
)

// recordRoom bounds the records on their way: some six million packed. When
// it is full, the edges' spools keep the rest.
const recordRoom = 1 << 30

// NewControl makes the upper end, and its streams where they are missing. It
// waits for the server, and in a cluster for most of the nodes, until ctx is
// done.
func NewControl(ctx context.Context, conn *Conn) (*Control, error) {
	return newControl(ctx, conn, recordRoom)
}

func newControl(ctx context.Context, conn *Conn, room int64) (*Control, error) {
	c := &Control{
		conn: conn, log: conn.log, room: room, changed: make(chan struct{}, 1),
		edges: map[string]EdgeStatus{}, assigned: map[string]order{},
	}
	c.life, c.die = context.WithCancel(context.Background())
	for {
		err := c.open(ctx)
		if err == nil {
			return c, nil
		}
		c.Close()
		select {
		case <-time.After(time.Second):
			c.life, c.die = context.WithCancel(context.Background())
			c.ends = nil
		case <-ctx.Done():
			return nil, &fault.Error{Kind: fault.Unavailable, Public: "the link's streams do not answer: in a cluster, most of the control nodes must run", Err: err}
		}
	}
}

func (c *Control) open(ctx context.Context) error {
	if err := c.conn.Await(ctx); err != nil {
		return err
	}
	// A cluster that has no leader yet answers nothing: asked again, it may.
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	status, err := c.stream(ctx, jetstream.StreamConfig{Name: statusStream, Subjects: []string{statusSubject + "*"}, MaxMsgsPerSubject: 1, MaxMsgSize: maxStatus})
	if err != nil {
		return err
	}
	c.snapshots, err = c.stream(ctx, jetstream.StreamConfig{Name: snapshotStream, Subjects: []string{snapshotSubject + ">"}, MaxMsgsPerSubject: 1, AllowDirect: true})
	if err != nil {
		return err
	}
	records, err := c.stream(ctx, jetstream.StreamConfig{
		Name: recordStream, Subjects: []string{recordSubject + "*"}, Retention: jetstream.WorkQueuePolicy,
		MaxBytes: c.room, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute,
	})
	if err != nil {
		return err
	}
	c.records, err = records.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: keeper, AckPolicy: jetstream.AckExplicitPolicy, AckWait: keepTime + 10*time.Second, MaxAckPending: 4 * perKeep,
	})
	if err != nil {
		return fmt.Errorf("make the reader of call records: %w", err)
	}
	if err := c.watch(ctx, status, statusSubject+"*", c.hear); err != nil {
		return err
	}
	if err := c.watch(ctx, c.snapshots, snapshotSubject+"*.assigned", c.note); err != nil {
		return err
	}
	return c.watchLife()
}

// stream makes a stream, on three servers where there are as many.
func (c *Control) stream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Replicas = 1
	if c.conn.nc.ConnectedClusterName() != "" {
		cfg.Replicas = 3
	}
	s, err := c.conn.js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	return s, nil
}

// watch hands the newest message of every subject to f, and each new one. When
// it returns, f has seen those that there were.
func (c *Control) watch(ctx context.Context, s jetstream.Stream, subjects string, f func(jetstream.Msg)) error {
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", subjects, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("watch %s: %w", subjects, err)
	}
	there, all := info.NumPending, make(chan struct{})
	if there == 0 {
		close(all)
	}
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		f(m)
		if there > 0 {
			if there--; there == 0 {
				close(all)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", subjects, err)
	}
	c.ends = append(c.ends, func() { reading.Stop(); <-reading.Closed() })
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hear takes in what an edge says of itself.
func (c *Control) hear(m jetstream.Msg) {
	node := name(strings.TrimPrefix(m.Subject(), statusSubject))
	if len(m.Data()) == 0 { // forgotten
		c.mu.Lock()
		delete(c.edges, node)
		c.mu.Unlock()
		poke(c.changed)
		return
	}
	var s EdgeStatus
	if err := json.Unmarshal(m.Data(), &s); err != nil {
		c.log.Warn("link: an edge's report cannot be read", "node", node, "error", err)
		return
	}
	if err := s.sound(); err != nil {
		c.log.Warn("link: an edge's report is not believed", "node", node, "error", err)
		return
	}
	s.Node = node // whatever it says: the server knows by the subject who it is
	if meta, err := m.Metadata(); err == nil {
		s.Seen = meta.Timestamp
	}
	c.mu.Lock()
	before := c.edges[node]
	s.Calls = before.Calls
	if before.Seen.After(s.Seen) {
		s.Seen = before.Seen
	}
	s.Live = time.Since(s.Seen) < patience
	c.edges[node] = s
	c.mu.Unlock()
	poke(c.changed)
}

// note remembers what is assigned.
func (c *Control) note(m jetstream.Msg) {
	node := name(strings.TrimSuffix(strings.TrimPrefix(m.Subject(), snapshotSubject), ".assigned"))
	var o order
	if err := json.Unmarshal(m.Data(), &o); err != nil {
		return // of a later version; Publish reads again
	}
	c.mu.Lock()
	c.assigned[node] = o
	c.mu.Unlock()
}

// watchLife keeps an eye on who is alive.
func (c *Control) watchLife() error {
	sub, err := c.conn.nc.Subscribe(aliveSubject+"*", func(m *nats.Msg) {
		var a alive
		if json.Unmarshal(m.Data, &a) != nil {
			return
		}
		node := name(strings.TrimPrefix(m.Subject, aliveSubject))
		c.mu.Lock()
		defer c.mu.Unlock()
		s, known := c.edges[node]
		if !known {
			return // its report is on the way
		}
		if s.Live == a.Gone {
			poke(c.changed)
		}
		s.Calls, s.Seen, s.Live = a.Calls, time.Now(), !a.Gone
		c.edges[node] = s
	})
	if err != nil {
		return err
	}
	c.ends = append(c.ends, func() { _ = sub.Unsubscribe() })
	c.watched.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				c.miss(time.Now())
			case <-c.life.Done():
				return
			}
		}
	})
	return nil
}

// miss marks edges that have given no sign of life for too long.
func (c *Control) miss(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for node, s := range c.edges {
		if s.Live && now.Sub(s.Seen) > patience {
			s.Live = false
			c.edges[node] = s
			poke(c.changed)
		}
	}
}

// Close ends it; what was published stays. The connection stays, too.
func (c *Control) Close() {
	c.die()
	c.watched.Wait()
	for _, end := range c.ends {
		end()
	}
}

// Edges are all edges that have ever reported, by name, as they stood last.
func (c *Control) Edges() []EdgeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []EdgeStatus
	for _, node := range slices.Sorted(maps.Keys(c.edges)) {
		all = append(all, c.edges[node])
	}
	return all
}

// Edge is one of them.
func (c *Control) Edge(node string) (EdgeStatus, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.edges[node]
	return s, ok
}

// Changed has a value after Edges has changed in more than signs of life. It
// has one reader.
func (c *Control) Changed() <-chan struct{} { return c.changed }

// Newest is the greatest revision that was ever assigned or is in force
// somewhere: a store that was restored from a backup goes on from there.
func (c *Control) Newest() (newest uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.assigned {
		newest = max(newest, o.Revision)
	}
	for _, s := range c.edges {
		newest = max(newest, s.Revision)
	}
	return newest
}

// Publish assigns a snapshot to edges and returns when the link has it safe;
// edges that are away get it when they come back. Publishing the same again
// does nothing. The error is fault.Conflict when an edge was assigned a newer
// revision, see Newest, or another snapshot with this one.
func (c *Control) Publish(ctx context.Context, p Publication) error {
	s := *p.Snapshot
	s.Revision, s.Gateway = p.Revision, p.Gateway
	o, packed, err := pack(&s)
	if err != nil {
		return err
	}
	for _, node := range p.Nodes {
		if err := c.assign(ctx, node, o, packed); err != nil {
			return fmt.Errorf("publish revision %d to %s: %w", p.Revision, node, err)
		}
	}
	return nil
}

// Withdraw takes its snapshot from edges, which drain then and wait for
// another. Revision is a new one, as for a publication.
func (c *Control) Withdraw(ctx context.Context, revision uint64, nodes ...string) error {
	for _, node := range nodes {
		if err := c.assign(ctx, node, order{Revision: revision}, nil); err != nil {
			return fmt.Errorf("withdraw the snapshot of %s: %w", node, err)
		}
	}
	return nil
}

// assign puts a packed snapshot, and then the order to have it, into the
// stream.
func (c *Control) assign(ctx context.Context, node string, o order, packed []byte) error {
	subject := snapshotSubject + token(node) + ".assigned"
	before, sequence, err := c.ordered(ctx, subject)
	if err != nil {
		return err
	}
	if s, _ := c.Edge(node); s.Revision > max(o.Revision, before.Revision) {
		before = order{Revision: s.Revision} // the link has lost its data since
	}
	switch {
	case before == o:
		return nil
	case before.Revision >= o.Revision:
		return fault.New(fault.Conflict, fmt.Sprintf("edge %s has revision %d already: publish with a greater one", node, before.Revision))
	}
	if err := c.putPieces(ctx, node, o, packed); err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := c.conn.js.Publish(ctx, subject, text, jetstream.WithExpectLastSequencePerSubject(sequence)); err != nil {
		if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return fault.New(fault.Conflict, "another control node publishes to edge "+node+" at the same time")
		}
		return err
	}
	c.mu.Lock()
	c.assigned[node] = o
	c.mu.Unlock()
	// Should this be lost, the edge sees it when it next looks.
	_ = c.conn.nc.Publish(toldSubject+token(node), strconv.AppendUint(nil, o.Revision, 10))
	return c.tidy(ctx, node, o.Revision)
}

// ordered reads what is assigned now, and the number of the message that says
// so.
func (c *Control) ordered(ctx context.Context, subject string) (o order, sequence uint64, err error) {
	m, err := c.snapshots.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return order{}, 0, nil
	}
	if err != nil {
		return order{}, 0, err
	}
	err = json.Unmarshal(m.Data, &o)
	return o, m.Sequence, err
}

func (c *Control) putPieces(ctx context.Context, node string, o order, packed []byte) error {
	const atOnce = 8
	var waiting []jetstream.PubAckFuture
	await := func() error {
		first := waiting[0]
		waiting = waiting[1:]
		select {
		case <-first.Ok():
			return nil
		case err := <-first.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i := range o.Pieces {
		f, err := c.conn.js.PublishAsync(partSubject(node, o.Revision)+strconv.Itoa(i), piece(packed, i))
		if err != nil {
			return err
		}
		if waiting = append(waiting, f); len(waiting) == atOnce {
			if err := await(); err != nil {
				return err
			}
		}
	}
	for len(waiting) > 0 {
		if err := await(); err != nil {
			return err
		}
	}
	return nil
}

// partSubject is that of a snapshot's pieces, without their number.
func partSubject(node string, revision uint64) string {
	return fmt.Sprintf("%s%s.part.%d.", snapshotSubject, token(node), revision)
}

// tidy removes the pieces of other revisions, those included that a
// publication left behind which did not come to its end.
func (c *Control) tidy(ctx context.Context, node string, keep uint64) error {
	info, err := c.snapshots.Info(ctx, jetstream.WithSubjectFilter(snapshotSubject+token(node)+".part.*.0"))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		part := strings.TrimSuffix(subject, "0")
		if part == partSubject(node, keep) {
			continue
		}
		if err := c.snapshots.Purge(ctx, jetstream.WithPurgeSubject(part+"*")); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes what is known of an edge that will not come back, with what
// it was assigned.
func (c *Control) Forget(ctx context.Context, node string) error {
	if err := c.snapshots.Purge(ctx, jetstream.WithPurgeSubject(snapshotSubject+token(node)+".>")); err != nil {
		return err
	}
	if _, err := c.conn.js.Publish(ctx, statusSubject+token(node), nil); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.edges, node)
	delete(c.assigned, node)
	return nil
}
