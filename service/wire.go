package service

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bizmetry/identity/store"
)

// etagOf is the version of a resource as clients see it.
func etagOf(version int64) string { return strconv.FormatInt(version, 10) }

// stamp is a time for the wire; never is absent.
func stamp(m store.Micros) *timestamppb.Timestamp {
	if m == 0 {
		return nil
	}
	return timestamppb.New(m.Time())
}

// ended tells whether a time that means an end, with 0 for never, has come.
func ended(end, now store.Micros) bool { return end != 0 && end <= now }

// cut shortens a text to a number of bytes, and leaves out what is no UTF-8.
func cut(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "")
}

// isNotFound tells whether a row is not there.
func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
