// Package contact has the one normalisation of addresses, phone numbers and
// names. What it returns can be compared byte by byte. It knows no rows.
package contact

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of an address (RFC 5321 section 4.5.3.1).
const (
	MaxEmail = 254
	maxLocal = 64
)

// mailDomains turns a domain into its ASCII form, strictly (UTS 46, IDNA 2008).
var mailDomains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.ValidateLabels(true),
	idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))

// Email is an address as given and in the one form that is compared.
type Email struct{ Text, Key string }

// ParseEmail is the one normalisation of addresses: trim, NFC, IDNA for the
// domain, case folding for the local part. It checks sizes before any work and
// is idempotent: the key of a key is the key. Characters that are not seen, and
// addresses of hosts in place of a domain, are refused.
func ParseEmail(text string) (Email, bool) {
	if len(text) > 2*MaxEmail || !utf8.ValidString(text) {
		return Email{}, false
	}
	text = Line(text)
	at := strings.LastIndexByte(text, '@')
	if at < 1 || utf8.RuneCountInString(text) > MaxEmail || strings.ContainsFunc(text, Ignorable) { // IDNA would pass over those
		return Email{}, false
	}
	local, domain := text[:at], text[at+1:]
	if !validLocal(local) || strings.HasSuffix(domain, ".") {
		return Email{}, false
	}
	ascii, err := mailDomains.ToASCII(domain)
	if err != nil || !strings.Contains(ascii, ".") || looksLikeIPv4(ascii) {
		return Email{}, false
	}
	key := norm.NFC.String(cases.Fold().String(local)) + "@" + ascii
	if !validLocal(key[:strings.LastIndexByte(key, '@')]) || len(key) > 2*MaxEmail {
		return Email{}, false
	}
	return Email{Text: text, Key: key}, true
}

// validLocal takes what mail providers give out: a dot-atom (RFC 5322), with
// letters and digits of any script (RFC 6531). Quoted local parts are refused.
func validLocal(local string) bool {
	if local == "" || len(local) > maxLocal || strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return false
	}
	for _, r := range local {
		if r < utf8.RuneSelf && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
		if r >= utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			return false
		}
	}
	return true
}
