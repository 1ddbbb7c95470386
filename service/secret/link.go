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

// linkToken is how long the text of a token is.
var linkToken = base64.RawURLEncoding.EncodedLen(32)

// LinkDigest is what a link is found by. A random 256-bit token needs no slow hash.
// Programs that show a mail often take punctuation behind a link for a part of it, so
// what follows the token is passed over.
func LinkDigest(text string) string {
	digest := sha256.Sum256([]byte(text[:min(len(text), linkToken)]))
	return hex.EncodeToString(digest[:])
}
