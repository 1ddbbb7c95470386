package door

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bizmetry/identity/service/answer"
)

// etagOf finds the field of a request that holds the version a caller saw: its own,
// or that of the resource which an update changes. There may be none.
func etagOf(request protoreflect.MessageDescriptor, masked bool) (resource, etag protoreflect.FieldDescriptor) {
	if own := request.Fields().ByName("etag"); own != nil || !masked {
		return nil, own
	}
	for i := range request.Fields().Len() {
		if f := request.Fields().Get(i); isResource(f) {
			if etag := f.Message().Fields().ByName("etag"); etag != nil {
				return f, etag
			}
		}
	}
	return nil, nil
}

// takeEtag moves the header If-Match into the field etag.
func takeEtag(ctx context.Context, m *Method, msg proto.Message) error {
	headers := metadata.ValueFromIncomingContext(ctx, "if-match")
	if len(headers) == 0 {
		return nil
	}
	if m.etag == nil {
		return answer.Invalid("etag", "if_match", "this call compares no version: leave the header If-Match out")
	}
	to, path := msg.ProtoReflect(), "etag"
	if m.versioned != nil {
		if !to.Has(m.versioned) {
			return nil // validation says that it is missing
		}
		to, path = to.Get(m.versioned).Message(), join(string(m.versioned.Name()), path)
	}
	seen, ok := readIfMatch(headers)
	if !ok {
		return answer.Invalid(path, "if_match", `the header If-Match must be one etag, such as "3", or *`)
	}
	if seen == "*" {
		return nil
	}
	if field := to.Get(m.etag).String(); field != "" && field != seen {
		return answer.Invalid(path, "one_etag", "the header If-Match and the field name different etags")
	}
	to.Set(m.etag, protoreflect.ValueOfString(seen))
	return nil
}

// readIfMatch reads one etag out of its quotes, or *. A weak one stays as it is:
// it matches nothing (RFC 9110 section 13.1.1).
func readIfMatch(headers []string) (string, bool) {
	text := strings.TrimSpace(headers[0])
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		if text, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", false
		}
	}
	weak := strings.HasPrefix(text, `W/"`)
	return text, len(headers) == 1 && text != "" && (weak || !strings.ContainsAny(text, `", `))
}
