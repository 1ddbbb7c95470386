package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// algorithm of the signing keys made today.
const algorithm = "ES256"

// newSigningKey makes a key and seals it for its row.
func newSigningKey(ring *secret.KeyRing, rand io.Reader, now time.Time) (store.SigningKey, error) {
	key, err := token.GenerateKey(rand)
	if err != nil {
		return store.SigningKey{}, err
	}
	der, err := key.Marshal()
	if err != nil {
		return store.SigningKey{}, err
	}
	return store.SigningKey{
		ID: key.ID, Algorithm: algorithm, Created: store.At(now), Use: store.At(now),
		Sealed: ring.Seal("signing_keys", der, key.ID),
	}, nil
}

// loadKeys reads the signing keys. A master key that does not open them is an
// error: a new key in place of one that cannot be opened would hide the mistake.
func (s *Service) loadKeys(ctx context.Context) error {
	rows, err := s.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("the database has no signing key: it was not bootstrapped")
	}
	keys := make([]token.Key, 0, len(rows))
	for _, row := range rows {
		der, err := s.ring.Open("signing_keys", row.Sealed, row.ID)
		if err != nil {
			return fmt.Errorf("the master key does not open signing key %s: %w", row.ID, err)
		}
		key, err := token.ParseKey(der)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", row.ID, err)
		}
		key.UseTime, key.ExpireTime = row.Use.Time(), row.Expires.Time()
		keys = append(keys, key)
	}
	ring, err := token.NewRing(keys, s.now())
	if err != nil {
		return err
	}
	if former := s.signing.Swap(ring); former == nil || !former.Same(ring) {
		s.memory.tokens.InvalidateAll() // verified by keys that may be gone
	}
	return nil
}

// JWKS is the public part of the signing keys (RFC 7517).
func (s *Service) JWKS() jose.JSONWebKeySet { return s.signing.Load().JWKS() }

// Issuer is the public URL: issuer and own audience of tokens.
func (s *Service) Issuer() string { return s.issuer }
