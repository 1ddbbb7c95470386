package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// load is workers that change things of one organization through both servers,
// each call until it is acknowledged, and the ledger of that.
type load struct {
	t      *trial
	org    string
	admin  string // access token
	book   *ledger
	said   [2]tally    // by each server
	spared atomic.Bool // a server that is not down must answer OK now
	stop   atomic.Bool
	all    sync.WaitGroup
}

// change is one call of a worker: the ledger's entry as far as it is known
// before, and the call, which returns the id of what it made or changed.
type change struct {
	entry
	call func(ctx context.Context, s *server) (id string, err error)
}

// newLoad makes an organization with its administrator, a machine.
func (t *trial) newLoad(ctx context.Context) (*load, error) {
	l := &load{t: t}
	var err error
	if l.org, err = t.newOrganization(ctx); err != nil {
		return nil, err
	}
	if _, err := t.newPeople(ctx, l.org, rig.SuperUser, 1); err != nil {
		return nil, err
	}
	m, err := t.newMachine(ctx, l.org, rig.SuperUser)
	if err != nil {
		return nil, err
	}
	l.admin = m.Token
	l.book, err = newLedger(t.folder, fmt.Sprintf("%s-%d", t.name, t.serial.Add(1)))
	return l, err
}

// start lets workers change things until finish.
func (l *load) start(ctx context.Context, workers int) error {
	people, err := l.t.newPeople(ctx, l.org, rig.Developer, workers)
	if err != nil {
		return err
	}
	for _, p := range people {
		w := &worker{load: l, person: p, rand: l.t.fork()}
		l.all.Go(func() {
			for ok := true; ok && !l.stop.Load(); {
				var e entry
				if e, ok = l.acknowledge(ctx, w.next(), w.rand); ok {
					w.enter(e)
				}
			}
		})
	}
	return nil
}

// finish waits until every call is acknowledged, and holds the rows against the ledger.
func (l *load) finish(ctx context.Context) error {
	l.stop.Store(true)
	l.all.Wait()
	defer l.book.close()
	return l.check(ctx)
}

// allowed are the codes that a fault may show to a caller (I-9).
var allowed = map[codes.Code]bool{
	codes.OK: true, codes.Unavailable: true, codes.DeadlineExceeded: true, codes.ResourceExhausted: true, codes.Aborted: true,
}

// settleTime is how long a change may take to be acknowledged, faults and all.
const settleTime = 60 * time.Second

func (l *load) enter(e entry) {
	if err := l.book.add(e); err != nil {
		l.t.fail("the ledger: %v", err)
	}
}

// enter is that of the load, and remembers the account for a credential.
func (w *worker) enter(e entry) {
	w.load.enter(e)
	if e.Table == "service_accounts" {
		w.account = e.Target
	}
}

// acknowledge calls any of the servers until one says that the change is done.
func (l *load) acknowledge(ctx context.Context, c change, random *rand.Rand) (e entry, ok bool) {
	e = c.entry
	for begin := time.Now(); ; time.Sleep(time.Duration(10+random.IntN(90)) * time.Millisecond) {
		id, err := l.attempt(ctx, random.IntN(2), c)
		e.Answers++
		switch code := status.Code(err); {
		case err == nil:
			if e.Target != "" && e.Target != id {
				l.t.fail("%s of %s: it was told %s", e.Event, e.Target, id)
			}
			e.Target = id
			return e, true
		case ctx.Err() != nil:
			return e, false
		case !allowed[code]:
			l.t.fail("%s %s: call %d was told %v", e.Event, e.Name, e.Answers, err)
			return e, false
		case time.Since(begin) > settleTime:
			l.t.fail("%s %s: not acknowledged in %v: %v", e.Event, e.Name, settleTime, err)
			return e, false
		default:
			e.Unsettled = append(e.Unsettled, code.String())
		}
	}
}

func (l *load) attempt(ctx context.Context, n int, c change) (string, error) {
	s := l.t.servers[n]
	down, spared := s.down.Load(), l.spared.Load()
	one, cancel := context.WithTimeout(rig.Bearing(ctx, l.admin), patience)
	defer cancel()
	id, err := c.call(one, s)
	l.said[n].add(status.Code(err).String())
	if err != nil && ctx.Err() == nil && spared && down%2 == 0 && s.down.Load() == down {
		l.t.fail("%s is up, and says %v", s.name, err)
	}
	return id, err
}

// errors is how many calls were not answered OK so far.
func (l *load) errors() (n int) {
	for i := range l.said {
		n += l.said[i].butFor(codes.OK.String())
	}
	return n
}

// worker changes what nobody else does: what it made, and one person.
type worker struct {
	*load
	person  *person
	rand    *rand.Rand
	n       int
	account string // the last it made
	names   int    // the person had
	off     bool   // the person is disabled
	more    bool   // the person has another role
}

var lastNames = [...]string{"Abel", "Berg", "Costa"}

// next is the worker's next change.
func (w *worker) next() change {
	w.n++
	name := fmt.Sprintf("%s.%s.%d", w.t.name, w.person.id[24:], w.n)
	switch kind := w.rand.IntN(7); {
	case kind == 0:
		return w.newUser(name)
	case kind == 1 || w.account == "":
		return w.newAccount(name)
	case kind == 2:
		return w.newCredential(name)
	case kind == 3:
		return w.rename()
	case kind == 4:
		return w.grant()
	default:
		return w.flip()
	}
}

func (w *worker) newUser(name string) change {
	email, last := name+"@load.example", "Load"
	return change{entry{Name: email, Table: "users", Event: store.EventUserCreated}, func(ctx context.Context, s *server) (string, error) {
		u, err := s.users.CreateUser(ctx, &identityv1.CreateUserRequest{RequestId: name, User: &identityv1.User{
			Email: &email, FirstName: &w.t.name, LastName: &last, RoleIds: []string{rig.Developer},
		}})
		return u.GetId(), err
	}}
}

func (w *worker) newAccount(name string) change {
	return change{entry{Name: name, Table: "service_accounts", Event: store.EventServiceAccountCreated}, func(ctx context.Context, s *server) (string, error) {
		a, err := s.apps.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
			RequestId: name, ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, RoleIds: []string{rig.Agent}},
		})
		return a.GetId(), err
	}}
}

func (w *worker) newCredential(name string) change {
	account := w.account
	w.account = "" // an account has few; the next gets another
	return change{entry{Name: name, Table: "credentials", Event: store.EventCredentialCreated}, func(ctx context.Context, s *server) (string, error) {
		c, err := s.apps.CreateCredential(ctx, &identityv1.CreateCredentialRequest{
			RequestId: name, ServiceAccountId: account, Credential: &identityv1.Credential{DisplayName: &name},
		})
		return c.GetCredential().GetId(), err
	}}
}

func (w *worker) rename() change {
	w.names++
	name := lastNames[w.names%len(lastNames)]
	return change{entry{Target: w.person.id, Event: store.EventUserUpdated}, func(ctx context.Context, s *server) (string, error) {
		u, err := s.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
			User:       &identityv1.User{Id: w.person.id, LastName: &name},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"last_name"}},
		})
		return u.GetId(), err
	}}
}

func (w *worker) grant() change {
	w.more = !w.more
	if !w.more {
		return change{entry{Target: w.person.id, Event: store.EventGrantRemoved}, func(ctx context.Context, s *server) (string, error) {
			g, err := s.roles.RevokeRoles(ctx, &identityv1.RevokeRolesRequest{Id: w.person.id, RoleIds: []string{rig.Agent}})
			return g.GetPrincipalId(), err
		}}
	}
	return change{entry{Target: w.person.id, Event: store.EventGrantAdded}, func(ctx context.Context, s *server) (string, error) {
		g, err := s.roles.GrantRoles(ctx, &identityv1.GrantRolesRequest{Id: w.person.id, RoleIds: []string{rig.Agent}})
		return g.GetPrincipalId(), err
	}}
}

func (w *worker) flip() change {
	w.off = !w.off
	if w.off {
		return change{entry{Target: w.person.id, Event: store.EventUserDisabled}, func(ctx context.Context, s *server) (string, error) {
			u, err := s.users.DisableUser(ctx, &identityv1.DisableUserRequest{Id: w.person.id})
			return u.GetId(), err
		}}
	}
	return change{entry{Target: w.person.id, Event: store.EventUserEnabled}, func(ctx context.Context, s *server) (string, error) {
		u, err := s.users.EnableUser(ctx, &identityv1.EnableUserRequest{Id: w.person.id})
		return u.GetId(), err
	}}
}

// recovered waits until both servers change things again, and returns how long
// the slower one took.
func (t *trial) recovered(ctx context.Context) (time.Duration, error) {
	var took [2]time.Duration
	var failed [2]error
	var all sync.WaitGroup
	for i, s := range t.servers {
		all.Go(func() {
			took[i], failed[i] = until(ctx, func(ctx context.Context) error {
				name := fmt.Sprintf("probe %d", t.serial.Add(1))
				_, err := s.apps.CreateServiceAccount(rig.Bearing(ctx, t.root.Token), &identityv1.CreateServiceAccountRequest{
					OrganizationId: t.platform, ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, RoleIds: []string{rig.Agent}},
				})
				return err
			})
		})
	}
	all.Wait()
	return max(took[0], took[1]), errors.Join(failed[:]...)
}
