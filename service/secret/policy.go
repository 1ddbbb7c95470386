package secret

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of every policy. Longer texts are nobody's password.
const (
	maxPasswordBytes  = 1024
	maxPasswordPoints = 256
)

const specials = "#@_!$"

// Policies.
const (
	Standard = "standard" // 8 code points and the three kinds of character
	NIST     = "nist"     // 15 code points, any characters (SP 800-63B-4)
)

// Unchanged is the rule that only a change of password has: not the present one again.
const Unchanged = "unchanged"

// UnmetRules lists the rules that a password breaks, nil if none: too_short,
// too_long, no_upper, no_digit, no_special, common (what is tried first),
// context (made of the given words, such as its owner's name). An unknown policy asks for everything, so
// that a slip of the caller never weakens one. Code points are counted in NFC,
// the form that is hashed.
func UnmetRules(policy, password string, context ...string) []string {
	if len(password) > maxPasswordBytes {
		return []string{"too_long"} // not looked at further
	}
	password = norm.NFC.String(password)
	least, kinds := 15, true
	switch policy {
	case Standard:
		least = 8
	case NIST:
		kinds = false
	}
	var unmet []string
	need := func(ok bool, rule string) {
		if !ok {
			unmet = append(unmet, rule)
		}
	}
	points := utf8.RuneCountInString(password)
	need(points >= least, "too_short")
	need(points <= maxPasswordPoints, "too_long")
	if kinds {
		need(strings.ContainsFunc(password, unicode.IsUpper), "no_upper")
		need(strings.ContainsFunc(password, unicode.IsDigit), "no_digit")
		need(strings.ContainsAny(password, specials), "no_special")
	}
	if points <= maxPasswordPoints {
		need(!isCommon(password), "common")
		need(!isOfContext(password, context), "context")
	}
	return unmet
}

// Letters and digits that are hard to tell apart (I l 1, O o 0) are left out.
const (
	generatedSize = 20
	alphabet      = "ABCDEFGHJKLMNPQRSTUVWXYZ" + "abcdefghijkmnpqrstuvwxyz" + "23456789" + specials
)

// Generate makes a password of 20 characters (about 118 bits) that meets every
// policy in its context. Whole candidates are drawn until one does: choosing a digit or a
// special on purpose would make some passwords likelier than others.
func Generate(rand io.Reader, context ...string) (string, error) {
	const tries = 1000 // about one candidate in four fails; a thousand in a row means a broken source
	for range tries {
		p, err := candidate(rand)
		if err != nil {
			return "", fmt.Errorf("generate a password: %w", err)
		}
		if UnmetRules(Standard, p, context...) == nil && UnmetRules(NIST, p, context...) == nil {
			return p, nil
		}
	}
	return "", errors.New("generate a password: the random source does not look random")
}

// candidate draws characters evenly: six random bits that name no character
// are thrown away, not folded onto one (which would favour it).
func candidate(rand io.Reader) (string, error) {
	var random [2 * generatedSize]byte
	p := make([]byte, 0, generatedSize)
	for tries := 0; tries < 100; tries++ {
		if _, err := io.ReadFull(rand, random[:]); err != nil {
			return "", err
		}
		for _, b := range random {
			if i := int(b & 63); i < len(alphabet) && len(p) < generatedSize {
				p = append(p, alphabet[i])
			}
		}
		if len(p) == generatedSize {
			return string(p), nil
		}
	}
	return "", errors.New("the random source does not look random")
}
