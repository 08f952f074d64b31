package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tandemgw/tandem/link/snapshot"
)

// EdgeConfig is the lower end of the link.
type EdgeConfig struct {
	Node string
	Dir  string // keeps the copy of the snapshot
	Log  *slog.Logger
}

// Edge is the lower end of the link.
type Edge struct {
	node    string             // RO
	dir     string             // RO
	log     *slog.Logger       // RO
	copy    Assignment         // RO: that was on the disk
	answers map[string]Answer  // RO after Start
	life    context.Context    // RO: ends with Close
	die     context.CancelFunc // RO
	ends    sync.WaitGroup     // what Start began

	conn     atomic.Pointer[Conn]
	assigned chan Assignment // one place
	told     chan struct{}   // one place: "there is something to report"

	mu     sync.Mutex
	have   uint64     // mu: newest revision given to the reader
	status EdgeStatus // mu

	uploaded, received, refused, asked atomic.Uint64
}

// Assignment is what an edge is to do.
type Assignment struct {
	Gateway  string
	Revision uint64
	Snapshot *snapshot.Snapshot // nil: none; drain and wait

	order  order
	packed []byte // as it goes to the disk
}

// Answer answers a question. The error may be a fault.Error, whose kind and
// sentence the asker gets.
type Answer func(ctx context.Context, in json.RawMessage) (any, error)

// NewEdge reads the copy on disk. Nothing goes over the network before Start.
// A damaged copy is not an error: the edge waits for control, and says so.
func NewEdge(c EdgeConfig) *Edge {
	e := &Edge{
		node: c.Node, dir: c.Dir, log: orDefault(c.Log), answers: map[string]Answer{},
		assigned: make(chan Assignment, 1), told: make(chan struct{}, 1),
	}
	e.life, e.die = context.WithCancel(context.Background())
	a, err := readCopy(c.Dir)
	if err != nil {
		e.refused.Add(1)
		e.log.Error("the snapshot on disk is not used, control must send it again", "error", err)
	}
	a.packed = nil // it is on the disk
	e.copy, e.have = a, a.Revision
	return e
}

// Copy is the assignment on disk, zero when there is none or it is damaged.
func (e *Edge) Copy() Assignment { return e.copy }

// Answer says who answers a question. All are named before Start.
func (e *Edge) Answer(question string, f Answer) { e.answers[question] = f }

// Start begins to follow what is assigned over a connection, which the edge
// takes over.
func (e *Edge) Start(conn *Conn) {
	e.conn.Store(conn)
	e.ends.Go(func() { e.follow(conn) })
	e.ends.Go(func() { e.report(conn) })
	e.ends.Go(func() { e.listen(conn) })
}

// Assignments gives each new assignment, the newest when several have come
// meanwhile. The reader says by Applied what became of it.
func (e *Edge) Assignments() <-chan Assignment { return e.assigned }

// Applied puts an assignment on the disk, from where the next start takes it.
// An error means that the next start has what was there before; the edge goes
// on meanwhile.
func (e *Edge) Applied(a Assignment) error { return writeCopy(e.dir, a.order, a.packed) }

// Close ends it. What was reported stands; control learns that the edge has
// gone.
func (e *Edge) Close() {
	conn := e.conn.Load()
	if conn != nil && conn.Connected() {
		_ = conn.nc.Publish(aliveSubject+token(e.node), []byte(`{"gone":true}`))
		_ = conn.nc.FlushTimeout(time.Second)
	}
	e.die()
	e.ends.Wait()
	if conn != nil {
		conn.Close()
	}
}

// look is how often an edge looks for an assignment that it was not told of,
// as one that came while it was being connected.
const look = 30 * time.Second

// follow fetches each new assignment, whole, and hands it on.
func (e *Edge) follow(conn *Conn) {
	back, hint := conn.returns(), make(chan struct{}, 1)
	var newest atomic.Uint64 // that it was told of
	sub, err := conn.nc.Subscribe(toldSubject+token(e.node), func(m *nats.Msg) {
		if n, err := strconv.ParseUint(string(m.Data), 10, 64); err == nil {
			newest.Store(n)
			poke(hint)
		}
	})
	if err != nil {
		e.log.Error("link: cannot follow assignments", "error", err)
		return
	}
	defer sub.Unsubscribe()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	fails := 0
	for {
		var again <-chan time.Time
		if conn.Connected() {
			err := e.fetch(conn, newest.Load())
			if err != nil && e.life.Err() == nil {
				fails++
				again = time.After(backOff(fails))
				e.log.Warn("the assigned snapshot cannot be fetched and is tried again", "error", err)
			} else {
				fails = 0
			}
		}
		select {
		case <-hint:
		case <-back:
		case <-ticker.C:
		case <-again:
		case <-e.life.Done():
			return
		}
	}
}

// errLate is an answer by a server of a cluster that has not heard yet.
var errLate = errors.New("the new assignment is not there yet")

// fetch gets what is assigned, if it is newer than what the edge has. It was
// told of a revision, which may be old by now.
func (e *Edge) fetch(conn *Conn, told uint64) error {
	text, err := e.get(conn, "assigned")
	if errors.Is(err, errNone) && told <= e.newest() {
		return nil // nothing was ever assigned
	}
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read the assignment: %w", err)
	}
	have := e.newest()
	if o.Revision < told && have < told {
		return errLate
	}
	if o.Revision == have {
		return nil
	}
	if o.Revision < have {
		e.refuse(o, fmt.Errorf("is older than revision %d, which is here", have))
		return nil
	}
	if err := o.sound(); err != nil {
		e.refuse(o, err)
		return nil
	}
	packed, err := e.pieces(conn, o)
	if err != nil {
		return err
	}
	a, err := o.assignment(packed)
	if err != nil {
		e.refuse(o, err)
		return err
	}
	e.received.Add(1)
	e.hand(a)
	return nil
}

// newest is the revision that the edge has.
func (e *Edge) newest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.have
}

// hand gives an assignment to the reader, in place of one that it has not
// taken yet.
func (e *Edge) hand(a Assignment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.have = a.Revision
	select {
	case <-e.assigned:
	default:
	}
	e.assigned <- a
}

// refuse reports an order that is not followed, once.
func (e *Edge) refuse(o order, why error) {
	e.mu.Lock()
	said := e.status.Refused == o.Revision && e.status.Error == why.Error()
	e.status.Refused, e.status.Error = o.Revision, why.Error()
	e.mu.Unlock()
	if said {
		return
	}
	e.refused.Add(1)
	e.log.Error("a snapshot is refused", "revision", o.Revision, "error", why)
	poke(e.told)
}

// pieces fetches a packed snapshot, a few pieces at a time.
func (e *Edge) pieces(conn *Conn, o order) ([]byte, error) {
	const atOnce = 4
	packed := make([]byte, o.Size)
	errs := make(chan error, atOnce)
	var next atomic.Int64
	for range atOnce {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= o.Pieces {
					errs <- nil
					return
				}
				got, err := e.get(conn, fmt.Sprintf("part.%d.%d", o.Revision, i))
				if err == nil && len(got) != len(piece(packed, i)) {
					err = errDamaged
				}
				if err != nil {
					next.Store(int64(o.Pieces)) // the others need not go on
					errs <- fmt.Errorf("fetch piece %d of snapshot %d: %w", i, o.Revision, err)
					return
				}
				copy(piece(packed, i), got)
			}
		}()
	}
	var failed error
	for range atOnce {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return packed, failed
}

var errNone = errors.New("there is no such message")

// get reads one message of the edge's own from the stream of snapshots. It
// needs no more of the server than an answer, so that the edge needs no right
// to anything else.
func (e *Edge) get(conn *Conn, what string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(e.life, callTime)
	defer cancel()
	msg, err := conn.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+snapshotStream+"."+snapshotSubject+token(e.node)+"."+what, nil)
	switch {
	case err != nil:
		return nil, err
	case msg.Header.Get("Status") == "404":
		return nil, errNone
	case msg.Header.Get("Status") != "":
		return nil, fmt.Errorf("the server says %s %s", msg.Header.Get("Status"), msg.Header.Get("Description"))
	}
	return msg.Data, nil
}

// Report says how the edge stands, now and as soon as the link is there.
func (e *Edge) Report(s EdgeStatus) {
	e.mu.Lock()
	if s.Refused == 0 && e.status.Refused > s.Revision {
		s.Refused, s.Error = e.status.Refused, e.status.Error // seen by the link
	}
	e.status = s
	e.mu.Unlock()
	poke(e.told)
}

// alive is a sign of life.
type alive struct {
	Calls int  `json:"calls"`
	Gone  bool `json:"gone,omitempty"` // it will give no more
}

// report sends what was last reported, until the server has it, and signs of
// life.
func (e *Edge) report(conn *Conn) {
	back, beat := conn.returns(), time.NewTicker(heartbeat)
	defer beat.Stop()
	var owed bool
	var sent []byte
	for {
		select {
		case <-e.told:
			owed = true
		case <-back:
			owed, sent = true, nil // to a server that may have nothing
		case <-beat.C:
		case <-e.life.Done():
			return
		}
		if !conn.Connected() {
			continue
		}
		e.mu.Lock()
		s := e.status
		e.mu.Unlock()
		if s.Node == "" {
			continue // nothing was reported yet
		}
		if text, err := json.Marshal(alive{Calls: s.Calls}); err == nil {
			_ = conn.nc.Publish(aliveSubject+token(e.node), text) // the next one is near
		}
		if !owed {
			continue
		}
		s.Calls = 0 // in signs of life
		text, err := json.Marshal(s)
		if err != nil || bytes.Equal(text, sent) {
			owed = false
			continue
		}
		ctx, cancel := context.WithTimeout(e.life, callTime)
		_, err = conn.js.Publish(ctx, statusSubject+token(e.node), text)
		cancel()
		if err != nil {
			e.log.Debug("link: report", "error", err) // again with the next sign of life
			continue
		}
		owed, sent = false, text
	}
}

// Counters are figures of an edge's end of the link.
type Counters struct {
	Connected bool
	Since     time.Time // it is so; zero before Start
	Uploaded  uint64    // entries that have arrived
	Received  uint64    // snapshots
	Refused   uint64    // snapshots that were damaged or old
	Asked     uint64    // questions answered
}

// Counters tells how the link stands.
func (e *Edge) Counters() Counters {
	c := Counters{Uploaded: e.uploaded.Load(), Received: e.received.Load(), Refused: e.refused.Load(), Asked: e.asked.Load()}
	if conn := e.conn.Load(); conn != nil {
		c.Connected, c.Since = conn.Connected(), conn.since()
	}
	return c
}
