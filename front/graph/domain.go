package graph

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/door"
)

var domainKind = record("domain", map[string]*kind{
	"id": aText, "authenticationType": aText, "isAdminManaged": aBoolean, "isDefault": aBoolean, "isInitial": aBoolean, "isRoot": aBoolean, "isVerified": aBoolean,
	"supportedServices": listOf(aText),
}).fixing("authenticationType", "isAdminManaged", "isInitial", "isRoot", "isVerified", "supportedServices").without(
	"availabilityStatus", "manufacturer", "model", "passwordNotificationWindowInDays", "passwordValidityPeriodInDays", "state",
)

// domainShape says of a domain also whether it is below another of all.
func domainShape(all []directory.Domain) func(directory.Domain) object {
	return func(d directory.Domain) object {
		below := slices.ContainsFunc(all, func(x directory.Domain) bool { return x.IsVerified() && strings.HasSuffix(d.Name, "."+x.Name) })
		return object{
			"id": d.Name, "authenticationType": "Managed", "availabilityStatus": nil, "isAdminManaged": true, "isDefault": d.Default, "isInitial": d.Initial, "isRoot": !below,
			"isVerified": d.IsVerified(), "supportedServices": []any{}, "passwordValidityPeriodInDays": nil, "passwordNotificationWindowInDays": nil, "state": nil,
		}
	}
}

func (a *api) domains(q *request) (answer, error) {
	all, err := a.Directory.Domains(q.Context(), q.caller)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, domainKind, "domains", shaped(all, domainShape(all)))
}

// shapeDomain is one domain among the others.
func (a *api) shapeDomain(q *request, d directory.Domain) (object, error) {
	all, err := a.Directory.Domains(q.Context(), q.caller)
	return domainShape(all)(d), err
}

func (a *api) domain(q *request) (answer, error) {
	d, err := a.Directory.Domain(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	o, err := a.shapeDomain(q, d)
	if err != nil {
		return answer{}, err
	}
	return a.one(q, domainKind, "domains", o)
}

func (a *api) createDomain(q *request) (answer, error) {
	var b struct{ ID string }
	if err := q.decode(domainKind, nil, &b); err != nil {
		return answer{}, err
	}
	d, err := a.Directory.AddDomain(q.Context(), q.caller, b.ID)
	if err != nil {
		return answer{}, err
	}
	o, err := a.shapeDomain(q, d)
	if err != nil {
		return answer{}, err
	}
	return a.made(q, "domains", o)
}

// updateDomain makes one the default: nothing else of a domain changes.
func (a *api) updateDomain(q *request) (answer, error) {
	var b struct {
		ID        string
		IsDefault bool
	}
	if err := q.decode(domainKind, nil, &b); err != nil {
		return answer{}, err
	}
	if b.ID != "" && !strings.EqualFold(b.ID, q.vars["id"]) || !b.IsDefault {
		return answer{}, badBody("Of a domain only isDefault changes, to true: make another one the default, and this one is it no longer.")
	}
	return done(a.Directory.SetDefaultDomain(q.Context(), q.caller, q.vars["id"]))
}

func (a *api) deleteDomain(q *request) (answer, error) {
	return done(a.Directory.RemoveDomain(q.Context(), q.caller, q.vars["id"]))
}

func (a *api) verifyDomain(q *request) (answer, error) {
	d, err := a.Directory.VerifyDomain(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	o, err := a.shapeDomain(q, d)
	if err != nil {
		return answer{}, err
	}
	return a.one(q, domainKind, "domains", o)
}

var recordKind = record("domainDnsRecord", map[string]*kind{
	"id": aGUID, "isOptional": aBoolean, "label": aText, "recordType": aText, "supportedService": aText, "text": aText, "mailExchange": aText,
})

// verificationRecords: without their types, clients do not know what else a
// record has.
func (a *api) verificationRecords(q *request) (answer, error) {
	list, err := a.Directory.VerificationRecords(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.list(q, recordKind, "domains('"+door.Printable(q.vars["id"])+"')/verificationDnsRecords", shaped(list, func(r directory.Record) object {
		o := object{
			"@odata.type": "#microsoft.graph.domainDns" + r.Type + "Record",
			"id":          r.ID, "isOptional": false, "label": r.Label, "recordType": r.Type, "supportedService": "Email", "ttl": r.TTL,
		}
		if r.Type == "Mx" {
			o["mailExchange"], o["preference"] = r.Exchange, r.Preference
		} else {
			o["text"] = r.Text
		}
		return o
	}))
}

// serviceRecords are none: nothing of this directory wants a record of its own
// in a customer's zone but the proof.
func (a *api) serviceRecords(q *request) (answer, error) {
	if _, err := a.Directory.Domain(q.Context(), q.caller, q.vars["id"]); err != nil {
		return answer{}, err
	}
	return a.list(q, recordKind, "domains('"+door.Printable(q.vars["id"])+"')/serviceConfigurationRecords", nil)
}

var organizationKind = record("organization", map[string]*kind{
	"id": aGUID, "displayName": aText, "tenantType": aText,
	"verifiedDomains": listOf(record("verifiedDomain", map[string]*kind{"name": aText, "isDefault": aBoolean, "isInitial": aBoolean, "type": aText, "capabilities": aText})),
}).without(
	"assignedPlans", "branding", "businessPhones", "city", "country", "countryLetterCode", "createdDateTime", "defaultUsageLocation", "deletedDateTime", "marketingNotificationEmails",
	"mobileDeviceManagementAuthority", "onPremisesLastSyncDateTime", "onPremisesSyncEnabled", "partnerTenantType", "postalCode", "preferredLanguage", "privacyProfile",
	"provisionedPlans", "securityComplianceNotificationMails", "securityComplianceNotificationPhones", "state", "street", "technicalNotificationMails",
)

// organizationOf is the tenant of the caller, in as much detail as it may
// read.
func (a *api) organizationOf(q *request) (object, error) {
	if _, err := a.Directory.RolesOf(q.Context(), q.caller, q.caller.Object); err != nil {
		return nil, err // it may not even read who it is
	}
	t, _ := a.Directory.TenantOf(q.caller.Tenant)
	all, err := a.Directory.Domains(q.Context(), q.caller)
	if err != nil && fault.Of(err) != fault.Denied {
		return nil, err
	}
	verified := slices.DeleteFunc(all, func(d directory.Domain) bool { return !d.IsVerified() })
	return object{
		"id": t.ID, "displayName": t.Name, "tenantType": "AAD",
		"verifiedDomains": values(verified, func(d directory.Domain) any {
			return object{"name": d.Name, "isDefault": d.Default, "isInitial": d.Initial, "type": "Managed", "capabilities": "None"}
		}),
	}, nil
}

func (a *api) organizations(q *request) (answer, error) {
	o, err := a.organizationOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, organizationKind, "organization", []object{o})
}

func (a *api) organization(q *request) (answer, error) {
	o, err := a.organizationOf(q)
	if err != nil {
		return answer{}, err
	}
	if id := q.vars["id"]; !strings.EqualFold(id, q.caller.Tenant) {
		return answer{}, missing(id)
	}
	return a.one(q, organizationKind, "organization", o)
}
