package secret

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
)

// NewLinkToken makes the token of a one-time link, 256 random bits, and the
// digest that is kept in its place.
func NewLinkToken(rand io.Reader) (text, digest string, err error) {
	token := make([]byte, 32)
	if _, err := io.ReadFull(rand, token); err != nil {
		return "", "", fmt.Errorf("make a link: %w", err)
	}
	text = base64.RawURLEncoding.EncodeToString(token)
	return text, LinkDigest(text), nil
}

// LinkDigest is what a link is found by. A random 256-bit token needs no slow hash.
func LinkDigest(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}
