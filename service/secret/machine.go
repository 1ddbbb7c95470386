package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A machine secret is bms_<credential id>_<secret>_<crc>. The prefix and the
// checksum let scanners find leaked ones without false alarms.
const (
	machinePrefix = "bms_"
	machineSize   = len(machinePrefix) + uuidWidth + 1 + keyWidth + 1 + crcWidth
)

// NewMachineSecret makes a secret of 256 random bits for a credential. The
// text is shown once; the digest is what is kept. A random 256-bit secret
// needs no slow hash.
func NewMachineSecret(rand io.Reader, credentialID string) (text string, digest [32]byte, err error) {
	id, ok := idToBase62(credentialID)
	if !ok {
		return "", digest, errors.New("make a machine secret: the credential id is not a UUID")
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(rand, key); err != nil {
		return "", digest, fmt.Errorf("make a machine secret: %w", err)
	}
	text = machinePrefix + id + "_" + toBase62(key, keyWidth) + "_"
	text += checksum(text)
	return text, sha256.Sum256([]byte(text)), nil
}

// ParseMachineSecret tells which credential a text claims and the digest to
// compare with the kept one. ok says only that the text is well formed.
func ParseMachineSecret(text string) (credentialID string, digest [32]byte, ok bool) {
	if len(text) != machineSize {
		return "", digest, false
	}
	rest, ok := strings.CutPrefix(text, machinePrefix)
	if !ok {
		return "", digest, false
	}
	id, rest := rest[:uuidWidth], rest[uuidWidth:]
	key, crc := rest[1:1+keyWidth], rest[2+keyWidth:]
	if rest[0] != '_' || rest[1+keyWidth] != '_' || crc != checksum(text[:machineSize-crcWidth]) {
		return "", digest, false
	}
	if _, ok := fromBase62(key, 32); !ok {
		return "", digest, false
	}
	credentialID, ok = idFromBase62(id)
	if !ok {
		return "", digest, false
	}
	return credentialID, sha256.Sum256([]byte(text)), true
}

// EqualDigest compares without telling by its time where they differ.
func EqualDigest(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func checksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	return toBase62(binary.BigEndian.AppendUint32(nil, sum), crcWidth)
}
