package authority

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Bounds of the memory.
const (
	organizationsAtMost = 10_000
	principalsAtMost    = 200_000
	proofsAtMost        = 200_000
	tokensAtMost        = 100_000
	endedAtMost         = 10_000 // of one organization
	fillTime            = 5 * time.Second
)

// memory is what a replica remembers of the database, so that verifying a
// token, checking a permission and issuing a token take no statement. It is
// filled on demand and emptied by events (feed.go), which also say how old it
// may be. Changes never ask it.
type memory struct {
	store      *store.Store
	now        func() time.Time
	mu         sync.Mutex
	orgs       map[string]*followed
	principals *otter.Cache[ref, *principalView]
	proofs     *otter.Cache[ref, *proofView]
	clients    *otter.Cache[string, string] // client id -> organization
	tokens     *otter.Cache[[32]byte, token.Claims]
	catalogues catalogues
	flights    singleflight.Group
	feed       feed
}

// measure registers the metrics of what is remembered.
func (s *Authority) measure(r prometheus.Registerer) {
	if r == nil {
		return
	}
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "identity_statements_total", Help: "Statements sent to the database.",
		}, func() float64 { return float64(s.store.Statements()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "identity_memory_age_seconds", Help: "How old what is remembered may be.",
		}, func() float64 { return s.memory.feed.age().Seconds() }))
}

// ref names a thing of an organization.
type ref struct{ org, id string }

func newMemory(st *store.Store, now func() time.Time, elapsed func() time.Duration, budget time.Duration) *memory {
	return &memory{
		store: st, now: now, orgs: map[string]*followed{},
		principals: bounded[ref, *principalView](principalsAtMost),
		proofs:     bounded[ref, *proofView](proofsAtMost),
		clients:    bounded[string, string](principalsAtMost),
		tokens:     bounded[[32]byte, token.Claims](tokensAtMost),
		catalogues: newCatalogues(),
		feed:       feed{elapsed: elapsed, budget: budget},
	}
}

func bounded[K comparable, V any](size int) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{MaximumSize: size})
}

// followed is an organization whose events this replica follows.
type followed struct {
	id  string
	mu  sync.Mutex // orders what is kept and what is dropped
	seq int64      // of the last event applied
	// gen is raised by every event: what was being read before is not kept.
	gen atomic.Uint64
	// whole is raised when everything of the organization is dropped.
	whole atomic.Uint64
	view  atomic.Pointer[orgView]
	used  atomic.Int64
}

// applied is the number of the last event applied.
func (f *followed) applied() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq
}

// orgView is what is remembered of an organization itself.
type orgView struct {
	org store.Organization
	cat *Catalogue
	// revoked are the tokens that were ended one by one; unlisted: too many to remember.
	revoked  map[string]bool
	unlisted bool
}

// principalView is a principal with what is granted to it.
type principalView struct {
	f         *followed
	whole     uint64
	principal store.Principal
	grants    []store.Grant
	account   store.ServiceAccount // of machines
	rights    atomic.Pointer[rights]
}

// rights is what grants amount to, with one catalogue and until the next of them ends.
type rights struct {
	cat  *Catalogue
	held perm.Held
	set  perm.Set
	end  store.Micros
}

// proofView is a credential or session.
type proofView struct {
	f      *followed
	whole  uint64
	owner  string
	live   bool
	end    store.Micros
	digest []byte
	// tokensAfter ends the tokens of a credential that were issued until then.
	tokensAfter store.Micros
	epoch       store.Micros // of a session: the user's and the organization's at its start
	orgEpoch    store.Micros
}

// follow returns an organization whose events are followed from now on. The
// number of its last event is read before anything else of it.
func (m *memory) follow(ctx context.Context, org string) (*followed, error) {
	m.mu.Lock()
	f := m.orgs[org]
	m.mu.Unlock()
	if f == nil {
		clocks, err := m.store.Clocks(ctx, []string{org})
		if err != nil {
			return nil, err
		}
		seq, ok := clocks[org]
		if !ok {
			return nil, store.ErrNotFound
		}
		f = m.join(&followed{id: org, seq: seq})
	}
	f.used.Store(int64(m.feed.elapsed()))
	return f, nil
}

// join adds an organization unless another call was first, and lets the one
// go that was not asked for the longest when there are too many.
func (m *memory) join(f *followed) *followed {
	m.mu.Lock()
	defer m.mu.Unlock()
	if first := m.orgs[f.id]; first != nil {
		return first
	}
	if len(m.orgs) >= organizationsAtMost {
		var oldest *followed
		for _, other := range m.orgs {
			if oldest == nil || other.used.Load() < oldest.used.Load() {
				oldest = other
			}
		}
		delete(m.orgs, oldest.id) // what is kept of it refers to it, and is not believed any more
	}
	m.orgs[f.id] = f
	return f
}

// fill reads a thing once for all who ask at the same moment, and keeps it
// unless an event came in between. Who asks after an event never gets what
// was read before it.
func fill[V any](ctx context.Context, m *memory, f *followed, kind, id string, read func(context.Context) (V, error), keep func(V)) (V, error) {
	gen := f.gen.Load()
	key := kind + "\x00" + f.id + "\x00" + id + "\x00" + strconv.FormatUint(gen, 10)
	apart := fair.Detach(ctx)
	flight := m.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(apart, fillTime)
		defer cancel()
		v, err := read(ctx)
		if err != nil {
			return v, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.gen.Load() == gen {
			keep(v)
		}
		return v, nil
	})
	select {
	case r := <-flight:
		v, _ := r.Val.(V)
		return v, r.Err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// organization returns what is remembered of an organization.
func (m *memory) organization(ctx context.Context, org string) (*orgView, error) {
	f, err := m.follow(ctx, org)
	if err != nil {
		return nil, err
	}
	if v := f.view.Load(); v != nil {
		return v, nil
	}
	return fill(ctx, m, f, "organization", "", func(ctx context.Context) (*orgView, error) {
		o, err := m.store.Organization(ctx, org)
		if err != nil {
			return nil, err
		}
		v := &orgView{org: o, revoked: map[string]bool{}}
		if v.cat, err = m.catalogues.of(ctx, m.store.Reads, org); err != nil {
			return nil, err
		}
		ids, err := m.store.RevokedTokens(ctx, org, store.At(m.now()), endedAtMost)
		v.unlisted = len(ids) == endedAtMost
		for _, id := range ids {
			v.revoked[id] = true
		}
		return v, err
	}, f.view.Store)
}

// Knows refuses an organization that is not there.
func (s *Authority) Knows(ctx context.Context, org string) error {
	_, err := s.memory.organization(ctx, org)
	return err
}

// revoked tells whether a token was ended one by one.
func (m *memory) revoked(ctx context.Context, v *orgView, p proof) (bool, error) {
	if v.revoked[p.token] || !v.unlisted {
		return v.revoked[p.token], nil
	}
	return m.store.TokenRevoked(ctx, p.org, p.token)
}

// principal returns what is remembered of a principal, deleted ones too.
func (m *memory) principal(ctx context.Context, org, id string) (*principalView, error) {
	f, err := m.follow(ctx, org)
	if err != nil {
		return nil, err
	}
	at := ref{org, id}
	if v, ok := m.principals.GetIfPresent(at); ok && v.f == f && v.whole == f.whole.Load() {
		return v, nil
	}
	whole := f.whole.Load()
	return fill(ctx, m, f, "principal", id, func(ctx context.Context) (*principalView, error) {
		v := &principalView{f: f, whole: whole}
		var err error
		if v.principal, err = m.store.Principal(ctx, org, id); err != nil {
			return nil, err
		}
		if v.principal.Kind == store.KindServiceAccount && v.principal.Deleted == 0 {
			if v.account, err = m.store.ServiceAccount(ctx, org, id); err != nil {
				return nil, err
			}
		}
		v.grants, err = m.store.Grants(ctx, org, id)
		return v, err
	}, func(v *principalView) { m.principals.Set(at, v) })
}

// proof returns what is remembered of a credential or session.
func (m *memory) proof(ctx context.Context, p proof) (*proofView, error) {
	f, err := m.follow(ctx, p.org)
	if err != nil {
		return nil, err
	}
	at := ref{p.org, p.credential + p.session}
	if v, ok := m.proofs.GetIfPresent(at); ok && v.f == f && v.whole == f.whole.Load() {
		return v, nil
	}
	whole := f.whole.Load()
	return fill(ctx, m, f, "proof", at.id, func(ctx context.Context) (*proofView, error) {
		v, err := m.readProof(ctx, p)
		if err != nil {
			return nil, err
		}
		v.f, v.whole = f, whole
		return v, nil
	}, func(v *proofView) { m.proofs.Set(at, v) })
}

func (m *memory) readProof(ctx context.Context, p proof) (*proofView, error) {
	if p.kind == store.KindUser {
		s, err := m.store.Session(ctx, p.org, p.session)
		return &proofView{owner: s.User, live: s.Ended == 0, end: s.Expires, epoch: s.Epoch, orgEpoch: s.OrgEpoch}, err
	}
	c, err := m.store.CredentialByID(ctx, p.org, p.credential)
	return &proofView{owner: c.Account, live: c.Enabled, end: c.Expires, digest: c.Digest, tokensAfter: c.TokensAfter}, err
}

// client returns the organization of a client id. Client ids never move; that
// the account is still there is asked elsewhere.
func (m *memory) client(ctx context.Context, id string) (org string, err error) {
	if org, ok := m.clients.GetIfPresent(id); ok {
		return org, nil
	}
	entry, err := m.store.Find(ctx, store.ClientID, id)
	if err != nil {
		return "", err
	}
	m.clients.Set(id, entry.Org)
	return entry.Org, nil
}

// rightsNow adds up the grants of a principal, anew when roles changed or a grant ended.
func (v *principalView) rightsNow(cat *Catalogue, now store.Micros) *rights {
	if r := v.rights.Load(); r != nil && r.cat == cat && !wire.Ended(r.end, now) {
		return r
	}
	r := &rights{cat: cat, held: cat.HeldOf(v.grants, v.principal.Platform, now)}
	r.set = r.held.Set()
	for _, g := range v.grants {
		if g.Expires > now && (r.end == 0 || g.Expires < r.end) {
			r.end = g.Expires
		}
	}
	v.rights.Store(r)
	return r
}

// forget drops everything of an organization.
func (m *memory) forget(org string) {
	m.mu.Lock()
	f := m.orgs[org]
	m.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropAll()
}

// dropAll drops everything of the organization; its lock is held.
func (f *followed) dropAll() {
	f.gen.Add(1)
	f.whole.Add(1)
	f.view.Store(nil)
}

// apply drops what events say has changed. Events may come before others that
// are still to come: the number moves in order only. Up to that all are applied,
// so those that come again, of a poll beside a change, drop nothing.
func (m *memory) apply(events []store.Event) {
	for _, e := range events {
		m.mu.Lock()
		f := m.orgs[e.Org]
		m.mu.Unlock()
		if f == nil {
			continue
		}
		f.mu.Lock()
		if e.Seq > f.seq {
			m.drop(f, e)
		}
		if e.Seq-e.Before == f.seq+1 {
			f.seq = e.Seq
		}
		f.mu.Unlock()
	}
}

func (m *memory) drop(f *followed, e store.Event) {
	if e.Target == "" { // it stands for all of an operation
		f.dropAll()
		return
	}
	f.gen.Add(1)
	m.principals.Invalidate(ref{f.id, e.Target})
	m.proofs.Invalidate(ref{f.id, e.Target})
	if e.ChangesOrganization() || e.ChangesRoles() || e.Type == store.EventTokenRevoked {
		f.view.Store(nil)
	}
}
