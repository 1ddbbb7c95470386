// Package page opens and makes page tokens, and has the limits of lists. It
// must not know what is listed.
package page

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Sizes of lists.
const (
	defaultPage = 50
	MaxPage     = 1000
	MaxCount    = 10_000
)

// listRequest is what all list requests share.
type listRequest interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
	GetSkip() int32
}

// Pages opens and makes page tokens.
type Pages struct {
	ring        *secret.KeyRing
	incarnation string // of the store
}

// New makes pages; the ring seals their tokens, which are good for one
// incarnation of the store.
func New(ring *secret.KeyRing, incarnation string) *Pages { return &Pages{ring, incarnation} }

// place is what a page token holds: the last row of the page before.
type place struct {
	Text string `json:"t,omitempty"`
	Num  int64  `json:"n,omitempty"`
	ID   string `json:"i,omitempty"`
}

// Open reads size, token, skip and order of a list request. The limit is
// one more than the page, to see whether there is a next one.
func (s *Pages) Open(ctx context.Context, req listRequest, orderBy, defaultOrder string) (store.Page, error) {
	if orderBy == "" {
		orderBy = defaultOrder
	}
	order, direction, _ := strings.Cut(orderBy, " ")
	p := store.Page{Order: order, Desc: direction == "desc", Skip: int(req.GetSkip()), Limit: pageSize(req) + 1}
	if req.GetPageToken() == "" {
		return p, nil
	}
	at, err := s.readPlace(ctx, req)
	if err != nil {
		return p, err
	}
	p.After = &store.Cursor{Key: at.Text, ID: at.ID}
	if order == "create_time" || order == "seq" {
		p.After.Key = at.Num
	}
	return p, nil
}

func pageSize(req listRequest) int {
	if req.GetPageSize() == 0 {
		return defaultPage
	}
	return min(int(req.GetPageSize()), MaxPage)
}

// readPlace opens a page token; one of another caller, organization, filter,
// order or copy of the data is refused.
func (s *Pages) readPlace(ctx context.Context, req listRequest) (at place, err error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(req.GetPageToken())
	if err != nil || strings.ContainsAny(req.GetPageToken(), "\r\n") { // which the decoder passes over
		return at, answer.ErrPageToken
	}
	text, err := s.ring.Open("page", sealed, s.pageOf(ctx, req)...)
	if err != nil {
		return at, answer.ErrPageToken
	}
	return at, json.Unmarshal(text, &at)
}

// Next cuts the extra row off, and makes the token that continues after
// the last row left. A list that ended has none.
func Next[T any](ctx context.Context, s *Pages, req listRequest, rows []T, at func(T) store.Cursor) ([]T, string) {
	if len(rows) <= pageSize(req) {
		return rows, ""
	}
	rows = rows[:pageSize(req)]
	return rows, s.After(ctx, req, at(rows[len(rows)-1]))
}

// NextShort is Next for a list that may have been read only in part: then the
// token continues where reading stopped, even behind a page without rows.
func NextShort[T any](ctx context.Context, s *Pages, req listRequest, found store.Found[T], at func(T) store.Cursor) ([]T, string) {
	rows, token := Next(ctx, s, req, found.Rows, at)
	if token == "" && found.Stop != nil {
		token = s.After(ctx, req, *found.Stop)
	}
	return rows, token
}

// After makes the token of the page behind a place.
func (s *Pages) After(ctx context.Context, req listRequest, cursor store.Cursor) string {
	next := place{ID: cursor.ID}
	switch key := cursor.Key.(type) {
	case string:
		next.Text = key
	case int64:
		next.Num = key
	}
	text, err := json.Marshal(next)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(s.ring.Seal("page", text, s.pageOf(ctx, req)...))
}

// pageOf is what a page token is bound to.
func (s *Pages) pageOf(ctx context.Context, req listRequest) []string {
	query := proto.Clone(req)
	for _, name := range []protoreflect.Name{"organization_id", "page_size", "page_token", "skip", "with_summary", "at_least"} {
		if f := query.ProtoReflect().Descriptor().Fields().ByName(name); f != nil {
			query.ProtoReflect().Clear(f)
		}
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(query)
	if err != nil {
		panic(err) // a message that was just read always marshals
	}
	c := door.CallOf(ctx)
	return []string{s.incarnation, c.Method.Name, c.Caller.ID, c.Org, string(text)}
}

// Capped bounds a count, and tells whether there may be more.
func Capped(n int64, capped bool) (int32, bool) {
	if n > MaxCount {
		return MaxCount, true
	}
	return int32(n), capped //nolint:gosec // at most MaxCount
}

// Clamp fits an exact count into the type that the contract gives it.
func Clamp(n int64) int32 {
	const most = 1<<31 - 1
	return int32(min(max(n, 0), most))
}

// Window is the page of a sorted list that is in memory anyway.
func Window[T any](rows []T, page store.Page, at func(T) store.Cursor) []T {
	if page.After != nil {
		after := place{Text: page.After.Key.(string), ID: page.After.ID}
		rows = rows[len(rows)-len(slices.DeleteFunc(slices.Clone(rows), func(row T) bool {
			c := at(row)
			return c.Key.(string) < after.Text || (c.Key == after.Text && c.ID <= after.ID)
		})):]
	}
	rows = rows[min(page.Skip, len(rows)):]
	return rows[:min(page.Limit, len(rows))]
}
