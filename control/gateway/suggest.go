package gateway

import "strings"

// Suggest is the word among words that somebody who wrote word most likely
// meant, "" when none is near. Case, and the marks that people put between
// parts of a word, count for nothing.
func Suggest(word string, words []string) string {
	if len(word) > 100 {
		return "" // nobody meant that; and the comparison is quadratic
	}
	best, nearest := "", 1+max(1, len(word)/3)
	for _, w := range words {
		if d := distance(plain(word), plain(w)); d < nearest {
			best, nearest = w, d
		}
	}
	return best
}

var marks = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

func plain(s string) string { return marks.Replace(strings.ToLower(s)) }

// distance is how many letters must be put in, taken out, changed or swapped
// with their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
