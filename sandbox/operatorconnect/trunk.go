package operatorconnect

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Trunk is a way to an operator's SBC.
type Trunk struct {
	TrunkID          string    `json:"trunkId"`
	TrunkFQDN        string    `json:"trunkFqdn"`
	SIPSignalingPort int       `json:"sipSignalingPort"`
	Enabled          bool      `json:"enabled"`
	Description      string    `json:"description,omitempty"`
	EnrollmentState  string    `json:"enrollmentState"`
	DomainVerified   bool      `json:"domainVerified"`
	Health           Health    `json:"health"`
	ManagedBy        string    `json:"managedBy,omitempty"`
	Warning          string    `json:"warning,omitempty"`
	LastModifiedOn   time.Time `json:"lastModifiedOn"`

	version, nth int
}

// Health is what Teams thinks of a trunk.
type Health struct {
	Status        string     `json:"status"`
	LastOptionsOn *time.Time `json:"lastOptionsOn,omitempty"`
}

// trunkDraft is a trunk as it is asked for.
type trunkDraft struct {
	TrunkFQDN        string `json:"trunkFqdn"`
	SIPSignalingPort *int   `json:"sipSignalingPort"`
	Enabled          *bool  `json:"enabled"`
	Description      string `json:"description"`
}

// Profile is a calling profile: how numbers are served, over which trunks.
type Profile struct {
	CallingProfileID     string            `json:"callingProfileId"`
	Name                 string            `json:"name"`
	NameSuffix           string            `json:"nameSuffix,omitempty"`
	Environment          string            `json:"environment"`
	Region               string            `json:"region"`
	Carrier              string            `json:"carrier,omitempty"`
	OfferTypes           []OfferType       `json:"offerTypes"`
	EmergencyDialStrings []string          `json:"emergencyDialStrings,omitempty"`
	IsEmergencyProfile   bool              `json:"isEmergencyProfile"`
	EmergencyProfileID   string            `json:"emergencyProfileId,omitempty"`
	Trunks               []TrunkName       `json:"trunks"`
	Validation           map[string]string `json:"validation"`
	ManagedBy            string            `json:"managedBy,omitempty"`
	Warning              string            `json:"warning,omitempty"`
	LastModifiedOn       time.Time         `json:"lastModifiedOn"`

	version, nth int
}

// TrunkName names a trunk of a profile.
type TrunkName struct {
	TrunkID   string `json:"trunkId"`
	TrunkFQDN string `json:"trunkFqdn"`
}

// OfferType is what a profile is for.
type OfferType struct {
	OfferTypeName string   `json:"offerTypeName"`
	TestNumbers   []string `json:"testNumbers,omitempty"`
}

// profileDraft is a profile as it is asked for.
type profileDraft struct {
	Name                 string      `json:"name"`
	NameSuffix           string      `json:"nameSuffix"`
	Region               string      `json:"region"`
	Carrier              string      `json:"carrier"`
	OfferTypes           []OfferType `json:"offerTypes"`
	EmergencyDialStrings []string    `json:"emergencyDialStrings"`
	IsEmergencyProfile   bool        `json:"isEmergencyProfile"`
	EmergencyProfileID   string      `json:"emergencyProfileId"`
	TrunkIDs             []string    `json:"trunkIds"`
}

// managedSuffix marks the profiles of gateways (Azure Communications Gateway
// docs: "Calling Profiles with a CommsGw Suffix in the configuration portal or
// NameSuffix on the Operator Connect APIs").
const managedSuffix = "CommsGw"

// warning is what stands beside whatever a gateway manages.
const warning = "A communications gateway manages this. Editing it is likely to cause issues with calls: do not change it here."

// gateways tells whether a trunk's name is below a gateway's domain.
func (o *operator) gateways(fqdn string) bool {
	return slices.ContainsFunc(o.suffixes(), func(suffix string) bool { return strings.HasSuffix(strings.ToLower(fqdn), suffix) })
}

// owner is who manages what somebody makes under a gateway's name: his
// application, unless he is a person, who manages nothing by hand.
func (p principal) owner() string {
	if p.person {
		return gatewaysApp
	}
	return p.app
}

// mayChange refuses to let others than the gateway change what it manages,
// unless they say that they mean it; and nobody changes what he has not seen.
func (c *call) mayChange(managedBy, what string, version int) error {
	force, err := c.force()
	if err != nil {
		return err
	}
	its := !c.person && (c.app == managedBy || c.app == gatewaysApp)
	if managedBy == "" || force || its {
		return c.matches(version)
	}
	return refuse(http.StatusConflict, "ManagedByCommunicationsGateway", what, "%s is managed by the communications gateway with the Application Id %s: editing it is likely to cause issues. With force=true it is done all the same.", what, managedBy)
}

// state fills in what is known of a trunk at the moment.
func (e *Environment) state(o *operator, t *Trunk) Trunk {
	now := *t
	now.DomainVerified = e.cfg.Verified != nil && e.cfg.Verified(t.TrunkFQDN)
	now.EnrollmentState, now.Health = "Enrolled", Health{Status: "Unknown"}
	if !o.enrolled(t) {
		now.EnrollmentState = "Pending"
	}
	if e.cfg.Health != nil {
		active, at := e.cfg.Health(t.TrunkFQDN)
		switch {
		case active:
			now.Health.Status = "Active"
		default:
			now.Health.Status = "Inactive"
		}
		if !at.IsZero() {
			at = at.UTC().Truncate(time.Second)
			now.Health.LastOptionsOn = &at
		}
	}
	return now
}

// enrolled: a gateway's trunk is once both Application Ids are on the list, the
// one of the application that manages it and the gateways' own (Azure
// Communications Gateway docs, "You must enable Azure Communications Gateway
// within the Operator Connect or Teams Phone Mobile environment. This process
// requires configuring your environment with two Application IDs"). That it is
// this which waits for the second is inferred.
func (o *operator) enrolled(t *Trunk) bool {
	return t.ManagedBy == "" || o.listed(t.ManagedBy) && o.listed(gatewaysApp)
}

// Enrolled tells whether Teams may use a trunk: an operator has it, it is
// enabled and enrolled, and a calling profile goes over it. It waits for nobody:
// whoever is asked for a trunk's Health may ask this.
func (e *Environment) Enrolled(fqdn string) bool {
	open := e.usable.Load()
	return open != nil && (*open)[strings.ToLower(fqdn)]
}

// publish tells which trunks may be used, after something has changed. mu is
// held.
func (e *Environment) publish() {
	open := map[string]bool{}
	for _, o := range e.operators {
		for _, t := range o.trunks {
			open[t.TrunkFQDN] = t.Enabled && o.enrolled(t) && o.inUse(t) != ""
		}
	}
	e.usable.Store(&open)
}

// inUse is the name of a profile that goes over a trunk.
func (o *operator) inUse(t *Trunk) string {
	for _, p := range o.profiles {
		if slices.ContainsFunc(p.Trunks, func(n TrunkName) bool { return n.TrunkID == t.TrunkID }) {
			return p.full()
		}
	}
	return ""
}

func (o *operator) trunk(id string) *Trunk {
	i := slices.IndexFunc(o.trunks, func(t *Trunk) bool { return t.TrunkID == id })
	if i < 0 {
		return nil
	}
	return o.trunks[i]
}

func listTrunks(c *call) (answer, error) {
	var all []Trunk
	name := c.r.URL.Query().Get("trunkFqdn")
	for _, t := range c.o.trunks {
		if name == "" || strings.EqualFold(t.TrunkFQDN, name) {
			all = append(all, c.e.state(c.o, t))
		}
	}
	return list(c, all, func(t Trunk) string { return nth(t.nth) })
}

// theTrunk is that of the path.
func (c *call) theTrunk() (*Trunk, error) {
	id, err := c.id("trunkId")
	if err != nil {
		return nil, err
	}
	if t := c.o.trunk(id); t != nil {
		return t, nil
	}
	return nil, missing("trunk", id)
}

func getTrunk(c *call) (answer, error) {
	t, err := c.theTrunk()
	if err != nil {
		return answer{}, err
	}
	return answer{body: c.e.state(c.o, t), etag: t.version}, nil
}

var fqdn = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)

// draft reads a trunk of the body.
func (d *trunkDraft) check() error {
	switch {
	case !fqdn.MatchString(d.TrunkFQDN) || len(d.TrunkFQDN) > 253:
		return invalid("trunkFqdn", "trunkFqdn is the name of an SBC, with two labels or more.")
	case d.SIPSignalingPort != nil && (*d.SIPSignalingPort < 1 || *d.SIPSignalingPort > 65535):
		return invalid("sipSignalingPort", "sipSignalingPort is from 1 to 65535.")
	case long(d.Description, 256):
		return invalid("description", "description has 256 characters at most.")
	}
	return nil
}

// put makes a trunk what a draft says.
func (d *trunkDraft) put(t *Trunk) {
	t.SIPSignalingPort, t.Enabled = 5061, true
	if d.SIPSignalingPort != nil {
		t.SIPSignalingPort = *d.SIPSignalingPort
	}
	if d.Enabled != nil {
		t.Enabled = *d.Enabled
	}
	t.Description, t.LastModifiedOn = d.Description, now()
	t.version++
}

// maxTrunks and maxProfiles are far above what an operator has.
const (
	maxTrunks   = 10_000
	maxProfiles = 10_000
)

func createTrunk(c *call) (answer, error) {
	var d trunkDraft
	if err := c.decode(&d); err != nil {
		return answer{}, err
	}
	t, err := c.o.createTrunk(d, c.principal)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: c.e.state(c.o, t), etag: t.version, location: c.at("/trunks/" + t.TrunkID)}, nil
}

func (o *operator) createTrunk(d trunkDraft, by principal) (*Trunk, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	for _, t := range o.trunks {
		if strings.EqualFold(t.TrunkFQDN, d.TrunkFQDN) {
			return nil, refuse(http.StatusConflict, "AlreadyExists", "trunkFqdn", "There is a trunk %s already.", t.TrunkFQDN)
		}
	}
	if len(o.trunks) >= maxTrunks {
		return nil, invalid("", "There are %d trunks already.", maxTrunks)
	}
	t := &Trunk{TrunkID: uuid.NewString(), TrunkFQDN: strings.ToLower(d.TrunkFQDN), nth: o.next()}
	if o.gateways(t.TrunkFQDN) {
		t.ManagedBy, t.Warning = by.owner(), warning
	}
	d.put(t)
	o.trunks = append(o.trunks, t)
	return t, nil
}

func replaceTrunk(c *call) (answer, error) {
	var d trunkDraft
	t, err := c.theTrunk()
	if err == nil {
		err = c.decode(&d)
	}
	if err == nil {
		err = d.check()
	}
	switch {
	case err != nil:
		return answer{}, err
	case !strings.EqualFold(d.TrunkFQDN, t.TrunkFQDN):
		return answer{}, invalid("trunkFqdn", "A trunk keeps its name: take this one away and enroll another.")
	}
	if err := c.mayChange(t.ManagedBy, t.TrunkFQDN, t.version); err != nil {
		return answer{}, err
	}
	d.put(t)
	return getTrunk(c)
}

func deleteTrunk(c *call) (answer, error) {
	t, err := c.theTrunk()
	if err == nil {
		err = c.mayChange(t.ManagedBy, t.TrunkFQDN, t.version)
	}
	if err == nil {
		err = c.o.deleteTrunk(t)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (o *operator) deleteTrunk(t *Trunk) error {
	if p := o.inUse(t); p != "" {
		return refuse(http.StatusConflict, "InUse", t.TrunkFQDN, "The calling profile %s goes over this trunk.", p)
	}
	o.trunks = slices.DeleteFunc(o.trunks, func(x *Trunk) bool { return x == t })
	return nil
}

// at is the address of a path of the API, on the host that was asked.
func (c *call) at(path string) string { return "https://" + c.r.Host + root + path }

// full is the name of a profile with what stands behind it.
func (p *Profile) full() string { return strings.TrimSpace(p.Name + " " + p.NameSuffix) }

func (o *operator) profile(id string) *Profile {
	i := slices.IndexFunc(o.profiles, func(p *Profile) bool { return p.CallingProfileID == id })
	if i < 0 {
		return nil
	}
	return o.profiles[i]
}

func listProfiles(c *call) (answer, error) {
	suffix := c.r.URL.Query().Get("nameSuffix")
	all := slices.DeleteFunc(copies(c.o.profiles), func(p Profile) bool { return suffix != "" && !strings.EqualFold(p.NameSuffix, suffix) })
	return list(c, all, func(p Profile) string { return nth(p.nth) })
}

// theProfile is that of the path.
func (c *call) theProfile() (*Profile, error) {
	id, err := c.id("callingProfileId")
	if err != nil {
		return nil, err
	}
	if p := c.o.profile(id); p != nil {
		return p, nil
	}
	return nil, missing("calling profile", id)
}

func getProfile(c *call) (answer, error) {
	p, err := c.theProfile()
	if err != nil {
		return answer{}, err
	}
	return answer{body: *p, etag: p.version}, nil
}

var (
	profileName = regexp.MustCompile(`^[A-Za-z0-9 ._-]{1,64}$`)
	suffixName  = regexp.MustCompile(`^[A-Za-z0-9]{0,32}$`)
	dialString  = regexp.MustCompile(`^[0-9*#]{1,16}$`)
	telephone   = regexp.MustCompile(`^\+[1-9][0-9]{1,17}$`)
)

var offers = []string{"Calling", "AudioConferencing", "TeamsPhoneMobile"}

// check tells what is wrong with a profile, all of it.
func (d *profileDraft) check(o *operator, self *Profile) error {
	var wrong []detail
	bad := func(target, message string) { wrong = append(wrong, detail{"InvalidRequest", message, target}) }
	if !profileName.MatchString(d.Name) {
		bad("name", "A name has from 1 to 64 letters, digits, spaces, dots, - and _.")
	}
	if !suffixName.MatchString(d.NameSuffix) {
		bad("nameSuffix", "A suffix has 32 letters and digits at most.")
	}
	if d.Region == "" || long(d.Region, 64) {
		bad("region", "A region has from 1 to 64 characters.")
	}
	if long(d.Carrier, 64) {
		bad("carrier", "A carrier has 64 characters at most.")
	}
	if len(d.OfferTypes) < 1 || len(d.OfferTypes) > len(offers) {
		bad("offerTypes", "There are from one to three offer types.")
	}
	for _, offer := range d.OfferTypes {
		if !slices.Contains(offers, offer.OfferTypeName) || len(offer.TestNumbers) > 100 || slices.ContainsFunc(offer.TestNumbers, func(n string) bool { return !telephone.MatchString(n) }) {
			bad("offerTypes", "An offer type is one of "+strings.Join(offers, ", ")+", with 100 test numbers in E.164 at most.")
		}
	}
	if len(d.EmergencyDialStrings) > 10 || slices.ContainsFunc(d.EmergencyDialStrings, func(s string) bool { return !dialString.MatchString(s) }) {
		bad("emergencyDialStrings", "There are 10 emergency dial strings at most, of digits, * and #.")
	}
	d.EmergencyProfileID = strings.ToLower(d.EmergencyProfileID)
	if emergency := o.profile(d.EmergencyProfileID); d.EmergencyProfileID != "" && (emergency == nil || !emergency.IsEmergencyProfile || emergency == self) {
		bad("emergencyProfileId", "This is no emergency profile.")
	}
	wrong = append(wrong, d.checkTrunks(o)...)
	if len(wrong) > 0 {
		no := invalid(wrong[0].Target, "%s", wrong[0].Message)
		no.details = wrong
		return no
	}
	return nil
}

func (d *profileDraft) checkTrunks(o *operator) (wrong []detail) {
	if len(d.TrunkIDs) < 1 || len(d.TrunkIDs) > 32 {
		return []detail{{"InvalidRequest", "A profile has from 1 to 32 trunks.", "trunkIds"}}
	}
	for i, id := range d.TrunkIDs {
		d.TrunkIDs[i] = strings.ToLower(id)
		if o.trunk(d.TrunkIDs[i]) == nil || slices.Contains(d.TrunkIDs[:i], d.TrunkIDs[i]) {
			wrong = append(wrong, detail{"InvalidRequest", "There is no trunk " + clip(id, 60) + ", or it is there twice.", "trunkIds"})
		}
	}
	return wrong
}

// put makes a profile what a draft says. With a single trunk there is nowhere
// to go when it fails, and the profile is not validated.
func (d *profileDraft) put(o *operator, p *Profile, by principal) {
	p.Name, p.NameSuffix, p.Environment, p.Region, p.Carrier = d.Name, d.NameSuffix, o.environment(), d.Region, d.Carrier
	p.OfferTypes, p.EmergencyDialStrings, p.IsEmergencyProfile, p.EmergencyProfileID = d.OfferTypes, d.EmergencyDialStrings, d.IsEmergencyProfile, d.EmergencyProfileID
	p.Trunks, p.Validation = nil, map[string]string{}
	for _, id := range d.TrunkIDs {
		p.Trunks = append(p.Trunks, TrunkName{id, o.trunk(id).TrunkFQDN})
	}
	for _, offer := range d.OfferTypes {
		p.Validation[offer.OfferTypeName] = "Validated"
		if len(d.TrunkIDs) < 2 {
			p.Validation[offer.OfferTypeName] = "NotValidated"
		}
	}
	switch managed := strings.EqualFold(d.NameSuffix, managedSuffix); {
	case !managed:
		p.ManagedBy, p.Warning = "", ""
	case p.ManagedBy == "":
		p.ManagedBy, p.Warning = by.owner(), warning
	}
	p.LastModifiedOn = now()
	p.version++
}

// taken tells whether another profile has a draft's name.
func (d *profileDraft) taken(o *operator, self *Profile) error {
	want := Profile{Name: d.Name, NameSuffix: d.NameSuffix}
	for _, p := range o.profiles {
		if p != self && strings.EqualFold(p.full(), want.full()) {
			return refuse(http.StatusConflict, "AlreadyExists", "name", "There is a calling profile %s already.", p.full())
		}
	}
	return nil
}

func createProfile(c *call) (answer, error) {
	var d profileDraft
	if err := c.decode(&d); err != nil {
		return answer{}, err
	}
	p, err := c.o.createProfile(d, c.principal)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: *p, etag: p.version, location: c.at("/callingprofiles/" + p.CallingProfileID)}, nil
}

func (o *operator) createProfile(d profileDraft, by principal) (*Profile, error) {
	if err := d.check(o, nil); err != nil {
		return nil, err
	}
	if err := d.taken(o, nil); err != nil {
		return nil, err
	}
	if len(o.profiles) >= maxProfiles {
		return nil, invalid("", "There are %d calling profiles already.", maxProfiles)
	}
	p := &Profile{CallingProfileID: uuid.NewString(), nth: o.next()}
	d.put(o, p, by)
	o.profiles = append(o.profiles, p)
	return p, nil
}

func replaceProfile(c *call) (answer, error) {
	var d profileDraft
	p, err := c.theProfile()
	if err == nil {
		err = c.decode(&d)
	}
	if err == nil {
		err = c.mayChange(p.ManagedBy, p.full(), p.version)
	}
	if err == nil {
		err = c.o.replaceProfile(p, d, c.principal)
	}
	if err != nil {
		return answer{}, err
	}
	return getProfile(c)
}

func (o *operator) replaceProfile(p *Profile, d profileDraft, by principal) error {
	if err := d.check(o, p); err != nil {
		return err
	}
	if err := d.taken(o, p); err != nil {
		return err
	}
	d.put(o, p, by)
	return nil
}

func deleteProfile(c *call) (answer, error) {
	p, err := c.theProfile()
	if err == nil {
		err = c.mayChange(p.ManagedBy, p.full(), p.version)
	}
	if err == nil {
		err = c.o.deleteProfile(p)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (o *operator) deleteProfile(p *Profile) error {
	for _, t := range o.tenants {
		for _, n := range t.numbers {
			if n.CallingProfileID == p.CallingProfileID {
				return refuse(http.StatusConflict, "InUse", p.full(), "The number %s has this profile.", n.TelephoneNumber)
			}
		}
	}
	for _, other := range o.profiles {
		if other.EmergencyProfileID == p.CallingProfileID {
			return refuse(http.StatusConflict, "InUse", p.full(), "It is the emergency profile of %s.", other.full())
		}
	}
	o.profiles = slices.DeleteFunc(o.profiles, func(x *Profile) bool { return x == p })
	return nil
}
