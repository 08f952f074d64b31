// Package record keeps the calls of this node in its own spool: one SQLite
// file in the data folder, written by one goroutine that commits whatever
// waits in one go, so that thousands of calls share one fsync.
//
// A record is acknowledged when it is on the disk and not before; what was
// acknowledged survives kill -9 and a power cut. While the disk refuses, new
// calls are refused (nothing is carried unrecorded) and the ends of calls in
// progress wait in memory until it is back. The spool knows nothing of SIP.
// Start reading at Spool; the writer is in writer.go.
package record

import (
	"context"
	"log/slog"
	"time"

	link "github.com/tandemgw/tandem/link/record"
)

// Config says where the spool lies and how much it keeps.
type Config struct {
	Dir    string // data folder of the node
	Node   string
	Region string
	Keep   time.Duration // age at which finished calls are deleted; 0 means 30 days
	Limit  int64         // bytes the records may occupy, oldest go first; 0 means 4 GiB
	Queue  int           // entries that may wait for the disk; 0 means 8192
	Log    *slog.Logger  // nil means slog.Default
}

// Spool is the node's store of call records. Its methods may be called from
// any goroutine.
type Spool struct{}

// Open opens or makes the spool in c.Dir and closes the calls an earlier run
// of this node left open, with cause "node lost". Its errors are fault.Errors
// whose Public sentence says what to do.
func Open(c Config) (*Spool, error) { panic("todo") }

// Begin records a call before its first INVITE leaves. It never blocks: done
// is called once, on the writer's goroutine, when the record is durable (nil)
// or refused (fault.Unavailable: answer 503), and must not block; it may be
// called before Begin returns. The call is encoded before Begin returns, so
// the caller may go on changing it.
func (s *Spool) Begin(c link.Call, done func(error)) { panic("todo") }

// Answer records that a call was answered. Unlike Begin it is never refused
// for a full disk: it waits in memory. done may be nil.
func (s *Spool) Answer(c link.Call, done func(error)) { panic("todo") }

// End records how a call ended, on the terms of Answer.
func (s *Spool) End(c link.Call, done func(error)) { panic("todo") }

// Get finds one call by its whole ID; fault.NotFound when there is none.
func (s *Spool) Get(ctx context.Context, id string) (link.Call, error) { panic("todo") }

// List gives the calls that match, newest first.
func (s *Spool) List(ctx context.Context, f link.Filter) ([]link.Call, error) { panic("todo") }

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
func (s *Spool) Counters() Counters { panic("todo") }

// Close writes what waits, as far as the disk lets it, and closes the file.
func (s *Spool) Close() error { panic("todo") }
