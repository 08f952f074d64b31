package operatorconnect

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Number is a telephone number that an enterprise has of an operator.
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
	AcquiredNumberStatus     string    `json:"acquiredNumberStatus"`
	ISOCountryCode           string    `json:"isoCountryCode,omitempty"`
	TNUploadJobID            string    `json:"tnUploadJobId,omitempty"`
	CivicAddressID           string    `json:"civicAddressId,omitempty"`
	LocationID               string    `json:"locationId,omitempty"`
	AllowTenantAddressUpdate bool      `json:"allowTenantAddressUpdate"`
	AssignmentStatus         string    `json:"assignmentStatus"`
}

// NumberStatus says whose a number is.
type NumberStatus struct {
	TelephoneNumber  string `json:"telephoneNumber"`
	NumberType       string `json:"numberType"`
	OperatorID       string `json:"operatorId"`
	AssignmentStatus string `json:"assignmentStatus,omitempty"`
}

// Plan is what numbers may be used for.
type Plan struct {
	Name                  string   `json:"name"`
	OfferTypes            []string `json:"offerTypes"`
	Usage                 string   `json:"usage"`
	MandatoryCapabilities []string `json:"mandatoryCapabilities"`
	ChoosableCapabilities []string `json:"choosableCapabilities"`
	SupportsTollFree      bool     `json:"supportsTollFree"`
}

var plans = []Plan{
	{"Calling", []string{"Calling"}, "CallingUserAssignment", []string{"UserAssignment"}, []string{"InboundCalling", "OutboundCalling"}, false},
	{"Conferencing", []string{"AudioConferencing"}, "ConferenceAssignment", []string{"ConferenceAssignment", "InboundCalling"}, []string{"OutboundCalling"}, true},
	{"Mobile", []string{"TeamsPhoneMobile"}, "CallingUserAssignment", []string{"UserAssignment", "Mobile"}, []string{"InboundCalling", "OutboundCalling"}, false},
	{"ThirdPartyApp", []string{"Calling"}, "ThirdPartyAppAssignment", []string{"ThirdPartyAppAssignment", "InboundCalling"}, []string{"OutboundCalling"}, true},
	{"VoiceApp", []string{"Calling"}, "FirstPartyAppAssignment", []string{"FirstPartyAppAssignment", "InboundCalling"}, []string{"OutboundCalling"}, true},
}

var (
	usages      = []string{"CallingUserAssignment", "FirstPartyAppAssignment", "ConferenceAssignment", "ThirdPartyAppAssignment"}
	assignments = []string{"Unassigned", "UserAssigned", "ConferenceAssigned", "VoiceApp"}
)

func listPlans(c *call) (answer, error) {
	tenant, err := c.wanted("tenantId")
	if err != nil {
		return answer{}, err
	}
	if tenant != "" {
		if _, err := c.enterprise(tenant, false); err != nil {
			return answer{}, err
		}
	}
	return list(c, plans, func(p Plan) string { return p.Name })
}

// sorted are the numbers of an enterprise in their order.
func (t *enterprise) sorted() (all []Number) {
	for _, n := range slices.Sorted(maps.Keys(t.numbers)) {
		all = append(all, *t.numbers[n])
	}
	return all
}

func listNumbers(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	profile, err := c.wanted("callingProfileId")
	if err != nil {
		return answer{}, err
	}
	status, err := c.one("assignmentStatus", assignments)
	if err != nil {
		return answer{}, err
	}
	all := slices.DeleteFunc(t.sorted(), func(n Number) bool {
		return profile != "" && n.CallingProfileID != profile || status != "" && n.AssignmentStatus != status
	})
	return list(c, all, func(n Number) string { return n.TelephoneNumber })
}

func getNumber(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	number := c.r.PathValue("telephoneNumber")
	if !telephone.MatchString(number) {
		return answer{}, invalid("telephoneNumber", "%q is no number in E.164.", clip(number, 40))
	}
	if n := t.numbers[number]; n != nil {
		return answer{body: *n}, nil
	}
	return answer{}, missing("number", number)
}

func listStatus(c *call) (answer, error) {
	tenant, err := c.wanted("tenantId")
	if err != nil {
		return answer{}, err
	}
	if tenant == "" {
		return answer{}, invalid("tenantId", "tenantId is missing.")
	}
	t, err := c.enterprise(tenant, false)
	if err != nil {
		return answer{}, err
	}
	all := slices.Clone(t.others)
	for _, n := range t.numbers {
		kind := "OperatorConnect"
		if slices.Contains(n.AcquiredCapabilities, "Mobile") {
			kind = "OperatorConnectMobile"
		}
		all = append(all, NumberStatus{n.TelephoneNumber, kind, c.o.id, n.AssignmentStatus})
	}
	slices.SortFunc(all, func(a, b NumberStatus) int { return strings.Compare(a.TelephoneNumber, b.TelephoneNumber) })
	return list(c, all, func(n NumberStatus) string { return n.TelephoneNumber })
}

// Assign lets an enterprise give a number to somebody, or take it back.
func (e *Environment) Assign(operator, tenant, number, status string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.operators[strings.ToLower(operator)]
	if o == nil || o.tenants[strings.ToLower(tenant)] == nil || !slices.Contains(assignments, status) {
		return false
	}
	o.settle(time.Now())
	n := o.tenants[strings.ToLower(tenant)].numbers[number]
	if n == nil {
		return false
	}
	n.AssignmentStatus = status
	return true
}

// Order is what has been asked for and what has become of it.
type Order struct {
	ID               string        `json:"id"`
	Kind             string        `json:"kind"`
	TenantID         string        `json:"tenantId"`
	TicketID         string        `json:"ticketId,omitempty"`
	Status           string        `json:"status"`
	CreatedOn        time.Time     `json:"createdOn"`
	LastModifiedOn   time.Time     `json:"lastModifiedOn"`
	NumbersTotal     int           `json:"numbersTotal"`
	NumbersSucceeded int           `json:"numbersSucceeded"`
	NumbersFailed    int           `json:"numbersFailed"`
	TelephoneNumbers []OrderNumber `json:"telephoneNumbers,omitempty"`
}

// OrderNumber is one number of an order.
type OrderNumber struct {
	TelephoneNumber string `json:"telephoneNumber"`
	Status          string `json:"status"`
	ErrorCode       string `json:"errorCode,omitempty"`
	Message         string `json:"message,omitempty"`
}

// order is one with what it will do when its time has come.
type order struct {
	Order
	nth   int
	begun time.Time
	work  time.Duration
	apply func(number string) (code, message string)
	done  bool
}

// numbersDraft is what the three kinds of orders ask for.
type numbersDraft struct {
	Usage                    string   `json:"usage"`
	AdditionalUsages         []string `json:"additionalUsages"`
	CallingProfileID         string   `json:"callingProfileId"`
	Capabilities             []string `json:"capabilities"`
	CivicAddressID           string   `json:"civicAddressId"`
	LocationID               string   `json:"locationId"`
	AllowTenantAddressUpdate *bool    `json:"allowTenantAddressUpdate"`
	Country                  string   `json:"country"`
	TicketID                 string   `json:"ticketId"`
	TelephoneNumbers         []string `json:"telephoneNumbers"`
}

const (
	maxNumbers = 10_000              // of an order
	orderLife  = 30 * 24 * time.Hour // for which orders are shown
	maxOrders  = 10_000              // of an enterprise; the oldest go
)

// checkNumbers looks at what all orders have.
func (d *numbersDraft) checkNumbers() error {
	switch {
	case len(d.TelephoneNumbers) == 0:
		return invalid("telephoneNumbers", "There is no number.")
	case len(d.TelephoneNumbers) > maxNumbers:
		return refuse(http.StatusRequestEntityTooLarge, "PayloadTooLarge", "telephoneNumbers", "An order has %d numbers at most.", maxNumbers)
	case long(d.TicketID, 64):
		return invalid("ticketId", "ticketId has 64 characters at most.")
	}
	seen := make(map[string]bool, len(d.TelephoneNumbers))
	for _, n := range d.TelephoneNumbers {
		if !telephone.MatchString(n) || seen[n] {
			return invalid("telephoneNumbers", "%q is no number in E.164, or it is there twice.", clip(n, 40))
		}
		seen[n] = true
	}
	return nil
}

// plan is the one of a usage that has the capabilities that are asked for, and
// is of a kind that the profile offers.
func (d *numbersDraft) plan(profile *Profile) (Plan, error) {
	for _, p := range plans {
		offered := profile == nil || slices.ContainsFunc(profile.OfferTypes, func(o OfferType) bool { return slices.Contains(p.OfferTypes, o.OfferTypeName) })
		may := append(slices.Clone(p.MandatoryCapabilities), p.ChoosableCapabilities...)
		if p.Usage == d.Usage && offered && !slices.ContainsFunc(d.Capabilities, func(c string) bool { return !slices.Contains(may, c) }) {
			return p, nil
		}
	}
	return Plan{}, invalid("capabilities", "No capability plan has the usage %s with these capabilities for an offer of this calling profile.", clip(d.Usage, 40))
}

func (d *numbersDraft) check(o *operator) error {
	if err := d.checkNumbers(); err != nil {
		return err
	}
	for _, u := range append(slices.Clone(d.AdditionalUsages), d.Usage) {
		if u != "" && !slices.Contains(usages, u) {
			return invalid("usage", "usage is one of %s.", strings.Join(usages, ", "))
		}
	}
	for name, id := range map[string]*string{"callingProfileId": &d.CallingProfileID, "civicAddressId": &d.CivicAddressID, "locationId": &d.LocationID} {
		if _, err := uuid.Parse(*id); *id != "" && err != nil {
			return invalid(name, "%q is no ID.", clip(*id, 60))
		}
		*id = strings.ToLower(*id)
	}
	switch {
	case d.CivicAddressID != "" && d.LocationID != "":
		return invalid("locationId", "There is a civicAddressId or a locationId, not both.")
	case d.Country != "" && !country.MatchString(d.Country):
		return invalid("country", "country has two letters.")
	case d.CallingProfileID != "" && o.profile(d.CallingProfileID) == nil:
		return invalid("callingProfileId", "There is no calling profile %s.", d.CallingProfileID)
	}
	return nil
}

// tollFree tells whether a number of the North American plan is free to call.
func tollFree(number string) bool {
	return slices.ContainsFunc([]string{"800", "833", "844", "855", "866", "877", "888"}, func(code string) bool { return strings.HasPrefix(number, "+1"+code) })
}

func uploadNumbers(c *call) (answer, error) {
	var d numbersDraft
	t, tenant, err := c.theEnterprise()
	if err == nil {
		err = c.decode(&d)
	}
	if err == nil {
		err = d.check(c.o)
	}
	if err == nil {
		err = d.complete()
	}
	if err != nil {
		return answer{}, err
	}
	plan, err := d.plan(c.o.profile(d.CallingProfileID))
	if err != nil {
		return answer{}, err
	}
	o := c.order(t, tenant, "upload", d)
	o.apply = func(number string) (string, string) { return c.upload(t, o, d, plan, number) }
	return c.taken(o), nil
}

// complete tells what an upload lacks.
func (d *numbersDraft) complete() error {
	switch {
	case d.Usage == "":
		return invalid("usage", "usage is missing.")
	case d.CallingProfileID == "":
		return invalid("callingProfileId", "callingProfileId is missing.")
	}
	for _, n := range d.TelephoneNumbers {
		switch {
		case !tollFree(n):
		case d.Usage == usages[0]:
			return invalid("usage", "%s is free to call: such numbers cannot be %s.", n, usages[0])
		case d.Country == "":
			return invalid("country", "%s is free to call: its country must be said.", n)
		}
	}
	return nil
}

// countries are those of numbers by their beginning, as far as the sandbox
// knows any.
var countries = map[string]string{
	"1": "US", "20": "EG", "27": "ZA", "30": "GR", "31": "NL", "32": "BE", "33": "FR", "34": "ES", "353": "IE", "351": "PT", "352": "LU", "358": "FI", "36": "HU", "39": "IT",
	"40": "RO", "41": "CH", "420": "CZ", "43": "AT", "44": "GB", "45": "DK", "46": "SE", "47": "NO", "48": "PL", "49": "DE", "52": "MX", "55": "BR", "61": "AU", "64": "NZ", "65": "SG", "81": "JP", "91": "IN",
}

// countryOf is the country of a number; "" when nobody knows it.
func countryOf(number string) string {
	for n := 3; n > 0; n-- {
		if len(number) > n && countries[number[1:1+n]] != "" {
			return countries[number[1:1+n]]
		}
	}
	return ""
}

// upload brings one number to an enterprise.
func (c *call) upload(t *enterprise, o *order, d numbersDraft, plan Plan, number string) (code, message string) {
	if t.numbers[number] != nil {
		return "already_exists", "The enterprise has this number already."
	}
	if c.e.has(number) {
		return "number_in_use", "Another enterprise has this number."
	}
	in := d.Country
	if in == "" {
		in = countryOf(number)
	}
	if in == "" {
		return "unknown_country_code", "Nobody knows the country of this number: say it."
	}
	n := &Number{
		ID: uuid.NewString(), TelephoneNumber: number, TenantID: o.TenantID, CallingProfileID: d.CallingProfileID, Usage: d.Usage, AdditionalUsages: d.AdditionalUsages,
		AcquiredOn: now(), AcquiredNumberStatus: "Completed", ISOCountryCode: in, TNUploadJobID: o.ID, AssignmentStatus: assignments[0],
	}
	if code, message = t.locate(n, d); code != "" {
		return code, message
	}
	n.use(plan, d.Capabilities)
	if tollFree(number) {
		n.AcquiredCapabilities = append(n.AcquiredCapabilities, "TollFree")
	}
	t.numbers[number] = n
	return "", ""
}

// use gives a number the capabilities of a plan: those that it must have, and
// those that were chosen; when none was, all.
func (n *Number) use(p Plan, chosen []string) {
	n.AvailableCapabilities = append(slices.Clone(p.MandatoryCapabilities), p.ChoosableCapabilities...)
	if len(chosen) == 0 {
		n.AcquiredCapabilities = slices.Clone(n.AvailableCapabilities)
		return
	}
	n.AcquiredCapabilities = slices.Clone(p.MandatoryCapabilities)
	for _, c := range chosen {
		if !slices.Contains(n.AcquiredCapabilities, c) {
			n.AcquiredCapabilities = append(n.AcquiredCapabilities, c)
		}
	}
}

// locate gives a number the address that was asked for.
func (t *enterprise) locate(n *Number, d numbersDraft) (code, message string) {
	if d.AllowTenantAddressUpdate != nil {
		n.AllowTenantAddressUpdate = *d.AllowTenantAddressUpdate
	}
	if d.CivicAddressID == "" && d.LocationID == "" {
		return "", ""
	}
	for _, a := range t.addresses {
		for _, l := range a.Locations {
			at := l.ID == d.LocationID || a.ID == d.CivicAddressID && l.ID == a.DefaultLocationID
			switch {
			case at && a.Country != n.ISOCountryCode:
				return "unable_to_match_geography_entry", "The address is in " + a.Country + ", the number in " + n.ISOCountryCode + "."
			case at:
				n.CivicAddressID, n.LocationID = a.ID, l.ID
				return "", ""
			}
		}
		if a.ID == d.CivicAddressID {
			return "unable_to_retrieve_default_location", "The address has no default location."
		}
	}
	return "unable_to_retrieve_location", "The enterprise has no such address."
}

// has tells whether any enterprise of any operator has a number.
func (e *Environment) has(number string) bool {
	for _, o := range e.operators {
		for _, t := range o.tenants {
			if t.numbers[number] != nil {
				return true
			}
		}
	}
	return false
}

func assignNumbers(c *call) (answer, error) {
	var d numbersDraft
	t, tenant, err := c.theEnterprise()
	if err == nil {
		err = c.decode(&d)
	}
	if err == nil {
		err = d.check(c.o)
	}
	if err == nil && d.Country != "" {
		err = invalid("country", "A number keeps its country.")
	}
	if err == nil && d.Usage != "" {
		_, err = d.plan(c.o.profile(d.CallingProfileID))
	}
	if err != nil {
		return answer{}, err
	}
	o := c.order(t, tenant, "assign", d)
	o.apply = func(number string) (string, string) { return c.assign(t, d, number) }
	return c.taken(o), nil
}

// assign changes one number; what is not said stays.
func (c *call) assign(t *enterprise, d numbersDraft, number string) (code, message string) {
	old := t.numbers[number]
	switch {
	case old == nil:
		return "not_found", "The enterprise has no such number."
	case d.Usage != "" && d.Usage != old.Usage && old.AssignmentStatus != assignments[0]:
		return "number_assigned", "Somebody has this number: it keeps its usage."
	}
	n := *old
	if d.CallingProfileID != "" {
		n.CallingProfileID = d.CallingProfileID
	}
	if len(d.AdditionalUsages) > 0 {
		n.AdditionalUsages = d.AdditionalUsages
	}
	if d.Usage != "" || len(d.Capabilities) > 0 {
		if d.Usage == "" {
			d.Usage = n.Usage
		}
		plan, err := d.plan(c.o.profile(n.CallingProfileID))
		if err != nil {
			return "internal_error", "No capability plan has this usage with these capabilities."
		}
		n.Usage = d.Usage
		n.use(plan, d.Capabilities)
	}
	if code, message = t.locate(&n, d); code != "" {
		return code, message
	}
	t.numbers[number] = &n
	return "", ""
}

func releaseNumbers(c *call) (answer, error) {
	var d struct {
		TicketID         string   `json:"ticketId"`
		TelephoneNumbers []string `json:"telephoneNumbers"`
	}
	t, tenant, err := c.theEnterprise()
	if err == nil {
		err = c.decode(&d)
	}
	draft := numbersDraft{TicketID: d.TicketID, TelephoneNumbers: d.TelephoneNumbers}
	if err == nil {
		err = draft.checkNumbers()
	}
	if err != nil {
		return answer{}, err
	}
	o := c.order(t, tenant, "release", draft)
	o.apply = func(number string) (string, string) {
		switch n := t.numbers[number]; {
		case n == nil:
			return "not_found", "The enterprise has no such number."
		case n.AssignmentStatus != assignments[0]:
			return "number_assigned", "Somebody has this number."
		}
		delete(t.numbers, number)
		return "", ""
	}
	for _, n := range d.TelephoneNumbers {
		if is := t.numbers[n]; is != nil && is.AssignmentStatus == assignments[0] {
			is.AcquiredNumberStatus = "ReleaseRequested"
		}
	}
	return c.taken(o), nil
}

// order takes an order down. What it does is done when its time has come.
func (c *call) order(t *enterprise, tenant, kind string, d numbersDraft) *order {
	at := now()
	o := &order{
		Order: Order{ID: uuid.NewString(), Kind: kind, TenantID: tenant, TicketID: d.TicketID, Status: "pending", CreatedOn: at, LastModifiedOn: at, NumbersTotal: len(d.TelephoneNumbers)},
		nth:   c.o.next(), begun: time.Now(), work: c.e.cfg.Work,
	}
	status := "pending"
	if kind == "release" {
		status = "release_requested"
	}
	for _, n := range d.TelephoneNumbers {
		o.TelephoneNumbers = append(o.TelephoneNumbers, OrderNumber{TelephoneNumber: n, Status: status})
	}
	if t.orders = append(t.orders, o); len(t.orders) > maxOrders {
		t.orders = slices.Delete(t.orders, 0, len(t.orders)-maxOrders)
	}
	return o
}

// soon is the Retry-After of an order.
func (o *order) soon() string { return strconv.Itoa(max(1, int(o.work/time.Second))) }

// taken answers that an order will be done.
func (c *call) taken(o *order) answer {
	return answer{status: http.StatusAccepted, body: o.shown(), retry: o.soon(), location: c.at("/tenants/" + url.PathEscape(o.TenantID) + "/orders/" + o.ID)}
}

// shown is an order as it is now.
func (o *order) shown() Order {
	now := o.Order
	now.TelephoneNumbers = slices.Clone(o.TelephoneNumbers)
	return now
}

// settle does what is due of an operator's orders. Nobody sees the difference
// to its being done at that moment.
func (o *operator) settle(now time.Time) {
	for _, t := range o.tenants {
		for _, order := range t.orders {
			order.settle(now)
		}
		t.orders = slices.DeleteFunc(t.orders, func(x *order) bool { return now.Sub(x.begun) > orderLife })
	}
}

func (o *order) settle(at time.Time) {
	switch passed := at.Sub(o.begun); {
	case o.done || passed < o.work/2:
		return
	case passed < o.work:
		if o.Status == "pending" {
			o.advance("in_progress")
		}
		return
	}
	good := "success"
	if o.Kind == "release" {
		good = "release_completed"
	}
	for i := range o.TelephoneNumbers {
		n := &o.TelephoneNumbers[i]
		if n.ErrorCode, n.Message = o.apply(n.TelephoneNumber); n.ErrorCode != "" {
			n.Status = "error"
			o.NumbersFailed++
			continue
		}
		n.Status = good
		o.NumbersSucceeded++
	}
	o.done = true
	switch {
	case o.NumbersFailed == 0:
		o.Status = "success"
	case o.NumbersSucceeded == 0:
		o.Status = "error"
	default:
		o.Status = "partial_success"
	}
	o.LastModifiedOn = now()
}

// advance says that an order is under way.
func (o *order) advance(status string) {
	o.Status, o.LastModifiedOn = status, now()
	for i := range o.TelephoneNumbers {
		if o.TelephoneNumbers[i].Status == "pending" {
			o.TelephoneNumbers[i].Status = status
		}
	}
}

func listOrders(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	ticket := c.r.URL.Query().Get("ticketId")
	var all []Order
	keys := map[string]string{}
	for _, o := range slices.Backward(t.orders) {
		if ticket == "" || o.TicketID == ticket {
			now := o.Order
			now.TelephoneNumbers = nil
			all = append(all, now)
			keys[o.ID] = nth(1<<38 - o.nth) // the newest first
		}
	}
	return list(c, all, func(o Order) string { return keys[o.ID] })
}

func getOrder(c *call) (answer, error) {
	t, _, err := c.theEnterprise()
	if err != nil {
		return answer{}, err
	}
	id, err := c.id("orderId")
	if err != nil {
		return answer{}, err
	}
	for _, o := range t.orders {
		if o.ID == id {
			out := answer{body: o.shown()}
			if !o.done {
				out.retry = o.soon()
			}
			return out, nil
		}
	}
	return answer{}, missing("order", id)
}
