package keyvault

import (
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/vault"
)

// resourceBody is what a client says of a vault. What has no place in it is
// for keys, certificates and deployments, which Tandem's vaults do not serve.
type resourceBody struct {
	Location   string             `json:"location"`
	Tags       *map[string]string `json:"tags"`
	Properties struct {
		Tenant       string        `json:"tenantId"`
		SKU          *sku          `json:"sku"`
		Policies     *[]policyBody `json:"accessPolicies"`
		SoftDelete   *bool         `json:"enableSoftDelete"`
		Days         *int          `json:"softDeleteRetentionInDays"`
		PurgeGuard   *bool         `json:"enablePurgeProtection"`
		RBAC         *bool         `json:"enableRbacAuthorization"`
		CreateMode   string        `json:"createMode"`
		Network      *networkBody  `json:"networkAcls"`
		PublicAccess *string       `json:"publicNetworkAccess"`
	} `json:"properties"`
}

type sku struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type policyBody struct {
	Tenant      string              `json:"tenantId"`
	Object      string              `json:"objectId"`
	Application string              `json:"applicationId,omitempty"`
	Permissions map[string][]string `json:"permissions"`
}

type networkBody struct {
	Bypass  string    `json:"bypass"`
	Default string    `json:"defaultAction"`
	Rules   []ipRule  `json:"ipRules"`
	Subnets []vnetRef `json:"virtualNetworkRules"`
}

type ipRule struct {
	Value string `json:"value"`
}

type vnetRef struct {
	ID string `json:"id"`
}

// apply changes what was said, and nothing else.
func (a *resources) apply(b resourceBody, v *vault.Vault) error {
	p := b.Properties
	switch {
	case p.Tenant != "" && !strings.EqualFold(p.Tenant, a.Subscriptions.Tenant().ID):
		return badParameter("properties.tenantId must be the tenant of this deployment, '%s'.", a.Subscriptions.Tenant().ID)
	case p.SKU != nil && !strings.EqualFold(p.SKU.Name, "standard"):
		return badParameter("properties.sku.name must be 'standard': there is no hardware security module.")
	case p.SoftDelete != nil && !*p.SoftDelete:
		return badParameter("properties.enableSoftDelete cannot be false.")
	case p.RBAC != nil && *p.RBAC:
		return badParameter("properties.enableRbacAuthorization cannot be true: who may do what with secrets is said by accessPolicies.")
	}
	if b.Tags != nil {
		v.Tags = *b.Tags
	}
	if p.Days != nil {
		v.RetentionDays = *p.Days
	}
	if p.PurgeGuard != nil {
		v.PurgeGuard = *p.PurgeGuard
	}
	if p.Policies != nil {
		v.Policies = a.readPolicies(*p.Policies)
	}
	if p.PublicAccess != nil {
		switch strings.ToLower(*p.PublicAccess) {
		case "enabled", "":
			v.Network.Private = false
		case "disabled":
			v.Network.Private = true
		default:
			return badParameter("properties.publicNetworkAccess must be Enabled or Disabled.")
		}
	}
	if p.Network != nil {
		return p.Network.apply(&v.Network)
	}
	return nil
}

func (n networkBody) apply(to *vault.Network) error {
	switch strings.ToLower(n.Default) {
	case "allow", "":
		to.Deny = false
	case "deny":
		to.Deny = true
	default:
		return badParameter("properties.networkAcls.defaultAction must be Allow or Deny.")
	}
	to.Bypass, to.Allowed, to.Subnets = n.Bypass, nil, nil
	for _, r := range n.Rules {
		p, err := vault.Prefix(r.Value)
		if err != nil {
			return err
		}
		to.Allowed = append(to.Allowed, p)
	}
	for _, s := range n.Subnets {
		to.Subnets = append(to.Subnets, s.ID)
	}
	return nil
}

// readPolicies reads permissions in any case, as Key Vault does.
func (a *resources) readPolicies(said []policyBody) []vault.Policy {
	list := []vault.Policy{}
	for _, s := range said {
		p := vault.Policy{Tenant: strings.ToLower(s.Tenant), Object: strings.ToLower(s.Object), Application: strings.ToLower(s.Application)}
		if p.Tenant == "" {
			p.Tenant = a.Subscriptions.Tenant().ID
		}
		for kind, words := range s.Permissions {
			for _, w := range words {
				if strings.EqualFold(kind, "secrets") {
					p.Secrets = append(p.Secrets, vault.Permission(strings.ToLower(w)))
					continue
				}
				if p.Others == nil {
					p.Others = map[string][]string{}
				}
				p.Others[kind] = append(p.Others[kind], w)
			}
		}
		list = append(list, p)
	}
	return list
}

func shapePolicies(r vault.Resource) []policyBody {
	list := []policyBody{}
	for _, p := range r.Policies {
		b := policyBody{Tenant: p.Tenant, Object: p.Object, Application: p.Application, Permissions: map[string][]string{"keys": {}, "secrets": {}, "certificates": {}}}
		for kind, words := range p.Others {
			b.Permissions[kind] = words
		}
		for _, may := range p.Secrets {
			b.Permissions["secrets"] = append(b.Permissions["secrets"], string(may))
		}
		list = append(list, b)
	}
	return list
}

// shape shows a vault.
func (a *resources) shape(r vault.Resource) map[string]any {
	access := "Enabled"
	if r.Network.Private {
		access = "Disabled"
	}
	properties := map[string]any{
		"tenantId": r.Tenant, "sku": sku{"A", "standard"}, "accessPolicies": shapePolicies(r), "enabledForDeployment": false,
		"enableSoftDelete": true, "softDeleteRetentionInDays": r.RetentionDays, "enableRbacAuthorization": false, "publicNetworkAccess": access,
		"networkAcls": shapeNetwork(r.Network), "vaultUri": "https://" + strings.ToLower(r.ID.Name) + "." + a.domain + a.port + "/", "provisioningState": "Succeeded",
	}
	if r.PurgeGuard {
		properties["enablePurgeProtection"] = true // absent when it is not, as Key Vault has it
	}
	if len(r.Connections) > 0 {
		properties["privateEndpointConnections"] = shapeConnections(r)
	}
	tags := r.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return map[string]any{
		"id": r.ID.String(), "name": r.ID.Name, "type": vaultType, "location": r.Location, "tags": tags, "properties": properties,
		"systemData": map[string]any{
			"createdBy": r.System.CreatedBy, "createdByType": r.System.CreatedKind, "createdAt": stamp(r.System.Created),
			"lastModifiedBy": r.System.ChangedBy, "lastModifiedByType": r.System.ChangedKind, "lastModifiedAt": stamp(r.System.Changed),
		},
	}
}

func shapeNetwork(n vault.Network) networkBody {
	b := networkBody{Bypass: n.Bypass, Default: "Allow", Rules: []ipRule{}, Subnets: []vnetRef{}}
	if b.Bypass == "" {
		b.Bypass = "AzureServices"
	}
	if n.Deny {
		b.Default = "Deny"
	}
	for _, p := range n.Allowed {
		b.Rules = append(b.Rules, ipRule{p.String()})
	}
	for _, s := range n.Subnets {
		b.Subnets = append(b.Subnets, vnetRef{s})
	}
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

// shapeDeleted shows a vault that can be had back.
func shapeDeleted(r vault.Resource) map[string]any {
	properties := map[string]any{"vaultId": r.ID.String(), "location": r.Location, "tags": r.Tags, "deletionDate": stamp(r.Deleted), "scheduledPurgeDate": stamp(r.Purges)}
	if r.PurgeGuard {
		properties["purgeProtectionEnabled"] = true
	}
	return map[string]any{
		"id":   "/subscriptions/" + r.ID.Subscription + "/providers/" + provider + "/locations/" + r.Location + "/deletedVaults/" + r.ID.Name,
		"name": r.ID.Name, "type": provider + "/deletedVaults", "properties": properties,
	}
}

// connectionBody is a private endpoint connection, said and shown. Where it
// comes from is an addition of ours: there is no fabric that would know.
type connectionBody struct {
	ID         string `json:"id,omitempty"`
	Name       string `json:"name,omitempty"`
	Type       string `json:"type,omitempty"`
	Properties struct {
		Endpoint struct {
			ID string `json:"id,omitempty"`
		} `json:"privateEndpoint"`
		State struct {
			Status      string `json:"status"`
			Description string `json:"description,omitempty"`
			Actions     string `json:"actionsRequired"`
		} `json:"privateLinkServiceConnectionState"`
		Sources      []string `json:"sourceAddressPrefixes,omitempty"`
		Provisioning string   `json:"provisioningState,omitempty"`
	} `json:"properties"`
}

func (b connectionBody) read(name string) (vault.Connection, error) {
	c := vault.Connection{Name: name, Endpoint: b.Properties.Endpoint.ID, Description: b.Properties.State.Description}
	for _, s := range []vault.State{vault.Pending, vault.Approved, vault.Rejected} {
		if strings.EqualFold(string(s), b.Properties.State.Status) {
			c.State = s
		}
	}
	if c.State == "" {
		return c, badParameter("properties.privateLinkServiceConnectionState.status must be Pending, Approved or Rejected.")
	}
	for _, s := range b.Properties.Sources {
		p, err := vault.Prefix(s)
		if err != nil {
			return c, err
		}
		c.Sources = append(c.Sources, p)
	}
	return c, nil
}

func shapeConnection(id vault.ID, c vault.Connection) connectionBody {
	b := connectionBody{ID: id.String() + "/privateEndpointConnections/" + c.Name, Name: c.Name, Type: vaultType + "/privateEndpointConnections"}
	b.Properties.Endpoint.ID, b.Properties.Provisioning = c.Endpoint, "Succeeded"
	b.Properties.State.Status, b.Properties.State.Description, b.Properties.State.Actions = string(c.State), c.Description, "None"
	for _, p := range c.Sources {
		b.Properties.Sources = append(b.Properties.Sources, p.String())
	}
	return b
}

func shapeConnections(r vault.Resource) []connectionBody {
	list := []connectionBody{}
	for _, c := range r.Connections {
		list = append(list, shapeConnection(r.ID, c))
	}
	return list
}
