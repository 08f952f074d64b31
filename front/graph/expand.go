package graph

import (
	"slices"
	"strings"
)

// expansion is what hangs on an object and may be asked for with it.
type expansion struct {
	name string
	of   func(a *api, q *request, id string) ([]object, error)
}

// mostExpanded is how many objects of a list are expanded in one page (Microsoft
// Graph docs, "Use query parameters to customize responses", expand).
const mostExpanded = 20

// expansions of a kind's objects, by the kind's name.
var expansions = map[string][]expansion{
	userKind.name:  {{"appRoleAssignments", (*api).rolesOf}, {"memberOf", (*api).membershipsOf}},
	groupKind.name: {{"appRoleAssignments", (*api).rolesOf}, {"members", (*api).membersOf}},
	principalKind.name: {
		{"appRoleAssignments", (*api).rolesOf}, {"appRoleAssignedTo", (*api).rolesAt}, {"memberOf", (*api).membershipsOf},
	},
}

// expansions reads $expand.
func (q query) expansions(k *kind) (list []expansion, err error) {
	text := q.get("expand")
	if text == "" {
		return nil, nil
	}
	for said := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(expansions[k.name], func(e expansion) bool { return strings.EqualFold(e.name, strings.TrimSpace(said)) })
		if i < 0 {
			return nil, unsupported("'%s' cannot be expanded on type '%s'.", said, k.name)
		}
		list = append(list, expansions[k.name][i])
	}
	return list, nil
}

// expand adds to an answer what was asked for with an object.
func (a *api) expand(q *request, list []expansion, o, out object) error {
	id, _ := o["id"].(string)
	for _, e := range list {
		found, err := e.of(a, q, id)
		if err != nil {
			return err
		}
		if found == nil {
			found = []object{}
		}
		out[e.name] = found
	}
	return nil
}

func (a *api) rolesOf(q *request, id string) ([]object, error) {
	list, err := a.Directory.AssignmentsOf(q.Context(), q.caller, id)
	return shaped(list, assignmentShape), err
}

func (a *api) rolesAt(q *request, id string) ([]object, error) {
	list, err := a.Directory.AssignedTo(q.Context(), q.caller, id)
	return shaped(list, assignmentShape), err
}
