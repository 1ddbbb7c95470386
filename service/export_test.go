package service

import (
	"context"

	"github.com/bizmetry/identity/service/answer"
)

// Flush writes at once what is written every second.
func (s *Service) Flush(ctx context.Context) { s.flush(ctx) }

// Weaker is the refusal of a password that does not meet these rules.
func Weaker(unmet []string) error {
	if err := Weak(unmet); err != nil {
		return answer.Of(err).Err()
	}
	return nil
}

// InWords says what patterns ask for.
var InWords = inWords
