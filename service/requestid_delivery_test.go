package service_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// once are the calls that take effect once without a request id: what they
// name is in another state afterwards, or used up.
var once = []string{
	"UserService.DisableUser", "UserService.DeleteUser", "UserService.UndeleteUser", "UserService.EraseUser", "UserService.ActivateUser",
	"UserService.ConfirmPhoneVerification", "ServiceAccountService.DeleteServiceAccount", "ServiceAccountService.RevokeToken",
}

// order is one change that is delivered, and what its deliveries were told.
type order struct {
	d       protoreflect.MethodDescriptor
	token   string
	req     proto.Message
	answers []proto.Message
	errs    []error
}

// effects counts the rows of what calls make, change the history of, and send.
func (w *world) effects() map[string]int {
	w.T.Helper()
	rows := map[string]int{}
	for _, table := range []string{
		"organizations", "users", "directory", "grants", "links", "service_accounts", "credentials", "phone_verifications", "revoked_tokens",
		"events", "outbox", "request_ids",
	} {
		var n int
		noError(w.T, w.db.QueryRowContext(w.T.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n))
		rows[table] = n
	}
	return rows
}

// TestDeliveries_F19: every change is sent one to three times, in any order
// and at once, through two replicas, and once more when all is over. Each takes
// effect once: what it makes, its events and its messages are those of a call
// that was sent once. Whoever sent a request id is told the same every time.
func TestDeliveries_F19(t *testing.T) {
	const changes = 3 // of each method
	eachWorld(t, func(t *testing.T, w *world) {
		doors := []grpc.ClientConnInterface{w.Conn, w.replica(t)}
		if !store.Embedded(w.url) {
			doors[1] = replica(t, w.World, w.url).Conn
		}
		a := w.newTenant()
		methods := retryables()
		for _, name := range once {
			methods = append(methods, rpc(t, name))
		}
		one := func(d protoreflect.MethodDescriptor, id string) *order {
			from := requestOf(t, rpcName(d))
			r := &retry{world: w, a: a, d: d, from: from}
			if d.Input().Fields().ByName("request_id") == nil {
				return &order{d: d, token: from.as(w, a), req: from.make(w, a)}
			}
			return &order{d: d, token: from.as(w, a), req: r.request(id)}
		}
		each, orders := map[string]int{}, []*order(nil)
		for _, d := range methods {
			o := one(d, "alone "+rpcName(d))
			before := w.effects()
			must[proto.Message](t)(call(w.As(o.token), w.Conn, d, o.req))
			did := 0
			for table, n := range w.effects() {
				each[table] += changes * (n - before[table])
				did += n - before[table]
			}
			if did <= 0 && d.Input().Fields().ByName("request_id") != nil {
				t.Errorf("%s does nothing that is counted", rpcName(d))
			}
			for i := range changes {
				orders = append(orders, one(d, fmt.Sprint(i, " ", rpcName(d))))
			}
		}
		want := w.effects()
		for table := range want {
			want[table] += each[table]
		}
		deliver(t, w, doors, orders)
		if got := w.effects(); !maps.Equal(got, want) {
			t.Errorf("rows %v, want %v", got, want)
		}
		rand.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		for i, o := range orders { // long after, to whoever did not have it
			resp, err := call(w.As(o.token), doors[i%2], o.d, o.req)
			o.answers, o.errs = append(o.answers, resp), append(o.errs, err)
			o.settled(t)
		}
		if got := w.effects(); !maps.Equal(got, want) {
			t.Errorf("after all was delivered again: rows %v, want %v", got, want)
		}
	})
}

// deliver sends every change one to three times, shuffled, by eight workers.
func deliver(t *testing.T, w *world, doors []grpc.ClientConnInterface, orders []*order) {
	t.Helper()
	queue := []*order(nil)
	for _, o := range orders {
		for range 1 + rand.IntN(3) {
			queue = append(queue, o)
		}
	}
	rand.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	deliveries := make(chan *order, len(queue))
	for _, o := range queue {
		deliveries <- o
	}
	close(deliveries)
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		all.Go(func() {
			for o := range deliveries {
				resp, err := call(w.As(o.token), doors[i%2], o.d, o.req)
				mu.Lock()
				o.answers, o.errs = append(o.answers, resp), append(o.errs, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// settled holds the answers to a change against each other.
func (o *order) settled(t *testing.T) {
	t.Helper()
	name, worked, secrets, first := rpcName(o.d), 0, 0, proto.Message(nil)
	for i, resp := range o.answers {
		if o.errs[i] != nil {
			continue
		}
		if worked++; first == nil {
			first = resp
		}
		if o.d.Input().Fields().ByName("request_id") != nil && withoutSecret(resp) != withoutSecret(first) {
			t.Errorf("%s: told %v, then %v", name, first, resp)
		}
		if marshal(resp) != withoutSecret(resp) {
			secrets++
		}
	}
	if o.d.Input().Fields().ByName("request_id") != nil && worked != len(o.answers) || worked == 0 {
		t.Errorf("%s: %v", name, o.errs)
	}
	if makes := strings.HasSuffix(name, "CreateCredential"); makes != (secrets == 1) {
		t.Errorf("%s: %d answers with a secret", name, secrets)
	}
	if _, ok := first.(*identityv1.ConfirmPhoneVerificationResponse); ok && worked != 1 {
		t.Errorf("%s: one code made %d proofs", name, worked)
	}
}
