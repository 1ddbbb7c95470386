package store

import (
	"time"

	"github.com/jmoiron/sqlx"
)

// Pools are the connections that write and those that read.
func (s *Store) Pools() (write, read *sqlx.DB) { return s.write, s.read }

// QueueLimit is how many changes of one organization may be under way or wait.
const QueueLimit = inFlight + maxWaiting

// Bound makes lists read in small chunks, and stop soon.
func (s *Store) Bound(chunk, rows int, during time.Duration) { s.bounds = &bounds{chunk, rows, during} }
