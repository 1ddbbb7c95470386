package service

import "context"

// Purge does at once what is done every ten minutes.
func (s *Service) Purge(ctx context.Context) error { return s.purge(ctx) }

// Flush writes at once what is written every second.
func (s *Service) Flush(ctx context.Context) { s.flush(ctx) }

// Weak is the refusal of a password that does not meet these rules.
var Weak = func(unmet []string) error {
	if err := weak(unmet); err != nil {
		return Answer(err).Err()
	}
	return nil
}

// InWords says what patterns ask for.
var InWords = inWords
