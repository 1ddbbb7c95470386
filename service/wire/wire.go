// Package wire turns values of rows into those of answers (times, versions,
// bounded texts), and tells whether a time has passed or a row is missing. It
// knows store, and must not know any rule.
package wire

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bizmetry/identity/store"
)

// Etag is the version of a resource as clients see it.
func Etag(version int64) string { return strconv.FormatInt(version, 10) }

// Stamp is a time for the wire; never is absent.
func Stamp(m store.Micros) *timestamppb.Timestamp {
	if m == 0 {
		return nil
	}
	return timestamppb.New(m.Time())
}

// Ended tells whether a time that means an end, with 0 for never, has come.
func Ended(end, now store.Micros) bool { return end != 0 && end <= now }

// Cut shortens a text to a number of bytes, and leaves out what is no UTF-8.
func Cut(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "")
}

// IsNotFound tells whether a row is not there.
func IsNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
