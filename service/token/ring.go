package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// ErrNoKey says that no key may sign yet, or all have expired.
var ErrNoKey = errors.New("no signing key is in use")

const (
	algorithm = jose.ES256

	// MediaType is the typ of an access token's header.
	MediaType = "at+jwt"

	// maxSize bounds a token's text, before anything is decoded.
	maxSize = 8 << 10
)

// Ring holds the keys of a moment: one signs, all verify. It never changes;
// build a new one when keys come, go, or their time comes. Safe for
// concurrent use.
type Ring struct {
	signer jose.Signer // nil: no key may sign
	keys   map[string]publicKey
	jwks   []jose.JSONWebKey
}

type publicKey struct {
	key     *ecdsa.PublicKey
	expires time.Time // zero: not decided yet
}

// NewRing takes the keys that have not expired. The one that came into use
// last signs, the larger id if two came at once.
func NewRing(keys []Key, now time.Time) (*Ring, error) {
	r := &Ring{keys: make(map[string]publicKey, len(keys))}
	var newest *Key
	for _, k := range keys {
		if expired(k.ExpireTime, now) {
			continue
		}
		if k.Private == nil || k.Private.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key ring: key %q is not an ECDSA key on P-256", k.ID)
		}
		if id, err := thumbprint(&k.Private.PublicKey); err != nil || id != k.ID {
			return nil, fmt.Errorf("key ring: %q is not the thumbprint of its key", k.ID)
		}
		if _, ok := r.keys[k.ID]; ok {
			return nil, fmt.Errorf("key ring: key %q comes twice", k.ID)
		}
		r.keys[k.ID] = publicKey{&k.Private.PublicKey, k.ExpireTime}
		r.jwks = append(r.jwks, jose.JSONWebKey{
			Key: &k.Private.PublicKey, KeyID: k.ID, Algorithm: string(algorithm), Use: "sig",
		})
		if !k.UseTime.After(now) && (newest == nil || newer(k, *newest)) {
			newest = &k
		}
	}
	slices.SortFunc(r.jwks, func(a, b jose.JSONWebKey) int { return strings.Compare(a.KeyID, b.KeyID) })
	if newest == nil {
		return r, nil
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: newest.Private, KeyID: newest.ID}},
		(&jose.SignerOptions{}).WithType(MediaType),
	)
	if err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	r.signer = signer
	return r, nil
}

// Sign makes a token. Claims that Verify would refuse whatever the time are
// refused here already.
func (r *Ring) Sign(c Claims) (string, error) {
	if r.signer == nil {
		return "", ErrNoKey
	}
	if !c.complete() || !c.writable() {
		return "", errors.New("sign a token: a required claim is missing or not valid")
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	signed, err := r.signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(text) > maxSize {
		return "", fmt.Errorf("sign a token: larger than %d bytes", maxSize)
	}
	return text, nil
}

// JWKS lists the public keys, sorted by id, those published ahead included.
func (r *Ring) JWKS() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: append([]jose.JSONWebKey{}, r.jwks...)} // [] in JSON, not null
}

func newer(a, b Key) bool {
	if c := a.UseTime.Compare(b.UseTime); c != 0 {
		return c > 0
	}
	return a.ID > b.ID
}

func expired(expires, now time.Time) bool { return !expires.IsZero() && !expires.After(now) }

// Same tells whether both rings verify with the same keys.
func (r *Ring) Same(other *Ring) bool {
	if len(r.keys) != len(other.keys) {
		return false
	}
	for id := range r.keys {
		if _, ok := other.keys[id]; !ok {
			return false
		}
	}
	return true
}
