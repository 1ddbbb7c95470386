package contact

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Line is a text on one line as it is measured, compared and kept: without blanks
// around, composed (NFC).
func Line(text string) string { return norm.NFC.String(strings.TrimSpace(text)) }

// Ignorable tells whether a character is shown as nothing by default, as Unicode
// has it: joiners, marks and overrides of direction, fillers, soft hyphens.
func Ignorable(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// IsLabel tells whether a text can be the name of a thing: characters that are seen,
// and a letter or digit at least. Joiners stand between letters only.
func IsLabel(text string) bool {
	return spelled(text, func(r rune, _ place) bool {
		return !unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Co)
	}, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// IsPersonName tells whether a text can be the first or last name of a person:
// letters of any script with their marks, digits, spaces, and the signs that stand
// between or behind them in names. It begins with a letter or digit, or an
// apostrophe before a letter.
func IsPersonName(text string) bool {
	return spelled(text, func(r rune, at place) bool {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return true
		case strings.ContainsRune("'’‘ʼ", r):
			return !at.first || unicode.IsLetter(at.next)
		case at.first:
			return false
		case unicode.IsMark(r), strings.ContainsRune(".\u0f0b\u05f3\u05f4", r):
			return true
		case unicode.In(r, unicode.Zs, unicode.Pd), strings.ContainsRune("\u00b7\u30fb", r):
			return !at.last
		}
		return false
	}, unicode.IsLetter)
}

// IsProse tells whether a text of several lines has no control characters but
// tabs and those that end lines.
func IsProse(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Cc, r) && !strings.ContainsRune("\t\n\r", r) })
}

// place is where a character stands in a text.
type place struct {
	first, last  bool
	before, next rune // 0 at the ends
}

// spelled tells whether every character of a text is allowed, and one of them is wanted.
// Of those that are not seen only joiners are, between letters.
func spelled(text string, allowed func(rune, place) bool, wanted func(rune) bool) bool {
	runes, found := []rune(text), false
	for i, r := range runes {
		at := place{first: i == 0, last: i == len(runes)-1}
		if !at.first {
			at.before = runes[i-1]
		}
		if !at.last {
			at.next = runes[i+1]
		}
		switch {
		case unicode.Is(unicode.Join_Control, r):
			if !ofWord(at.before) || !ofWord(at.next) {
				return false
			}
		case Ignorable(r), !allowed(r, at):
			return false
		}
		found = found || wanted(r)
	}
	return found
}

func ofWord(r rune) bool { return !Ignorable(r) && (unicode.IsLetter(r) || unicode.IsMark(r)) }
