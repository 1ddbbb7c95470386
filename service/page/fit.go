package page

import "google.golang.org/protobuf/proto"

// A page of up to wholeRows rows is never cut. A larger one ends where its answer
// comes to bytesAtMost; the token goes on from there.
const (
	wholeRows   = 200
	bytesAtMost = 2 << 20
)

// Fit tells how many of the rows of an answer are sent.
func Fit[T proto.Message](rows []T) int {
	if len(rows) <= wholeRows {
		return len(rows)
	}
	size := 0
	for i, row := range rows {
		if size += proto.Size(row); i >= wholeRows && size > bytesAtMost {
			return i
		}
	}
	return len(rows)
}
