package store

import "context"

// Analyze has PostgreSQL count people and grants again, after a change of so
// many that its plans are for another table. By itself it does so a minute
// later, and until then looks grants of a page up by reading all of them.
// SQLite's plans do not depend on how many rows there are.
func (s *Store) Analyze(ctx context.Context) error {
	if s.dialect == "sqlite" {
		return nil
	}
	return s.Short(ctx, func(t *ShortTx) error {
		_, err := t.exec(ctx, `ANALYZE users, grants`)
		return err
	})
}
