package contact

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// Limits of a number as people write it, and of what it comes down to (E.164).
const (
	maxPhoneText   = 160 // bytes
	minPhoneDigits = 7
	maxPhoneDigits = 15
)

// ParsePhone is the one normalisation of numbers: to E.164, such as
// +41791234567. It takes valid numbers that can be mobile ones, with their
// country code only, and is idempotent. What reaches the library is short and
// plain, and a panic in there is a number that is not valid.
func ParsePhone(text string) (number string, ok bool) {
	defer func() {
		if recover() != nil {
			number, ok = "", false
		}
	}()
	plain, ok := plainPhone(text)
	if !ok {
		return "", false
	}
	parsed, err := phonenumbers.Parse(plain, phonenumbers.UNKNOWN_REGION)
	if err != nil || !phonenumbers.IsValidNumber(parsed) {
		return "", false
	}
	switch phonenumbers.GetNumberType(parsed) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE: // of some countries, such as the USA, it cannot be told
	default:
		return "", false
	}
	number = phonenumbers.Format(parsed, phonenumbers.E164)
	return number, len(number) <= 1+maxPhoneDigits
}

// plainPhone is a plus and digits: what people put between them is left out,
// and anything else, such as letters and extensions, refused.
func plainPhone(text string) (string, bool) {
	if len(text) > maxPhoneText {
		return "", false
	}
	var plain strings.Builder
	for _, r := range text {
		r = narrow(r)
		switch {
		case r == '+' && plain.Len() == 0, '0' <= r && r <= '9' && plain.Len() > 0:
			plain.WriteRune(r)
		case strings.ContainsRune("-./()", r), unicode.In(r, unicode.Zs, unicode.Pd, unicode.Cf):
		default:
			return "", false
		}
	}
	digits := plain.Len() - 1
	return plain.String(), minPhoneDigits <= digits && digits <= maxPhoneDigits+1 // one more for "(0)"
}

// narrow gives the ASCII form of a full-width character.
func narrow(r rune) rune {
	if '！' <= r && r <= '～' {
		return r - '！' + '!'
	}
	return r
}

// CodeDigits is how many digits a code has that is sent to a number.
const CodeDigits = 6

// PhoneMask stands for the digits that are not shown.
const PhoneMask = "•"

// MaskPhone shows country code and last two digits of an E.164 number, and
// how many are between: +41•••••••67.
func MaskPhone(number string) string {
	parsed, err := phonenumbers.Parse(number, phonenumbers.UNKNOWN_REGION)
	if err != nil {
		return ""
	}
	shown := "+" + strconv.Itoa(int(parsed.GetCountryCode()))
	hidden := max(len(number)-len(shown)-2, 0)
	return shown + strings.Repeat(PhoneMask, hidden) + number[len(shown)+hidden:]
}

// ParseCode gives the six digits of a code as people type or paste it.
func ParseCode(text string) (string, bool) {
	var plain strings.Builder
	for _, r := range text {
		r = narrow(r)
		switch {
		case '0' <= r && r <= '9':
			plain.WriteRune(r)
		case r == '-', unicode.In(r, unicode.Zs, unicode.Cf), r == '\t':
		default:
			return "", false
		}
	}
	return plain.String(), plain.Len() == CodeDigits
}
