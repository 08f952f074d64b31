package record

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

// steps bring the file from the schema version of their index to the next
// one. A step that was released is never edited.
var steps = []string{
	`CREATE TABLE runs(
		id      INTEGER PRIMARY KEY,
		node    TEXT NOT NULL,
		region  TEXT NOT NULL,
		started INTEGER NOT NULL, -- µs since 1970, as all times here
		alive   INTEGER NOT NULL  -- last sign of life
	);
	CREATE TABLE calls(
		id          TEXT NOT NULL UNIQUE,
		run         INTEGER NOT NULL,
		stage       INTEGER NOT NULL, -- 0 begun, 1 answered, 2 finished
		began       INTEGER NOT NULL,
		caller_peer TEXT NOT NULL,
		callee_peer TEXT NOT NULL,
		caller      TEXT NOT NULL,
		callee      TEXT NOT NULL,
		failed      INTEGER NOT NULL,
		body        BLOB NOT NULL -- the call as JSON
	);
	CREATE INDEX calls_began ON calls(began);
	CREATE INDEX calls_caller ON calls(caller, began);
	CREATE INDEX calls_callee ON calls(callee, began);
	CREATE INDEX calls_failed ON calls(began) WHERE failed = 1;
	CREATE INDEX calls_open ON calls(run) WHERE stage < 2;`,
	`ALTER TABLE calls ADD COLUMN owed INTEGER NOT NULL DEFAULT 0; -- number of the entry that control has not got, 0 when it has all or wants none
	CREATE INDEX calls_owed ON calls(owed) WHERE owed > 0;`,
}

// migrate takes the forward steps the file lacks, each in a transaction of
// its own together with its version number.
func migrate(ctx context.Context, c *sql.Conn) error {
	var version int
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fault.New(fault.Conflict, fmt.Sprintf(
			"the call records were written by a newer tandem (schema %d, this one knows %d): run that one, or give this node another data folder", version, len(steps)))
	}
	for ; version < len(steps); version++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA user_version = %d; COMMIT", steps[version], version+1)
		if _, err := c.ExecContext(ctx, step); err != nil {
			c.ExecContext(ctx, "ROLLBACK")
			return fmt.Errorf("bring the schema to version %d: %w", version+1, err)
		}
	}
	return nil
}

// buryOrphans closes the calls that no run closed and reports their number.
// They ended, as far as anybody can know, at the last sign of life of the run
// that carried them: its newest heartbeat, or the call's own beginning or
// answer where that is later.
func buryOrphans(ctx context.Context, c *sql.Conn, owe func() int64) (int, error) {
	total := 0
	for {
		n, err := buryBatch(ctx, c, owe)
		total += n
		if n == 0 || err != nil {
			return total, err
		}
	}
}

func buryBatch(ctx context.Context, c *sql.Conn, owe func() int64) (n int, err error) {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, `SELECT c.rowid, c.body, r.alive FROM calls c JOIN runs r ON r.id = c.run WHERE c.stage < 2 LIMIT 1000`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	type orphan struct {
		row  int64
		body []byte
	}
	var orphans []orphan
	for rows.Next() {
		var o orphan
		var alive int64
		if err := rows.Scan(&o.row, &o.body, &alive); err != nil {
			return 0, err
		}
		if o.body, err = bury(o.body, time.UnixMicro(alive)); err != nil {
			return 0, err
		}
		orphans = append(orphans, o)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for _, o := range orphans {
		if _, err := tx.ExecContext(ctx, `UPDATE calls SET stage = 2, failed = 1, body = ?, owed = max(owed, ?) WHERE rowid = ?`, o.body, owe(), o.row); err != nil {
			return 0, err
		}
	}
	return len(orphans), tx.Commit()
}

// bury writes the end into a call's record.
func bury(body []byte, alive time.Time) ([]byte, error) {
	var c link.Call
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("read call record: %w", err)
	}
	end := alive.UTC()
	if c.Began.After(end) {
		end = c.Began
	}
	if c.Answered != nil && c.Answered.After(end) {
		end = *c.Answered
	}
	c.Ended = &end
	c.Cause = link.Cause{By: link.ByNodeLost, Text: "the node stopped without closing the call; it ended at the latest when the node last gave a sign of life"}
	return json.Marshal(c)
}
