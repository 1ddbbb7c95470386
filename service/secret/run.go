package secret

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// rows are characters that follow each other in the alphabet, among the digits
// and on keyboards.
const rows = "abcdefghijklmnopqrstuvwxyz 01234567890 " +
	"qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn !@#$%^&*() " +
	"1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik 9ol 1qay 2wsx 3edc"

// steps tells, of two characters in a row, on which rows and in which direction
// they follow each other: a bit each.
var steps = sync.OnceValue(func() *[utf8.RuneSelf][utf8.RuneSelf]uint64 {
	steps := &[utf8.RuneSelf][utf8.RuneSelf]uint64{}
	for i, row := range strings.Fields(rows) {
		forth, back := uint64(2)<<(2*i), uint64(4)<<(2*i)
		for j := 1; j < len(row); j++ {
			steps[row[j-1]][row[j]] |= forth
			steps[row[j]][row[j-1]] |= back
		}
	}
	return steps
})

// follow tells on which rows b comes after a; a character after itself is a row
// of its own.
func follow(a, b rune) uint64 {
	switch {
	case a == b:
		return 1
	case a >= utf8.RuneSelf || b >= utf8.RuneSelf:
		return 0
	}
	return steps()[a][b]
}

const (
	leastRun  = 3 // characters of a run
	mostSolid = 4 // characters in runs for each other one, at least
)

// isRuns tells whether a text is nearly all runs: the same character again and
// again, the alphabet, digits or rows of keys, forwards or backwards.
func isRuns(text string) bool {
	in, others := 0, 0
	for text != "" {
		if n := lengthOfRun(text); n >= leastRun {
			in += n
			text = skip(text, n)
			continue
		}
		others++
		text = skip(text, 1)
	}
	return in >= leastRun && in >= mostSolid*others
}

// lengthOfRun counts the characters that a text begins with on one row.
func lengthOfRun(text string) (n int) {
	last, on := rune(0), ^uint64(0)
	for _, r := range text {
		if n > 0 {
			if on &= follow(last, r); on == 0 {
				break
			}
		}
		last = r
		n++
	}
	return n
}

func skip(text string, runes int) string {
	for ; runes > 0; runes-- {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}
