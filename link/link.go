// Package link carries snapshots down to the edges, call records up from
// them, and questions to live ones. It stands on NATS, whose server it runs
// inside a control node, reached in-process by the node's own parts and, where
// an address is configured, over mutual TLS by other nodes.
//
// Nobody waits for it: an edge without a link carries calls by the snapshot on
// its disk and keeps its records in its spool, for as long as it takes. What
// goes through is whole or not at all: a snapshot is applied when its digest
// is right and it is newer than the one before; a record has arrived when the
// stream has it on disk. An edge may speak for itself alone, which the server
// enforces by the name in its certificate (server.go).
//
// Start reading at Control (control.go) and Edge (edge.go), the two ends.
package link

import (
	"strings"
	"time"
)

// Subjects. A node's name is one token of them: names have no underscore, so
// that one stands for the dot.
//
//	tandem.snapshot.NODE.assigned       which snapshot a node is to have   stream
//	tandem.snapshot.NODE.part.REV.N     a piece of that snapshot           stream
//	tandem.told.NODE                    that there is a new one
//	tandem.status.NODE                  what a node says of itself         stream
//	tandem.alive.NODE                   and that it still means it
//	tandem.record.NODE                  call entries on their way up       stream
//	tandem.ask.NODE.QUESTION            questions to a live edge
const (
	snapshotSubject = "tandem.snapshot."
	toldSubject     = "tandem.told."
	statusSubject   = "tandem.status."
	aliveSubject    = "tandem.alive."
	recordSubject   = "tandem.record."
	askSubject      = "tandem.ask."
)

// token is a node's name as a part of subjects.
func token(node string) string { return strings.ReplaceAll(node, ".", "_") }

// name is the node that a token stands for.
func name(token string) string { return strings.ReplaceAll(token, "_", ".") }

// Live edges tell that they are alive this often, and count as gone when
// three signs in a row are missing.
const (
	heartbeat = 5 * time.Second
	patience  = 3*heartbeat + time.Second
)
