package web

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
)

// Files over REST, which the gateway cannot express: an export is the file
// itself, an import has it as its body and answers JSON lines. Both are streams
// of the contract and go through the door like those of gRPC.

// Types of files.
const (
	typeCSV       = "text/csv; charset=utf-8"
	typeJSONLines = "application/x-ndjson"
)

const (
	// pieceSize is how much of a body is read at a time.
	pieceSize = 64 << 10
	// pieceTime bounds the reading and the writing of a piece. The deadlines of
	// the port are for whole requests and would cut a long file.
	pieceTime = 30 * time.Second
)

// wrongFile is for bodies that are no file.
var wrongFile = &refusal{
	http.StatusUnsupportedMediaType, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
	"the body must be text/csv or application/x-ndjson in UTF-8, without content encoding", nil, nil,
}

// file serves a stream of the contract. The request was held against the route.
func (p *port) file(w http.ResponseWriter, r *http.Request, rt *route, md metadata.MD) {
	f, no := p.newFile(w, r, rt, md)
	if no != nil {
		p.refuseRest(w, r, rt, no)
		return
	}
	defer f.cancel()
	if rt.rpc.IsStreamingClient() {
		_ = f.rc.EnableFullDuplex() // HTTP/2 always is
		// net/http reads the rest of a body before the next request, which it
		// cannot where both directions were open.
		w.Header().Set("Connection", "close")
	}
	_ = f.rc.SetReadDeadline(time.Time{}) // the port's is for whole requests
	err := p.conn.serve(rt.fullMethod(), f)
	f.end(err, strings.Join(md.Get("authorization"), ""))
}

// newFile reads all of a request but the file.
func (p *port) newFile(w http.ResponseWriter, r *http.Request, rt *route, md metadata.MD) (*file, *refusal) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, malformed
	}
	for i, value := range query["format"] { // csv as well as CSV
		query["format"][i] = strings.ToUpper(value)
	}
	f := &file{
		w: w, r: r, rc: http.NewResponseController(w), piece: make([]byte, pieceSize),
	}
	var no *refusal
	if rt.rpc.IsStreamingClient() {
		f.first, no = importRequest(r, query)
	} else {
		f.first, no = exportRequest(w, r, rt, query)
	}
	if no != nil {
		return nil, no
	}
	f.contentType = typeJSONLines
	if x, ok := f.first.(*identityv1.ExportUsersRequest); ok && x.GetFormat() != identityv1.UserFile_JSON_LINES {
		f.contentType = typeCSV
	}
	outside := peer.NewContext(metadata.NewOutgoingContext(r.Context(), md), peerOf(r))
	f.ctx, f.cancel = enter(outside)
	return f, nil
}

// noFilter lets the query set every field.
var noFilter = utilities.NewDoubleArray(nil)

func exportRequest(w http.ResponseWriter, r *http.Request, rt *route, query url.Values) (proto.Message, *refusal) {
	if _, no := readBody(w, r, rt, door.MaxMessage); no != nil {
		return nil, no
	}
	req := &identityv1.ExportUsersRequest{}
	if runtime.PopulateQueryParameters(req, query, noFilter) != nil {
		return nil, badParameter
	}
	return req, nil
}

// importRequest takes the format of the file from its content type.
func importRequest(r *http.Request, query url.Values) (proto.Message, *refusal) {
	format := identityv1.UserFile_CSV
	switch mediaType(r.Header) {
	case "text/csv":
	case "application/x-ndjson", "application/jsonl":
		format = identityv1.UserFile_JSON_LINES
	default:
		return nil, wrongFile
	}
	req := &identityv1.ImportUsersRequest{}
	if runtime.PopulateQueryParameters(req, query, noFilter) != nil {
		return nil, badParameter
	}
	if named := req.GetFormat(); named != identityv1.UserFile_FORMAT_UNSPECIFIED && named != format {
		return nil, badParameter
	}
	req.Format = format
	return req, nil
}

// mediaType is the type of a body in UTF-8 and without encoding; "" for others.
func mediaType(h http.Header) string {
	if len(h.Values("Content-Type")) != 1 || h.Get("Content-Encoding") != "" {
		return ""
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if charset, given := params["charset"]; err != nil || (given && !strings.EqualFold(charset, "utf-8")) {
		return ""
	}
	return media
}

// file is a request and its answer as a stream of gRPC. The door may give up
// waiting for RecvMsg or SendMsg; after end they touch nothing any more.
type file struct {
	ctx         context.Context
	cancel      context.CancelFunc
	w           http.ResponseWriter
	r           *http.Request
	rc          *http.ResponseController
	contentType string // of the answer
	first       proto.Message

	receiving sync.Mutex
	asked     bool // first was received
	whole     bool // the body was read to its end
	piece     []byte

	sending         sync.Mutex
	begun           bool // the answer
	ended           bool
	header, trailer metadata.MD
}

var _ grpc.ServerStream = (*file)(nil)

// Context implements grpc.ServerStream.
func (f *file) Context() context.Context { return f.ctx }

// SetHeader implements grpc.ServerStream.
func (f *file) SetHeader(md metadata.MD) error {
	f.header = metadata.Join(f.header, md)
	return nil
}

// SendHeader implements grpc.ServerStream.
func (f *file) SendHeader(md metadata.MD) error { return f.SetHeader(md) }

// SetTrailer implements grpc.ServerStream.
func (f *file) SetTrailer(md metadata.MD) { f.trailer = metadata.Join(f.trailer, md) }

// RecvMsg implements grpc.ServerStream: first the parameters, then the body in pieces.
func (f *file) RecvMsg(m any) error {
	f.receiving.Lock()
	defer f.receiving.Unlock()
	if !f.asked {
		f.asked = true
		proto.Merge(m.(proto.Message), f.first)
		return nil
	}
	if f.whole {
		return io.EOF
	}
	if err := f.rc.SetReadDeadline(time.Now().Add(pieceTime)); err != nil {
		return err
	}
	n, err := f.r.Body.Read(f.piece)
	if errors.Is(err, io.EOF) { // a body that was cut off ends otherwise
		f.whole = true
		err = f.rc.SetReadDeadline(time.Time{}) // from now on only the client's leaving is read
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return status.FromContextError(context.DeadlineExceeded).Err()
	case err != nil:
		return status.FromContextError(context.Canceled).Err()
	case n == 0 && f.whole:
		return io.EOF
	}
	m.(*identityv1.ImportUsersRequest).Data = f.piece[:n]
	return nil
}

var errEnded = errors.New("the answer has ended")

// SendMsg implements grpc.ServerStream.
func (f *file) SendMsg(m any) error {
	text, err := fileText(m)
	if err != nil {
		return err
	}
	f.sending.Lock()
	defer f.sending.Unlock()
	if f.ended {
		return errEnded
	}
	f.begin()
	return f.write(text)
}

// fileText is a message as it stands in the answer.
func fileText(m any) (text []byte, err error) {
	resp, ok := m.(*identityv1.ImportUsersResponse)
	if !ok {
		return m.(*identityv1.ExportUsersResponse).GetData(), nil
	}
	for _, row := range resp.GetRows() {
		line, err := codec.Marshal(row)
		if err != nil {
			return nil, err
		}
		text = append(append(text, line...), '\n')
	}
	if resp.GetSummary() != nil {
		return appendLine(text, "summary", resp.GetSummary())
	}
	return text, nil
}

// appendLine adds an object with one member.
func appendLine(text []byte, name string, m proto.Message) ([]byte, error) {
	line, err := codec.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(append(append(text, `{"`+name+`":`...), line...), "}\n"...), nil
}

// begin writes the headers of a good answer.
func (f *file) begin() {
	if f.begun {
		return
	}
	f.begun = true
	h := f.w.Header()
	h.Set("Content-Type", f.contentType)
	if _, ok := f.first.(*identityv1.ExportUsersRequest); ok {
		name := "users.csv"
		if f.contentType != typeCSV {
			name = "users.jsonl"
		}
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	f.setHeaders("", f.header)
	f.w.WriteHeader(http.StatusOK)
}

func (f *file) setHeaders(prefix string, md metadata.MD) {
	for in, out := range headersOut {
		for _, value := range md.Get(in) {
			f.w.Header().Set(prefix+out, value)
		}
	}
}

func (f *file) write(text []byte) error {
	if err := f.rc.SetWriteDeadline(time.Now().Add(pieceTime)); err != nil {
		return err
	}
	_, err := f.w.Write(text)
	if err == nil {
		err = f.rc.Flush()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return status.FromContextError(context.DeadlineExceeded).Err()
	case err != nil:
		return status.FromContextError(context.Canceled).Err()
	}
	return nil
}

// end completes the answer: by a status where nothing was sent yet, otherwise
// by a last line. A file that was cut must not look whole, so the connection is
// cut too.
func (f *file) end(err error, authorization string) {
	f.stopReading()
	f.sending.Lock()
	defer f.sending.Unlock()
	f.ended = true
	st := status.Convert(err)
	switch {
	case err != nil && !f.begun:
		f.setHeaders("", f.header)
		writeStatus(f.w, httpStatus(st), st, authorization)
		return
	case err != nil:
		if line, failed := appendLine(nil, "error", st.Proto()); failed == nil {
			_ = f.write(line) // fails only where the client has gone
		}
		if _, ok := f.first.(*identityv1.ExportUsersRequest); ok {
			panic(http.ErrAbortHandler)
		}
	default:
		f.begin() // an empty file
	}
	f.setHeaders(http.TrailerPrefix, f.trailer)
}

// stopReading ends a RecvMsg that the door no longer waits for.
func (f *file) stopReading() {
	if f.receiving.TryLock() { // nobody reads
		f.whole = true
		f.receiving.Unlock()
		return
	}
	_ = f.rc.SetReadDeadline(time.Unix(1, 0))
	f.receiving.Lock()
	f.whole = true
	f.receiving.Unlock()
}
