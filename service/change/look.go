package change

import (
	"context"

	"github.com/bizmetry/identity/store"
)

// Look decides like a change, on plain reads and without a transaction. What it
// refuses is spared slow work, such as the hash of a password; the change
// itself decides again, under the lock.
type Look struct {
	Decision
	Reads store.Reads
}

// Look reads what a change of this call would be decided by.
func (s *Changes) Look(ctx context.Context) (*Look, error) {
	d, err := s.decide(ctx, s.store.Reads)
	return &Look{d, s.store.Reads}, err
}

// MustOutlive is Tx.MustOutlive on plain reads.
func (l *Look) MustOutlive(ctx context.Context, p store.Principal, until store.Micros) error {
	return l.outlives(ctx, l.Reads, p, until)
}
