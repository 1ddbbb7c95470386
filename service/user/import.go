package user

import (
	"context"
	"errors"
	"io"
	"strconv"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/table"
)

// Limits of an import.
const (
	// importBatch is how many rows are settled in a transaction.
	importBatch = 1000
	// importRowsAtMost is how many rows a file may have.
	importRowsAtMost = 10_000_000
)

// ImportUsers reads a file of people and adds them, a batch a transaction.
// What was answered as created is committed.
func (s *Users) ImportUsers(stream grpc.BidiStreamingServer[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	im := &importing{
		s: s, stream: stream, validateOnly: first.GetValidateOnly(), sendActivation: first.GetSendActivation(),
		operation: s.NewID(), analyzeAt: analyzeFirst, sum: &identityv1.ImportUsersResponse_Summary{},
	}
	if im.validateOnly {
		im.rehearsed = newRehearsed()
	}
	file, err := table.NewReader(&upload{stream: stream, rest: first.GetData()}, formatOf(first.GetFormat()), importColumns)
	for err == nil {
		var rows []*importRow
		rows, err = im.read(file)
		if err != nil && !errors.Is(err, io.EOF) && !isFileError(err) && !im.full {
			return err
		}
		if failed := im.settle(stream.Context(), rows); failed != nil {
			return failed
		}
	}
	if !errors.Is(err, io.EOF) {
		return fileRefused(file, err)
	}
	return stream.Send(&identityv1.ImportUsersResponse{Summary: im.sum})
}

func isFileError(err error) bool {
	var file *table.FileError
	return errors.As(err, &file)
}

// fileRefused says where and why a file cannot be read any further, and how
// many rows that leaves.
func fileRefused(file *table.Reader, err error) error {
	var bad *table.FileError
	if !errors.As(err, &bad) {
		return err
	}
	told := []string{"row", strconv.FormatInt(bad.Row, 10), "line", strconv.FormatInt(bad.Line, 10), "cause", bad.Text}
	if bad.Row > 0 { // behind the header line
		told = append(told, "unread", strconv.FormatInt(file.Unread(), 10))
	}
	return answer.Refuse(answer.ErrMalformed, told...)
}

// upload reads a file out of the messages of a stream.
type upload struct {
	stream grpc.BidiStreamingServer[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]
	rest   []byte
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		req, err := u.stream.Recv()
		if err != nil {
			return 0, err
		}
		u.rest = req.GetData()
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// importing is an import under way.
type importing struct {
	s                            *Users
	stream                       grpc.BidiStreamingServer[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]
	validateOnly, sendActivation bool
	full                         bool   // the file has more rows than it may
	refused                      error  // too many addresses that others have: why the batch is the last
	operation                    string // id that all its events have
	analyzeAt                    int64  // people added, after which the database looks at its tables again
	sum                          *identityv1.ImportUsersResponse_Summary
	rehearsed                    *rehearsed // by a dry run; nil: none
}

// read reads a batch. The error is why it is the last one.
func (im *importing) read(file *table.Reader) (rows []*importRow, err error) {
	for len(rows) < importBatch {
		cells, err := file.Read()
		var bad *table.RowError
		if err != nil && !errors.As(err, &bad) {
			return rows, err
		}
		if im.full = file.Row() > importRowsAtMost; im.full {
			return rows, answer.Refuse(answer.ErrTooLarge, "rows", strconv.Itoa(importRowsAtMost))
		}
		row := newImportRow(file, cells)
		if bad != nil {
			row.refuse(identityv1.Error_INVALID_FIELDS.String(), bad.Violations...)
		} else if err := im.readRow(row, cells); err != nil {
			row.refuseFor(err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// analyzeFirst is how many people an import adds before the database's plans
// are for another table; each time there are twice as many, they are again.
const analyzeFirst = 10_000

// settle decides what becomes of a batch, does it, and answers. Everything
// that can be wrong with a row is found before the first one is written, so
// that no row costs the others their transaction.
func (im *importing) settle(ctx context.Context, rows []*importRow) error {
	if len(rows) == 0 {
		return nil
	}
	if undecided := open(rows); len(undecided) > 0 {
		ctx, cancel := context.WithTimeout(ctx, batchTime)
		defer cancel()
		if err := im.s.changes.Run(ctx, func(tx *change.Tx) error { return im.change(ctx, tx, undecided) }); err != nil {
			return err
		}
	}
	resp := &identityv1.ImportUsersResponse{Rows: make([]*identityv1.ImportUsersResponse_Row, len(rows))}
	for i, row := range rows {
		resp.Rows[i] = row.status
		im.sum.Rows++
		switch row.status.GetOutcome() {
		case identityv1.ImportUsersResponse_Row_CREATED:
			im.sum.Created++
		case identityv1.ImportUsersResponse_Row_EXISTS:
			im.sum.Existing++
		default:
			im.sum.Refused++
		}
	}
	if !im.validateOnly && im.sum.GetCreated() >= im.analyzeAt {
		im.analyzeAt = 2 * im.sum.GetCreated()
		im.s.Tried(ctx, "analyze", im.s.store.Analyze)
	}
	if err := im.stream.Send(resp); err != nil {
		return err
	}
	return im.refused
}

// batchTime bounds the transaction of a batch.
const batchTime = door.MaxDeadline

func (im *importing) change(ctx context.Context, tx *change.Tx, rows []*importRow) error {
	tx.Operation = im.operation
	taken, err := findHolders(ctx, tx, rows)
	if err != nil {
		return err
	}
	if len(open(rows)) > 0 {
		if err := im.s.availability.MayLearn(ctx); err != nil {
			return err
		}
	}
	if im.refused, err = im.tellHolders(ctx, tx, rows, taken); err != nil {
		return err
	}
	judge(tx, open(rows))
	rows = open(rows)
	pairTwins(rows)
	if im.validateOnly {
		im.rehearse(rows) // no event is recorded, so nothing is kept
	} else if err := im.addImported(ctx, tx, rows, im.sendActivation); err != nil {
		return err
	}
	for _, row := range rows {
		row.followTwin()
	}
	return nil
}

// rehearse marks what would be created, unless the same file did before.
func (im *importing) rehearse(rows []*importRow) {
	for _, row := range rows {
		if row.twin != nil {
			continue
		}
		outcome := identityv1.ImportUsersResponse_Row_CREATED
		if im.rehearsed.add(row.user.EmailKey) {
			outcome = identityv1.ImportUsersResponse_Row_EXISTS
		}
		row.settled(outcome, "")
	}
}
