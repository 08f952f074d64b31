package store

import "time"

// For the tests, which stand outside because storetest imports the store.
var (
	MigrateTo  = migrateTo
	Number     = number
	Migrations = migrations
)

// Break runs a statement that the schema's own code would not.
func (s *Store) Break(q string) error {
	_, err := s.write.Exec(q)
	return err
}

// Impatient shortens the patience until undo.
func Impatient(d time.Duration) (undo func()) {
	was := patience
	patience = d
	return func() { patience = was }
}

// Endless shortens the time of a transaction until undo.
func Endless(d time.Duration) (undo func()) {
	was := endless
	endless = d
	return func() { endless = was }
}
