package user

import (
	"bufio"
	"context"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/table"
	"github.com/bizmetry/identity/store"
)

// pieceSize is the most that a message of an export holds.
const pieceSize = 64 << 10

// ExportUsers streams people as a file, a page after the other, so that its
// size does not matter.
func (s *Users) ExportUsers(req *identityv1.ExportUsersRequest, stream grpc.ServerStreamingServer[identityv1.ExportUsersResponse]) error {
	ctx := stream.Context()
	filter, err := s.userFilter(ctx, door.CallOf(ctx).Org, req.GetFilter())
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(pieces{stream}, pieceSize)
	if req.GetBom() {
		_, _ = out.WriteString(table.ByteOrderMark) // into the buffer
	}
	w, err := table.NewWriter(out, formatOf(req.GetFormat()), exportColumns)
	if err != nil {
		return err
	}
	span := &store.Page{Order: "create_time", Limit: page.MaxPage}
	for span != nil {
		if span, err = s.exportPage(ctx, w, filter, *span); err != nil {
			return err
		}
	}
	return out.Flush()
}

// exportPage writes a page and returns the next one; nil: it was the last.
func (s *Users) exportPage(ctx context.Context, w *table.Writer, filter store.UserFilter, span store.Page) (next *store.Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, door.MaxDeadline)
	defer cancel()
	org := door.CallOf(ctx).Org
	users, err := s.store.Users(ctx, org, filter, span)
	if err != nil || len(users) == 0 {
		return nil, err
	}
	cat, err := authority.ReadCatalogue(ctx, s.store.Reads, org)
	if err != nil {
		return nil, err
	}
	answers, err := s.describe(ctx, s.store.Reads, cat, org, users, nil)
	if err != nil {
		return nil, err
	}
	names := namesOfRoles(cat, org, door.CallOf(ctx).Caller.Platform)
	for _, u := range answers {
		if err := w.Write(userCells(u, names)); err != nil {
			return nil, err
		}
	}
	if len(users) < span.Limit {
		return nil, nil
	}
	last := users[len(users)-1].Cursor(span.Order)
	span.After = &last
	return &span, nil
}

// pieces sends what is written in messages of bounded size.
type pieces struct {
	stream grpc.ServerStreamingServer[identityv1.ExportUsersResponse]
}

// Write implements io.Writer.
func (p pieces) Write(text []byte) (n int, err error) {
	for n < len(text) {
		part := text[n:min(len(text), n+pieceSize)]
		if err := p.stream.Send(&identityv1.ExportUsersResponse{Data: part}); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}
