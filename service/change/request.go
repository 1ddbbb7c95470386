package change

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/store"
)

// replayTime is how long a request id is remembered.
const replayTime = 24 * time.Hour

// Retryable is a request that carries a request id.
type Retryable interface {
	proto.Message
	GetRequestId() string
}

// Replay answers a call whose request id was used before with the first
// outcome, put into resp; other content under the same id is refused. It is
// asked before slow work, and again under the lock.
func (s *Changes) Replay(ctx context.Context, q store.Reads, req Retryable, resp proto.Message) (found bool, err error) {
	if req.GetRequestId() == "" {
		return false, nil
	}
	c := door.CallOf(ctx)
	since := store.At(s.Now().Add(-replayTime))
	first, err := q.Request(ctx, c.Caller.Org, c.Caller.ID, req.GetRequestId(), since)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if first.Method != c.Method.Name || !s.ring.VerifyMAC("request", first.Content, contentOf(c, req)) {
		return false, answer.ErrRequestIDReused
	}
	return true, proto.Unmarshal(first.Response, resp)
}

// OrReplayed is the outcome of a call whose change was refused on a look, before
// the lock: where the same request came through meanwhile, what that answered.
func (s *Changes) OrReplayed(ctx context.Context, req Retryable, resp proto.Message, refused error) error {
	if done, err := s.Replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return err
	}
	return refused
}

// keeper is a transaction that can keep an outcome.
type keeper interface {
	PutRequest(ctx context.Context, q store.Request, since store.Micros) error
}

// Remember keeps the outcome of a call that carries a request id, in the
// transaction of its work. The outcome must hold no secret.
func (s *Changes) Remember(ctx context.Context, t keeper, req Retryable, resp proto.Message) error {
	if req.GetRequestId() == "" {
		return nil
	}
	response, err := proto.Marshal(resp)
	if err != nil {
		return err
	}
	c, now := door.CallOf(ctx), s.Now()
	mac := s.ring.MAC("request", contentOf(c, req))
	return t.PutRequest(ctx, store.Request{
		Org: c.Caller.Org, Principal: c.Caller.ID, ID: req.GetRequestId(), Method: c.Method.Name,
		Content: mac[:], Response: response, Created: store.At(now), About: namedUser(req, resp),
	}, store.At(now.Add(-replayTime)))
}

// Remember is that of Changes, in this transaction.
func (tx *Tx) Remember(ctx context.Context, req Retryable, resp proto.Message) error {
	return tx.s.Remember(ctx, tx, req, resp)
}

// namedUser is the id of the user whom an outcome tells of, "" for none: it must
// not outlive them. A field that the contract marks with names_user holds it: in
// the answer or, if there is none, in the request, or in a resource of either. A
// message has at most one outside its lists, and lists are passed over.
func namedUser(req, resp proto.Message) string {
	return cmp.Or(markedIn(resp.ProtoReflect()), markedIn(req.ProtoReflect()))
}

func markedIn(msg protoreflect.Message) (id string) {
	msg.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.MessageKind:
			id = markedIn(v.Message())
		case namesUser(f):
			id = v.String()
		}
		return id == ""
	})
	return id
}

// marks keeps which fields are marked: looking an option up costs more than all else here.
var marks sync.Map // protoreflect.FieldDescriptor: bool

func namesUser(f protoreflect.FieldDescriptor) bool {
	marked, known := marks.Load(f)
	if !known {
		marked, _ = marks.LoadOrStore(f, proto.GetExtension(f.Options(), identityv1.E_NamesUser))
	}
	return marked.(bool)
}

// contentOf is all of a request but its id, as it was sent.
func contentOf(c *door.Call, req Retryable) string {
	var content proto.Message = req
	if c.Sent != nil {
		content = c.Sent
	}
	content = proto.Clone(content)
	m := content.ProtoReflect()
	m.Clear(m.Descriptor().Fields().ByName(protoreflect.Name("request_id")))
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(content)
	if err != nil {
		panic(err) // a message that was just read always marshals
	}
	return string(text)
}
