// Package id makes and recognizes ids: UUIDv7 in canonical text.
// It knows nothing of what an id names.
package id

import (
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// New makes a UUIDv7 (RFC 9562) of a time and of randomness.
func New(now time.Time, rand io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[6:]); err != nil {
		panic(fmt.Sprintf("no randomness: %v", err)) // the system's never fails
	}
	ms := now.UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)) & 0xff)
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return uuid.UUID(b).String()
}

// Valid tells whether a text is an id in the form that this service writes.
func Valid(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
