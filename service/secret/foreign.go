package secret

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Bounds of stored hashes. Whoever can write one row must not be able to stop
// the process with it, nor to let any password in. What is commonly used stays
// within: a check then takes ten to fifteen times one of ours at most, a fraction of
// the gate's wait. docs/files.md tells them.
const (
	maxPHCSize = 512

	minKeySize = 16 // a shorter one could be hit by guessing
	maxKeySize = 96 // SHA-crypt's text has 86

	maxArgon2MemoryKiB = 128 << 10
	maxArgon2Time      = 10
	maxArgon2Threads   = 8
	maxArgon2Work      = 256 << 10 // KiB times passes

	minBcryptCost     = 4 // for less the library quietly takes 10
	maxBcryptCost     = 12
	bcryptPasswordMax = 72

	minPBKDF2Rounds = 1

	maxScryptWork    = 128 << 20 / 128 // N*r*p; scrypt holds 128 bytes for each N*r
	minScryptR       = 8               // smaller blocks cost more than their size tells
	maxScryptR       = 64
	maxScryptThreads = 16

	minSHACryptRounds = 1000
	maxSHACryptRounds = 656_000
	maxSHACryptWork   = maxSHACryptRounds * (64 + shaCryptState) // rounds times bytes
	shaCryptState     = 64                                       // bytes that a round hashes besides the password
)

// pbkdf2s are the functions of PBKDF2: what a round yields, and the most rounds,
// all together, that a hash may take. A longer key costs them again for every
// piece of it.
var pbkdf2s = map[string]struct{ size, maxRounds int }{
	"pbkdf2":        {20, 1_300_000}, // SHA-1
	"pbkdf2-sha1":   {20, 1_300_000},
	"pbkdf2-sha224": {28, 1_500_000},
	"pbkdf2-sha256": {32, 1_500_000},
	"pbkdf2-sha384": {48, 500_000},
	"pbkdf2-sha512": {64, 500_000},
}

// stored is a hash that was read and found affordable.
type stored struct {
	digest    algorithm.Digest
	kind      string
	memoryKiB int     // that it takes; 0: next to none
	share     float64 // of the dearest hash of its kind that is verified; not of argon2
	argon2    Params  // of argon2id only
	rounds    int     // of SHA-crypt only
}

// newDecoder knows the formats that are worth importing. yescrypt is left out
// because its cost is not written in plain, MD5-crypt and $2x$ because they
// are broken.
func newDecoder() (*crypt.Decoder, error) {
	d := crypt.NewDecoder()
	standard := bcrypt.DecodeVariant(bcrypt.VariantStandard)
	for _, version := range []string{"2a", "2b", "2y"} {
		if err := d.RegisterDecodeFunc(version, standard); err != nil {
			return nil, err
		}
	}
	for _, register := range []func(algorithm.DecoderRegister) error{
		argon2.RegisterDecoder, pbkdf2.RegisterDecoder, scrypt.RegisterDecoderScrypt, shacrypt.RegisterDecoder,
	} {
		if err := register(d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// read decodes a stored hash and refuses what is unknown or too costly. The
// library decodes hostile parameters without complaint, so the cost is read
// from what it writes back: that is what would run, whatever the text said.
func (p *Passwords) read(phc string) (stored, error) {
	if len(phc) > maxPHCSize {
		return stored{}, fmt.Errorf("%w: too long", ErrHash)
	}
	digest, err := p.decoder.Decode(phc)
	if err != nil {
		// The library's text may quote the hash.
		return stored{}, fmt.Errorf("%w: unknown format", ErrHash)
	}
	if n := len(digest.Key()); n < minKeySize || n > maxKeySize {
		return stored{}, fmt.Errorf("%w: %d bytes of hash", ErrHash, n)
	}
	parts := strings.Split(digest.Encode(), "$")
	if len(parts) < 4 {
		return stored{}, fmt.Errorf("%w: unknown format", ErrHash)
	}
	h := stored{digest: digest, kind: parts[1]}
	if !h.affordable(parts[2:]) {
		return stored{}, fmt.Errorf("%w: its cost is out of bounds", ErrHash)
	}
	return h, nil
}

// affordable reads the cost parameters behind the kind's name.
func (h *stored) affordable(parts []string) bool {
	switch {
	case strings.HasPrefix(h.kind, "argon2"):
		var m, t, p uint32
		if !scan(parts[1], "m=%d,t=%d,p=%d", &m, &t, &p) {
			return false
		}
		h.argon2, h.memoryKiB = Params{MemoryKiB: m, Time: t, Threads: p}, int(m)
		return withinArgon2(uint64(m), uint64(t), uint64(p))
	case h.kind == "2b": // the library writes every version so
		var cost int
		ok := scan(parts[0], "%d", &cost) && cost >= minBcryptCost && cost <= maxBcryptCost
		h.share = math.Exp2(float64(cost - maxBcryptCost))
		return ok
	case strings.HasPrefix(h.kind, "pbkdf2"):
		var rounds int
		ok := scan(parts[0], "%d", &rounds) && withinPBKDF2(h.kind, rounds, len(h.digest.Key()))
		f := pbkdf2s[h.kind]
		h.share = float64(rounds*((len(h.digest.Key())+f.size-1)/f.size)) / float64(f.maxRounds)
		return ok
	case h.kind == "scrypt":
		var ln, r, p int
		if !scan(parts[0], "ln=%d,r=%d,p=%d", &ln, &r, &p) || !withinScrypt(ln, r, p) {
			return false
		}
		h.memoryKiB = r << ln / 8
		h.share = float64(r*p<<ln) / maxScryptWork
		return true
	case h.kind == "5", h.kind == "6":
		h.rounds = shacrypt.IterationsDefaultOmitted
		if len(parts) == 3 && !scan(parts[0], "rounds=%d", &h.rounds) {
			return false
		}
		h.share = float64(h.rounds) / maxSHACryptRounds
		return h.rounds >= minSHACryptRounds && h.rounds <= maxSHACryptRounds
	}
	return false
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func withinArgon2(m, t, p uint64) bool {
	return p >= 1 && p <= maxArgon2Threads && t >= 1 && t <= maxArgon2Time &&
		m >= 8*p && m <= maxArgon2MemoryKiB && m*t <= maxArgon2Work
}

func withinPBKDF2(kind string, rounds, key int) bool {
	f, ok := pbkdf2s[kind]
	if !ok || rounds < minPBKDF2Rounds || rounds > f.maxRounds {
		return false
	}
	pieces := (key + f.size - 1) / f.size
	return rounds*pieces <= f.maxRounds
}

func withinScrypt(ln, r, p int) bool {
	if ln < 1 || ln > bits.Len(maxScryptWork) || r < minScryptR || r > maxScryptR || p < 1 || p > maxScryptThreads {
		return false // also keeps what is below from overflowing
	}
	return r*p <= maxScryptWork>>ln
}

// takes tells whether the algorithm reads the whole password, at a bounded
// cost. bcrypt looks at 72 bytes and repeats shorter ones around a NUL, so that
// "a" and "a\x00a" would be the same password; SHA-crypt reads the password in
// every round, so that of many rounds a long one is not taken. Such ones are
// simply wrong.
func (h *stored) takes(password string) bool {
	switch h.kind {
	case "2b":
		return len(password) <= bcryptPasswordMax && !strings.Contains(password, "\x00")
	case "5", "6":
		return h.rounds*(len(password)+shaCryptState) <= maxSHACryptWork
	}
	return true
}

// weaker tells whether the hash should be made again with the current
// parameters. More memory makes up for fewer passes, as in OWASP's list.
func (h *stored) weaker(than Params) bool {
	work := func(p Params) uint64 { return uint64(p.MemoryKiB) * uint64(p.Time) }
	return h.kind != argon2.AlgIdentifierVariantID ||
		h.argon2.MemoryKiB < than.MemoryKiB || work(h.argon2) < work(than) || len(h.digest.Key()) < hashSize
}

// costlier tells whether a hash takes more than one of ours.
func (h *stored) costlier(than Params) bool {
	return h.kind != argon2.AlgIdentifierVariantID || h.argon2.MemoryKiB > than.MemoryKiB ||
		uint64(h.argon2.MemoryKiB)*uint64(h.argon2.Time) > uint64(than.MemoryKiB)*uint64(than.Time)
}

// dearest is how many of our hashes the dearest ones of other kinds take, as measured:
// bcrypt of cost 12 five, the others twelve.
const (
	dearestBcrypt = 5
	dearestOther  = 12
)

// cost is how many hashes with our default parameters a check takes, roughly.
func (h *stored) cost() float64 {
	switch {
	case strings.HasPrefix(h.kind, "argon2"):
		return float64(h.argon2.MemoryKiB) * float64(h.argon2.Time) / (float64(DefaultParams.MemoryKiB) * float64(DefaultParams.Time))
	case h.kind == "2b":
		return dearestBcrypt * h.share
	}
	return dearestOther * h.share
}

// dearestTaken is how many of ours a hash may cost that is imported: what takes longer
// to refuse than one of ours tells who was imported. Verify goes on with dearer ones
// that are there already.
const dearestTaken = 2

// CheckHash tells whether a hash may be imported: its format is known and a check costs
// little more than one of ours. Nothing is run. It fails with ErrHash, whose text never
// quotes the hash.
func (p *Passwords) CheckHash(phc string) error {
	h, err := p.read(phc)
	if err == nil && h.cost() > dearestTaken {
		err = fmt.Errorf("%w: it costs too much", ErrHash)
	}
	return err
}
