package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

var userKind = record("user", map[string]*kind{
	"id": aGUID, "userPrincipalName": aText, "displayName": aText, "givenName": aText, "surname": aText, "mail": aText,
	"mailNickname": aText, "accountEnabled": aBoolean, "createdDateTime": aMoment, "userType": aText,
	"passwordProfile": record("passwordProfile", map[string]*kind{"password": aText, "forceChangePasswordNextSignIn": aBoolean, "forceChangePasswordNextSignInWithMfa": aBoolean}),
}).fixing("id", "createdDateTime", "userType").without(
	"aboutMe", "ageGroup", "assignedLicenses", "assignedPlans", "birthday", "businessPhones", "city", "companyName", "consentProvidedForMinor", "country", "creationType",
	"customSecurityAttributes", "deletedDateTime", "department", "employeeHireDate", "employeeId", "employeeOrgData", "employeeType", "externalUserState", "faxNumber", "hireDate",
	"identities", "imAddresses", "interests", "isResourceAccount", "jobTitle", "lastPasswordChangeDateTime", "legalAgeGroupClassification", "licenseAssignmentStates",
	"mobilePhone", "officeLocation", "onPremisesDistinguishedName", "onPremisesDomainName", "onPremisesExtensionAttributes", "onPremisesImmutableId", "onPremisesLastSyncDateTime",
	"onPremisesProvisioningErrors", "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "onPremisesUserPrincipalName", "otherMails",
	"passwordPolicies", "postalCode", "preferredDataLocation", "preferredLanguage", "provisionedPlans", "proxyAddresses", "refreshTokensValidFromDateTime", "securityIdentifier",
	"showInAddressList", "signInActivity", "signInSessionsValidFromDateTime", "state", "streetAddress", "usageLocation",
)

// nickname is what stands before the domain of a user's name.
func nickname(name string) string {
	before, _, _ := strings.Cut(name, "@")
	return before
}

func userShape(u directory.User) object {
	return object{
		"id": u.ID, "userPrincipalName": u.Name, "displayName": u.DisplayName, "givenName": orNull(u.GivenName), "surname": orNull(u.Surname), "mail": orNull(u.Mail),
		"mailNickname": nickname(u.Name), "accountEnabled": u.Enabled, "createdDateTime": u.Created, "userType": "Member",
	}
}

// userBody is a user as clients write it.
type userBody struct {
	UserPrincipalName, DisplayName, GivenName, Surname, Mail, MailNickname string
	AccountEnabled                                                         *bool
	PasswordProfile                                                        *struct {
		Password                                                            string
		ForceChangePasswordNextSignIn, ForceChangePasswordNextSignInWithMfa bool
	}
}

// into makes the user that the body describes.
func (b userBody) into(u *directory.User) error {
	if b.MailNickname != "" && !strings.EqualFold(b.MailNickname, nickname(b.UserPrincipalName)) {
		return badBody("Property 'mailNickname' is what stands before @ in userPrincipalName: it has no value of its own in this directory.")
	}
	u.Name, u.DisplayName, u.GivenName, u.Surname, u.Mail, u.Enabled = b.UserPrincipalName, b.DisplayName, b.GivenName, b.Surname, b.Mail, b.AccountEnabled != nil && *b.AccountEnabled
	return nil
}

func (a *api) users(q *request) (answer, error) {
	all, err := a.Directory.Users(q.Context(), q.caller)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, userKind, "users", shaped(all, userShape))
}

func (a *api) user(q *request) (answer, error) {
	u, err := a.Directory.User(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.one(q, userKind, "users", userShape(u))
}

// me is the user of the token. A program that acts for itself is no user.
func (a *api) me(q *request) (answer, error) {
	if q.caller.Scopes == nil {
		return answer{}, badRequest("/me request is only valid with delegated authentication flow.")
	}
	q.vars["id"] = q.caller.Object
	return a.user(q)
}

func (a *api) createUser(q *request) (answer, error) {
	var b userBody
	if err := q.decode(userKind, nil, &b); err != nil {
		return answer{}, err
	}
	password, err := b.password()
	if b.AccountEnabled == nil {
		err = badBody("A value is required for property 'accountEnabled' of resource 'User'.")
	}
	if err == nil && password == "" {
		err = badBody("A value is required for property 'passwordProfile' of resource 'User'.")
	}
	var u directory.User
	if err == nil {
		err = b.into(&u)
	}
	enabled := u.Enabled
	if u.Enabled = true; err == nil { // who is disabled sets no password
		u, err = a.Directory.CreateUser(q.Context(), q.caller, u)
	}
	if err != nil {
		return answer{}, err
	}
	err = a.setPassword(q, u.ID, password)
	if err == nil && !enabled {
		u, err = a.Directory.UpdateUser(q.Context(), q.caller, u.ID, func(u *directory.User) error {
			u.Enabled = false
			return nil
		})
	}
	if err != nil {
		// Half a user is none, also when the client has gone.
		if left := a.Directory.DeleteUser(context.WithoutCancel(q.Context()), q.caller, u.ID); left != nil {
			a.Log.Error("a user without a password stays", "user", u.ID, obs.KeyError, left)
		}
		return answer{}, err
	}
	return a.made(q, "users", userShape(u))
}

func (a *api) updateUser(q *request) (answer, error) {
	var password string
	u, err := a.Directory.UpdateUser(q.Context(), q.caller, q.vars["id"], func(u *directory.User) (err error) {
		var b userBody
		current := userShape(*u)
		delete(current, "mailNickname") // follows the name
		if err := q.decode(userKind, current, &b); err != nil {
			return err
		}
		if password, err = b.password(); err == nil {
			err = b.into(u)
		}
		if err == nil && password != "" { // all of the request is good, or nothing is done
			err = directory.CheckPassword(*u, password)
		}
		return err
	})
	if err == nil && password != "" {
		err = a.setPassword(q, u.ID, password)
	}
	return done(err)
}

// password is the one that the body gives. Nobody can be made to change it at
// the next sign-in: who is to choose a password gets a one-time link instead.
func (b userBody) password() (string, error) {
	p := b.PasswordProfile
	if p == nil {
		return "", nil
	}
	if p.ForceChangePasswordNextSignIn || p.ForceChangePasswordNextSignInWithMfa {
		return "", badBody("Property 'passwordProfile/forceChangePasswordNextSignIn' can only be false here: let people choose a password of their own by the one-time link of `tandem user create`.")
	}
	return p.Password, nil
}

// setPassword follows a one-time link in somebody's place, and leaves no
// session behind.
func (a *api) setPassword(q *request, id, password string) error {
	invitation, err := a.Directory.Invite(q.Context(), q.caller, id, false)
	if err != nil {
		return err
	}
	if _, err := a.Directory.SetPassword(q.Context(), string(invitation.Link), password, directory.Visitor{Source: q.RemoteAddr}); err != nil {
		return err
	}
	return a.Directory.SignOut(q.Context(), q.caller, id)
}

func (a *api) deleteUser(q *request) (answer, error) {
	return done(a.Directory.DeleteUser(q.Context(), q.caller, q.vars["id"]))
}

// memberKind is of lists in which objects of several kinds stand.
var memberKind = record("directoryObject", map[string]*kind{
	"id": aGUID, "displayName": aText, "userPrincipalName": aText, "mail": aText, "givenName": aText, "surname": aText, "accountEnabled": aBoolean,
	"description": aText, "mailNickname": aText, "roleTemplateId": aGUID, "securityEnabled": aBoolean, "mailEnabled": aBoolean, "appId": aGUID,
}).without("deletedDateTime")

// typed says what kind of object an object is.
func typed(kind string, o object) object {
	o["@odata.type"] = "#microsoft.graph." + kind
	return o
}

// objects are what members are, in as much detail as the caller may read.
func (a *api) objects(ctx context.Context, c directory.Caller, list []directory.Object) ([]object, error) {
	users, err := a.Directory.Users(ctx, c)
	if err != nil && fault.Of(err) != fault.Denied {
		return nil, err
	}
	return shaped(list, func(m directory.Object) object {
		switch m.Kind {
		case directory.KindGroup:
			return typed("group", object{"id": m.ID, "displayName": m.Name, "securityEnabled": true, "mailEnabled": false})
		case directory.KindPrincipal:
			return typed("servicePrincipal", object{"id": m.ID, "displayName": m.Name, "accountEnabled": m.Enabled})
		}
		if i := slices.IndexFunc(users, func(u directory.User) bool { return u.ID == m.ID }); i >= 0 {
			return typed("user", userShape(users[i]))
		}
		return typed("user", object{"id": m.ID})
	}), nil
}

func (a *api) membershipsOfUser(q *request) (answer, error) {
	u, err := a.Directory.User(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.memberships(q, u.ID)
}

func (a *api) myMemberships(q *request) (answer, error) { return a.memberships(q, q.caller.Object) }

// memberships are the groups and directory roles that an object is in.
func (a *api) memberships(q *request, id string) (answer, error) {
	all, err := a.membershipsOf(q, id)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, memberKind, "directoryObjects", q.only(all))
}

func (a *api) membershipsOf(q *request, id string) ([]object, error) {
	groups, err := a.Directory.GroupsOf(q.Context(), q.caller, id)
	if err != nil {
		return nil, err
	}
	roles, err := a.Directory.RolesOf(q.Context(), q.caller, id)
	if err != nil {
		return nil, err
	}
	all := shaped(groups, func(g directory.Group) object { return typed("group", groupShape(g)) })
	for _, r := range roles {
		all = append(all, typed("directoryRole", roleShape(r)))
	}
	return all, nil
}
