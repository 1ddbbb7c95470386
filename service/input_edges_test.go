package service_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/servicetest"
)

// TestNUL_IN05: U+0000 is refused in every text of every request, before the
// databases disagree about it.
func TestNUL_IN05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			as, valid := w.As(r.as(w, a)), r.make(w, a)
			for _, p := range texts(d.Input()) {
				for i := range max(1, p.size(valid)) {
					for _, text := range []string{"\x00", "a\x00b", randomID() + "\x00"} {
						_, err := call(as, w.Conn, d, with(valid, p, i, text))
						if status.Code(err) != codes.InvalidArgument || len(infos(err)) != 1 || len(badFields(err)) == 0 {
							t.Errorf("%s with %s = %q: %v %v", rpcName(d), p, text, err, badFields(err))
							break
						}
					}
				}
			}
		}
	})
}

// raw sends and takes bytes as they are.
type raw struct{}

func (raw) Name() string                       { return "proto" }
func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(text []byte, v any) error { *v.(*[]byte) = bytes.Clone(text); return nil }

// send makes a call with a message that no client library would make.
func send(ctx context.Context, w *servicetest.World, d protoreflect.MethodDescriptor, text []byte) error {
	var resp []byte
	return w.Conn.Invoke(ctx, fmt.Sprintf("/%s/%s", d.Parent().FullName(), d.Name()), text, &resp,
		grpc.ForceCodec(raw{}), grpc.MaxCallSendMsgSize(8<<20))
}

func refusedOnce(t testing.TB, what string, err error, code codes.Code, reason identityv1.Error_Reason) bool {
	t.Helper()
	found := infos(err)
	if status.Code(err) != code || len(found) != 1 || found[0].GetReason() != reason.String() || found[0].GetDomain() != answer.Domain {
		t.Errorf("%s: %v %v", what, err, found)
		return false
	}
	return true
}

// TestInvalidUTF8_IN05: a message with a text that is no UTF-8 cannot be read.
func TestInvalidUTF8_IN05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		const marker = "MARKERMARKER"
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			as, valid := w.As(r.as(w, a)), r.make(w, a)
		method:
			for _, p := range texts(d.Input()) {
				for _, broken := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"} {
					text := bytes.ReplaceAll([]byte(marshal(with(valid, p, 0, marker))), []byte(marker), []byte((broken + marker)[:len(marker)]))
					if !refusedOnce(t, rpcName(d)+" "+p.String(), send(as, w.World, d, text), codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST) {
						break method // once is enough
					}
				}
			}
		}
	})
}

// TestMalformed_IN05: what is no message of the contract cannot be read.
func TestMalformed_IN05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			as, valid := w.As(r.as(w, a)), []byte(marshal(r.make(w, a)))
			broken := map[string][]byte{
				"garbage": []byte("\xff\xff\xff\xff"), "a field number of 0": {0x02, 0x00}, "an end without a beginning": {0x0c},
				"a length beyond the end": {0x0a, 0x7f}, "too deep": bytes.Repeat([]byte{0x0b}, 20_000), "an endless number": bytes.Repeat([]byte{0x80}, 20),
			}
			if len(valid) > 0 {
				broken["cut off"] = valid[:len(valid)-1]
			}
			for name, text := range broken {
				if !refusedOnce(t, rpcName(d)+" "+name, send(as, w.World, d, text), codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST) {
					break // once is enough
				}
			}
		}
	})
}

// TestTooLarge_IN05: one byte over the limit is too much.
func TestTooLarge_IN05(t *testing.T) {
	w := servicetest.SQLite(t)
	for _, name := range []string{"UserService.CreateUser", "SessionService.SignIn", "ServiceAccountService.IntrospectToken"} {
		d := rpc(t, name)
		for _, size := range []int{door.MaxMessage + 1, 2 * door.MaxMessage, 4 << 20} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				text := bytes.Repeat([]byte{0x7a, 0x00}, size/2) // field 15, empty
				text = append(text, make([]byte, size-len(text))...)
				refusedOnce(t, name, send(w.As(w.Root), w, d, text), codes.ResourceExhausted, identityv1.Error_TOO_LARGE)
			})
		}
	}
}

// TestLongTexts_IN05: texts and lists as long as a message can be are refused
// as invalid, by an answer that is not long itself.
func TestLongTexts_IN05(t *testing.T) {
	w := sqliteWorld(t)
	a := w.newTenant()
	refused := func(t *testing.T, d protoreflect.MethodDescriptor, as context.Context, req proto.Message) {
		t.Helper()
		_, err := call(as, w.Conn, d, req)
		if code := status.Code(err); code != codes.InvalidArgument || len(infos(err)) != 1 {
			t.Errorf("%v, %d ErrorInfos", err, len(infos(err)))
		}
		if size := proto.Size(status.Convert(err).Proto()); size > 16<<10 {
			t.Errorf("an answer of %d bytes", size)
		}
	}
	for _, d := range rpcs() {
		r := requestOf(t, rpcName(d))
		long := strings.Repeat("a", door.MaxMessage-4096)
		if accessOf(d).GetPublic() {
			long = strings.Repeat("a", door.MaxPublicMessage-4096)
		}
		as, valid := w.As(r.as(w, a)), r.make(w, a)
		for _, p := range texts(d.Input()) {
			if p.behaves(annotations.FieldBehavior_OUTPUT_ONLY) {
				continue // it is passed over
			}
			t.Run(rpcName(d)+" long "+p.String(), func(t *testing.T) { refused(t, d, as, with(valid, p, 0, long)) })
			if !p.last().IsList() {
				continue
			}
			for name, text := range map[string]string{"empty": "", "short": "a", "right": servicetest.DevOps} {
				t.Run(rpcName(d)+" many "+name+" "+p.String(), func(t *testing.T) {
					n := 20_000 / slowdown
					if p.String() == "update_mask.paths" && name == "empty" { // once as many as fit
						n = (door.MaxMessage/2 - 4096) / slowdown
					}
					req := with(valid, p, 0, text)
					for i := range n {
						p.set(req, i+p.size(valid), text)
					}
					refused(t, d, as, req)
				})
			}
		}
	}
}

// TestHeaders_IN05: headers are not checked by the message, but by somebody.
func TestHeaders_IN05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		protocols := &http.Protocols{}
		protocols.SetUnencryptedHTTP2(true)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		defer client.CloseIdleConnections()
		create := rpc(t, "UserService.CreateUser")
		signIn := rpc(t, "SessionService.SignIn")
		for _, row := range []struct {
			name, header, value string
			method              protoreflect.MethodDescriptor
			want                codes.Code
		}{
			{"a request id", "Idempotency-Key", "plain", create, codes.OK},
			{"a request id that is no UTF-8", "Idempotency-Key", "a\xffb", create, codes.InvalidArgument},
			{"a request id that is half a character", "Idempotency-Key", "\xe2\x82", create, codes.InvalidArgument},
			{"a request id that is too long", "Idempotency-Key", strings.Repeat("k", 129), create, codes.InvalidArgument},
			{"a user agent that is no UTF-8", "User-Agent", "a\xffb", signIn, codes.OK},
			{"a forwarding header that is no UTF-8", "X-Forwarded-For", "a\xffb", signIn, codes.OK},
			{"a token that is no UTF-8", "Authorization", "Bearer \xff", create, codes.Unauthenticated},
		} {
			t.Run(row.name, func(t *testing.T) {
				var req proto.Message = &identityv1.CreateUserRequest{User: w.Draft()}
				if row.method == signIn {
					req = &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: servicetest.RootPassword}
				}
				text := []byte(marshal(req))
				frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
					fmt.Sprintf("http://%s/%s/%s", w.Conn.Target(), row.method.Parent().FullName(), row.method.Name()), bytes.NewReader(frame))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": {"Bearer " + w.Root}}
				r.Header.Set(row.header, row.value)
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				got := resp.Header.Get("Grpc-Status") + resp.Trailer.Get("Grpc-Status")
				if got != fmt.Sprint(uint32(row.want)) {
					t.Errorf("status %s %s%s, want %v", got, resp.Header.Get("Grpc-Message"), resp.Trailer.Get("Grpc-Message"), row.want)
				}
			})
		}
	})
}
