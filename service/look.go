package service

import (
	"context"

	"github.com/bizmetry/identity/store"
)

// look decides like a change, on plain reads and without a transaction. What it
// refuses is spared slow work, such as the hash of a password; the change
// itself decides again, under the lock.
type look struct {
	decision
	reads store.Reads
}

// look reads what a change of this call would be decided by.
func (s *Service) look(ctx context.Context) (*look, error) {
	d, err := s.decide(ctx, s.store.Reads)
	return &look{d, s.store.Reads}, err
}

// mustOutlive is that of a change.
func (l *look) mustOutlive(ctx context.Context, p store.Principal, until store.Micros) error {
	return l.outlives(ctx, l.reads, p, until)
}
