package directory

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// AppRole is a role that an application offers to those who call it.
type AppRole struct {
	ID          string   `json:"id"`
	Value       string   `json:"value"`
	DisplayName string   `json:"displayName"`
	Description string   `json:"description,omitempty"`
	For         []string `json:"for"` // "User" (and groups), "Application"
	Disabled    bool     `json:"disabled,omitempty"`
}

// Scope is a permission that an application offers to programs that act for a
// user.
type Scope struct {
	ID          string `json:"id"`
	Value       string `json:"value"`
	DisplayName string `json:"displayName"`
	Description string `json:"description,omitempty"`
	// Type is "User" when users may consent for themselves, "Admin" when an
	// administrator must.
	Type     string `json:"type"`
	Disabled bool   `json:"disabled,omitempty"`
}

// The client IDs of well-known applications.
const (
	SynergyID    = "eb63d611-525e-4a31-abd7-0cb33f679599" // Project Synergy: Operator Connect
	GatewaysID   = "8502a0ec-c76d-412f-836c-398018e2312b" // AzureCommunicationsGateway
	GraphID      = "00000003-0000-0000-c000-000000000000" // Microsoft Graph
	GraphToolsID = "14d82eec-204b-4c2f-b7e8-296a70dab67e" // Microsoft Graph Command Line Tools
	AzureCLIID   = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // Microsoft Azure CLI
	OnboardingID = "7a4d3a60-6f0b-4b6c-9f43-3f7a5b0c1e01" // Tandem Onboarding: ourselves
	CommandID    = "b1f2a6c4-5d0e-4d0b-9a53-0c6f2f6f7a02" // Tandem's commands, on people's machines
)

// ProvisioningURI is the audience of tokens for the Provisioning API
// (Azure Communications Gateway docs, "Integrate with the Provisioning API").
const ProvisioningURI = "https://func-voiceservice-rp-prod-eastuseuap.azurewebsites.net"

// WellKnown is an application that is registered nowhere here and can have a
// service principal in any tenant all the same.
type WellKnown struct {
	AppID, Name string
	URIs        []string // audiences by which tokens for it are asked for
	Roles       []AppRole
	Scopes      []Scope
	Publisher   string
	// Public: it is a program on people's machines, that has no secret and
	// answers at the loopback address (RFC 8252 §7.3).
	Public    bool
	Redirects Redirects
	// Federated are the tokens of other issuers by which it signs in, whichever
	// tenant it was added to; an audience that is left out is FederatedAudience.
	Federated []FederatedCredential
	// Trusted are the scopes at Microsoft Graph that need nobody's consent.
	Trusted []string
	always  bool // in each tenant from its beginning
}

// catalogue is what the directory knows from its beginning.
func catalogue() []WellKnown {
	return []WellKnown{
		{
			AppID: SynergyID, Name: "Project Synergy", Publisher: "Microsoft", Roles: synergyRoles(), URIs: []string{"https://operatorconnect.microsoft.com"},
			Scopes: []Scope{made(SynergyID, "user_impersonation", "Access Operator Connect as the signed-in user")},
		},
		{
			AppID: GatewaysID, Name: "AzureCommunicationsGateway", Publisher: "Microsoft", Roles: gatewayRoles(), URIs: []string{ProvisioningURI}, always: true,
			Scopes: []Scope{made(GatewaysID, "user_impersonation", "Access the Provisioning API as the signed-in user")},
		},
		{AppID: GraphID, Name: "Microsoft Graph", Publisher: "Microsoft", Roles: graphRoles(), Scopes: graphScopes(), URIs: []string{"https://graph.microsoft.com"}, always: true},
		{
			AppID: GraphToolsID, Name: "Microsoft Graph Command Line Tools", Publisher: "Microsoft", Public: true,
			Redirects: Redirects{Public: []string{"http://localhost"}},
		},
		{
			AppID: AzureCLIID, Name: "Microsoft Azure CLI", Publisher: "Microsoft", Public: true, Redirects: Redirects{Public: []string{"http://localhost"}},
			Trusted: []string{
				userImpersonation, // at the resource API, which has Graph's audience
				"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All", asUser,
				"Group.ReadWrite.All", "User.Read.All", "User.ReadWrite.All", "openid", "profile", "offline_access", "email",
			},
		},
		{AppID: CommandID, Name: "Tandem", Publisher: "Tandem", Public: true, Redirects: Redirects{Public: []string{"http://localhost"}}},
		{AppID: OnboardingID, Name: "Tandem Onboarding", Publisher: "Tandem", always: true},
	}
}

// onboardingRoles are what our own steps do at Microsoft Graph.
var onboardingRoles = []string{
	"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All", "Directory.Read.All", "Domain.ReadWrite.All",
	"Group.Read.All", "User.Read.All",
}

// derived is the ID of a role or scope that has no published one.
func derived(app, value string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(app+" "+value)).String()
}

func made(app, value, text string) Scope {
	return Scope{ID: derived(app, value), Value: value, DisplayName: text, Description: text, Type: "User"}
}

// What roles are for.
const (
	ForUsers        = "User"
	ForApplications = "Application"
)

var both = []string{ForUsers, ForApplications}

// synergyRoles are those of Project Synergy (Azure Communications Gateway
// docs, "Connect Azure Communications Gateway to Operator Connect or Teams
// Phone Mobile"). The ID of Data.Read is that of the application, as
// published.
func synergyRoles() []AppRole {
	role := func(id, value, text string) AppRole { return AppRole{id, value, text, text, both, false} }
	return []AppRole{
		role("72129ccd-8886-42db-a63c-2647b61635c1", "TrunkManagement.Read", "Read trunks"),
		role("e907ba07-8ad0-40be-8d72-c18a0b3c156b", "TrunkManagement.Write", "Read and write trunks"),
		role("d6b0de4a-aab5-4261-be1b-0e1800746fb2", "PartnerSettings.Read", "Read partner settings"),
		role(derived(SynergyID, "PartnerSettings.Write"), "PartnerSettings.Write", "Read and write partner settings"),
		role("130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e", "NumberManagement.Read", "Read numbers"),
		role("752b4e79-4b85-4e33-a6ef-5949f0d7d553", "NumberManagement.Write", "Read and write numbers"),
		role("eb63d611-525e-4a31-abd7-0cb33f679599", "Data.Read", "Read data"),
		role("98d32f93-eaa7-4657-b443-090c23e69f27", "Data.Write", "Write data"),
		{derived(SynergyID, "Admin"), "Admin", "Admin", "Everything in the Operator Connect portal", []string{ForUsers}, false},
	}
}

// gatewayRoles are those of the Provisioning API: for programs and for the
// people of the Number Management Portal.
func gatewayRoles() (list []AppRole) {
	for _, verb := range []string{"Admin", "Read", "Write", "Delete"} {
		program, person := "ProvisioningAPI."+verb, "ProvisioningAPI."+verb+"User"
		list = append(list,
			AppRole{derived(GatewaysID, program), program, program, verb + " by a program", []string{ForApplications}, false},
			AppRole{derived(GatewaysID, person), person, person, verb + " in the Number Management Portal", []string{ForUsers}, false})
	}
	return list
}

// permission is one of Microsoft Graph, with its IDs as role and as scope
// (Microsoft Graph docs, "Microsoft Graph permissions reference").
type permission struct{ value, role, scope, text string }

var graphPermissions = []permission{
	{"Application.Read.All", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "c79f8feb-a9db-4090-85f9-90d820caa0eb", "Read applications"},
	{"Application.ReadWrite.All", "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", "bdfbf15f-ee85-4955-8675-146e8e5296b5", "Read and write applications"},
	{"AppRoleAssignment.ReadWrite.All", "06b708a9-e830-4db3-a914-8e69da51d44f", "84bccea3-f856-4a8a-967b-dbe0a3d53a64", "Manage app role assignments"},
	{"DelegatedPermissionGrant.ReadWrite.All", "8e8e4742-1d95-4f68-9d56-6ee75648c72a", "41ce6ca6-6826-4807-84f1-1c82854f7ee5", "Manage delegated permission grants"},
	{"Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61", "06da0dbc-49e2-44d2-8312-53f166ab848a", "Read the directory"},
	{"Directory.ReadWrite.All", "19dbc75e-c2e2-444c-a770-ec69d8559fc7", "c5366453-9fb0-48a5-a156-24f0c49a4b84", "Read and write the directory"},
	{asUser, "", "0e263e50-5827-48a4-b97c-d940288653c7", "Do in the directory what the signed-in user may"},
	{"Domain.Read.All", "dbb9058a-0e50-45d7-ae91-66909b5d4664", "2f9ee017-59c1-4f1d-9472-bd5529a7b311", "Read domains"},
	{"Domain.ReadWrite.All", "7e05723c-0bb0-42da-be95-ae9f08a6e53c", "0b5d694c-a244-4bde-86e6-eb5cd07730fe", "Read and write domains"},
	{"Group.Read.All", "5b567255-7703-4780-807c-7be8301ae99b", "5f8c59db-677d-491f-a6b8-5f174b11ec1d", "Read groups"},
	{"Group.ReadWrite.All", "62a82d76-70ea-41e2-9197-370581804d09", "4e46008b-f24c-477d-8fff-7bb4ec7aafe0", "Read and write groups"},
	{"RoleManagement.Read.Directory", "483bed4a-2ad3-4361-a73b-c83ccdbdc53c", "741c54c3-0c1e-44a1-818b-3f97ab4e8c83", "Read who administers the directory"},
	{"RoleManagement.ReadWrite.Directory", "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", "d01b97e9-cbc0-49fe-810a-750afd5527a3", "Change who administers the directory"},
	{"User.Read", "", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "Sign in and read who the user is"},
	{"User.ReadBasic.All", "97235f07-e226-4f63-ace3-39588e11d3a1", "b340eb25-3456-403f-be2f-af7a0d370277", "Read the names of users"},
	{"User.Read.All", "df021288-bdef-4463-88db-98f22de89214", "a154be20-db9c-4678-8ab7-66f6cc099a59", "Read users"},
	{"User.ReadWrite.All", "741f803b-c850-494e-b5df-cde7c675a1ca", "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4", "Read and write users"},
	{"openid", "", "37f7f235-527c-4136-accd-4a02d197296e", "Sign the user in"},
	{"profile", "", "14dad69e-099b-42c9-810b-d002981feec1", "Read the user's name"},
	{"email", "", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "Read the user's address"},
	{"offline_access", "", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "Keep what was allowed while the user is away"},
}

// ofUsers are the scopes that users may consent to for themselves.
var ofUsers = []string{"User.Read", "User.ReadBasic.All", "openid", "profile", "email", "offline_access"}

func graphRoles() (list []AppRole) {
	for _, p := range graphPermissions {
		if p.role != "" {
			list = append(list, AppRole{p.role, p.value, p.text, p.text, []string{ForApplications}, false})
		}
	}
	return list
}

func graphScopes() (list []Scope) {
	for _, p := range graphPermissions {
		kind := "Admin"
		if slices.Contains(ofUsers, p.value) {
			kind = "User"
		}
		list = append(list, Scope{p.scope, p.value, p.text, p.text, kind, false})
	}
	return list
}

// InCatalogue tells whether the directory knows an application from its
// beginning.
func InCatalogue(appID string) bool {
	return slices.ContainsFunc(catalogue(), func(w WellKnown) bool { return strings.EqualFold(w.AppID, appID) })
}

// WellKnown is the application of the catalogue with a client ID.
func (s *Set) WellKnown(appID string) (WellKnown, bool) {
	i := slices.IndexFunc(s.catalogue, func(w WellKnown) bool { return strings.EqualFold(w.AppID, appID) })
	if i < 0 {
		return WellKnown{}, false
	}
	return s.catalogue[i], true
}
