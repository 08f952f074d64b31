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

// groupIDs are those of the groups that the object of the path is in.
func (a *api) groupIDs(q *request) (ids []string, err error) {
	id, err := a.holder(q)
	if err != nil {
		return nil, err
	}
	groups, err := a.Directory.GroupsOf(q.Context(), q.caller, id)
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	return ids, err
}

// checkGroups tells in which of the groups of a list an object is.
func (a *api) checkGroups(q *request) (answer, error) {
	var b struct{ GroupIDs []string }
	if err := q.decode(record("checkMemberGroups", map[string]*kind{"groupIds": listOf(aGUID)}), nil, &b); err != nil {
		return answer{}, err
	}
	if err := sized(b.GroupIDs, maxCheck, "groupIds"); err != nil {
		return answer{}, err
	}
	ids, err := a.groupIDs(q)
	if err != nil {
		return answer{}, err
	}
	return a.ids(q, slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(b.GroupIDs, id) }))
}

// maxCheck is the most groups that may be asked about at once (Microsoft Graph
// docs, "directoryObject: checkMemberGroups").
const maxCheck = 20

// memberGroups are all groups that an object is in, of which each is a security
// group.
func (a *api) memberGroups(q *request) (answer, error) {
	var b struct{}
	if err := q.decode(record("getMemberGroups", map[string]*kind{"securityEnabledOnly": aBoolean}), nil, &b); err != nil {
		return answer{}, err
	}
	ids, err := a.groupIDs(q)
	if err != nil {
		return answer{}, err
	}
	return a.ids(q, ids)
}

func (a *api) ids(q *request, list []string) (answer, error) {
	return ok(object{"@odata.context": a.context(q, "Collection(Edm.String)", nil), "value": texts(list)})
}

// owners are none: who may change what is said by roles alone.
func (a *api) owners(q *request) (answer, error) {
	var err error
	if strings.EqualFold(q.parts[0], "applications") {
		_, err = a.applicationOf(q)
	} else {
		_, err = a.holder(q)
	}
	if err != nil {
		return answer{}, err
	}
	return a.list(q, memberKind, "directoryObjects", nil)
}
