// Package token signs and verifies access tokens: JWTs after RFC 9068, ES256
// only. A Ring holds the signing keys of a moment; key.go makes and keeps
// keys, claims.go says what a token carries, verify.go what is believed.
//
// It promises that a token is believed only in the exact text that was signed,
// by a key of the ring named by its id, for an issuer and an audience that the
// caller names, and within its time; that every refusal is the one ErrToken;
// and that nothing in a token makes this process fetch or compute more than
// one signature.
//
// It must not know organizations, sessions or revocation (the caller asks
// about those next), nor where keys are kept or what time it is.
package token
