package arm

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

func (a *api) tenants(*request) (answer, error) {
	t := a.Subscriptions.Tenant()
	return ok(list{Value: []map[string]any{{
		"id": "/tenants/" + t.ID, "tenantId": t.ID, "displayName": t.Name, "tenantCategory": "Home", "countryCode": "", "domains": []string{}, "defaultDomain": "", "tenantType": "AAD",
	}}})
}

func (a *api) shapeSubscription(s subscription.Subscription) map[string]any {
	return map[string]any{
		"id": subscription.Path(s.ID), "subscriptionId": s.ID, "tenantId": a.Subscriptions.Tenant().ID, "displayName": s.Name, "state": "Enabled",
		"authorizationSource": "RoleBased", "managedByTenants": []string{},
		"subscriptionPolicies": map[string]string{"locationPlacementId": "Public_2014-09-01", "quotaId": "Internal_2014-09-01", "spendingLimit": "Off"},
	}
}

// subscriptions are those in which the principal has any role.
func (a *api) subscriptions(q *request) (answer, error) {
	value := []map[string]any{}
	for _, s := range a.Subscriptions.Subscriptions() {
		if q.access.Touches(subscription.Path(s.ID)) {
			value = append(value, a.shapeSubscription(s))
		}
	}
	return ok(map[string]any{"value": value, "count": map[string]any{"type": "Total", "value": len(value)}})
}

func (a *api) subscription(q *request) (answer, error) {
	s, err := a.Subscriptions.Subscription(q.vars["subscription"])
	if err != nil {
		return answer{}, err
	}
	return ok(a.shapeSubscription(s))
}

func (a *api) locations(q *request) (answer, error) {
	value := []map[string]any{}
	for _, l := range a.Subscriptions.Locations() {
		value = append(value, map[string]any{
			"id": subscription.Path(q.vars["subscription"]) + "/locations/" + l.Name, "name": l.Name, "type": "Region", "displayName": l.DisplayName, "regionalDisplayName": l.DisplayName,
			"metadata": map[string]any{"regionType": "Physical", "regionCategory": "Recommended"},
		})
	}
	return ok(list{Value: value})
}

// locationNames are the display names of locations that fit.
func (a *api) locationNames(fit func(subscription.Location) bool) []string {
	names := []string{}
	for _, l := range a.Subscriptions.Locations() {
		if fit(l) {
			names = append(names, l.DisplayName)
		}
	}
	return names
}

// shapeProvider is the one resource provider there is. It needs no
// registration, so it always is.
func (a *api) shapeProvider(sub string) map[string]any {
	newest := make([]string, len(versions))
	for i, v := range versions {
		newest[len(versions)-1-i] = v
	}
	kind := func(name string, locations []string, capabilities string) map[string]any {
		return map[string]any{"resourceType": name, "locations": locations, "apiVersions": newest, "defaultApiVersion": "2023-09-01", "capabilities": capabilities}
	}
	all := a.locationNames(func(subscription.Location) bool { return true })
	home := a.locationNames(func(l subscription.Location) bool { return l.Management })
	p := map[string]any{
		"namespace": provider, "registrationState": "Registered", "registrationPolicy": "RegistrationFree",
		"resourceTypes": []any{
			kind("communicationsGateways", home, "SystemAssignedResourceIdentity, SupportsTags, SupportsLocation"),
			kind("communicationsGateways/testLines", home, "SupportsTags, SupportsLocation"),
			kind("locations", []string{}, "None"),
			kind("locations/checkNameAvailability", all, "None"),
			kind("locations/operationStatuses", all, "None"),
			kind("locations/operationResults", all, "None"),
			kind("operations", []string{}, "None"),
		},
	}
	if sub != "" {
		p["id"] = subscription.Path(sub) + "/providers/" + provider
	}
	return p
}

func (a *api) providers(q *request) (answer, error) {
	return ok(list{Value: []any{a.shapeProvider(q.vars["subscription"])}})
}

func (a *api) provider(q *request) (answer, error) {
	if !strings.EqualFold(q.vars["namespace"], provider) {
		return answer{}, fail(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid: this deployment has %s.", door.Printable(q.vars["namespace"]), provider)
	}
	return ok(a.shapeProvider(q.vars["subscription"]))
}

// operations are what may be done, by the actions that roles allow.
func (a *api) operations(q *request) (answer, error) {
	type display struct {
		Provider    string `json:"provider"`
		Resource    string `json:"resource"`
		Operation   string `json:"operation"`
		Description string `json:"description"`
	}
	type operation struct {
		Name       string  `json:"name"`
		DataAction bool    `json:"isDataAction"`
		Display    display `json:"display"`
		Origin     string  `json:"origin"`
	}
	value := []operation{}
	for _, x := range []struct{ action, resource, verb, about string }{
		{"/register/action", "Provider", "Register", "Registers the subscription; it always is."},
		{"/unregister/action", "Provider", "Unregister", "Leaves the subscription registered."},
		{"/operations/read", "Operations", "List operations", "Lists what may be done."},
		{"/communicationsGateways/read", "Communications gateway", "Get or list gateways", "Reads gateways, their readiness and their integration numbers."},
		{"/communicationsGateways/write", "Communications gateway", "Create or update a gateway", "Makes and changes gateways and their integration numbers."},
		{"/communicationsGateways/delete", "Communications gateway", "Delete a gateway", "Deletes gateways."},
		{"/communicationsGateways/testLines/read", "Test line", "Get or list test lines", "Reads test lines."},
		{"/communicationsGateways/testLines/write", "Test line", "Create or update a test line", "Makes and changes test lines."},
		{"/communicationsGateways/testLines/delete", "Test line", "Delete a test line", "Deletes test lines."},
		{"/locations/checkNameAvailability/action", "Name", "Check a name", "Tells whether the name of a gateway or a test line is free."},
		{"/locations/operationStatuses/read", "Operation", "Get an operation", "Tells how far an operation is."},
		{"/locations/operationStatuses/cancel/action", "Operation", "Cancel an operation", "Asks an operation to stop."},
		{"/locations/operationResults/read", "Operation", "Get an operation's result", "Waits for an operation."},
	} {
		value = append(value, operation{provider + x.action, false, display{provider, x.resource, x.verb, x.about}, "user,system"})
	}
	return ok(list{Value: value})
}

// metadata tells clients where everything is, in the three forms that there
// have been: one object, a list of objects, and a small one before both.
func (a *api) metadata(q *request) (answer, error) {
	v := q.query.Get("api-version")
	audiences := append([]string{}, a.Audiences...)
	if len(audiences) == 0 {
		audiences = []string{a.URL + "/"}
	}
	tenant := a.Subscriptions.Tenant().ID
	if v == "1.0" || strings.HasPrefix(v, "2015") {
		return ok(map[string]any{
			"galleryEndpoint": a.URL, "graphEndpoint": a.URL, "portalEndpoint": a.URL, "graphAudience": a.URL,
			"authentication": map[string]any{"loginEndpoint": a.LoginURL + "/" + tenant, "audiences": audiences},
		})
	}
	if err := platformVersion(v); err != nil {
		return answer{}, err
	}
	host := ""
	if u, err := url.Parse(a.URL); err == nil {
		host = u.Hostname()
	}
	cloud := map[string]any{
		// Without a slash at its end: HashiCorp's clients add one, and lose the
		// last part of a path that begins with two.
		"name": a.Name, "portal": a.URL, "resourceManager": a.URL, "gallery": a.URL, "graph": a.URL, "graphAudience": a.URL,
		"microsoftGraphResourceId": a.URL, "batch": a.URL, "media": a.URL, "sqlManagement": a.URL, "vmImageAliasDoc": a.URL, "activeDirectoryDataLake": a.URL,
		"authentication": map[string]any{"loginEndpoint": a.LoginURL, "audiences": audiences, "tenant": tenant, "identityProvider": "AAD"},
		"suffixes": map[string]string{
			"keyVaultDns": "vault." + host, "mhsmDns": "managedhsm." + host, "storage": "storage." + host, "acrLoginServer": "registry." + host,
			"sqlServerHostname": "sql." + host, "azureDataLakeStoreFileSystem": "datalake." + host, "azureDataLakeAnalyticsCatalogAndJob": "analytics." + host,
		},
	}
	if v < "2022" {
		return ok([]any{cloud})
	}
	return ok(cloud)
}
