package zone

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// stored is what the store knows of the zones.
type stored struct {
	version int64
	facts   []Gateway
	texts   []Text
	serials map[string]numbered // by apex
	keys    map[string]string   // by apex, PEM
}

// numbered is what a zone held under a serial number.
type numbered struct {
	serial uint32
	digest string
}

func load(ctx context.Context, tx *store.Tx) (st stored, err error) {
	if err := tx.Row(ctx, "SELECT version FROM zone_version WHERE id = 1").Scan(&st.version); err != nil {
		return st, err
	}
	st.facts, err = store.All(ctx, tx, func(scan store.Scan) (g Gateway, err error) {
		var text string
		if err := scan(&text); err != nil {
			return g, err
		}
		return g, json.Unmarshal([]byte(text), &g)
	}, "SELECT facts FROM zone_gateway ORDER BY base")
	if err != nil {
		return st, err
	}
	st.texts, err = store.All(ctx, tx, func(scan store.Scan) (t Text, err error) {
		return t, scan(&t.Name, &t.Value)
	}, "SELECT name, value FROM zone_text ORDER BY name, value")
	if err != nil {
		return st, err
	}
	st.serials, st.keys = map[string]numbered{}, map[string]string{}
	_, err = store.All(ctx, tx, func(scan store.Scan) (apex string, err error) {
		var number int64
		var digest string
		err = scan(&apex, &number, &digest)
		st.serials[apex] = numbered{uint32(number), digest}
		return apex, err
	}, "SELECT apex, serial, digest FROM zone_serial")
	if err != nil {
		return st, err
	}
	_, err = store.All(ctx, tx, func(scan store.Scan) (apex string, err error) {
		var pem string
		err = scan(&apex, &pem)
		st.keys[apex] = pem
		return apex, err
	}, "SELECT apex, private FROM zone_key")
	return st, err
}

// keep writes the facts that differ from those that were there.
func keep(ctx context.Context, tx *store.Tx, old, facts []Gateway) error {
	before := map[string]string{}
	for _, g := range old {
		before[g.Base] = text(g)
	}
	for _, g := range facts {
		now := text(g)
		was, had := before[g.Base]
		delete(before, g.Base)
		if had && was == now {
			continue
		}
		if _, err := tx.Exec(ctx, "INSERT INTO zone_gateway (base, facts) VALUES (?, ?) ON CONFLICT (base) DO UPDATE SET facts = excluded.facts", g.Base, now); err != nil {
			return err
		}
	}
	for base := range before {
		if _, err := tx.Exec(ctx, "DELETE FROM zone_gateway WHERE base = ?", base); err != nil {
			return err
		}
	}
	return nil
}

func text(g Gateway) string {
	b, _ := json.Marshal(g) // plain data
	return string(b)
}

// touch tells other control nodes that something has changed.
func touch(ctx context.Context, tx *store.Tx) (version int64, err error) {
	if _, err := tx.Exec(ctx, "UPDATE zone_version SET version = version + 1 WHERE id = 1"); err != nil {
		return 0, err
	}
	return version, tx.Row(ctx, "SELECT version FROM zone_version WHERE id = 1").Scan(&version)
}

// renumber gives a zone another serial number, since it holds something else
// than before (RFC 1982 §3.1: it may wrap, and 0 is left out since some take it
// for none).
func renumber(ctx context.Context, tx *store.Tx, apex, digest string) (number uint32, err error) {
	var last int64
	var was string
	switch err := tx.Row(ctx, "SELECT serial, digest FROM zone_serial WHERE apex = ?", apex).Scan(&last, &was); {
	case errors.Is(err, sql.ErrNoRows):
		last = time.Now().Unix() - 1 // above what another server may have had, should the database be lost
	case err != nil:
		return 0, err
	case was == digest:
		return uint32(last), nil // another control node has
	}
	if number = uint32(last) + 1; number == 0 {
		number = 1
	}
	_, err = tx.Exec(ctx, "INSERT INTO zone_serial (apex, serial, digest) VALUES (?, ?, ?) ON CONFLICT (apex) DO UPDATE SET serial = excluded.serial, digest = excluded.digest", apex, int64(number), digest)
	return number, err
}

func (z Zone) digest() string {
	lines := make([]string, len(z.Records))
	for i, rr := range z.Records {
		lines[i] = rr.String()
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, l := range lines {
		_, _ = io.WriteString(h, l+"\n")
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// private is the key of a zone, made when it has none.
func private(ctx context.Context, tx *store.Tx, apex string) (string, error) {
	var pem string
	err := tx.Row(ctx, "SELECT private FROM zone_key WHERE apex = ?", apex).Scan(&pem)
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return pem, err
	}
	if pem, err = newKey(); err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO zone_key (apex, private, created) VALUES (?, ?, ?)", apex, pem, store.Micros(time.Now()))
	return pem, err
}

// AddText publishes a TXT record and returns when this node serves it. The
// name must belong to a gateway: fault.NotFound.
func (s *Set) AddText(ctx context.Context, name, value string) error {
	if !s.served.Load().belongs(canonical(name)) {
		if err := s.Refresh(ctx); err != nil {
			return err
		}
		if !s.served.Load().belongs(canonical(name)) {
			return fault.New(fault.NotFound, name+" belongs to no gateway: TXT records stand at a gateway's base domain or below it, or in a domain that is delegated to it")
		}
	}
	if err := s.text(ctx, "INSERT INTO zone_text (name, value, created) VALUES (?, ?, ?) ON CONFLICT (name, value) DO NOTHING", canonical(name), value, store.Micros(time.Now())); err != nil {
		return fmt.Errorf("add TXT record at %s: %w", name, err)
	}
	return nil
}

// RemoveText takes a TXT record away.
func (s *Set) RemoveText(ctx context.Context, name, value string) error {
	if err := s.text(ctx, "DELETE FROM zone_text WHERE name = ? AND value = ?", canonical(name), value); err != nil {
		return fmt.Errorf("remove TXT record at %s: %w", name, err)
	}
	return nil
}

// Texts are the TXT records at a name and below it; "." for all.
func (s *Set) Texts(ctx context.Context, name string) (list []Text, err error) {
	at := canonical(name)
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		st, err := load(ctx, tx)
		list = slices.DeleteFunc(st.texts, func(t Text) bool { return at != "." && !inside(t.Name, at) })
		return err
	})
	return list, err
}

// Forget takes away what was asked for below a gateway's base: it is deleted.
func (s *Set) Forget(ctx context.Context, tx *store.Tx, base string) error {
	at := canonical(base)
	texts, err := store.All(ctx, tx, func(scan store.Scan) (name string, err error) { return name, scan(&name) }, "SELECT name FROM zone_text")
	if err != nil {
		return err
	}
	for _, name := range texts {
		if !inside(name, at) {
			continue
		}
		if _, err := tx.Exec(ctx, "DELETE FROM zone_text WHERE name = ?", name); err != nil {
			return err
		}
	}
	if _, err := touch(ctx, tx); err != nil {
		return err
	}
	tx.After(s.Changed)
	return nil
}

func (s *Set) text(ctx context.Context, q string, args ...any) error {
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, q, args...); err != nil {
			return err
		}
		_, err := touch(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return s.Refresh(ctx)
}

// stale tells whether another control node has changed something.
func (s *Set) stale() bool {
	now := s.served.Load()
	var version int64
	err := s.cfg.Store.Read(s.life, func(tx *store.Tx) error {
		return tx.Row(s.life, "SELECT version FROM zone_version WHERE id = 1").Scan(&version)
	})
	return err == nil && version != now.version
}
