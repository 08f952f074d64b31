package operatorconnect

import (
	"time"
)

// PartnerSettings are the operator as the environment knows it.
type PartnerSettings struct {
	OperatorID      string    `json:"operatorId"`
	TenantID        string    `json:"tenantId"`
	DisplayName     string    `json:"displayName"`
	Environment     string    `json:"environment"` // "Production", "Test"
	Contact         *Contact  `json:"contact,omitempty"`
	GatewaySuffixes []string  `json:"gatewaySuffixes"`
	LastModifiedOn  time.Time `json:"lastModifiedOn,omitzero"`
}

// Contact is a person or a company.
type Contact struct {
	FullName    string `json:"fullName,omitempty"`
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
	CompanyName string `json:"companyName,omitempty"`
	CompanySize string `json:"companySize,omitempty"` // a band: "L1_U1", "L250_U999"
}

// ApplicationID is an application that may use the API.
type ApplicationID struct {
	ID      string    `json:"applicationId"`
	Name    string    `json:"name,omitempty"`
	AddedOn time.Time `json:"addedOn,omitzero"`
	AddedBy string    `json:"addedBy,omitempty"`
}

// Consent is an enterprise that chose the operator.
type Consent struct {
	ID                 string       `json:"id"`
	TenantID           string       `json:"tenantId"`
	TenantName         string       `json:"tenantName,omitempty"`
	TenantOrigin       string       `json:"tenantOrigin,omitempty"`
	OperatorID         string       `json:"operatorId"`
	Status             string       `json:"status"` // "Active", "Suspended", "Removed"
	ConsentedOn        time.Time    `json:"consentedOn"`
	LastModifiedOn     time.Time    `json:"lastModifiedOn"`
	ConsentedCountries []string     `json:"consentedCountries"`
	Contacts           []Contact    `json:"contacts"`
	Relationship       Relationship `json:"customerRelationship"`
	ProductContext     string       `json:"productContext"`

	ETag string `json:"-"`
}

// Relationship is how the operator stands with an enterprise.
type Relationship struct {
	Status         string    `json:"status"` // "ConsentAcknowledged", "AgreementSigned", "ConsentDeclined", "ContractTerminated"
	LastModifiedOn time.Time `json:"lastModifiedOn,omitzero"`
	Comment        string    `json:"comment,omitempty"`
}

// ProfileDraft is a calling profile as somebody wants it.
type ProfileDraft struct {
	Name                 string      `json:"name"`
	NameSuffix           string      `json:"nameSuffix,omitempty"`
	Region               string      `json:"region"`
	Carrier              string      `json:"carrier,omitempty"`
	OfferTypes           []OfferType `json:"offerTypes"`
	EmergencyDialStrings []string    `json:"emergencyDialStrings,omitempty"`
	IsEmergencyProfile   bool        `json:"isEmergencyProfile,omitempty"`
	EmergencyProfileID   string      `json:"emergencyProfileId,omitempty"`
	TrunkIDs             []string    `json:"trunkIds"`
}

// OfferType is what a calling profile is offered for.
type OfferType struct {
	Name        string   `json:"offerTypeName"` // "Calling", "AudioConferencing", "TeamsPhoneMobile"
	TestNumbers []string `json:"testNumbers,omitempty"`
}

// Profile is a calling profile.
type Profile struct {
	ID                   string            `json:"callingProfileId"`
	Name                 string            `json:"name"`
	NameSuffix           string            `json:"nameSuffix,omitempty"`
	Environment          string            `json:"environment"`
	Region               string            `json:"region"`
	Carrier              string            `json:"carrier,omitempty"`
	OfferTypes           []OfferType       `json:"offerTypes"`
	EmergencyDialStrings []string          `json:"emergencyDialStrings,omitempty"`
	IsEmergencyProfile   bool              `json:"isEmergencyProfile,omitempty"`
	EmergencyProfileID   string            `json:"emergencyProfileId,omitempty"`
	Trunks               []TrunkName       `json:"trunks"`
	Validation           map[string]string `json:"validation,omitempty"` // by the name of an offer type
	ManagedBy            string            `json:"managedBy,omitempty"`
	Warning              string            `json:"warning,omitempty"`
	LastModifiedOn       time.Time         `json:"lastModifiedOn,omitzero"`

	ETag string `json:"-"`
}

// TrunkName names a trunk in a calling profile.
type TrunkName struct {
	ID   string `json:"trunkId"`
	FQDN string `json:"trunkFqdn"`
}

// Draft is the profile as it would be put unchanged.
func (p Profile) Draft() ProfileDraft {
	d := ProfileDraft{
		Name: p.Name, NameSuffix: p.NameSuffix, Region: p.Region, Carrier: p.Carrier, OfferTypes: p.OfferTypes,
		EmergencyDialStrings: p.EmergencyDialStrings, IsEmergencyProfile: p.IsEmergencyProfile, EmergencyProfileID: p.EmergencyProfileID,
	}
	for _, t := range p.Trunks {
		d.TrunkIDs = append(d.TrunkIDs, t.ID)
	}
	return d
}

// TrunkDraft is a trunk as somebody wants it.
type TrunkDraft struct {
	FQDN        string `json:"trunkFqdn"`
	Port        uint16 `json:"sipSignalingPort,omitempty"` // 0: 5061
	Enabled     bool   `json:"enabled"`
	Description string `json:"description,omitempty"`
}

// Trunk is a trunk and how it stands.
type Trunk struct {
	ID              string    `json:"trunkId"`
	FQDN            string    `json:"trunkFqdn"`
	Port            uint16    `json:"sipSignalingPort"`
	Enabled         bool      `json:"enabled"`
	Description     string    `json:"description,omitempty"`
	EnrollmentState string    `json:"enrollmentState"` // "Pending", "Enrolled", "Failed"
	DomainVerified  bool      `json:"domainVerified"`
	Health          Health    `json:"health"`
	ManagedBy       string    `json:"managedBy,omitempty"`
	Warning         string    `json:"warning,omitempty"`
	LastModifiedOn  time.Time `json:"lastModifiedOn,omitzero"`

	ETag string `json:"-"`
}

// Health is what Teams has heard of a trunk.
type Health struct {
	Status      string    `json:"status"` // "Unknown", "Active", "Inactive"
	LastOptions time.Time `json:"lastOptionsOn,omitzero"`
}

// Draft is the trunk as it would be put unchanged.
func (t Trunk) Draft() TrunkDraft { return TrunkDraft{t.FQDN, t.Port, t.Enabled, t.Description} }

// CapabilityPlan is what numbers may be used for.
type CapabilityPlan struct {
	Name                  string   `json:"name"`
	OfferTypes            []string `json:"offerTypes"`
	Usage                 string   `json:"usage"`
	MandatoryCapabilities []string `json:"mandatoryCapabilities"`
	ChoosableCapabilities []string `json:"choosableCapabilities"`
	SupportsTollFree      bool     `json:"supportsTollFree"`
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
	ValidationStatus  string     `json:"validationStatus"` // "notValidated", "validated"
	Latitude          string     `json:"latitude,omitempty"`
	Longitude         string     `json:"longitude,omitempty"`
	Locations         []Location `json:"locations"`
}

// Location is a place within a civic address.
type Location struct {
	ID             string `json:"id"`
	CivicAddressID string `json:"civicAddressId"`
	Description    string `json:"description,omitempty"`
	AdditionalInfo string `json:"additionalInfo,omitempty"`
	IsDefault      bool   `json:"isDefault,omitempty"`
	ELIN           string `json:"elin,omitempty"`
}

// Number is one that an enterprise has of the operator.
type Number struct {
	ID                       string    `json:"id"`
	TelephoneNumber          string    `json:"telephoneNumber"`
	TenantID                 string    `json:"tenantId"`
	CallingProfileID         string    `json:"callingProfileId"`
	Usage                    string    `json:"usage"`
	AdditionalUsages         []string  `json:"additionalUsages,omitempty"`
	AcquiredCapabilities     []string  `json:"acquiredCapabilities"`
	AvailableCapabilities    []string  `json:"availableCapabilities"`
	AcquiredOn               time.Time `json:"acquiredOn"`
	AcquiredNumberStatus     string    `json:"acquiredNumberStatus"` // "Completed", "ReleaseRequested"
	ISOCountryCode           string    `json:"isoCountryCode,omitempty"`
	UploadJobID              string    `json:"tnUploadJobId,omitempty"`
	CivicAddressID           string    `json:"civicAddressId,omitempty"`
	LocationID               string    `json:"locationId,omitempty"`
	AllowTenantAddressUpdate bool      `json:"allowTenantAddressUpdate,omitempty"`
	AssignmentStatus         string    `json:"assignmentStatus"` // "Unassigned", "UserAssigned", "ConferenceAssigned", "VoiceApp"
}

// Upload is an order that an enterprise gets numbers.
type Upload struct {
	Usage                    string   `json:"usage"`
	AdditionalUsages         []string `json:"additionalUsages,omitempty"`
	CallingProfileID         string   `json:"callingProfileId"`
	Capabilities             []string `json:"capabilities,omitempty"`
	CivicAddressID           string   `json:"civicAddressId,omitempty"` // or LocationID, not both
	LocationID               string   `json:"locationId,omitempty"`
	AllowTenantAddressUpdate bool     `json:"allowTenantAddressUpdate,omitempty"`
	Country                  string   `json:"country,omitempty"` // for toll-free numbers of the North American plan
	TicketID                 string   `json:"ticketId,omitempty"`
	TelephoneNumbers         []string `json:"telephoneNumbers"`
}

// Assign is an order that numbers get another profile, use, address or
// capabilities. What is empty stays as it is.
type Assign struct {
	Usage                    string   `json:"usage,omitempty"`
	AdditionalUsages         []string `json:"additionalUsages,omitempty"`
	CallingProfileID         string   `json:"callingProfileId,omitempty"`
	Capabilities             []string `json:"capabilities,omitempty"`
	CivicAddressID           string   `json:"civicAddressId,omitempty"`
	LocationID               string   `json:"locationId,omitempty"`
	AllowTenantAddressUpdate *bool    `json:"allowTenantAddressUpdate,omitempty"`
	TicketID                 string   `json:"ticketId,omitempty"`
	TelephoneNumbers         []string `json:"telephoneNumbers"`
}

// Release is an order that numbers are taken from an enterprise.
type Release struct {
	TicketID         string   `json:"ticketId,omitempty"`
	TelephoneNumbers []string `json:"telephoneNumbers"`
}

// Order is one that is under way, or was.
type Order struct {
	ID             string        `json:"id"`
	Kind           string        `json:"kind"` // "upload", "assign", "release"
	TenantID       string        `json:"tenantId"`
	TicketID       string        `json:"ticketId,omitempty"`
	Status         string        `json:"status"`
	CreatedOn      time.Time     `json:"createdOn"`
	LastModifiedOn time.Time     `json:"lastModifiedOn"`
	Total          int           `json:"numbersTotal"`
	Succeeded      int           `json:"numbersSucceeded"`
	Failed         int           `json:"numbersFailed"`
	Numbers        []OrderNumber `json:"telephoneNumbers,omitempty"`
}

// OrderNumber is what became of one number.
type OrderNumber struct {
	TelephoneNumber string `json:"telephoneNumber"`
	Status          string `json:"status"`
	ErrorCode       string `json:"errorCode,omitempty"`
	Message         string `json:"message,omitempty"`
}

// The ends of an order.
const (
	Success        = "success"
	PartialSuccess = "partial_success"
	Failure        = "error"
)

// Ended tells whether nothing more becomes of the order.
func (o Order) Ended() bool {
	return o.Status == Success || o.Status == PartialSuccess || o.Status == Failure
}

// NumberStatus is whose a number of an enterprise is.
type NumberStatus struct {
	TelephoneNumber  string `json:"telephoneNumber"`
	NumberType       string `json:"numberType"` // "OperatorConnect", "OperatorConnectMobile", "DirectRouting", "CallingPlan"
	OperatorID       string `json:"operatorId"`
	AssignmentStatus string `json:"assignmentStatus,omitempty"`
}

// CallDuration is how long a call was by the operator's own count.
type CallDuration struct {
	CallID    string    `json:"callId"`
	Direction string    `json:"direction"` // "Inbound" from the telephone network, "Outbound"
	TenantID  string    `json:"tenantId,omitempty"`
	Caller    string    `json:"caller"`
	Callee    string    `json:"callee"`
	Started   time.Time `json:"startTime"` // when it was answered
	Seconds   int       `json:"durationSeconds"`
}

// Uploaded is what became of call durations.
type Uploaded struct {
	Accepted int        `json:"accepted"`
	Replaced int        `json:"replaced"`
	Rejected []Rejected `json:"rejected"`
}

// Rejected is one that was refused.
type Rejected struct {
	Index   int    `json:"index"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
