package secret

import (
	"fmt"
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
// the process with it, nor to let any password in.
const (
	maxPHCSize = 512

	minKeySize = 16 // a shorter one could be hit by guessing
	maxKeySize = 96 // PBKDF2 pays its rounds again for every 20 to 64 bytes; SHA-crypt's text has 86

	maxArgon2MemoryKiB = 256 << 10
	maxArgon2Time      = 10
	maxArgon2Threads   = 8

	minBcryptCost     = 4 // for less the library quietly takes 10
	maxBcryptCost     = 14
	bcryptPasswordMax = 72

	minPBKDF2Rounds = 1
	maxPBKDF2Rounds = 2_000_000

	maxScryptBlocks = 256 << 20 / 128 // N*r; scrypt holds 128 bytes for each
	maxScryptWork   = 2 * maxScryptBlocks

	minSHACryptRounds = 1000
	maxSHACryptRounds = 1_000_000
)

// stored is a hash that was read and found affordable.
type stored struct {
	digest algorithm.Digest
	kind   string
	argon2 Params // of argon2id only
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
		h.argon2 = Params{MemoryKiB: m, Time: t, Threads: p}
		return withinArgon2(uint64(m), uint64(t), uint64(p))
	case h.kind == "2b": // the library writes every version so
		var cost int
		return scan(parts[0], "%d", &cost) && cost >= minBcryptCost && cost <= maxBcryptCost
	case strings.HasPrefix(h.kind, "pbkdf2"):
		var rounds int
		return scan(parts[0], "%d", &rounds) && rounds >= minPBKDF2Rounds && rounds <= maxPBKDF2Rounds
	case h.kind == "scrypt":
		var ln, r, p int
		return scan(parts[0], "ln=%d,r=%d,p=%d", &ln, &r, &p) && withinScrypt(ln, r, p)
	case h.kind == "5", h.kind == "6":
		rounds := shacrypt.IterationsDefaultOmitted
		if len(parts) == 3 && !scan(parts[0], "rounds=%d", &rounds) {
			return false
		}
		return rounds >= minSHACryptRounds && rounds <= maxSHACryptRounds
	}
	return false
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func withinArgon2(m, t, p uint64) bool {
	return p >= 1 && p <= maxArgon2Threads && t >= 1 && t <= maxArgon2Time && m >= 8*p && m <= maxArgon2MemoryKiB
}

func withinScrypt(ln, r, p int) bool {
	if ln < 1 || ln > bits.Len(maxScryptBlocks) || r < 1 || r > maxScryptBlocks || p < 1 || p > maxScryptWork {
		return false // also keeps the products below from overflowing
	}
	blocks := uint64(r) << ln
	return blocks <= maxScryptBlocks && blocks*uint64(p) <= maxScryptWork
}

// takes tells whether the algorithm reads the whole password. bcrypt looks at
// 72 bytes and repeats shorter ones around a NUL, so that "a" and "a\x00a"
// would be the same password: such ones are simply wrong.
func (h *stored) takes(password string) bool {
	return h.kind != "2b" || len(password) <= bcryptPasswordMax && !strings.Contains(password, "\x00")
}

// weaker tells whether the hash should be made again with the current
// parameters. More memory makes up for fewer passes, as in OWASP's list.
func (h *stored) weaker(than Params) bool {
	work := func(p Params) uint64 { return uint64(p.MemoryKiB) * uint64(p.Time) }
	return h.kind != argon2.AlgIdentifierVariantID ||
		h.argon2.MemoryKiB < than.MemoryKiB || work(h.argon2) < work(than) || len(h.digest.Key()) < hashSize
}

// CheckHash tells whether Verify would take a stored hash: its format is known
// and its cost within bounds. Nothing is run. It fails with ErrHash, whose
// text never quotes the hash.
func (p *Passwords) CheckHash(phc string) error {
	_, err := p.read(phc)
	return err
}
