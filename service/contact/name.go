package contact

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold is the form in which names are searched, compared and ordered.
func Fold(text string) string {
	return norm.NFC.String(cases.Fold().String(Line(text)))
}
