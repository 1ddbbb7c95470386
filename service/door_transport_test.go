package service_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

func usableWithin(ctx context.Context, w *servicetest.World) error {
	_, err := w.Users.GetMe(ctx, &identityv1.GetMeRequest{})
	return err
}

// observed is a world whose log can be read.
func observed(t *testing.T) (*servicetest.World, *logBook) {
	t.Helper()
	book := &logBook{}
	return servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Log = book.logger() }), book
}

// A message may have a megabyte and not a byte more.
func TestTransport_GR04_Message(t *testing.T) {
	w, book := observed(t)
	of := func(size int) error {
		req := &identityv1.IntrospectTokenRequest{Token: strings.Repeat("x", size)}
		req.Token = req.GetToken()[:size-(proto.Size(req)-size)] // the field's own bytes count
		if got := proto.Size(req); got != size {
			t.Fatalf("%d bytes, want %d", got, size)
		}
		_, err := w.Accounts.IntrospectToken(w.As(w.Root), req)
		return err
	}
	for _, size := range []int{door.MaxMessage + 1, 3 * door.MaxMessage} {
		oneReason(t, fmt.Sprint(size), of(size), codes.ResourceExhausted, "TOO_LARGE")
	}
	oneReason(t, "as large as may be", of(door.MaxMessage), codes.InvalidArgument, "INVALID_FIELDS")
	if text := book.String(); strings.Contains(text, "ERROR") || strings.Contains(text, "xxxxxxxx") {
		t.Errorf("the log: %.500s", text)
	}
	alive(t, w)
}

// What is no message of the method is the caller's fault, with one reason.
func TestTransport_GR04_Unreadable(t *testing.T) {
	w, book := observed(t)
	const signIn = identityv1.SessionService_SignIn_FullMethodName
	for rule, body := range map[string]string{
		"no protobuf":             "garbage",
		"a field cut off":         "\x0a\x7fa@b.test",
		"a length without end":    "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"no UTF-8":                "\x0a\x02\xff\xfe\x12\x01x",
		"a field numbered 0":      "\x02\x01x",
		"a group that never ends": "\x0b",
	} {
		t.Run(rule, func(t *testing.T) {
			var answer []byte
			err := w.Conn.Invoke(t.Context(), signIn, []byte(body), &answer, grpc.ForceCodec(bytesCodec{}))
			oneReason(t, rule, err, codes.InvalidArgument, "MALFORMED_REQUEST")
		})
	}
	if strings.Contains(book.String(), "ERROR") {
		t.Errorf("the log: %.500s", book.String())
	}
}

// Headers may have 16 KiB in all, however they are split.
func TestTransport_GR04_Headers(t *testing.T) {
	w, book := observed(t)
	path := identityv1.UserService_GetMe_FullMethodName
	if r := dialWire(t, w).call(headers(path, w.Root, "x-padding", strings.Repeat("~", 8<<10)), message(false, nil)); r.status != "0" {
		t.Errorf("8 KiB: %+v", r)
	}
	before := strings.Count(book.String(), `"code":"OK"`)
	many := make([]string, 0, 2*1000)
	for i := range 1000 {
		many = append(many, fmt.Sprint("x-padding-", i), "~")
	}
	for rule, changes := range map[string][]string{
		"one large one":   {"x-padding", strings.Repeat("~", door.MaxHeaders)},
		"a thousand":      many,
		"a name":          {"x-" + strings.Repeat("p", door.MaxHeaders), "~"},
		"a token":         {"authorization", "Bearer " + strings.Repeat("~", door.MaxHeaders)},
		"a megabyte":      {"x-padding", strings.Repeat("~", 1<<20)},
		"a megabyte more": {"x-a", strings.Repeat("~", 1<<19), "x-b", strings.Repeat("~", 1<<19)},
	} {
		t.Run(rule, func(t *testing.T) {
			if r := dialWire(t, w).call(headers(path, w.Root, changes...), message(false, nil)); !r.refused() {
				t.Errorf("%+v", r)
			}
		})
	}
	if n := strings.Count(book.String(), `"code":"OK"`) - before; n != 0 {
		t.Errorf("%d of them were let in", n)
	}
	alive(t, w)
}

// bomb is about a megabyte that inflates to a gigabyte.
func bomb(t *testing.T) []byte {
	t.Helper()
	var member bytes.Buffer
	z, err := gzip.NewWriterLevel(&member, gzip.BestCompression)
	noError(t, err)
	_, err = z.Write(make([]byte, 1<<20))
	noError(t, err)
	noError(t, z.Close())
	return bytes.Repeat(member.Bytes(), min(1<<10, (1<<20-1)/member.Len())) // gzip reads one behind the other
}

// What is compressed is held to the same limit, and only what is known is
// decompressed.
func TestTransport_GR04_RG47_Compression(t *testing.T) {
	w, book := observed(t)
	path, body := identityv1.UserService_GetMe_FullMethodName, bomb(t)
	const whatever = codes.Code(99) // gRPC says INTERNAL before anything of ours is asked
	for rule, row := range map[string]struct {
		encoding string
		body     []byte
		status   codes.Code
	}{
		"unknown":                 {"snappy", message(true, []byte("x")), codes.Unimplemented},
		"an unknown with a path":  {"../gzip", message(true, []byte("x")), codes.Unimplemented},
		"in capitals":             {"GZIP", message(true, []byte("x")), codes.Unimplemented},
		"two at once":             {"gzip,gzip", message(true, []byte("x")), codes.Unimplemented},
		"a bomb":                  {"gzip", message(true, body), codes.ResourceExhausted},
		"a bomb of half the size": {"gzip", message(true, body[:len(body)/2]), codes.ResourceExhausted},
		"no gzip inside":          {"gzip", message(true, []byte("garbage")), whatever},
		"cut off":                 {"gzip", message(true, body[:100]), whatever},
		"not announced":           {"identity", message(true, body), whatever},
	} {
		t.Run(rule, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := dialWire(t, w).call(headers(path, w.Root, "grpc-encoding", row.encoding), row.body)
			runtime.ReadMemStats(&after)
			if !r.refused() || row.status != whatever && r.status != fmt.Sprint(int(row.status)) {
				t.Errorf("%+v, want %d", r, row.status)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d MiB were allocated for it", grown>>20)
			}
		})
	}
	if text := book.String(); strings.Contains(text, path+`","code":"OK"`) {
		t.Errorf("one was let in: %.1000s", text)
	}
	noError(t, usableWithin(w.As(w.Root), w))
	_, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}, grpc.UseCompressor("gzip"))
	noError(t, err)
}

// A connection has a hundred streams; the next one waits, or is refused if it
// does not.
func TestTransport_GR04_Streams(t *testing.T) {
	w, _ := observed(t)
	conn, err := grpc.NewClient(w.Conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	noError(t, err)
	defer conn.Close()
	users := identityv1.NewUserServiceClient(conn)
	_, err = users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}) // now the limit is known
	noError(t, err)
	open, end := context.WithCancel(w.As(w.Root))
	defer end()
	for range 100 { // that never send their request
		_, err := conn.NewStream(open, &grpc.StreamDesc{ClientStreams: true}, identityv1.UserService_GetMe_FullMethodName)
		noError(t, err)
	}
	if _, err := users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("the 101st, when most of the others were refused for holding too much: %v", err)
	}
	alive(t, w) // on another connection
	end()
	if _, err := users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("after the others ended: %v", err)
	}

	c := dialWire(t, w)
	var last uint32
	for range 101 {
		last = c.open(headers(identityv1.UserService_GetMe_FullMethodName, w.Root), false)
	}
	if r := c.finish(last, nil); r.reset != http2.ErrCodeRefusedStream {
		t.Errorf("the 101st of a client that does not wait: %+v", r)
	}
	alive(t, w)
}

// Paths that are not exactly a method's are refused before the door.
func TestTransport_GR06_RG29_Paths(t *testing.T) {
	w, book := observed(t)
	const good = "/bizmetry.identity.v1.UserService/GetMe"
	if r := dialWire(t, w).call(headers(good, w.Root), message(false, nil)); r.status != "0" {
		t.Fatalf("%+v", r)
	}
	before := strings.Count(book.String(), `"code":"OK"`)
	for rule, path := range map[string]string{
		"no slash":               good[1:],
		"empty":                  "",
		"a slash":                "/",
		"two slashes":            "/" + good,
		"a slash in the middle":  "/bizmetry.identity.v1.UserService//GetMe",
		"a slash behind":         good + "/",
		"no method":              "/bizmetry.identity.v1.UserService/",
		"no service":             "//GetMe",
		"another case":           "/bizmetry.identity.v1.userservice/getme",
		"encoded":                "/bizmetry.identity.v1.UserService%2FGetMe",
		"a dot":                  "/./bizmetry.identity.v1.UserService/GetMe",
		"two dots":               "/x/../bizmetry.identity.v1.UserService/GetMe",
		"a query":                good + "?x=1",
		"a fragment":             good + "#x",
		"a host":                 "http://identity.test" + good,
		"an asterisk":            "*",
		"a backslash":            strings.ReplaceAll(good, "/", `\`),
		"a public method before": "/bizmetry.identity.v1.SessionService/SignIn" + good,
		"a space":                good + " ",
		"long":                   "/" + strings.Repeat("a", 10_000) + good,
	} {
		t.Run(rule, func(t *testing.T) {
			for _, token := range []string{w.Root, ""} {
				r := dialWire(t, w).call(headers(path, token), message(false, nil))
				if r.status != fmt.Sprint(int(codes.Unimplemented)) {
					t.Errorf("%+v, want UNIMPLEMENTED", r)
				}
			}
		})
	}
	if after := strings.Count(book.String(), `"code":"OK"`); after != before {
		t.Errorf("%d of them reached the door: %s", after-before, book.String())
	}
	alive(t, w)
}

// Twice the path, or the other method of HTTP: refused too.
func TestTransport_GR06_Requests(t *testing.T) {
	w, book := observed(t)
	const good = identityv1.UserService_GetMe_FullMethodName
	get := headers(good, w.Root)
	get[0].Value = "GET"
	other := headers(good, w.Root)
	other[4].Value = "application/json"
	upper := headers(good, w.Root, "Authorization", "Bearer "+w.Root)
	before := strings.Count(book.String(), `"code":"OK"`)
	c := map[string]reply{
		"GET":            dialWire(t, w).call(get, message(false, nil)),
		"JSON":           dialWire(t, w).call(other, message(false, nil)),
		"a capital":      dialWire(t, w).call(upper, message(false, nil)),
		"two paths":      dialWire(t, w).call(append(headers(identityv1.SessionService_SignIn_FullMethodName, ""), headers(good, w.Root)...), message(false, nil)),
		"a late path":    dialWire(t, w).call(headers(good, w.Root, ":path", good), message(false, nil)),
		"a connection":   dialWire(t, w).call(headers(good, w.Root, "connection", "close"), message(false, nil)),
		"a broken time":  dialWire(t, w).call(headers(good, w.Root, "grpc-timeout", "-1S"), message(false, nil)),
		"broken binary":  dialWire(t, w).call(headers(good, w.Root, "x-bin", "*"), message(false, nil)),
		"a wrong length": dialWire(t, w).call(headers(good, w.Root), []byte{0, 0xff, 0xff, 0xff, 0xff}),
		"a strange flag": dialWire(t, w).call(headers(good, w.Root), []byte{7, 0, 0, 0, 0}),
		"nothing at all": dialWire(t, w).call(headers(good, w.Root), []byte{0, 0}),
		"two hosts":      dialWire(t, w).call(headers(good, w.Root, "host", "a", "host", "b"), message(false, nil)),
	}
	for rule, r := range c {
		if !r.refused() {
			t.Errorf("%s: %+v", rule, r)
		}
	}
	if after := strings.Count(book.String(), `"code":"OK"`); after != before {
		t.Errorf("%d of them reached the door: %s", after-before, book.String())
	}
	alive(t, w)
}
