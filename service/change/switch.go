package change

import (
	"context"

	"github.com/bizmetry/identity/store"
)

// Switched is a change of the state of one principal (enabled, disabled,
// deleted): R is its row, A what answers show of it.
type Switched[R, A any] struct {
	Kind, ID, Etag string
	// Event is the type of the event that the change leaves.
	Event   string
	Read    func(context.Context, *Tx) (R, error)
	Version func(R) int64
	// Flip changes the row, and tells whether it changed anything.
	Flip func(*R) bool
	// Data is what the event says, if it says anything.
	Data   func(R) store.Data
	Save   func(ctx context.Context, tx *Tx, former R, row *R) error
	Answer func(context.Context, *Tx, R) (*A, error)
}

// Switch changes the state of a principal whom the caller must control. If it has
// that state already, nothing changes and the answer shows it as it is.
func Switch[R, A any](ctx context.Context, s *Changes, sw Switched[R, A]) (resp *A, err error) {
	err = s.Run(ctx, func(tx *Tx) error {
		former, err := sw.Read(ctx, tx)
		if err != nil {
			return err
		}
		if err := CheckEtag(sw.Etag, sw.Version(former)); err != nil {
			return err
		}
		if err := tx.MustControl(ctx, tx.PrincipalOf(sw.Kind, sw.ID)); err != nil {
			return err
		}
		row := former
		if sw.Flip(&row) {
			if err := sw.Save(ctx, tx, former, &row); err != nil {
				return err
			}
			var data store.Data
			if sw.Data != nil {
				data = sw.Data(row)
			}
			tx.Note(sw.Event, sw.ID, data)
		}
		resp, err = sw.Answer(ctx, tx, row)
		return err
	})
	return resp, err
}
