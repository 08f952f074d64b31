package store_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store"
)

var placeholders = map[string]string{
	"":                             "",
	"SELECT 1":                     "SELECT 1",
	"a = ? AND b IN (?, ?)":        "a = $1 AND b IN ($2, $3)",
	"a = '?' AND b = ?":            "a = '?' AND b = $1",
	"a = 'it''s ?' AND b = ?":      "a = 'it''s ?' AND b = $1",
	`"odd?name" = ?`:               `"odd?name" = $1`,
	"a -- why?\n= ?":               "a -- why?\n= $1",
	"a -- why?":                    "a -- why?",
	"a - ? / ?":                    "a - $1 / $2",
	"/* who? */ a = ? /* and ?":    "/* who? */ a = $1 /* and ?",
	"/*/ ? */ ?":                   "/*/ ? */ $1",
	"unfinished '?":                "unfinished '?",
	"a = ? -- 'quoted\n AND b = ?": "a = $1 -- 'quoted\n AND b = $2",
}

func TestPlaceholdersAreNumberedOutsideOfQuotesAndComments(t *testing.T) {
	for q, want := range placeholders {
		if got := store.Number(q); got != want {
			t.Errorf("%q became %q, want %q", q, got, want)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for q := range placeholders {
		f.Add(q)
	}
	numbered := regexp.MustCompile(`\?[0-9]`)
	numbers := regexp.MustCompile(`\$[0-9]+`)
	f.Fuzz(func(t *testing.T, q string) {
		if strings.Contains(q, "$") || numbered.MatchString(q) {
			t.Skip("what is found again below would not be unique")
		}
		got := store.Number(q)
		if back := numbers.ReplaceAllString(got, "?"); back != q {
			t.Errorf("%q became %q", q, got)
		}
		if store.Number(got) != got {
			t.Errorf("%q was left with placeholders: %q", q, got)
		}
	})
}
