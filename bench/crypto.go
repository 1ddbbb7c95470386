package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/token"
)

// cryptoCost is the CPU time of one operation each.
type cryptoCost struct{ Sign, Verify, Hash time.Duration }

// cryptoTask is what measureCrypto is to do: with the claims of this token,
// and so many of each.
type cryptoTask struct {
	Token          string
	Tokens, Hashes int
}

// measureCrypto runs in a process of its own. One whole ES256 JWT is claims to
// text and back, with nothing but the standard library.
func measureCrypto(in io.Reader, out io.Writer) error {
	var task cryptoTask
	if err := json.NewDecoder(in).Decode(&task); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	header, body, _ := strings.Cut(task.Token, ".")
	body, _, _ = strings.Cut(body, ".")
	payload, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return err
	}
	var claims token.Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return err
	}
	var cost cryptoCost
	var text string
	if cost.Sign, err = each(task.Tokens, func() (err error) { text, err = sign(key, header, claims); return err }); err != nil {
		return err
	}
	if cost.Verify, err = each(task.Tokens, func() error { return verify(&key.PublicKey, text) }); err != nil {
		return err
	}
	salt := make([]byte, 16)
	// On all processors at once, as in the service: they share the way to the memory.
	lanes := runtime.GOMAXPROCS(0)
	cost.Hash, err = each(task.Hashes, func() error {
		var all sync.WaitGroup
		for range lanes {
			all.Go(func() { argon2.IDKey([]byte(rig.Password), salt, 2, 19<<10, 1, 32) })
		}
		all.Wait()
		return nil
	})
	if err != nil {
		return err
	}
	cost.Hash /= time.Duration(lanes)
	return json.NewEncoder(out).Encode(cost)
}

// each is the CPU time of this process for one of n runs.
func each(n int, do func() error) (time.Duration, error) {
	before := ownTime()
	for range n {
		if err := do(); err != nil {
			return 0, err
		}
	}
	return (ownTime() - before) / time.Duration(n), nil
}

func ownTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const half = 32 // bytes of each number of a signature

func sign(key *ecdsa.PrivateKey, header string, claims token.Claims) (string, error) {
	payload, err := json.Marshal(claims) //nolint:gosec // the credential in it is an id
	if err != nil {
		return "", err
	}
	text := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [2 * half]byte
	r.FillBytes(signature[:half])
	s.FillBytes(signature[half:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}

func verify(key *ecdsa.PublicKey, text string) error {
	end := strings.LastIndexByte(text, '.')
	signature, err := base64.RawURLEncoding.DecodeString(text[end+1:])
	if err != nil {
		return err
	}
	header, body, _ := strings.Cut(text[:end], ".")
	var names map[string]string
	if err := decode(header, &names); err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(text[:end]))
	if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
		return errors.New("the signature does not verify")
	}
	return decode(body, new(token.Claims))
}

func decode(part string, v any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
