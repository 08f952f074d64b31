package keyvault

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/door"
)

const (
	provider  = "Microsoft.KeyVault"
	vaultType = provider + "/vaults"
)

// ResourcesConfig is what the API of vaults as resources answers from.
type ResourcesConfig struct {
	Vaults        *vault.Set
	Subscriptions *subscription.Set
	Tokens        verifier // for the audiences of the resource API

	URL      string // of the resource API, in what it answers
	LoginURL string
	VaultURL string // Config.URL: what vaults are below
	Rate     Rate   // of one principal in one subscription; zero is 200 at once and 10 a second
	Log      *slog.Logger
}

// resources is the API of vaults.
type resources struct {
	ResourcesConfig
	domain, port string // RO
}

// Resources serves vaults, their access policies and private endpoint
// connections as resources. It is mounted beside the resource API, for the
// paths that IsResource names.
func Resources(c ResourcesConfig) http.Handler {
	a := &resources{ResourcesConfig: c}
	a.Log = cmp.Or(c.Log, slog.Default())
	a.URL = strings.TrimRight(c.URL, "/")
	a.domain, a.port = domainOf(c.VaultURL)
	if c.Tokens == nil {
		panic("keyvault: nobody verifies tokens")
	}
	one := &api{tokens: c.Tokens, routes: a.routes(), admit: a.admit, may: a.may, rate: cmp.Or(c.Rate, Rate{Burst: 200, PerSecond: 10})}
	// Azure Resource Manager docs, "Common API Details".
	one.codes = map[string]string{"VaultNotFound": "ResourceNotFound", "NotFound": "ResourceNotFound", "BadParameter": "BadRequest", "Forbidden": "AuthorizationFailed", "Unauthorized": "AuthenticationFailed", "Throttled": "TooManyRequests"}
	challenge := `Bearer authorization_uri="` + strings.TrimRight(cmp.Or(c.LoginURL, c.URL), "/") + "/" + c.Subscriptions.Tenant().ID + `"`
	return one.handler("vault resources", challenge, a.Log)
}

// IsResource tells whether a path of the resource API is of a vault.
func IsResource(path string) bool {
	return strings.Contains(strings.ToLower(path)+"/", "/providers/microsoft.keyvault/")
}

func (a *resources) routes() []route {
	const (
		of      = "subscriptions/{subscription}/providers/" + provider
		in      = "subscriptions/{subscription}/resourceGroups/{group}/providers/" + vaultType
		one     = in + "/{vault}"
		links   = one + "/privateEndpointConnections"
		link    = links + "/{connection}"
		trash   = of + "/locations/{location}/deletedVaults/{vault}"
		linking = vaultType + "/privateEndpointConnections"
	)
	return []route{
		{method: "GET", path: of + "/vaults", do: a.list},
		{method: "GET", path: in, do: a.list},
		{method: "GET", path: one, action: vaultType + "/read", do: a.get},
		{method: "PUT", path: one, action: vaultType + "/write", most: maxBody, do: a.put},
		{method: "PATCH", path: one, action: vaultType + "/write", most: maxBody, do: a.patch},
		{method: "DELETE", path: one, action: vaultType + "/delete", do: a.delete},
		{method: "PUT", path: one + "/accessPolicies/{how}", action: vaultType + "/accessPolicies/write", most: maxBody, do: a.policies},
		{method: "GET", path: links, action: linking + "/read", do: a.listConnections},
		{method: "GET", path: link, action: linking + "/read", do: a.getConnection},
		{method: "PUT", path: link, action: linking + "/write", most: maxBody, do: a.putConnection},
		{method: "DELETE", path: link, action: linking + "/delete", do: a.deleteConnection},
		{method: "GET", path: of + "/deletedVaults", do: a.listDeleted},
		{method: "GET", path: trash, action: provider + "/locations/deletedVaults/read", do: a.getDeleted},
		{method: "POST", path: trash + "/purge", action: provider + "/locations/deletedVaults/purge/action", do: a.purge},
		{method: "POST", path: of + "/checkNameAvailability", action: provider + "/checkNameAvailability/read", most: maxBody, do: a.checkName},
	}
}

var dated = regexp.MustCompile(`(?i)^\d{4}-\d{2}-\d{2}(-preview)?$`)

// admit finds out what the principal may do.
func (a *resources) admit(q *request) (err error) {
	q.bucket = bucketKey{q.principal.Object, strings.ToLower(q.vars["subscription"])}
	q.access, err = a.Subscriptions.Access(q.Context(), q.principal)
	return err
}

// may tells whether the principal may do it. Lists show what he may see, down
// to nothing.
func (a *resources) may(q *request) error {
	sub, scope := subscription.Path(q.vars["subscription"]), "/"+strings.Join(q.parts, "/")
	err := q.access.Check(scope, subscription.Action(q.route.action))
	if q.route.action == "" && q.access.Touches(sub) {
		err = nil
	}
	if err != nil {
		a.refused(q, scope)
		return err
	}
	if _, err := a.Subscriptions.Subscription(q.vars["subscription"]); err != nil {
		return err
	}
	if !dated.MatchString(q.query.Get("api-version")) {
		return refusal(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests: write a date, such as 2023-07-01.")
	}
	return nil
}

// refused tells the audit trail of a change that was not allowed.
func (a *resources) refused(q *request, scope string) {
	if q.Method == http.MethodGet {
		return
	}
	err := a.Subscriptions.Record(q.Context(), subscription.Entry{Action: q.route.action, Resource: door.Printable(scope), Outcome: "Denied"})
	if err != nil {
		a.Log.Error("the audit trail misses a refusal", "resource", door.Printable(scope), "principal", q.principal.String(), obs.KeyError, err)
	}
}

func (q *request) id() vault.ID {
	return vault.ID{Subscription: strings.ToLower(q.vars["subscription"]), Group: q.vars["group"], Name: q.vars["vault"]}
}

func (a *resources) get(q *request) (answer, error) {
	r, err := a.Vaults.Get(q.Context(), q.id())
	if err != nil {
		return answer{}, err
	}
	return ok(a.shape(r))
}

// list shows what of the subscription, or of the group, the principal may see.
func (a *resources) list(q *request) (answer, error) {
	p, err := q.skip()
	if err != nil {
		return answer{}, err
	}
	found, next, err := a.Vaults.List(q.Context(), q.vars["subscription"], q.vars["group"], p)
	if err != nil {
		return answer{}, err
	}
	value := []any{}
	for _, r := range found {
		if q.access.May(r.ID.String(), vaultType+"/read") {
			value = append(value, a.shape(r))
		}
	}
	return a.pageOf(q, value, next)
}

func (a *resources) listDeleted(q *request) (answer, error) {
	p, err := q.skip()
	if err != nil {
		return answer{}, err
	}
	found, next, err := a.Vaults.Deleted(q.Context(), q.vars["subscription"], p)
	if err != nil {
		return answer{}, err
	}
	value := []any{}
	for _, r := range found {
		if q.access.May(r.ID.String(), provider+"/deletedVaults/read") {
			value = append(value, shapeDeleted(r))
		}
	}
	return a.pageOf(q, value, next)
}

func (a *resources) put(q *request) (answer, error) {
	var body resourceBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if strings.EqualFold(body.Properties.CreateMode, "recover") {
		r, err := a.Vaults.Recover(q.Context(), q.principal, q.id())
		if err != nil {
			return answer{}, err
		}
		return ok(a.shape(r))
	}
	if _, err := a.Subscriptions.Location(body.Location); err != nil {
		return answer{}, err
	}
	v := vault.Vault{Location: body.Location}
	// What cannot be changed and is not said stays.
	if old, err := a.Vaults.Get(q.Context(), q.id()); err == nil {
		v.RetentionDays, v.PurgeGuard = old.RetentionDays, old.PurgeGuard
	}
	if err := a.apply(body, &v); err != nil {
		return answer{}, err
	}
	r, created, err := a.Vaults.Put(q.Context(), q.principal, q.id(), v)
	if err != nil {
		return answer{}, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer{Status: status, Body: a.shape(r)}, nil
}

func (a *resources) patch(q *request) (answer, error) {
	var body resourceBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	r, err := a.Vaults.Alter(q.Context(), q.principal, q.id(), "vaults/write", func(v *vault.Vault) error { return a.apply(body, v) })
	if err != nil {
		return answer{}, err
	}
	return ok(a.shape(r))
}

func (a *resources) delete(q *request) (answer, error) {
	err := a.Vaults.Delete(q.Context(), q.principal, q.id())
	switch {
	case fault.Of(err) == fault.NotFound:
		return answer{Status: http.StatusNoContent}, nil
	case err != nil:
		return answer{}, err
	}
	return answer{Status: http.StatusOK}, nil
}

func (a *resources) policies(q *request) (answer, error) {
	how := strings.ToLower(q.vars["how"])
	if !slices.Contains([]string{vault.AddPolicies, vault.ReplacePolicies, vault.RemovePolicies}, how) {
		return answer{}, badParameter("Access policies are changed by 'add', 'replace' or 'remove'.")
	}
	var body resourceBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if body.Properties.Policies == nil {
		return answer{}, badParameter("properties.accessPolicies is required.")
	}
	r, err := a.Vaults.ChangePolicies(q.Context(), q.principal, q.id(), how, a.readPolicies(*body.Properties.Policies))
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{
		"id": r.ID.String() + "/accessPolicies/", "type": vaultType + "/accessPolicies", "location": r.Location,
		"properties": map[string]any{"accessPolicies": shapePolicies(r)},
	})
}

func (a *resources) getDeleted(q *request) (answer, error) {
	r, err := a.deleted(q)
	if err != nil {
		return answer{}, err
	}
	return ok(shapeDeleted(r))
}

func (a *resources) deleted(q *request) (vault.Resource, error) {
	r, err := a.Vaults.GetDeleted(q.Context(), q.vars["subscription"], q.vars["vault"])
	if err == nil && r.Location != subscription.Normal(q.vars["location"]) {
		err = refusal(http.StatusNotFound, "DeletedVaultNotFound", "The deleted vault is not in this location.")
	}
	return r, err
}

func (a *resources) purge(q *request) (answer, error) {
	r, err := a.deleted(q)
	if err == nil {
		err = a.Vaults.PurgeVault(q.Context(), q.principal, r.ID.Subscription, r.ID.Name)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusOK}, nil
}

func (a *resources) checkName(q *request) (answer, error) {
	var body struct{ Name, Type string }
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if !strings.EqualFold(body.Type, vaultType) {
		return answer{}, badParameter("type must be %s.", vaultType)
	}
	reason, message, err := a.Vaults.Free(q.Context(), body.Name)
	if err != nil {
		return answer{}, err
	}
	if reason == "" {
		return ok(map[string]any{"nameAvailable": true})
	}
	return ok(map[string]any{"nameAvailable": false, "reason": reason, "message": message})
}

func (a *resources) listConnections(q *request) (answer, error) {
	r, err := a.Vaults.Get(q.Context(), q.id())
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"value": shapeConnections(r)})
}

func (a *resources) getConnection(q *request) (answer, error) {
	r, err := a.Vaults.Get(q.Context(), q.id())
	if err != nil {
		return answer{}, err
	}
	i := slices.IndexFunc(r.Connections, func(c vault.Connection) bool { return strings.EqualFold(c.Name, q.vars["connection"]) })
	if i < 0 {
		return answer{}, fault.New(fault.NotFound, "There is no private endpoint connection of this name.")
	}
	return ok(shapeConnection(r.ID, r.Connections[i]))
}

// putConnection decides on a connection; one that is not there is asked for.
func (a *resources) putConnection(q *request) (answer, error) {
	var body connectionBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	c, err := body.read(q.vars["connection"])
	if err != nil {
		return answer{}, err
	}
	status := http.StatusOK
	done, err := a.Vaults.Decide(q.Context(), q.principal, q.id(), c)
	if fault.Of(err) == fault.NotFound {
		status = http.StatusCreated
		done, err = a.Vaults.Ask(q.Context(), q.principal, q.id(), c)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{Status: status, Body: shapeConnection(q.id(), done)}, nil
}

func (a *resources) deleteConnection(q *request) (answer, error) {
	err := a.Vaults.Disconnect(q.Context(), q.principal, q.id(), q.vars["connection"])
	if fault.Of(err) == fault.NotFound {
		return answer{Status: http.StatusNoContent}, nil
	}
	return answer{Status: http.StatusOK}, err
}

// skip reads which part of a list is wanted.
func (q *request) skip() (p vault.Page, err error) {
	mark, err := base64.RawURLEncoding.DecodeString(q.query.Get("$skiptoken"))
	if err != nil || !utf8.Valid(mark) || slices.Contains(mark, 0) {
		return p, badParameter("The query parameter '$skiptoken' is not valid: take nextLink as it is.")
	}
	return vault.Page{After: string(mark)}, nil
}

func (a *resources) pageOf(q *request, value []any, next string) (answer, error) {
	page := map[string]any{"value": value}
	if next != "" {
		v := url.Values{"api-version": {q.query.Get("api-version")}, "$skiptoken": {base64.RawURLEncoding.EncodeToString([]byte(next))}}
		page["nextLink"] = fmt.Sprintf("%s%s?%s", a.URL, (&url.URL{Path: q.URL.Path}).EscapedPath(), v.Encode())
	}
	return ok(page)
}
