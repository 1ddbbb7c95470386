package service

// Weak is the refusal of a password that does not meet these rules.
var Weak = func(unmet []string) error {
	if err := weak(unmet); err != nil {
		return Answer(err).Err()
	}
	return nil
}
