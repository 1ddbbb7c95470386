package table

import "strings"

// Spreadsheets take a cell that begins with one of these for a formula.
const formulas = "=+-@\t\r\n"

// guard stands before what a spreadsheet would take for a formula.
const guard = "'"

// isFormula tells whether a text would be a formula, with any number of
// guards before it: so what itself looks guarded is guarded once more, and
// taking one guard off gives back every text.
func isFormula(text string) bool {
	rest := strings.TrimLeft(text, guard)
	return rest != "" && strings.Contains(formulas, rest[:1])
}

// guarded is a text that no spreadsheet takes for a formula.
func guarded(text string) string {
	if isFormula(text) {
		return guard + text
	}
	return text
}

// unguarded takes the guard off again.
func unguarded(text string) string {
	if rest, ok := strings.CutPrefix(text, guard); ok && isFormula(rest) {
		return rest
	}
	return text
}
