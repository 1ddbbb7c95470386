package authority

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/store"
)

// revisionHeader carries the consistency token of a write.
const revisionHeader = "identity-revision"

// revision names a moment of an organization: the copy of the data, the
// organization and the number of its last event, signed so that nobody makes
// replicas wait for what never was.
func (s *Authority) revision(org string, seq int64) string {
	text := s.incarnation + "." + org + "." + strconv.FormatInt(seq, 10)
	mac := s.ring.MAC("revision", text)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac[:12])
}

// announce answers a write with its consistency token, a stream in its trailer.
func (s *Authority) announce(ctx context.Context, last map[string]int64) {
	if c := door.CallOf(ctx); c.Revisions != nil {
		c.Revisions.Delete(revisionHeader) // the last ones count
		for org, seq := range last {
			c.Revisions.Append(revisionHeader, s.revision(org, seq))
		}
		return
	}
	for org, seq := range last {
		_ = grpc.SetHeader(ctx, metadata.Pairs(revisionHeader, s.revision(org, seq))) // fails only where there is no client to tell
	}
}

// Reached waits until memory has seen the moment that a consistency token names.
func (s *Authority) Reached(ctx context.Context, text string) error {
	refused := answer.Invalid("at_least", "revision", "must be the header identity-revision of a write")
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != s.incarnation || len(text) > 200 {
		return refused
	}
	seq, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !hmac.Equal([]byte(s.revision(parts[1], seq)), []byte(text)) {
		return refused
	}
	if err := s.reach(ctx, parts[1], seq); err != nil {
		return store.ErrUnavailable
	}
	return nil
}

// reached tells whether the events of an organization are applied up to a
// number. Of one that is not followed nothing is remembered.
func (m *memory) reached(org string, seq int64) bool {
	m.mu.Lock()
	f := m.orgs[org]
	m.mu.Unlock()
	if f == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq >= seq
}
