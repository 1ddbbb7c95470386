package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// whole is one thing done to very many people.
type whole struct {
	name     string
	rows     int
	took     time.Duration
	server   time.Duration
	database time.Duration
	peak     int64         // memory of the service
	read     time.Duration // how long nine in ten pages took at most that were read meanwhile
	note     string
}

// account does something once, and says what it cost.
func (b *bench) account(ctx context.Context, name string, do func(context.Context) (rows int, err error)) (whole, error) {
	progress("%s", name)
	w := whole{name: name}
	var err error
	if b.admin.Token, err = b.renewed(ctx); err != nil {
		return w, err
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			if now, err := resident(b.server.PID); err == nil {
				w.peak = max(w.peak, now)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	server, database, start := spent(b.server.PID), spentByAll(b.postgres.PID()), time.Now()
	w.rows, err = do(ctx)
	w.took = time.Since(start)
	w.server, w.database = spent(b.server.PID)-server, spentByAll(b.postgres.PID())-database
	stop()
	<-watched
	return w, err
}

// renewed is a fresh token of the administration.
func (b *bench) renewed(ctx context.Context) (string, error) {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return b.admin.NewToken(ctx, identityv1.NewServiceAccountServiceClient(conn))
}

func (b *bench) exportAll(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	return b.account(ctx, "export of all", func(ctx context.Context) (rows int, err error) {
		stream, err := identityv1.NewUserServiceClient(conn).ExportUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.ExportUsersRequest{})
		if err != nil {
			return 0, err
		}
		for {
			piece, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return rows - 1, nil // the first line names the columns
			}
			if err != nil {
				return rows, err
			}
			rows += bytes.Count(piece.GetData(), []byte("\n"))
		}
	})
}

const imported = 100_000

func (b *bench) importSome(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	return b.account(ctx, fmt.Sprintf("import of %d", b.part(imported)), func(ctx context.Context) (int, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := identityv1.NewUserServiceClient(conn).ImportUsers(rig.Bearing(ctx, b.admin.Token))
		if err != nil {
			return 0, err
		}
		sent := make(chan error, 1)
		go func() { sent <- sendFile(stream, b.part(imported)) }()
		var sum *identityv1.ImportUsersResponse_Summary
		for {
			resp, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, err
			}
			if resp.GetSummary() != nil {
				sum = resp.GetSummary()
			}
		}
		err = <-sent
		if err == nil && int(sum.GetCreated()) != b.part(imported) {
			err = fmt.Errorf("%w: %v", errAnswer, sum)
		}
		return int(sum.GetCreated()), err
	})
}

func sendFile(stream grpc.BidiStreamingClient[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse], people int) error {
	send := bufio.NewWriterSize(uploader{stream}, 64<<10)
	fmt.Fprintln(send, "email,first_name,last_name,roles")
	for n := range people {
		first, last := firstNames[n%len(firstNames)], lastNames[n%len(lastNames)]
		fmt.Fprintf(send, "imported.%06d@customer.example,%s,%s,Developer\n", n, first, last)
	}
	return errors.Join(send.Flush(), stream.CloseSend())
}

// uploader sends what is written as pieces of a file.
type uploader struct {
	stream grpc.BidiStreamingClient[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]
}

func (u uploader) Write(p []byte) (int, error) {
	return len(p), u.stream.Send(&identityv1.ImportUsersRequest{Data: bytes.Clone(p)})
}
