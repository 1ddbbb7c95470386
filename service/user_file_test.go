package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// importFile sends a file in pieces and returns the statuses of its rows.
func importFile(ctx context.Context, w *servicetest.World, first *identityv1.ImportUsersRequest, file io.Reader) (rows []*identityv1.ImportUsersResponse_Row, sum *identityv1.ImportUsersResponse_Summary, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.Users.ImportUsers(ctx)
	if err != nil {
		return nil, nil, err
	}
	go func() {
		req, piece := first, make([]byte, 1000)
		for {
			n, err := file.Read(piece)
			if n > 0 {
				req.Data = bytes.Clone(piece[:n])
				if stream.Send(req) != nil {
					return
				}
				req = &identityv1.ImportUsersRequest{}
			}
			if err != nil {
				_ = stream.CloseSend()
				return
			}
		}
	}()
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows, sum, nil
		}
		if err != nil {
			return rows, sum, err
		}
		rows, sum = append(rows, resp.GetRows()...), resp.GetSummary()
	}
}

// statuses are rows in short: "1 CREATED", "2 REFUSED REASON column: rule".
func statuses(rows []*identityv1.ImportUsersResponse_Row) (short []string) {
	for _, r := range rows {
		short = append(short, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", r.GetRow(), r.GetOutcome(), r.GetReason(), strings.Join(r.GetViolations(), ", "))))
	}
	return short
}

// exportFile fetches a file.
func exportFile(ctx context.Context, w *servicetest.World, req *identityv1.ExportUsersRequest) (string, error) {
	stream, err := w.Users.ExportUsers(ctx, req)
	if err != nil {
		return "", err
	}
	var file strings.Builder
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file.String(), nil
		}
		if err != nil {
			return file.String(), err
		}
		if len(resp.GetData()) > 64<<10 {
			return "", fmt.Errorf("a piece of %d bytes", len(resp.GetData()))
		}
		file.Write(resp.GetData())
	}
}
