package phone

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every rule that a far side notes is in the list of its sources.
func TestEveryRuleHasASource(t *testing.T) {
	noted := regexp.MustCompile(`(?:[vV]iolate\(|note\(|Fail\(|refuse\(|broken\{\{?|want = )"([a-z0-9-]+)"`)
	listed := regexp.MustCompile(`(?m)^\t"([a-z0-9-]+)": `)
	for _, side := range []string{"phone", "teams", "carrier", "zoom"} {
		files, err := filepath.Glob("../" + side + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		rules, sources := map[string]bool{}, map[string]bool{}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range noted.FindAllSubmatch(text, -1) {
				rules[string(m[1])] = true
			}
			if _, list, ok := strings.Cut(string(text), "\nvar Sources = "); ok {
				list, _, _ = strings.Cut(list, "\n}")
				for _, m := range listed.FindAllStringSubmatch(list, -1) {
					sources[m[1]] = true
				}
			}
		}
		if len(rules) < 5 {
			t.Errorf("%s: found only the rules %v", side, rules)
		}
		for r := range rules {
			if !sources[r] && Sources[r] == "" {
				t.Errorf("%s: rule %s has no source", side, r)
			}
		}
	}
}
