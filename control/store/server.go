package store

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tandemgw/tandem/base/fault"
)

// connections is how many one control node keeps to PostgreSQL: its default
// allows 100 for all. More writers at once only lose to each other.
const connections = 16

// openServer connects to PostgreSQL.
func (s *Store) openServer(ctx context.Context, url string) error {
	s.dialect = Postgres
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx hides the password in its text.
		return &fault.Error{Kind: fault.Invalid, Public: "the store's postgres:// address cannot be read", Err: err}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	s.where = fmt.Sprintf("the database %s of PostgreSQL at %s", cfg.Database, net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	s.write = stdlib.OpenDB(*cfg)
	s.read = s.write
	s.write.SetMaxOpenConns(connections)
	s.write.SetMaxIdleConns(connections)
	s.write.SetConnMaxIdleTime(5 * time.Minute)
	return s.write.PingContext(ctx)
}
