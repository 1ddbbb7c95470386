package secret

import (
	"slices"
	"strings"
	"unicode"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/matching"
	"golang.org/x/text/unicode/norm"
)

// The estimator's cost grows with the cube of the length, and exponentially
// with figures that may stand for letters: it sees so many characters, and
// those figures are undone before it.
const (
	maxEstimated = 72
	maxContext   = 20
)

// Strength estimates how hard a password is to guess, from 0 (at once) to 4
// (very hard), for somebody who knows its context. The patterns name what
// makes it easier: dictionary, spatial, repeat, sequence, date.
func Strength(password string, context []string) (score int, patterns []string) {
	password = cut(ascii(password), maxEstimated)
	words := wordsOf(context)
	words = words[:min(len(words), maxContext)]
	for i := range words {
		words[i] = cut(ascii(words[i]), maxEstimated)
	}
	score = 4
	for _, form := range slices.Compact([]string{password, unfigured.Replace(password)}) {
		found := zxcvbn.PasswordStrength(form, words, matching.FilterL33tMatcher)
		if found.Score > score || (found.Score == score && patterns != nil) {
			continue
		}
		score, patterns = found.Score, []string{}
		for _, m := range found.MatchSequence {
			if m.Pattern != "bruteforce" && !slices.Contains(patterns, m.Pattern) {
				patterns = append(patterns, m.Pattern)
			}
		}
	}
	return score, patterns
}

// ascii writes a text in the characters that the estimator counts in: what has
// no form in ASCII gets a stand-in, the same for the same character.
func ascii(text string) string {
	text = cut(text, maxPasswordBytes)
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r < unicode.MaxASCII:
			return r
		}
		return '!' + r%('~'-'!')
	}, norm.NFKD.String(text))
}

func cut(text string, most int) string { return text[:min(len(text), most)] }
