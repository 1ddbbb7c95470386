package secret

import (
	"strconv"
	"strings"
)

// A refresh token is bmr_<session id>_<generation>_<MAC>. It is computed, not
// kept: a database dump holds no usable token, and a genuine token of an older
// generation (which ends the session) differs from garbage (which does not).
const (
	refreshPrefix  = "bmr_"
	refreshPurpose = "refresh"
	refreshMin     = len(refreshPrefix) + uuidWidth + 1 + 1 + 1 + keyWidth
	refreshMax     = refreshMin + 18 // an int64 has up to 19 digits
)

// RefreshToken writes the token of a session's generation, which counts from
// 1. A session id that is no UUID or a generation below 1 is a mistake of the
// program and panics.
func RefreshToken(ring *KeyRing, sessionID string, generation int64) string {
	id, ok := idToBase62(sessionID)
	if !ok || generation < 1 {
		panic("secret: RefreshToken needs a UUID and a generation of at least 1")
	}
	count := strconv.FormatInt(generation, 10)
	mac := ring.MAC(refreshPurpose, sessionID, count)
	return refreshPrefix + id + "_" + count + "_" + toBase62(mac[:], keyWidth)
}

// ParseRefreshToken tells the session and generation of a token that this
// ring made. ok says that it is genuine, not that it is the session's newest.
func ParseRefreshToken(ring *KeyRing, text string) (sessionID string, generation int64, ok bool) {
	if len(text) < refreshMin || len(text) > refreshMax || !strings.HasPrefix(text, refreshPrefix) {
		return "", 0, false
	}
	parts := strings.Split(text[len(refreshPrefix):], "_")
	if len(parts) != 3 || len(parts[0]) != uuidWidth || len(parts[2]) != keyWidth {
		return "", 0, false
	}
	sessionID, ok = idFromBase62(parts[0])
	if !ok {
		return "", 0, false
	}
	generation, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || generation < 1 || strconv.FormatInt(generation, 10) != parts[1] {
		return "", 0, false
	}
	mac, ok := fromBase62(parts[2], 32)
	if !ok || !ring.VerifyMAC(refreshPurpose, mac, sessionID, parts[1]) {
		return "", 0, false
	}
	return sessionID, generation, true
}
