package arm

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// route is one operation of the API.
type route struct {
	method  string
	path    string // {name} stands for one part; the case of the rest does not count
	action  subscription.Action
	voice   string // resource type, of what has api-versions of our own
	open    bool   // needs no token
	partial bool   // shows what the principal may see, down to nothing
	do      func(*api, *request) (answer, error)
	parts   []string // of path, in lower case but for names
}

// Paths that many routes begin with.
const (
	atSubscription = "subscriptions/{subscription}"
	atGroups       = atSubscription + "/resourceGroups"
	atGroup        = atGroups + "/{group}"
	atGateways     = atGroup + "/providers/" + gatewayType
	atGateway      = atGateways + "/{gateway}"
	atLines        = atGateway + "/testLines"
	atLine         = atLines + "/{line}"
	atLocation     = atSubscription + "/providers/" + provider + "/locations/{location}"
)

// routes are all operations, in the order in which they are described.
func routes() []route {
	all := []route{
		{method: "GET", path: "metadata/endpoints", open: true, do: (*api).metadata},

		{method: "GET", path: "tenants", partial: true, do: (*api).tenants},
		{method: "GET", path: "subscriptions", partial: true, do: (*api).subscriptions},
		{method: "GET", path: atSubscription, partial: true, action: "Microsoft.Resources/subscriptions/read", do: (*api).subscription},
		{method: "GET", path: atSubscription + "/locations", partial: true, action: "Microsoft.Resources/subscriptions/locations/read", do: (*api).locations},
		{method: "GET", path: "providers", partial: true, do: (*api).providers},
		{method: "GET", path: "providers/{namespace}", partial: true, do: (*api).provider},
		{method: "GET", path: atSubscription + "/providers", partial: true, action: "Microsoft.Resources/subscriptions/providers/read", do: (*api).providers},
		{method: "GET", path: atSubscription + "/providers/{namespace}", partial: true, action: "Microsoft.Resources/subscriptions/providers/read", do: (*api).provider},
		{method: "POST", path: atSubscription + "/providers/{namespace}/register", action: provider + "/register/action", do: (*api).provider},
		{method: "POST", path: atSubscription + "/providers/{namespace}/unregister", action: provider + "/unregister/action", do: (*api).provider},

		{method: "GET", path: atGroups, partial: true, action: "Microsoft.Resources/subscriptions/resourceGroups/read", do: (*api).listGroups},
		{method: "GET", path: atGroup, action: "Microsoft.Resources/subscriptions/resourceGroups/read", do: (*api).getGroup},
		{method: "HEAD", path: atGroup, action: "Microsoft.Resources/subscriptions/resourceGroups/read", do: (*api).headGroup},
		{method: "PUT", path: atGroup, action: "Microsoft.Resources/subscriptions/resourceGroups/write", do: (*api).putGroup},
		{method: "PATCH", path: atGroup, action: "Microsoft.Resources/subscriptions/resourceGroups/write", do: (*api).patchGroup},
		{method: "DELETE", path: atGroup, action: "Microsoft.Resources/subscriptions/resourceGroups/delete", do: (*api).deleteGroup},
		{method: "GET", path: atGroup + "/resources", action: "Microsoft.Resources/subscriptions/resourceGroups/resources/read", do: (*api).listResources},
		{method: "GET", path: atSubscription + "/resources", partial: true, action: "Microsoft.Resources/subscriptions/resources/read", do: (*api).listResources},
		{method: "GET", path: atSubscription + "/operationresults/{operation}", partial: true, action: "Microsoft.Resources/subscriptions/operationresults/read", do: (*api).operationResult},

		{method: "GET", path: "providers/" + provider + "/operations", partial: true, voice: "operations", do: (*api).operations},
		{method: "GET", path: atSubscription + "/providers/" + gatewayType, partial: true, action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).listGateways},
		{method: "GET", path: atGateways, partial: true, action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).listGateways},
		{method: "GET", path: atGateway, action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).getGateway},
		{method: "PUT", path: atGateway, action: gatewayType + "/write", voice: "communicationsGateways", do: (*api).putGateway},
		{method: "PATCH", path: atGateway, action: gatewayType + "/write", voice: "communicationsGateways", do: (*api).patchGateway},
		{method: "DELETE", path: atGateway, action: gatewayType + "/delete", voice: "communicationsGateways", do: (*api).deleteGateway},
		{method: "GET", path: atLines, action: testLineType + "/read", voice: "communicationsGateways/testLines", do: (*api).listLines},
		{method: "GET", path: atLine, action: testLineType + "/read", voice: "communicationsGateways/testLines", do: (*api).getLine},
		{method: "PUT", path: atLine, action: testLineType + "/write", voice: "communicationsGateways/testLines", do: (*api).putLine},
		{method: "PATCH", path: atLine, action: testLineType + "/write", voice: "communicationsGateways/testLines", do: (*api).patchLine},
		{method: "DELETE", path: atLine, action: testLineType + "/delete", voice: "communicationsGateways/testLines", do: (*api).deleteLine},
		{method: "POST", path: atLocation + "/checkNameAvailability", partial: true, action: provider + "/locations/checkNameAvailability/action", voice: "locations/checkNameAvailability", do: (*api).checkName},
		{method: "GET", path: atLocation + "/operationStatuses/{operation}", partial: true, action: provider + "/locations/operationStatuses/read", voice: "locations/operationStatuses", do: (*api).operationStatus},
		{method: "GET", path: atLocation + "/operationResults/{operation}", partial: true, action: provider + "/locations/operationResults/read", voice: "locations/operationResults", do: (*api).operationResult},

		{method: "GET", path: atSubscription + "/providers/Microsoft.Insights/eventtypes/management/values", partial: true, action: "Microsoft.Insights/eventtypes/values/read", do: (*api).activity},

		// Additions of ours.
		{method: "GET", path: atGateway + "/readiness", action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).readiness},
		{method: "GET", path: atGateway + "/integrationNumbers", action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).getNumbers},
		{method: "PUT", path: atGateway + "/integrationNumbers", action: gatewayType + "/write", voice: "communicationsGateways", do: (*api).putNumbers},
		{method: "GET", path: atGateway + "/testSchedule", action: gatewayType + "/read", voice: "communicationsGateways", do: (*api).getSchedule},
		{method: "PUT", path: atGateway + "/testSchedule", action: gatewayType + "/write", voice: "communicationsGateways", do: (*api).putSchedule},
		{method: "POST", path: atLine + "/call", action: testLineType + "/call/action", voice: "communicationsGateways/testLines", do: (*api).callLine},
		{method: "GET", path: atLine + "/calls", action: testLineType + "/read", voice: "communicationsGateways/testLines", do: (*api).lineCalls},
		{method: "POST", path: atLocation + "/operationStatuses/{operation}/cancel", partial: true, action: provider + "/locations/operationStatuses/cancel/action", voice: "locations/operationStatuses", do: (*api).cancelOperation},
	}
	// Roles are assigned at a subscription or a group, and asked for anywhere.
	const authorization = "/providers/Microsoft.Authorization/"
	for _, at := range []string{atSubscription, atGroup, atGateway, atLine} {
		all = append(all,
			route{method: "GET", path: at + authorization + "roleAssignments", action: "Microsoft.Authorization/roleAssignments/read", do: (*api).listAssignments},
			route{method: "GET", path: at + authorization + "roleAssignments/{assignment}", action: "Microsoft.Authorization/roleAssignments/read", do: (*api).getAssignment},
			route{method: "PUT", path: at + authorization + "roleAssignments/{assignment}", action: "Microsoft.Authorization/roleAssignments/write", do: (*api).putAssignment},
			route{method: "DELETE", path: at + authorization + "roleAssignments/{assignment}", action: "Microsoft.Authorization/roleAssignments/delete", do: (*api).deleteAssignment},
			route{method: "GET", path: at + authorization + "roleDefinitions", partial: true, action: "Microsoft.Authorization/roleDefinitions/read", do: (*api).listDefinitions},
			route{method: "GET", path: at + authorization + "roleDefinitions/{definition}", partial: true, action: "Microsoft.Authorization/roleDefinitions/read", do: (*api).getDefinition},
		)
	}
	all = append(all,
		route{method: "GET", path: authorization[1:] + "roleDefinitions", partial: true, do: (*api).listDefinitions},
		route{method: "GET", path: authorization[1:] + "roleDefinitions/{definition}", partial: true, do: (*api).getDefinition},
	)
	for i := range all {
		all[i].parts = split(all[i].path)
	}
	return all
}

func split(path string) []string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if !strings.HasPrefix(p, "{") {
			parts[i] = strings.ToLower(p)
		}
	}
	return parts
}

// match finds the route of a request and fills in what its path names. The
// error says what is wrong with the path, for those who may know.
func (a *api) match(q *request) (found route, err error) {
	path := strings.Trim(q.path, "/")
	if len(path) > door.MaxPath || strings.Contains(path, "//") {
		return found, fail(http.StatusNotFound, "InvalidResourcePath", "The path of the URL is too long, or has an empty part.")
	}
	said := strings.Split(path, "/")
	found, q.vars, err = door.Find(a.routes, q.Method, func(rt route) (string, map[string]string) { return rt.method, door.Fit(rt.parts, said) })
	if errors.Is(err, door.ErrNoRoute) {
		err = unknownPath(said)
	}
	return found, err
}

// dropped are children of a gateway that one version had and no later one.
var dropped = map[string]string{
	"contacts":                   "2022-12-01-preview",
	"operatorvoicemailinstances": "2023-03-01-preview",
}

// unknownPath says what of a path is not known: people need another sentence
// for a wrong word than for a resource that is gone.
func unknownPath(said []string) error {
	i := slices.IndexFunc(said, func(p string) bool { return strings.EqualFold(p, "providers") })
	if i < 0 || i+1 >= len(said) {
		return fail(http.StatusNotFound, "InvalidResourcePath", "There is nothing at the path '%s'.", door.Printable(strings.Join(said, "/")))
	}
	namespace := said[i+1]
	if !slices.ContainsFunc([]string{provider, "Microsoft.Authorization", "Microsoft.Insights"}, func(known string) bool { return strings.EqualFold(known, namespace) }) {
		return fail(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid: this deployment has %s.", door.Printable(namespace), provider)
	}
	for _, part := range said[i+2:] {
		if only, is := dropped[strings.ToLower(part)]; is {
			return fail(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the namespace '%s': it was part of api-version %s only, and is not offered by this deployment in any version. Leave it out; gateways and test lines need nothing of it.",
				door.Printable(part), provider, only)
		}
	}
	return fail(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the namespace '%s'.", door.Printable(strings.Join(said[i+2:], "/")), door.Printable(namespace))
}

// scope is what a principal needs a role for: the resource itself.
func (rt route) scope(q *request) string {
	parts := strings.Split(q.path, "/")
	for i := len(parts) - 2; i > 0; i-- {
		if strings.EqualFold(parts[i], "providers") && strings.EqualFold(parts[i+1], "Microsoft.Authorization") {
			return strings.Join(parts[:i], "/")
		}
	}
	return q.path
}

// mayRun tells whether the principal may have the route run. Those that show
// only what it may see run for everybody who has a role anywhere below.
func (rt route) mayRun(q *request) bool {
	switch {
	case !rt.partial:
		return q.access.May(rt.scope(q), rt.action)
	case q.vars["subscription"] == "":
		return true // all of the tenant
	}
	return q.access.Touches(subscription.Path(q.vars["subscription"])) && (q.vars["group"] == "" || q.access.Touches(subscription.GroupPath(q.vars["subscription"], q.vars["group"])))
}
