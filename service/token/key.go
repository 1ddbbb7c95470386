package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Key is a signing key on P-256.
type Key struct {
	ID         string // RFC 7638 thumbprint of the public key; goes out as kid
	Private    *ecdsa.PrivateKey
	UseTime    time.Time // signs from then on; published before
	ExpireTime time.Time // verifies until then; zero: not decided yet
}

// GenerateKey makes a key. The times are left to the caller. With Go 1.26 the
// key's own bits come from the system whatever rand is (GODEBUG
// cryptocustomrand), so no test can make a predictable key by accident.
func GenerateKey(rand io.Reader) (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return Key{}, fmt.Errorf("make a signing key: %w", err)
	}
	return newKey(private)
}

// Marshal gives the private key as PKCS#8. Nothing else needs keeping but the
// times: id and public key are derived, so they can never disagree with it.
func (k Key) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("write a signing key: %w", err)
	}
	return der, nil
}

// ParseKey reads what Marshal gave.
func ParseKey(der []byte) (Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return Key{}, errors.New("read a signing key: not PKCS#8") // the cause may quote the key
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return Key{}, errors.New("read a signing key: not an ECDSA key on P-256")
	}
	return newKey(private)
}

// String keeps the private key out of logs; so does GoString.
func (k Key) String() string { return "token.Key(" + k.ID + ")" }

// GoString keeps the private key out of %#v.
func (k Key) GoString() string { return k.String() }

func newKey(private *ecdsa.PrivateKey) (Key, error) {
	id, err := thumbprint(&private.PublicKey)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: id, Private: private}, nil
}

// thumbprint is the RFC 7638 SHA-256 thumbprint of a public key.
func thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
