package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// ErrSealed is all that Open tells: whether the key, the purpose, the bound
// values or a bit was wrong is nobody's business.
var ErrSealed = errors.New("sealed text cannot be opened")

const (
	keySize   = 32
	keyIDSize = 4
	maxKeys   = 16

	// sealFormat is the first byte of everything sealed, so that another
	// cipher can come later without guessing.
	sealFormat = 1
)

// KeyRing holds the master keys. The first one seals and signs, all of them
// open and verify, so a key is replaced by putting the new one in front and
// dropping the old one when nothing of it is left. Safe for concurrent use.
type KeyRing struct {
	keys []*masterKey
}

type masterKey struct {
	id  [keyIDSize]byte
	key []byte

	// Derived keys by purpose. Purposes are constants of the program, so the
	// maps stay small.
	aeads sync.Map // purpose -> cipher.AEAD
	macs  sync.Map // purpose -> []byte
}

// ParseKeyRing reads one key a line: 32 bytes in standard base64. Blank lines
// and lines that begin with # are skipped. Errors name the line, never its text.
func ParseKeyRing(text []byte) (*KeyRing, error) {
	ring := &KeyRing{}
	seen := map[[keyIDSize]byte]bool{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(ring.keys) == maxKeys {
			return nil, fmt.Errorf("key ring: more than %d keys", maxKeys)
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("key ring: line %d is not %d bytes in base64", number, keySize)
		}
		k := &masterKey{key: key}
		copy(k.id[:], k.derive("key id"))
		if seen[k.id] {
			return nil, fmt.Errorf("key ring: line %d repeats a key", number)
		}
		seen[k.id] = true
		ring.keys = append(ring.keys, k)
	}
	if len(ring.keys) == 0 {
		return nil, errors.New("key ring: no key")
	}
	return ring, nil
}

// NewKeyLine makes a fresh key as ParseKeyRing reads it, without a newline.
func NewKeyLine(rand io.Reader) (string, error) {
	key := make([]byte, keySize)
	if _, err := io.ReadFull(rand, key); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

// String keeps the keys out of logs; so does GoString.
func (r *KeyRing) String() string { return "secret.KeyRing" }

// GoString keeps the keys out of %#v.
func (r *KeyRing) GoString() string { return r.String() }

// Seal encrypts with AES-256-GCM under a key of the purpose's own. The bound
// values (table, row, ...) are not stored, but Open needs the same ones, so a
// sealed text cannot be moved elsewhere. The result is 33 bytes longer.
// Nonces are random: a purpose has room for some 2^32 texts a key.
func (r *KeyRing) Seal(purpose string, plaintext []byte, bind ...string) []byte {
	k := r.keys[0]
	sealed := append([]byte{sealFormat}, k.id[:]...)
	return k.aead(purpose).Seal(sealed, nil, plaintext, join(bind)) //nolint:gosec // G407: this AEAD makes the nonce itself
}

// Open reverses Seal under any key of the ring, or fails with ErrSealed.
func (r *KeyRing) Open(purpose string, sealed []byte, bind ...string) ([]byte, error) {
	if len(sealed) < 1+keyIDSize || sealed[0] != sealFormat {
		return nil, ErrSealed
	}
	id, body := [keyIDSize]byte(sealed[1:]), sealed[1+keyIDSize:]
	for _, k := range r.keys {
		if k.id != id {
			continue
		}
		plaintext, err := k.aead(purpose).Open(nil, nil, body, join(bind))
		if err != nil {
			return nil, ErrSealed
		}
		return plaintext, nil
	}
	return nil, ErrSealed
}

// MAC is HMAC-SHA256 of the parts under the first key, for one purpose.
func (r *KeyRing) MAC(purpose string, parts ...string) [32]byte {
	return r.keys[0].mac(purpose, join(parts))
}

// VerifyMAC tells whether mac is MAC(purpose, parts...) under any key of the ring.
func (r *KeyRing) VerifyMAC(purpose string, mac []byte, parts ...string) bool {
	message := join(parts)
	ok := false
	for _, k := range r.keys {
		want := k.mac(purpose, message)
		ok = hmac.Equal(want[:], mac) || ok // all keys, so that time does not tell which
	}
	return ok
}

func (k *masterKey) aead(purpose string) cipher.AEAD {
	if a, ok := k.aeads.Load(purpose); ok {
		return a.(cipher.AEAD)
	}
	block, err := aes.NewCipher(k.derive("seal:" + purpose))
	if err != nil {
		panic("secret: " + err.Error()) // the key has 32 bytes
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("secret: " + err.Error()) // AES has the right block size
	}
	k.aeads.Store(purpose, a)
	return a
}

func (k *masterKey) mac(purpose string, message []byte) [32]byte {
	key, ok := k.macs.Load(purpose)
	if !ok {
		key, _ = k.macs.LoadOrStore(purpose, k.derive("mac:"+purpose))
	}
	h := hmac.New(sha256.New, key.([]byte))
	h.Write(message)
	return [32]byte(h.Sum(nil))
}

// derive makes a 32-byte subkey. The infos "key id", "seal:..." and "mac:..."
// never meet, so no subkey serves two ends.
func (k *masterKey) derive(info string) []byte {
	sub, err := hkdf.Key(sha256.New, k.key, nil, "bizmetry identity "+info, keySize)
	if err != nil {
		panic("secret: " + err.Error()) // SHA-256 gives up to 8,160 bytes
	}
	return sub
}

// join writes each part behind its length, so that no two lists of parts
// give the same bytes.
func join(parts []string) []byte {
	size := 0
	for _, p := range parts {
		size += 8 + len(p)
	}
	joined := make([]byte, 0, size)
	for _, p := range parts {
		joined = binary.BigEndian.AppendUint64(joined, uint64(len(p)))
		joined = append(joined, p...)
	}
	return joined
}
