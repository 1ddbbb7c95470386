package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// channel of the notifications that organizations have new events.
const channel = "identity_events"

// listenSilence ends a connection on which not even the answers to pings come.
const listenSilence = 30 * time.Second

// payloadAtMost is what PostgreSQL lets a notification carry, in bytes.
const payloadAtMost = 7999

// payloadForm begins a payload that names organizations. Replicas from before
// there were any send an empty one, and do not read it.
const payloadForm = "1:"

// namedAtMost is how many organizations surely fit in one payload: an id has 16
// bytes, a number at most ten, and base64 writes three bytes as four.
const namedAtMost = (payloadAtMost - len(payloadForm)) * 3 / 4 / (16 + binary.MaxVarintLen64)

// LastNumbers returns the number of the last event of each organization.
func LastNumbers(events []Event) map[string]int64 {
	last := map[string]int64{}
	for _, e := range events {
		last[e.Org] = max(last[e.Org], e.Seq)
	}
	return last
}

// Notify tells other processes that the organizations have events up to the
// numbers, or, where none is named, that any may have. It is never part of a
// transaction: there it would make all commits queue up.
func (s *Store) Notify(ctx context.Context, last map[string]int64) error {
	if s.dialect == "sqlite" {
		return nil // one process only
	}
	for _, payload := range payloads(last) {
		var nothing string
		if err := s.Reserved.one(ctx, &nothing, `SELECT CAST(pg_notify(?, ?) AS TEXT)`, channel, payload); err != nil {
			return err
		}
	}
	return nil
}

// payloads writes the organizations with their numbers, as many a payload as
// fit. An id that is none cannot be written: then any may have changed.
func payloads(last map[string]int64) []string {
	var all []string
	for part := range slices.Chunk(slices.Sorted(maps.Keys(last)), namedAtMost) {
		var data []byte
		for _, org := range part {
			id, err := uuid.Parse(org)
			if err != nil || last[org] < 0 {
				return []string{""}
			}
			data = binary.AppendUvarint(append(data, id[:]...), uint64(last[org])) //nolint:gosec // it is not negative
		}
		all = append(all, payloadForm+base64.RawStdEncoding.EncodeToString(data))
	}
	if all == nil {
		return []string{""}
	}
	return all
}

var errPayload = errors.New("the payload names no organizations")

// parsePayload reverses payloads.
func parsePayload(text string) (map[string]int64, error) {
	text, ok := strings.CutPrefix(text, payloadForm)
	if !ok || len(text) > payloadAtMost {
		return nil, errPayload
	}
	data, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) == 0 {
		return nil, errPayload
	}
	last := make(map[string]int64, len(data)/17)
	for len(data) > 0 {
		if len(data) < 17 {
			return nil, errPayload
		}
		org := uuid.UUID(data[:16]).String()
		seq, n := binary.Uvarint(data[16:])
		if n <= 0 || seq > math.MaxInt64 {
			return nil, errPayload
		}
		last[org] = max(last[org], int64(seq))
		data = data[16+n:]
	}
	return last, nil
}

// Listen calls fn with what each notification names, and with nil where any
// organization may have changed: a notification that cannot be read says so,
// and so does a connection that was lost and came back, for notifications may
// have been missed. It ends with the context. The URL must reach the database
// itself, not a pooler.
func (s *Store) Listen(ctx context.Context, fn func(last map[string]int64)) error {
	if s.dialect == "sqlite" {
		<-ctx.Done()
		return nil
	}
	listener := pq.NewDialListener(newWire(listenSilence), s.listenURL, 100*time.Millisecond, 10*time.Second, nil)
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // Listen waits for a connection, however long that takes
	if err := listener.Listen(channel); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return translate(err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-listener.Notify:
			var last map[string]int64
			if n != nil { // it is nil after the connection came back
				last, _ = parsePayload(n.Extra) // nil where it cannot be read
			}
			fn(last)
		case <-time.After(listenSilence / 3):
			_ = listener.Ping() // a dead connection is noticed and made anew
		}
	}
}
