package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/bizmetry/identity/service/fair"
)

var (
	// ErrBusy says that too many passwords are being hashed; try again later.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrTooLong says that a password has more than 1,024 bytes.
	ErrTooLong = errors.New("the password is too long")
	// ErrHash says that a stored hash is of an unknown format or would cost
	// more than this process is willing to spend. It was not run.
	ErrHash = errors.New("the stored password hash cannot be used")
)

const (
	saltSize = 16
	hashSize = 32

	// memoryBudgetKiB bounds the default number of slots.
	memoryBudgetKiB = 256 << 10
)

// Params are argon2id's: memory in KiB, passes, threads.
type Params struct{ MemoryKiB, Time, Threads uint32 }

// DefaultParams is OWASP's point for 19 MiB.
var DefaultParams = Params{MemoryKiB: 19456, Time: 2, Threads: 1}

// PasswordsConfig sets up Passwords. Every field may be left zero.
type PasswordsConfig struct {
	Params Params        // of new hashes; zero: DefaultParams
	Slots  int           // hashes of ours at a time; zero: as many as there are processors, within 256 MiB
	Queue  int           // calls that may wait for a slot; zero: 64, negative: none
	Wait   time.Duration // how long a call waits; zero: 1.5 s
	Rand   io.Reader     // of salts; zero: crypto/rand
}

// Passwords hashes and verifies passwords. Everything that runs a hash passes
// one gate, also the dummy for unknown users: a gate of its own would tell by
// the waiting time who exists. The gate is fair between organizations and accounts. Hashes that cost more than ours come one at a
// time, with a queue of their own, and take as many slots as their memory fills,
// at most half: whoever imported many of them cannot hold up all others. So
// memory is bounded by the slots and the largest hash. Safe for concurrent use.
type Passwords struct {
	params  Params
	hasher  *argon2.Hasher
	decoder *crypt.Decoder
	rand    io.Reader

	slots  int
	all    *fair.Gate // of the slots
	costly *fair.Gate // of the one hash that costs more than ours
	wait   time.Duration
	runs   atomic.Uint64
}

// newGate shares slots between organizations and accounts. A hash takes long, so where
// several sign in none of them has all slots.
func newGate(slots, waiting int) *fair.Gate {
	return fair.NewGate(fair.Config{Capacity: int64(slots), Spare: int64(min(1, slots-1)), Waiting: max(0, waiting)})
}

// Gates are what calls wait at to hash a password, by name.
func (p *Passwords) Gates() map[string]*fair.Gate {
	return map[string]*fair.Gate{"password hashes": p.all, "costly password hashes": p.costly}
}

// NewPasswords checks the configuration. It runs no hash.
func NewPasswords(c PasswordsConfig) (*Passwords, error) {
	if c.Params == (Params{}) {
		c.Params = DefaultParams
	}
	if err := c.Params.check(); err != nil {
		return nil, err
	}
	if c.Slots == 0 {
		c.Slots = max(1, min(runtime.GOMAXPROCS(0), memoryBudgetKiB/int(c.Params.MemoryKiB)))
	}
	if c.Queue == 0 {
		c.Queue = 64
	}
	if c.Wait == 0 {
		c.Wait = 1500 * time.Millisecond
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Slots < 0 || c.Wait < 0 {
		return nil, errors.New("password hashing: slots and wait cannot be negative")
	}
	hasher, err := argon2.New(
		argon2.WithVariantID(), argon2.WithS(saltSize), argon2.WithK(hashSize),
		argon2.WithM(c.Params.MemoryKiB), argon2.WithT(int(c.Params.Time)), argon2.WithP(int(c.Params.Threads)),
	)
	if err != nil {
		return nil, fmt.Errorf("password hashing: %w", err)
	}
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("password hashing: %w", err)
	}
	return &Passwords{
		params: c.Params, hasher: hasher, decoder: decoder, rand: c.Rand,
		slots: c.Slots, all: newGate(c.Slots, c.Queue), costly: newGate(1, c.Queue/4), wait: c.Wait,
	}, nil
}

// check holds our own parameters to the bounds of stored ones, or we could
// not verify what we made. argon2 rounds memory down to a multiple of 4 per
// thread; asking for a whole one keeps what is stored equal to what was asked.
func (p Params) check() error {
	if !withinArgon2(uint64(p.MemoryKiB), uint64(p.Time), uint64(p.Threads)) || p.MemoryKiB%(4*p.Threads) != 0 {
		return fmt.Errorf("password hashing: parameters m=%d t=%d p=%d are out of bounds", p.MemoryKiB, p.Time, p.Threads)
	}
	return nil
}

// Hash makes the PHC string to keep. It fails with ErrTooLong, ErrBusy or the
// context's error.
func (p *Passwords) Hash(ctx context.Context, password string) (phc string, err error) {
	if len(password) > maxPasswordBytes {
		return "", ErrTooLong
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(p.rand, salt); err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	password = norm.NFC.String(password)
	err = p.run(ctx, func() error {
		digest, err := p.hasher.HashWithSalt(password, salt)
		if err != nil {
			return fmt.Errorf("hash a password: %w", err)
		}
		phc = digest.Encode()
		return nil
	})
	return phc, err
}

// Verify tells whether the password belongs to the stored hash, and if so
// whether that hash is weaker than new ones and should be made again. An empty
// phc means that there is no such user: the same work is done, for nothing.
// It fails with ErrTooLong, ErrHash, ErrBusy or the context's error.
//
// Ours are made of the composed form (NFC). Others may have hashed what was typed, so
// that is tried too where it differs, whoever's hash it is: the work tells nothing.
func (p *Passwords) Verify(ctx context.Context, password, phc string) (ok, stale bool, err error) {
	if len(password) > maxPasswordBytes {
		return false, false, ErrTooLong
	}
	composed := norm.NFC.String(password)
	ok, stale, err = p.verify(ctx, composed, phc)
	if !ok && err == nil && composed != password {
		ok, stale, err = p.verify(ctx, password, phc)
	}
	return ok, stale, err
}

// verify is Verify for the password as it is given.
func (p *Passwords) verify(ctx context.Context, password, phc string) (ok, stale bool, err error) {
	if phc == "" {
		return false, false, p.runDummy(ctx, password)
	}
	h, err := p.read(phc)
	if err != nil {
		return false, false, err
	}
	if !h.takes(password) {
		return false, false, p.runDummy(ctx, password)
	}
	run := p.run
	if h.costlier(p.params) {
		run = func(ctx context.Context, work func() error) error {
			return p.runCostly(ctx, p.slotsFor(h.memoryKiB), work)
		}
	}
	err = run(ctx, func() error {
		ok, err = h.digest.MatchAdvanced(password)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrHash, err)
		}
		if !ok && h.weaker(p.params) && h.cost() < 1 { // a quick answer would tell that the hash was imported
			return p.dummy(password)
		}
		return nil
	})
	return ok, ok && h.weaker(p.params), err
}

// Runs counts the hashes run so far, dummies included.
func (p *Passwords) Runs() uint64 { return p.runs.Load() }

// runDummy spends what a hash with our own parameters costs.
func (p *Passwords) runDummy(ctx context.Context, password string) error {
	return p.run(ctx, func() error { return p.dummy(password) })
}

// dummy hashes a password for nothing.
func (p *Passwords) dummy(password string) error {
	if _, err := p.hasher.HashWithSalt(password, make([]byte, saltSize)); err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	return nil
}

// slotsFor is how many slots a hash with so much memory takes.
func (p *Passwords) slotsFor(memoryKiB int) int {
	own := int(p.params.MemoryKiB)
	return max(1, min((memoryKiB+own-1)/own, p.slots/2))
}

// run does the work in a slot.
func (p *Passwords) run(ctx context.Context, work func() error) error {
	patience, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	place, err := enter(ctx, patience, p.all, 1)
	if err != nil {
		return err
	}
	defer place.Leave()
	p.runs.Add(1)
	return work()
}

// runCostly does the work of a hash that costs more than ours.
func (p *Passwords) runCostly(ctx context.Context, slots int, work func() error) error {
	patience, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	turn, err := enter(ctx, patience, p.costly, 1)
	if err != nil {
		return err
	}
	defer turn.Leave()
	place, err := enter(ctx, patience, p.all, int64(slots))
	if err != nil {
		return err
	}
	defer place.Leave()
	p.runs.Add(1)
	return work()
}

// enter takes slots in the name of whoever pays for the call, waiting for them as
// long as there is patience.
func enter(ctx, patience context.Context, gate *fair.Gate, slots int64) (fair.Place, error) {
	place, err := gate.Enter(patience, fair.PayerOf(ctx), slots)
	if err != nil && ctx.Err() == nil {
		err = ErrBusy
	}
	return place, err
}
