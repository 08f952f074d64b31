// Package record keeps the calls of this node in its own spool: one SQLite
// file in the data folder, written by one goroutine that commits whatever
// waits in one go, so that thousands of calls share one fsync.
//
// A record is acknowledged when it is on the disk and not before; what was
// acknowledged survives kill -9 and a power cut. While the disk refuses, new
// calls are refused (nothing is carried unrecorded) and the ends of calls in
// progress wait in memory until it is back. The spool knows nothing of SIP.
// Start reading at Spool; the writer is in writer.go, what goes wrong with a
// disk in disk.go.
package record

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

// Config says where the spool lies and how much it keeps.
type Config struct {
	Dir    string // data folder of the node
	Node   string
	Region string
	Keep   time.Duration // age at which finished calls are deleted; 0 means 30 days
	Limit  int64         // bytes the records may occupy, oldest go first; 0 means 4 GiB
	Queue  int           // new calls that may wait for the disk; 0 means 8192
	Upward bool          // entries are owed to control, and kept until it has them; see upward.go
	Log    *slog.Logger  // nil means slog.Default
}

// Answers and ends may take this many times the places of new calls: they
// belong to calls already admitted, so their number is bounded by admission,
// and this bound only guards the memory. At 8 × 8192 entries of about 1.5 KB
// it is 100 MB.
const backlogFactor = 8

// Spool is the node's store of call records. Its methods may be called from
// any goroutine.
type Spool struct {
	path    string        // RO
	node    string        // RO
	region  string        // RO
	keep    time.Duration // RO
	limit   int64         // RO
	queue   int           // RO
	log     *slog.Logger  // RO
	lock    *os.File      // RO: held while open
	db      *sql.DB       // RO: the writer's, one connection
	readers *sql.DB       // RO: for List and Get, which never wait for the writer
	tuning  tuning        // RO

	upward  bool          // RO
	run     int64         // RO: this run of the node, key of its row
	insert  *sql.Stmt     // run
	settle  *sql.Stmt     // run
	conn    *sql.Conn     // run
	counted int64         // run: the number of the newest entry owed
	owing   chan struct{} // one place: "there is more for control"

	mu      sync.Mutex
	waiting []entry // mu
	// progress is what goes with the next commit, by call.
	progress    map[string]entry // mu
	repetitions []repetition     // mu
	arrived     []link.Owed      // mu: what control has, and the file does not know yet
	trouble     *fault.Error     // mu: why the disk refuses, nil while it does not
	closed      bool             // mu
	wake        chan struct{}    // one place: "an entry waits, and somebody for it"
	idle        chan struct{}    // one place: "an entry waits"
	quit        chan struct{}    // closed by Close
	ended       chan struct{}    // closed by the writer

	written, commits, refused, dropped, trimmed atomic.Uint64
}

// tuning is how the benchmarks stand in for other disks and other designs.
type tuning struct {
	batch int           // entries per commit at most
	fsync time.Duration // added to every commit
}

// 2048 entries take about 50 ms to insert, which bounds how long the first of
// them waits for the last.
var normal = tuning{batch: 2048}

// Open opens or makes the spool in c.Dir and closes the calls an earlier run
// of this node left open, with cause "node lost". Its errors are fault.Errors
// whose Public sentence says what to do.
func Open(c Config) (*Spool, error) { return open(c, normal) }

func open(c Config, t tuning) (*Spool, error) {
	s := &Spool{
		node: c.Node, region: c.Region,
		keep:     cmp.Or(c.Keep, 30*24*time.Hour),
		limit:    cmp.Or(c.Limit, 4<<30),
		queue:    cmp.Or(c.Queue, 8192),
		log:      cmp.Or(c.Log, slog.Default()),
		tuning:   t,
		upward:   c.Upward,
		owing:    make(chan struct{}, 1),
		progress: map[string]entry{},
		wake:     make(chan struct{}, 1),
		idle:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
	}
	if err := s.openFiles(c.Dir); err != nil {
		s.closeFiles()
		return nil, err
	}
	if err := s.start(); err != nil {
		s.closeFiles()
		return nil, explain(s.path, err)
	}
	go s.write()
	return s, nil
}

// start readies the schema, opens this run and buries the orphans.
func (s *Spool) start() error {
	ctx := context.Background()
	var err error
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, s.conn); err != nil {
		return err
	}
	if err := s.recount(ctx); err != nil {
		return err
	}
	now := time.Now()
	lost, err := buryOrphans(ctx, s.conn, s.owe)
	if err != nil {
		return fmt.Errorf("close the calls of an earlier run: %w", err)
	}
	if lost > 0 {
		s.log.Warn("an earlier run of this node ended without closing its calls", "cause", link.ByNodeLost, "count", lost)
	}
	row := s.conn.QueryRowContext(ctx, `INSERT INTO runs(node, region, started, alive) VALUES(?, ?, ?, ?) RETURNING id`,
		s.node, s.region, now.UnixMicro(), now.UnixMicro())
	if err := row.Scan(&s.run); err != nil {
		return err
	}
	if s.insert, err = s.conn.PrepareContext(ctx, upsert); err != nil {
		return err
	}
	s.settle, err = s.conn.PrepareContext(ctx, "UPDATE calls SET owed = 0 WHERE owed > 0 AND owed = ?")
	return err
}

// Begin records a call before its first INVITE leaves. It never blocks: done
// is called once, on the writer's goroutine, when the record is durable (nil)
// or refused (fault.Unavailable: answer 503), and must not block; a refusal
// may come before Begin returns. The call is encoded before Begin returns, so
// the caller may go on changing it.
func (s *Spool) Begin(c link.Call, done func(error)) {
	if err := s.put(begun, c, done); err != nil {
		s.refused.Add(1)
		done(err)
	}
}

// Answer records that a call was answered. Unlike Begin it is never refused
// for a full disk: it waits in memory. done may be nil.
func (s *Spool) Answer(c link.Call, done func(error)) { s.putLater(answered, c, done) }

// Progress records how an answered call stands. Nobody waits for it: it goes
// with the next commit that is made anyway, the heartbeat's at the latest, only
// the newest of a call is kept, and while the disk refuses it is dropped.
func (s *Spool) Progress(c link.Call) {
	e, err := s.encode(answered, c)
	if err != nil {
		return
	}
	e.spare = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.trouble != nil || len(s.progress) >= backlogFactor*s.queue {
		return
	}
	s.progress[c.ID] = e
}

// End records how a call ended, on the terms of Answer.
func (s *Spool) End(c link.Call, done func(error)) { s.putLater(finished, c, done) }

func (s *Spool) putLater(st stage, c link.Call, done func(error)) {
	err := s.put(st, c, done)
	if err == nil {
		return
	}
	if n := s.dropped.Add(1); n&(n-1) == 0 { // 1, 2, 4, 8 …: a flood of these tells nothing new
		s.log.Error("call record lost", "call", c.ID, "error", err, "count", n)
	}
	if done != nil {
		done(err)
	}
}

// put hands an entry to the writer or says why not.
func (s *Spool) put(st stage, c link.Call, done func(error)) error {
	e, err := s.encode(st, c)
	if err != nil {
		return err
	}
	e.done = done
	s.mu.Lock()
	defer s.mu.Unlock()
	switch room := s.queue; {
	case s.closed:
		return fault.New(fault.Unavailable, "the node is stopping and takes no more calls")
	case st == begun && s.trouble != nil:
		return s.trouble
	case st == begun && len(s.waiting) >= room:
		return fault.New(fault.Unavailable, "the disk is too slow for the calls that arrive: too many records wait for it")
	case len(s.waiting) >= backlogFactor*room:
		return fault.New(fault.Exhausted, "too many records wait for the disk")
	}
	s.waiting = append(s.waiting, e)
	delete(s.progress, c.ID)
	wake := s.wake
	if done == nil {
		wake = s.idle
	}
	select {
	case wake <- struct{}{}:
	default: // the writer has been told and has not looked yet
	}
	return nil
}

func (s *Spool) encode(st stage, c link.Call) (entry, error) {
	c.Node = cmp.Or(c.Node, s.node)
	c.Region = cmp.Or(c.Region, s.region)
	body, err := json.Marshal(c)
	if err != nil {
		return entry{}, fmt.Errorf("encode call record: %w", err)
	}
	return entry{
		stage: st, id: c.ID, began: c.Began.UnixMicro(), failed: c.Failed(), body: body,
		callerPeer: c.Caller.Peer, calleePeer: c.Callee.Peer, caller: c.From, callee: c.To,
	}, nil
}

// Counters tells what the spool has done since it was opened.
type Counters struct {
	Written  uint64 // entries made durable
	Commits  uint64 // fsyncs that served them
	Refused  uint64 // calls refused for want of the disk or a place in the queue
	Dropped  uint64 // answers and ends lost because the memory for them was full
	Waiting  int    // entries waiting for the disk now
	Trimmed  uint64 // records deleted by age or size
	Degraded bool   // the disk refuses at present
}

// Counters reads the counters.
func (s *Spool) Counters() Counters {
	s.mu.Lock()
	waiting, degraded := len(s.waiting), s.trouble != nil
	s.mu.Unlock()
	return Counters{
		Written: s.written.Load(), Commits: s.commits.Load(), Refused: s.refused.Load(), Dropped: s.dropped.Load(),
		Waiting: waiting, Trimmed: s.trimmed.Load(), Degraded: degraded,
	}
}

// Close writes what waits, as far as the disk lets it, and closes the file.
func (s *Spool) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if !already {
		close(s.quit)
	}
	<-s.ended
	if already {
		return nil
	}
	return s.closeFiles()
}
