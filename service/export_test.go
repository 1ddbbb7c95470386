package service

import "context"

// Flush writes at once what is written every second.
func (s *Service) Flush(ctx context.Context) { s.flush(ctx) }

// Weaker is the refusal of a password that does not meet these rules.
func Weaker(unmet []string) error {
	if err := Weak(unmet); err != nil {
		return Answer(err).Err()
	}
	return nil
}

// InWords says what patterns ask for.
var InWords = inWords
