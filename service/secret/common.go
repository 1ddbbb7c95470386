package secret

import (
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go/frequency"
	"golang.org/x/text/unicode/norm"
)

// commonTexts are some 7,000 passwords that everybody tries first, and the
// words and names of a dictionary that are long enough to make a password with
// little around them, in lower case.
var commonTexts = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for name, list := range frequency.Lists {
		for _, word := range list.List {
			if name == "Passwords" {
				set[word], set[once(word)] = true, true
			} else if len(word) >= leastDictionary {
				set[word] = true
			}
		}
	}
	return set
})

const leastDictionary = 5

// isCommon tells whether a password as a whole is a common one, a single word,
// or nothing but runs such as abcdefgh: in any case, with figures for letters,
// several times in a row, and with digits and signs around it. A long text that
// only contains one is not.
func isCommon(password string) bool {
	text := plain(password)
	joined := strings.Map(func(r rune) rune {
		if isSign(r) {
			return -1
		}
		return r
	}, text)
	if isCommonForm(text) {
		return true
	}
	for _, whole := range []string{text, joined} {
		if part := once(whole); part != whole && (utf8.RuneCountInString(part) <= mostOnce || isCommonForm(part)) {
			return true
		}
	}
	return false
}

// mostOnce is up to how many characters a text is common that repeats nothing but them.
const mostOnce = 3

func isCommonForm(text string) bool {
	for _, start := range []string{text, strings.TrimLeftFunc(text, isSign), strings.TrimLeftFunc(text, isNoLetter)} {
		for end := start; len(text)-len(end) <= max(len(end), mostAround); {
			if anyCommon(end, unfigured.Replace(end), unfiguredL.Replace(end)) {
				return true
			}
			last, size := utf8.DecodeLastRuneInString(end)
			if size == 0 || !isNoLetter(last) || len(start)-len(end) > mostBehind {
				break
			}
			end = end[:len(end)-size]
		}
	}
	return false
}

// How many bytes around a common password leave it one: no more than it has
// itself, or so few; and so many at most of those behind it are looked at.
const (
	mostAround = 6
	mostBehind = 16
)

func anyCommon(forms ...string) bool {
	for _, form := range forms {
		if common := commonTexts(); common[form] || common[once(form)] || isRuns(form) {
			return true
		}
	}
	return false
}

func isNoLetter(r rune) bool { return !unicode.IsLetter(r) }
func isSign(r rune) bool     { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// unfigured writes letters where figures stand for them. A 1 is either of two.
var (
	unfigured  = strings.NewReplacer("0", "o", "1", "i", "!", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t", "+", "t", "8", "b")
	unfiguredL = strings.NewReplacer("0", "o", "1", "l", "!", "l", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "l", "+", "t", "8", "b")
)

// once is what a text repeats; the text itself where it repeats nothing.
func once(text string) string {
	if period := strings.Index((text + text)[min(1, len(text)):], text) + 1; period > 1 && period < len(text) {
		return text[:period]
	}
	return text
}

// plain is the form in which texts are compared: lower case, without accents.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(text))
}

const (
	leastWord  = 3 // letters of a word that is looked for
	leastOther = 8 // letters that make a password of its own out of one that contains such words
)

// isOfContext tells whether a password is made of words out of its context:
// it contains some of them, and few other letters.
func isOfContext(password string, context []string) bool {
	words := wordsOf(context)
	for _, form := range []string{plain(password), unfigured.Replace(plain(password))} {
		rest := form
		for _, word := range words {
			rest = strings.ReplaceAll(rest, word, " ")
		}
		if rest != form && lettersIn(rest) < leastOther {
			return true
		}
	}
	return false
}

// wordsOf splits texts into the words that are long enough to be looked for,
// the longest first; each text as a whole is one too.
func wordsOf(context []string) (words []string) {
	for _, text := range context {
		parts := strings.FieldsFunc(plain(text), isSign)
		for _, word := range append(parts, strings.Join(parts, "")) {
			if utf8.RuneCountInString(word) >= leastWord && lettersIn(word) > 0 {
				words = append(words, word)
			}
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(words)
}

func lettersIn(text string) (n int) {
	for _, r := range text {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}
