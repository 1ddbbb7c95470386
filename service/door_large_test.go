package service_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
)

// A message that is too large is refused with a reason, however large it is, of a
// call and of a stream, compressed or not.
func TestTransport_GR04_LargeHasAReason(t *testing.T) {
	w, book := observed(t)
	compressed := []grpc.CallOption{grpc.UseCompressor("gzip")}
	for _, size := range []int{2 * door.MaxMessage, 4*door.MaxMessage - 100, 4*door.MaxMessage + 1, 20 * door.MaxMessage} {
		for name, options := range map[string][]grpc.CallOption{"as it is": nil, "compressed": compressed} {
			large := strings.Repeat("x", size)
			_, err := w.Accounts.IntrospectToken(w.As(w.Root), &identityv1.IntrospectTokenRequest{Token: large}, options...)
			oneReason(t, fmt.Sprintf("%d bytes %s", size, name), err, codes.ResourceExhausted, "TOO_LARGE")
			_, err = w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: large}, options...)
			oneReason(t, fmt.Sprintf("%d bytes %s, without a token", size, name), err, codes.ResourceExhausted, "TOO_LARGE")
			stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(w.Root), options...))
			_ = stream.Send(&identityv1.ImportUsersRequest{Data: []byte(large)}) // may be refused meanwhile
			_, err = stream.Recv()
			oneReason(t, fmt.Sprintf("%d bytes %s, of a stream", size, name), err, codes.ResourceExhausted, "TOO_LARGE")
		}
	}
	if text := book.String(); strings.Contains(text, "ERROR") || strings.Contains(text, "xxxxxxxx") {
		t.Errorf("the log: %.500s", text)
	}
	alive(t, w)
}

// Messages that are compressed badly, cut off or two at once are the caller's fault.
func TestTransport_GR04_Frames(t *testing.T) {
	w, _ := observed(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte{})
	noError(t, err)
	noError(t, z.Close())
	for name, row := range map[string]struct {
		encoding string
		body     []byte
		status   codes.Code
	}{
		"nothing in it, compressed": {"gzip", message(true, packed.Bytes()), codes.OK},
		"no gzip":                   {"gzip", message(true, []byte("garbage")), codes.InvalidArgument},
		"cut off inside":            {"gzip", message(true, packed.Bytes()[:15]), codes.InvalidArgument},
		"not announced":             {"identity", message(true, packed.Bytes()), codes.InvalidArgument},
		"a strange flag":            {"identity", []byte{7, 0, 0, 0, 0}, codes.InvalidArgument},
		"less than it says":         {"identity", []byte{0, 0, 0, 0, 9, 1}, codes.InvalidArgument},
		"two messages":              {"identity", append(message(false, nil), message(false, nil)...), codes.InvalidArgument},
		"4 GiB, it says":            {"identity", []byte{0, 0xff, 0xff, 0xff, 0xff}, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialWire(t, w).call(headers(identityv1.UserService_GetMe_FullMethodName, w.Root, "grpc-encoding", row.encoding), row.body)
			if r.status != fmt.Sprint(int(row.status)) {
				t.Errorf("%+v, want %v", r, row.status)
			}
		})
	}
	alive(t, w)
}
