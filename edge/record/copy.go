package record

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// resend is how far back a copy owes control what the spool has been told that
// control has: longer than a stream in between may hold it, should the copy's
// control have lost that too.
const resend = 24 * time.Hour

// Copy writes what is on the disk into a new spool, while calls go on. Calls
// in progress are open in it, and who opens it closes them as "node lost".
// What was sent up lately will be sent again: control knows it by its ID.
func (s *Spool) Copy(ctx context.Context, path string) error {
	from, err := connect(s.path, "busy_timeout(1000)")
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	if !s.upward {
		return nil
	}
	to, err := connect(path)
	if err != nil {
		return err
	}
	defer to.Close()
	_, err = to.ExecContext(ctx, `UPDATE calls SET owed = (SELECT coalesce(max(owed), 0) FROM calls) + rowid
		WHERE owed = 0 AND stage = 2 AND began >= ?`, time.Now().Add(-resend).UnixMicro())
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	return nil
}

// CheckFile refuses a copy that is damaged or was written by a newer Tandem,
// and leaves it as it is.
func CheckFile(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := connect(path, "query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return explain(path, err)
	}
	if verdict != "ok" {
		return fault.New(fault.Unavailable, path+" is damaged: "+verdict)
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return explain(path, err)
	}
	if version > len(steps) {
		return fault.New(fault.Conflict, fmt.Sprintf("the call records were written by a newer Tandem (schema %d, this one knows %d)", version, len(steps)))
	}
	return nil
}
