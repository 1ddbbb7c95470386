package fair

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull says that as many wait already as may, or that others who wait with
// less came first. Try again later.
var ErrFull = errors.New("too many are waiting")

// Payer is who pays for work: a group (an organization, or the network of a
// caller who has proven nothing) and a member of it (a principal or an account).
// The group comes first: the members of one share what it gets.
type Payer struct{ Group, Member string }

// Config sets up a Gate. All amounts are in the gate's own unit.
type Config struct {
	// Capacity is how much may be in use at a time.
	Capacity int64
	// OfGroup and OfMember bound what one group and one member of it may use at a
	// time; 0: all of it.
	OfGroup, OfMember int64
	// Spare is what a group leaves free for as long as another group keeps coming.
	Spare int64
	// Waiting is how many may wait, in all; WaitingOfMember, how many of one member; 0: as many as in all.
	Waiting, WaitingOfMember int
}

// Gate lets so much in at a time. Of those who wait, the group comes next that
// holds least, and of its members the one who holds least; among equals, whoever
// was served longest ago. Safe for concurrent use.
type Gate struct {
	Count

	cfg    Config
	mu     sync.Mutex
	used   int64
	turns  uint64 // counts what was let in, so that turns can be compared
	queued int
	groups map[string]*group
	known  int // members that there are records of
	visits [2]visit
}

// visit is when a group came last. A gate remembers two: of the group that came last,
// and of the last other one.
type visit struct {
	group *group
	at    time.Time
}

// regular is how soon a group that comes again and again is back.
const regular = time.Second

// knownAtMost is how many members there are records of before those who neither
// hold nor wait are forgotten.
const knownAtMost = 4096

// group is what a group holds and who of it waits.
type group struct {
	share
	members map[string]*member
	queued  int
}

type member struct {
	share
	waiting list.List // of *waiter
}

// share is what somebody holds, and when they were last let in.
type share struct {
	held int64
	turn uint64
}

func (s share) before(other share) bool {
	return s.held < other.held || (s.held == other.held && s.turn < other.turn)
}

// waiter is a call that waits.
type waiter struct {
	weight int64
	told   chan error // gets nil when the call is let in
}

// NewGate returns an open gate.
func NewGate(cfg Config) *Gate {
	if cfg.OfGroup <= 0 || cfg.OfGroup > cfg.Capacity {
		cfg.OfGroup = cfg.Capacity
	}
	if cfg.OfMember <= 0 || cfg.OfMember > cfg.OfGroup {
		cfg.OfMember = cfg.OfGroup
	}
	if cfg.WaitingOfMember <= 0 {
		cfg.WaitingOfMember = cfg.Waiting
	}
	return &Gate{cfg: cfg, groups: map[string]*group{}}
}

// Place is what a call holds of a gate until it leaves. The zero value holds nothing.
type Place struct {
	gate   *Gate
	group  *group
	member *member
	weight int64
}

// Enter takes weight, waiting for it until the context ends. More than a member
// may have counts as all of that. It fails with ErrFull or the context's error.
func (g *Gate) Enter(ctx context.Context, of Payer, weight int64) (Place, error) {
	if err := ctx.Err(); err != nil {
		return Place{}, err
	}
	weight = max(0, min(weight, g.cfg.OfMember))
	g.mu.Lock()
	gr, m := g.find(of)
	g.visit(gr)
	if m.waiting.Len() == 0 && g.fits(gr, m, weight) {
		g.admit(gr, m, weight)
		g.mu.Unlock()
		return Place{g, gr, m, weight}, nil
	}
	if !g.makeRoom(gr, m) {
		g.mu.Unlock()
		g.Refuse()
		return Place{}, ErrFull
	}
	w := &waiter{weight: weight, told: make(chan error, 1)}
	at := m.waiting.PushBack(w)
	gr.queued++
	g.queued++
	g.Wait(1)
	g.mu.Unlock()

	select {
	case err := <-w.told:
		if err != nil {
			return Place{}, err
		}
		return Place{g, gr, m, weight}, nil
	case <-ctx.Done():
		g.giveUp(Place{g, gr, m, weight}, w, at)
		return Place{}, ctx.Err()
	}
}

// giveUp takes back a waiter whose context ended. It may have been let in meanwhile.
func (g *Gate) giveUp(place Place, w *waiter, at *list.Element) {
	g.Refuse()
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-w.told:
		if err == nil {
			g.giveBack(&place, 0)
		}
	default:
		g.unqueue(place.group, place.member, at)
		g.serve() // it may have kept others of its own waiting
	}
}

// Empty tells whether nothing is held.
func (p *Place) Empty() bool { return p.weight == 0 }

// Leave gives back what is held. It may be called more than once.
func (p *Place) Leave() { p.Shrink(0) }

// Shrink gives back what is held beyond weight, where less is needed than was asked for.
func (p *Place) Shrink(weight int64) {
	if p.gate == nil || weight >= p.weight {
		return
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.gate.giveBack(p, weight)
}

func (g *Gate) giveBack(p *Place, left int64) {
	back := p.weight - left
	p.weight = left
	g.used -= back
	p.group.held -= back
	p.member.held -= back
	g.Hold(-back)
	g.serve()
}

// find returns the records of a payer, new ones where there are none. The lock is held.
func (g *Gate) find(of Payer) (*group, *member) {
	gr := g.groups[of.Group]
	if gr == nil {
		gr = &group{members: map[string]*member{}}
		g.groups[of.Group] = gr
	}
	m := gr.members[of.Member]
	if m == nil {
		if g.known++; g.known > knownAtMost {
			g.forgetIdle()
			g.groups[of.Group] = gr // it may have been without members
		}
		m = &member{}
		gr.members[of.Member] = m
	}
	return gr, m
}

// forgetIdle forgets who neither holds nor waits. With that those come first again
// who were served last, which only decides between equals.
func (g *Gate) forgetIdle() {
	g.known = 1
	for name, gr := range g.groups {
		for name, m := range gr.members {
			if m.held == 0 && m.waiting.Len() == 0 {
				delete(gr.members, name)
			}
		}
		if g.known += len(gr.members); len(gr.members) == 0 {
			delete(g.groups, name)
		}
	}
}

func (g *Gate) fits(gr *group, m *member, weight int64) bool {
	return g.used+weight <= g.cfg.Capacity && g.within(gr, m, weight)
}

// within tells whether a member stays within its share and that of its group.
func (g *Gate) within(gr *group, m *member, weight int64) bool {
	if m.held+weight > g.cfg.OfMember || gr.held+weight > g.cfg.OfGroup {
		return false
	}
	return gr.held == 0 || gr.held+weight <= g.cfg.Capacity-g.cfg.Spare || !g.shared(gr)
}

// visit remembers that a group came.
func (g *Gate) visit(gr *group) {
	if g.cfg.Spare == 0 {
		return
	}
	if g.visits[0].group != gr {
		g.visits[1] = g.visits[0]
	}
	g.visits[0] = visit{gr, time.Now()}
}

// shared tells whether another group came lately.
func (g *Gate) shared(gr *group) bool {
	other := g.visits[0]
	if other.group == gr {
		other = g.visits[1]
	}
	return time.Since(other.at) < regular
}

func (g *Gate) admit(gr *group, m *member, weight int64) {
	g.turns++
	g.used += weight
	gr.held, gr.turn = gr.held+weight, g.turns
	m.held, m.turn = m.held+weight, g.turns
	g.Use(weight)
	g.Hold(weight)
}

// makeRoom finds a place in the queue for one more. Where the queue is full, the
// last waiter of whoever has most of them waiting has to go; that may be the one
// who comes.
func (g *Gate) makeRoom(gr *group, m *member) bool {
	if m.waiting.Len() >= g.cfg.WaitingOfMember {
		return false
	}
	if g.queued < g.cfg.Waiting {
		return true
	}
	var longest *group
	for _, other := range g.groups {
		if longest == nil || other.queued > longest.queued {
			longest = other
		}
	}
	if longest == nil || longest.queued == 0 || (longest != gr && longest.queued <= gr.queued+1) {
		return false
	}
	var most *member
	for _, other := range longest.members {
		if most == nil || other.waiting.Len() > most.waiting.Len() {
			most = other
		}
	}
	if longest == gr && most.waiting.Len() <= m.waiting.Len()+1 {
		return false
	}
	last := most.waiting.Back()
	w, _ := last.Value.(*waiter)
	g.unqueue(longest, most, last)
	g.Refuse()
	w.told <- ErrFull
	return true
}

func (g *Gate) unqueue(gr *group, m *member, at *list.Element) {
	m.waiting.Remove(at)
	gr.queued--
	g.queued--
	g.Wait(-1)
}

// serve lets in whoever comes next, as long as there is room. Who is next and
// does not fit keeps what is free until it fits: it would never fit otherwise.
func (g *Gate) serve() {
	for g.queued > 0 {
		gr, m := g.next()
		if m == nil {
			return
		}
		at := m.waiting.Front()
		w, _ := at.Value.(*waiter)
		if !g.fits(gr, m, w.weight) {
			return
		}
		g.unqueue(gr, m, at)
		g.admit(gr, m, w.weight)
		w.told <- nil
	}
}

// next is the member to serve: of the groups, and of the members of it, that have
// room in their own shares.
func (g *Gate) next() (next *group, first *member) {
	for _, gr := range g.groups {
		if gr.queued == 0 || (next != nil && !gr.before(next.share)) {
			continue
		}
		if m := g.nextOf(gr); m != nil {
			next, first = gr, m
		}
	}
	return next, first
}

func (g *Gate) nextOf(gr *group) (first *member) {
	for _, m := range gr.members {
		if m.waiting.Len() == 0 || (first != nil && !m.before(first.share)) {
			continue
		}
		w, _ := m.waiting.Front().Value.(*waiter)
		if g.within(gr, m, w.weight) {
			first = m
		}
	}
	return first
}
