// Package secret makes, seals, hashes and checks secrets: the key ring that
// seals rows and signs cursors (keyring.go), machine secrets (machine.go),
// refresh tokens (refresh.go), passwords (password.go, foreign.go) and the
// rules of a password (policy.go).
//
// It promises that every text has one value and every value one text, that
// sizes are checked before any work, that comparisons take the same time
// wherever the difference lies, that no stored hash runs beyond a fixed cost,
// and that no error text carries a secret.
//
// It must not know rows, organizations, requests or clocks: callers bring
// ids, randomness and contexts, and decide what a refusal means.
package secret
