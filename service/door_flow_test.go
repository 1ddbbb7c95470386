package service_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// unfinished begins calls that never send their message, and returns how each ended.
func unfinished(ctx context.Context, t *testing.T, w *servicetest.World, n int) (ends chan error) {
	t.Helper()
	conn, err := grpc.NewClient(w.Conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ends = make(chan error, n)
	for range n {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, identityv1.UserService_GetMe_FullMethodName)
		noError(t, err)
		go func() { ends <- stream.RecvMsg(&identityv1.GetMeResponse{}) }()
	}
	return ends
}

// A caller who sends and never finishes holds a share, and nobody else waits for it.
func TestFlow_UnfinishedCallsAreBounded(t *testing.T) {
	w := servicetest.SQLite(t)
	a, b := w.NewOrg(), w.NewOrg()
	ctx, stop := context.WithCancel(w.As(a.Admin.Token))
	defer stop()
	const sent = 60
	ends := unfinished(ctx, t, w, sent)
	refused := 0
	for refused < sent-4 { // four may be as large as may be
		select {
		case err := <-ends:
			oneReason(t, "one too many", err, codes.ResourceExhausted, "OVERLOADED")
			refused++
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d were refused", refused, sent)
		}
	}
	if _, err := w.Users.GetMe(w.As(a.Admin.Token), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("what is sent at once: %v", err)
	}
	if _, err := w.Users.GetMe(w.As(b.Admin.Token), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("another organization: %v", err)
	}
	stop()
	servicetest.Eventually(t, "nothing is held after they have gone", func() bool {
		ctx, stop := context.WithTimeout(w.As(a.Admin.Token), 300*time.Millisecond)
		defer stop()
		ends := unfinished(ctx, t, w, 4)
		for range 4 {
			if servicetest.Reason(<-ends) == "OVERLOADED" {
				return false
			}
		}
		return true
	})
}

// Whoever has no business here is refused before a byte of the body is read, with
// one reason.
func TestFlow_RefusedBeforeTheBody(t *testing.T) {
	w := servicetest.SQLite(t)
	gone := w.NewPerson("")
	_, err := w.Users.GetMe(w.As(gone.Token), &identityv1.GetMeRequest{}) // memory knows it
	noError(t, err)
	_, err = w.Users.DisableUser(w.As(w.Root), &identityv1.DisableUserRequest{Id: gone.GetId()})
	noError(t, err)
	for rule, ctx := range map[string]context.Context{
		"no token":             t.Context(),
		"no JWT":               w.As("nonsense"),
		"a forged one":         w.As("a.b.c"),
		"one known to be dead": w.As(gone.Token),
	} {
		select {
		case err := <-unfinished(ctx, t, w, 1):
			oneReason(t, rule, err, codes.Unauthenticated, "TOKEN_INVALID")
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the body is awaited", rule)
		}
	}
}

// Headers that are too large are refused for their call alone.
func TestFlow_LargeHeadersFailNobodyElse(t *testing.T) {
	w := servicetest.SQLite(t)
	var calls sync.WaitGroup
	for range 40 {
		calls.Go(func() {
			for range 20 {
				if _, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}); err != nil {
					t.Errorf("beside: %v", err)
				}
			}
		})
	}
	for _, size := range []int{17 << 10, 40 << 10, 60 << 10} {
		ctx := servicetest.As(t.Context(), w.Root+strings.Repeat("x", size))
		_, err := w.Users.GetMe(ctx, &identityv1.GetMeRequest{})
		oneReason(t, fmt.Sprint(size), err, codes.ResourceExhausted, "TOO_LARGE")
	}
	calls.Wait()
}

// A source has so many connections, and closing one makes room.
func TestFlow_ConnectionsOfASource(t *testing.T) {
	w := servicetest.SQLite(t)
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	limited := w.Service.Door.Listen(port)
	t.Cleanup(func() { _ = limited.Close() })
	accepted := make(chan net.Conn, 1000)
	go func() {
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", port.Addr().String())
		noError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var first net.Conn
	for range 512 {
		dial()
		if conn := <-accepted; first == nil {
			first = conn
		}
	}
	over := dial()
	_ = over.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := over.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the 513th: %d bytes, %v", n, err)
	}
	noError(t, first.Close())
	dial()
	select {
	case conn := <-accepted:
		_ = conn.Close()
	case <-time.After(10 * time.Second):
		t.Error("a closed connection made no room")
	}
}
