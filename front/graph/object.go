package graph

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// directoryObject is any user, group or service principal.
func (a *api) directoryObject(q *request) (answer, error) {
	o, err := a.Directory.Object(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	all, err := a.objects(q.Context(), q.caller, []directory.Object{o})
	if err != nil {
		return answer{}, err
	}
	return a.one(q, memberKind, "directoryObjects", all[0])
}

// maxIDs is the most that may be asked for at once (Microsoft Graph docs,
// "directoryObject: getByIds").
const maxIDs = 1000

// objectsByID are those that there are of a list.
func (a *api) objectsByID(q *request) (answer, error) {
	var b struct{ IDs, Types []string }
	if err := q.decode(record("getByIds", map[string]*kind{"ids": listOf(aGUID), "types": listOf(aText)}), nil, &b); err != nil {
		return answer{}, err
	}
	if err := sized(b.IDs, maxIDs, "ids"); err != nil {
		return answer{}, err
	}
	slices.Sort(b.IDs)
	var found []directory.Object
	for _, id := range slices.Compact(b.IDs) {
		o, err := a.Directory.Object(q.Context(), q.caller, id)
		switch {
		case fault.Of(err) == fault.NotFound:
			continue
		case err != nil:
			return answer{}, err
		case len(b.Types) > 0 && !slices.ContainsFunc(b.Types, func(t string) bool {
			return strings.EqualFold(t, string(o.Kind)) || strings.EqualFold(t, "directoryObject")
		}):
			continue
		}
		found = append(found, o)
	}
	all, err := a.objects(q.Context(), q.caller, found)
	if err != nil {
		return answer{}, err
	}
	// All of them: this is an action, and has no pages.
	return ok(object{"@odata.context": a.context(q, "directoryObjects", nil), "value": all})
}
