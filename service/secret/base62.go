package secret

import (
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// Widths of base62 numbers: the fewest characters that hold any value.
const (
	uuidWidth = 22 // 16 bytes
	keyWidth  = 43 // 32 bytes
	crcWidth  = 6  // 4 bytes
)

// toBase62 writes b as a big-endian number of fixed width.
func toBase62(b []byte, width int) string {
	digits := new(big.Int).SetBytes(b).Text(62)
	return strings.Repeat("0", width-len(digits)) + digits
}

// fromBase62 reads a number into size bytes. A number too large for them is
// refused: it would otherwise be a second text for some value.
func fromBase62(text string, size int) ([]byte, bool) {
	for i := range len(text) {
		if !isDigit62(text[i]) { // SetString also takes a sign, which is not ours
			return nil, false
		}
	}
	n, ok := new(big.Int).SetString(text, 62)
	if !ok || n.BitLen() > 8*size {
		return nil, false
	}
	return n.FillBytes(make([]byte, size)), true
}

func isDigit62(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// idToBase62 takes the one usual form of a UUID: lower case with hyphens.
func idToBase62(id string) (string, bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.String() != id {
		return "", false
	}
	return toBase62(u[:], uuidWidth), true
}

func idFromBase62(text string) (string, bool) {
	b, ok := fromBase62(text, len(uuid.UUID{}))
	if !ok {
		return "", false
	}
	return uuid.UUID(b).String(), true
}
