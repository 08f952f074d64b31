package door

import (
	"slices"
	"strings"
)

// MaxPath is far above any path that means something.
const MaxPath = 2048

// Find gives the route of a request and what its path names. look gives a
// route's method, and what the path names by it, nil when it does not fit.
// Where the path leads somewhere, but not by this method, the error has those
// by which it does, and vars are of one of these.
func Find[R any](routes []R, method string, look func(R) (method string, vars map[string]string)) (found R, vars map[string]string, err error) {
	var methods []string
	for _, rt := range routes {
		its, named := look(rt)
		switch {
		case named == nil:
		case its == method:
			return rt, named, nil
		default:
			methods, vars = append(methods, its), named
		}
	}
	if methods == nil {
		return found, nil, ErrNoRoute
	}
	slices.Sort(methods)
	return found, vars, &slip{error: ErrMethod, about: method, allow: strings.Join(slices.Compact(methods), ", ")}
}

// Fit gives what the parts of a path name by a pattern, nil when they are not
// of it. {name} stands for one part; the case of the rest does not count.
func Fit(pattern, said []string) map[string]string {
	if len(said) != len(pattern) {
		return nil
	}
	vars := map[string]string{}
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "{"):
			vars[p[1:len(p)-1]] = said[i]
		case !strings.EqualFold(p, said[i]):
			return nil
		}
	}
	return vars
}
