package operatorconnect

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Consent is an enterprise that chose an operator.
type Consent struct {
	ID                   string       `json:"id"`
	TenantID             string       `json:"tenantId"`
	TenantName           string       `json:"tenantName,omitempty"`
	TenantOrigin         string       `json:"tenantOrigin"`
	OperatorID           string       `json:"operatorId"`
	Status               string       `json:"status"`
	ConsentedOn          time.Time    `json:"consentedOn"`
	LastModifiedOn       time.Time    `json:"lastModifiedOn"`
	ConsentedCountries   []string     `json:"consentedCountries"`
	Contacts             []Contact    `json:"contacts"`
	CustomerRelationship Relationship `json:"customerRelationship"`
	ProductContext       string       `json:"productContext"`

	version, nth int
}

// Relationship is how the operator stands with the enterprise.
type Relationship struct {
	Status         string     `json:"status"`
	LastModifiedOn *time.Time `json:"lastModifiedOn,omitempty"`
	Comment        string     `json:"comment,omitempty"`
}

// Statuses of consents and of relationships.
var (
	consentStatuses = []string{"Active", "Suspended", "Removed"}
	relationships   = []string{"None", "ConsentAcknowledged", "AgreementSigned", "ConsentDeclined", "ContractTerminated"}
	withReason      = []string{"ConsentDeclined", "ContractTerminated"}
)

// Lead is what an enterprise says when it chooses an operator.
type Lead struct {
	Tenant    string         `json:"tenantId"`
	Name      string         `json:"tenantName"`
	Status    string         `json:"status"` // "": Active
	Countries []string       `json:"consentedCountries"`
	Contacts  []Contact      `json:"contacts"`
	Addresses []CivicAddress `json:"addresses"`
	Others    []NumberStatus `json:"others"` // its numbers that are no Operator Connect ones
}

// CivicAddress is an emergency address of an enterprise.
type CivicAddress struct {
	ID                string     `json:"id"`
	TenantID          string     `json:"tenantId"`
	PartnerID         string     `json:"partnerId,omitempty"`
	Country           string     `json:"country"`
	HouseNumber       string     `json:"houseNumber,omitempty"`
	HouseNumberSuffix string     `json:"houseNumberSuffix,omitempty"`
	PreDirectional    string     `json:"preDirectional,omitempty"`
	StreetName        string     `json:"streetName,omitempty"`
	StreetSuffix      string     `json:"streetSuffix,omitempty"`
	PostDirectional   string     `json:"postDirectional,omitempty"`
	StateOrProvince   string     `json:"stateOrProvince,omitempty"`
	CountyOrDistrict  string     `json:"countyOrDistrict,omitempty"`
	CityOrTown        string     `json:"cityOrTown,omitempty"`
	CityOrTownAlias   string     `json:"cityOrTownAlias,omitempty"`
	PostalOrZipCode   string     `json:"postalOrZipCode,omitempty"`
	Description       string     `json:"description,omitempty"`
	CompanyName       string     `json:"companyName,omitempty"`
	CompanyID         string     `json:"companyId,omitempty"`
	DefaultLocationID string     `json:"defaultLocationId"`
	ValidationStatus  string     `json:"validationStatus"`
	Latitude          string     `json:"latitude,omitempty"`
	Longitude         string     `json:"longitude,omitempty"`
	Locations         []Location `json:"locations"`
}

// Location is a place at an address.
type Location struct {
	ID             string `json:"id"`
	CivicAddressID string `json:"civicAddressId"`
	Description    string `json:"description,omitempty"`
	AdditionalInfo string `json:"additionalInfo,omitempty"`
	IsDefault      bool   `json:"isDefault"`
	ELIN           string `json:"elin,omitempty"`
}

// enterprise is what a tenant has of an operator.
type enterprise struct {
	addresses []CivicAddress
	numbers   map[string]*Number
	others    []NumberStatus
	orders    []*order
}

var country = regexp.MustCompile(`^[A-Z]{2}$`)

// Choose lets an enterprise choose an operator, or change its mind: one consent
// an enterprise. It gives the consent's ID.
func (e *Environment) Choose(tenant string, l Lead) (string, error) {
	id, err := uuid.Parse(l.Tenant)
	if err != nil {
		return "", fmt.Errorf("an enterprise chooses an operator: %q is no tenant", clip(l.Tenant, 60))
	}
	if l.Status == "" {
		l.Status = consentStatuses[0]
	}
	if !slices.Contains(consentStatuses, l.Status) || slices.ContainsFunc(l.Countries, func(c string) bool { return !country.MatchString(c) }) {
		return "", fmt.Errorf("an enterprise chooses an operator: its status is one of %s, its countries have two letters", strings.Join(consentStatuses, ", "))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.operators[strings.ToLower(tenant)]
	if o == nil {
		return "", fmt.Errorf("an enterprise chooses an operator: %q is none", clip(tenant, 60))
	}
	return o.chosen(id.String(), l).ID, nil
}

// chosen writes a consent.
func (o *operator) chosen(tenant string, l Lead) *Consent {
	i := slices.IndexFunc(o.consents, func(c *Consent) bool { return c.TenantID == tenant })
	if i < 0 {
		o.consents = append(o.consents, &Consent{
			ID: uuid.NewString(), TenantID: tenant, TenantOrigin: "Office365", OperatorID: o.id, ConsentedOn: now(), ProductContext: "teams",
			CustomerRelationship: Relationship{Status: relationships[0]}, nth: o.next(),
		})
		i = len(o.consents) - 1
		o.tenants[tenant] = &enterprise{numbers: map[string]*Number{}}
	}
	c := o.consents[i]
	c.TenantName, c.Status, c.LastModifiedOn = l.Name, l.Status, now()
	c.ConsentedCountries, c.Contacts = append([]string{}, l.Countries...), append([]Contact{}, l.Contacts...)
	c.version++
	t := o.tenants[tenant]
	t.addresses, t.others = nil, l.Others
	for _, a := range l.Addresses {
		t.addresses = append(t.addresses, a.completed(tenant))
	}
	return c
}

// completed is an address with the IDs that it lacks.
func (a CivicAddress) completed(tenant string) CivicAddress {
	a.TenantID = tenant
	if a.ID == "" {
		a.ID = uuid.NewString()
	}
	if a.ValidationStatus == "" {
		a.ValidationStatus = "validated"
	}
	if len(a.Locations) == 0 {
		a.Locations = []Location{{IsDefault: true}}
	}
	a.Locations = slices.Clone(a.Locations)
	for i := range a.Locations {
		at := &a.Locations[i]
		if at.CivicAddressID = a.ID; at.ID == "" {
			at.ID = uuid.NewString()
		}
		if at.IsDefault {
			a.DefaultLocationID = at.ID
		}
	}
	return a
}

func listConsents(c *call) (answer, error) {
	tenant, err := c.wanted("tenantId")
	if err != nil {
		return answer{}, err
	}
	status, err := c.one("status", consentStatuses)
	if err != nil {
		return answer{}, err
	}
	all := slices.DeleteFunc(copies(c.o.consents), func(x Consent) bool {
		return tenant != "" && x.TenantID != tenant || status != "" && x.Status != status
	})
	return list(c, all, func(x Consent) string { return nth(x.nth) })
}

func (o *operator) consent(id string) *Consent {
	i := slices.IndexFunc(o.consents, func(c *Consent) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return o.consents[i]
}

func (c *call) theConsent() (*Consent, error) {
	id, err := c.id("consentId")
	if err != nil {
		return nil, err
	}
	if x := c.o.consent(id); x != nil {
		return x, nil
	}
	return nil, missing("consent", id)
}

func getConsent(c *call) (answer, error) {
	x, err := c.theConsent()
	if err != nil {
		return answer{}, err
	}
	return answer{body: *x, etag: x.version}, nil
}

func updateConsent(c *call) (answer, error) {
	var d struct {
		Relationship *struct {
			Status  string `json:"status"`
			Comment string `json:"comment"`
		} `json:"customerRelationship"`
	}
	x, err := c.theConsent()
	if err == nil {
		err = c.matches(x.version)
	}
	if err == nil {
		err = c.decode(&d)
	}
	if err == nil && d.Relationship == nil {
		err = invalid("customerRelationship", "customerRelationship is missing.")
	}
	if err == nil {
		err = x.relate(d.Relationship.Status, d.Relationship.Comment)
	}
	if err != nil {
		return answer{}, err
	}
	return getConsent(c)
}

// relate says how the operator stands with the enterprise.
func (c *Consent) relate(status, comment string) error {
	switch {
	case !slices.Contains(relationships, status):
		return invalid("customerRelationship.status", "status is one of %s.", strings.Join(relationships, ", "))
	case long(comment, 1024):
		return invalid("customerRelationship.comment", "comment has 1024 characters at most.")
	case strings.TrimSpace(comment) == "" && slices.Contains(withReason, status):
		return invalid("customerRelationship.comment", "%s needs a comment that says why.", status)
	}
	at := now()
	c.CustomerRelationship = Relationship{Status: status, Comment: comment, LastModifiedOn: &at}
	c.LastModifiedOn = at
	c.version++
	return nil
}

// enterprise is that of the path or the query, if it has consented: to be read,
// or to be changed.
func (c *call) enterprise(id string, change bool) (*enterprise, error) {
	for _, x := range c.o.consents {
		if x.TenantID == id && (x.Status == "Active" || x.Status == "Suspended" && !change) {
			return c.o.tenants[id], nil
		}
	}
	return nil, refuse(http.StatusForbidden, "TenantNotConsented", id, "The enterprise %s has not chosen this operator, or does so no longer.", id)
}

// theEnterprise is that of the path.
func (c *call) theEnterprise() (*enterprise, string, error) {
	id, err := c.id("tenantId")
	if err != nil {
		return nil, "", err
	}
	t, err := c.enterprise(id, c.r.Method != http.MethodGet)
	return t, id, err
}

func listAddresses(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	all := slices.Clone(t.addresses)
	slices.SortFunc(all, func(a, b CivicAddress) int { return strings.Compare(a.ID, b.ID) })
	return list(c, all, func(a CivicAddress) string { return a.ID })
}

func getAddress(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	id, err := c.id("civicAddressId")
	if err != nil {
		return answer{}, err
	}
	for _, a := range t.addresses {
		if a.ID == id {
			return answer{body: a}, nil
		}
	}
	return answer{}, missing("civic address", id)
}
