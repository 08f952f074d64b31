package operatorconnect

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// place is an entry of the navigation.
type place struct{ Name, Title, Path string }

var places = []place{
	{"overview", "Overview", "/operator"},
	{"consents", "Consents", "/operator/consents"},
	{"profiles", "Calling profiles", "/operator/profiles"},
	{"trunks", "Trunks", "/operator/trunks"},
	{"configuration", "Configuration", "/operator/configuration"},
}

// words are what templates can do.
var words = template.FuncMap{
	"pages": func() []place { return places },
	"join":  func(s []string) string { return strings.Join(s, ", ") },
	"date": func(t time.Time) string {
		if t.IsZero() {
			return "–"
		}
		return t.UTC().Format("2 Jan 2006 15:04 UTC")
	},
	// mood is the look of a status.
	"mood": func(s string) string {
		switch s {
		case "Active", "Enrolled", "Validated", "Verified", "AgreementSigned":
			return "good"
		case "Removed", "Failed", "Inactive", "ContractTerminated", "ConsentDeclined", "Not verified":
			return "bad"
		}
		return "idle"
	},
}

// acts are what signed-in people can do, by pattern.
var acts = map[string]act{
	"POST /signout":                       {nil, func(e *Environment, w http.ResponseWriter, r *http.Request, _ *session) { e.signOut(w, r) }},
	"GET /operator":                       {nil, (*Environment).overview},
	"GET /operator/configuration":         {readSettings, (*Environment).configuration},
	"POST /operator/configuration":        {writeSettings, (*Environment).enlist},
	"GET /operator/configuration/{id}":    {writeSettings, (*Environment).confirmDelist},
	"POST /operator/configuration/{id}":   {writeSettings, (*Environment).delist},
	"GET /operator/trunks":                {readTrunks, (*Environment).trunks},
	"POST /operator/trunks":               {writeTrunks, (*Environment).enroll},
	"GET /operator/trunks/{id}":           {readTrunks, (*Environment).trunk},
	"POST /operator/trunks/{id}":          {writeTrunks, (*Environment).changeTrunk},
	"GET /operator/trunks/{id}/delete":    {writeTrunks, (*Environment).confirmTrunk},
	"POST /operator/trunks/{id}/delete":   {writeTrunks, (*Environment).removeTrunk},
	"GET /operator/profiles":              {readTrunks, (*Environment).profiles},
	"POST /operator/profiles":             {writeTrunks, (*Environment).addProfile},
	"GET /operator/profiles/{id}":         {readTrunks, (*Environment).profile},
	"POST /operator/profiles/{id}":        {writeTrunks, (*Environment).changeProfile},
	"GET /operator/profiles/{id}/delete":  {writeTrunks, (*Environment).confirmProfile},
	"POST /operator/profiles/{id}/delete": {writeTrunks, (*Environment).removeProfile},
	"GET /operator/consents":              {readConsents, (*Environment).consents},
	"GET /operator/consents/{id}":         {readConsents, (*Environment).consent},
	"POST /operator/consents/{id}":        {writeConsents, (*Environment).relate},
}

// overviewBody is what the first page shows.
type overviewBody struct {
	Settings                          Settings
	Roles                             []string
	Consents, Profiles, Trunks, Apps  int
	Numbers                           int
	GatewaysMissing                   string // the gateways' own application, when it is not listed
	Pending                           int    // trunks that are not enrolled
	SeeConsents, SeeTrunks, SeeConfig bool
}

func (e *Environment) overview(w http.ResponseWriter, r *http.Request, s *session) {
	e.mu.Lock()
	o := s.operator
	o.settle(time.Now())
	b := overviewBody{
		Settings: o.settings(), Roles: s.roles, Consents: len(o.consents), Profiles: len(o.profiles), Trunks: len(o.trunks), Apps: len(o.apps),
		SeeConsents: s.has(readConsents...), SeeTrunks: s.has(readTrunks...), SeeConfig: s.has(readSettings...),
	}
	if !o.listed(gatewaysApp) {
		b.GatewaysMissing = gatewaysApp
	}
	for _, t := range o.trunks {
		if !o.enrolled(t) {
			b.Pending++
		}
	}
	for _, t := range o.tenants {
		b.Numbers += len(t.numbers)
	}
	e.mu.Unlock()
	e.page(w, r, s, view{Title: "Overview", Here: "overview", Body: b})
}

// configurationBody is what the page of Application Ids shows.
type configurationBody struct {
	Apps     []appRow
	ID, Name string // as they were sent
	May      bool
	Gateways string
	Missing  bool // of the gateways' own application
}

type appRow struct {
	ApplicationID
	Use string // by a gateway
}

func (o *operator) rows() (all []appRow) {
	for _, a := range o.apps {
		all = append(all, appRow{a, o.use(a.ApplicationID)})
	}
	return all
}

// use says what needs an application to be listed.
func (o *operator) use(id string) string {
	if id == gatewaysApp {
		return "AzureCommunicationsGateway"
	}
	for _, t := range o.trunks {
		if t.ManagedBy == id {
			return "manages " + t.TrunkFQDN
		}
	}
	return ""
}

func (e *Environment) configuration(w http.ResponseWriter, r *http.Request, s *session) {
	e.showConfiguration(w, r, s, configurationBody{}, nil)
}

func (e *Environment) showConfiguration(w http.ResponseWriter, r *http.Request, s *session, b configurationBody, err error) {
	e.mu.Lock()
	b.Apps, b.May, b.Gateways, b.Missing = s.operator.rows(), s.has(writeSettings...), gatewaysApp, !s.operator.listed(gatewaysApp)
	e.mu.Unlock()
	e.page(w, r, s, view{Title: "Configuration", Here: "configuration", Body: b, Error: wrong(err)})
}

// wrong is what a person is told of an error.
func wrong(err error) string {
	if no, is := errors.AsType[*refusal](err); is {
		var all []string
		for _, d := range no.details {
			all = append(all, d.Message)
		}
		return cmp.Or(strings.Join(all, " "), no.message)
	}
	if err != nil {
		return "Something is broken here."
	}
	return ""
}

// done sends the browser on, so that loading the page again does nothing twice.
func done(w http.ResponseWriter, r *http.Request, to, said string) {
	http.Redirect(w, r, to+"?said="+said, http.StatusSeeOther)
}

func (e *Environment) enlist(w http.ResponseWriter, r *http.Request, s *session) {
	b := configurationBody{ID: strings.TrimSpace(r.PostFormValue("id")), Name: strings.TrimSpace(r.PostFormValue("name"))}
	e.mu.Lock()
	_, _, err := s.operator.add(b.ID, b.Name, s.name)
	e.mu.Unlock()
	if err != nil {
		e.showConfiguration(w, r, s, b, err)
		return
	}
	done(w, r, "/operator/configuration", "added")
}

// question is asked before something is taken away.
type question struct {
	What, Warning, Action, Back string
	Managed                     bool
}

// ask asks, unless there is nothing to take away.
func (e *Environment) ask(w http.ResponseWriter, r *http.Request, s *session, q question) {
	if q.What == "" {
		e.trouble(w, http.StatusNotFound, "There is nothing here", "It may have been taken away meanwhile.")
		return
	}
	e.page(w, r, s, view{Title: "Remove " + q.What + "?", Here: "confirm", Body: q})
}

// sure tells whether a person said that he means it.
func sure(r *http.Request) bool { return r.PostFormValue("sure") == "yes" }

func (e *Environment) confirmDelist(w http.ResponseWriter, r *http.Request, s *session) {
	id := strings.ToLower(r.PathValue("id"))
	q := question{Action: "/operator/configuration/" + url.PathEscape(id), Back: "/operator/configuration", Warning: "Its program gets 403 from then on."}
	e.mu.Lock()
	for _, a := range s.operator.rows() {
		if a.ApplicationID.ApplicationID == id {
			q.What, q.Managed = cmp.Or(a.Name, id), a.Use != ""
			if q.Managed {
				q.Warning = "A communications gateway needs it (" + a.Use + "): without it, its trunks are no longer enrolled and calls fail."
			}
		}
	}
	e.mu.Unlock()
	e.ask(w, r, s, q)
}

func (e *Environment) delist(w http.ResponseWriter, r *http.Request, s *session) {
	id := strings.ToLower(r.PathValue("id"))
	e.mu.Lock()
	refused := s.operator.use(id) != "" && !sure(r)
	if !refused {
		s.operator.remove(id)
	}
	e.mu.Unlock()
	if refused {
		e.confirmDelist(w, r, s)
		return
	}
	done(w, r, "/operator/configuration", "removed")
}

// trunksBody is what the list of trunks shows.
type trunksBody struct {
	Trunks []Trunk
	May    bool
	Draft  trunkDraft
	Port   string
}

func (e *Environment) trunks(w http.ResponseWriter, r *http.Request, s *session) {
	e.showTrunks(w, r, s, trunksBody{Port: "5061"}, nil)
}

func (e *Environment) showTrunks(w http.ResponseWriter, r *http.Request, s *session, b trunksBody, err error) {
	e.mu.Lock()
	for _, t := range s.operator.trunks {
		b.Trunks = append(b.Trunks, e.state(s.operator, t))
	}
	e.mu.Unlock()
	b.May = s.has(writeTrunks...)
	e.page(w, r, s, view{Title: "Trunks", Here: "trunks", Body: b, Error: wrong(err)})
}

// trunkForm reads a trunk of a form.
func trunkForm(r *http.Request) (d trunkDraft, port string) {
	port = strings.TrimSpace(r.PostFormValue("port"))
	n, err := strconv.Atoi(port)
	if err != nil {
		n = 0 // is refused
	}
	enabled := r.PostFormValue("enabled") == "yes"
	return trunkDraft{TrunkFQDN: strings.TrimSpace(r.PostFormValue("fqdn")), SIPSignalingPort: &n, Enabled: &enabled, Description: strings.TrimSpace(r.PostFormValue("description"))}, port
}

func (e *Environment) enroll(w http.ResponseWriter, r *http.Request, s *session) {
	d, port := trunkForm(r)
	e.mu.Lock()
	var err error
	if s.operator.gateways(d.TrunkFQDN) {
		err = invalid("trunkFqdn", "Trunks of this domain are made by the communications gateway itself.")
	} else {
		_, err = s.operator.createTrunk(d, s.principal)
	}
	e.mu.Unlock()
	if err != nil {
		e.showTrunks(w, r, s, trunksBody{Draft: d, Port: port}, err)
		return
	}
	done(w, r, "/operator/trunks", "saved")
}

// trunkBody is what the page of one trunk shows.
type trunkBody struct {
	Trunk
	Port string
	Used string
	May  bool
}

func (e *Environment) trunk(w http.ResponseWriter, r *http.Request, s *session) {
	e.showTrunk(w, r, s, nil, nil)
}

func (e *Environment) showTrunk(w http.ResponseWriter, r *http.Request, s *session, sent *trunkBody, err error) {
	e.mu.Lock()
	t := s.operator.trunk(strings.ToLower(r.PathValue("id")))
	var b trunkBody
	if t != nil {
		b = trunkBody{Trunk: e.state(s.operator, t), Port: strconv.Itoa(t.SIPSignalingPort), Used: s.operator.inUse(t), May: s.has(writeTrunks...)}
	}
	e.mu.Unlock()
	if t == nil {
		e.ask(w, r, s, question{})
		return
	}
	if sent != nil {
		b.Port, b.Description, b.Enabled = sent.Port, sent.Description, sent.Enabled
	}
	e.page(w, r, s, view{Title: b.TrunkFQDN, Here: "trunk", Body: b, Error: wrong(err)})
}

// unsure is the refusal of a change of what a gateway manages by somebody who
// has not said that he means it.
var unsure = invalid("sure", "A communications gateway manages this. Say that you understand what changing it may break; nothing was changed.")

func (e *Environment) changeTrunk(w http.ResponseWriter, r *http.Request, s *session) {
	d, port := trunkForm(r)
	e.mu.Lock()
	t := s.operator.trunk(strings.ToLower(r.PathValue("id")))
	var err error
	if t != nil {
		d.TrunkFQDN = t.TrunkFQDN
		err = d.check()
		if err == nil && t.ManagedBy != "" && !sure(r) {
			err = unsure
		}
		if err == nil {
			d.put(t)
		}
	}
	e.mu.Unlock()
	if t == nil || err != nil {
		e.showTrunk(w, r, s, &trunkBody{Trunk: Trunk{Description: d.Description, Enabled: *d.Enabled}, Port: port}, err)
		return
	}
	done(w, r, "/operator/trunks", "saved")
}

func (e *Environment) confirmTrunk(w http.ResponseWriter, r *http.Request, s *session) {
	q := question{Action: r.URL.Path, Back: "/operator/trunks"}
	e.mu.Lock()
	if t := s.operator.trunk(strings.ToLower(r.PathValue("id"))); t != nil {
		q.What, q.Managed, q.Warning = t.TrunkFQDN, t.ManagedBy != "", t.Warning
	}
	e.mu.Unlock()
	e.ask(w, r, s, q)
}

func (e *Environment) removeTrunk(w http.ResponseWriter, r *http.Request, s *session) {
	e.mu.Lock()
	t := s.operator.trunk(strings.ToLower(r.PathValue("id")))
	refused := t != nil && t.ManagedBy != "" && !sure(r)
	var err error
	if t != nil && !refused {
		err = s.operator.deleteTrunk(t)
	}
	e.mu.Unlock()
	switch {
	case refused:
		e.confirmTrunk(w, r, s)
	case err != nil:
		e.showTrunk(w, r, s, nil, err)
	default:
		done(w, r, "/operator/trunks", "deleted")
	}
}

// profilesBody is what the list of calling profiles shows.
type profilesBody struct {
	Profiles []Profile
	Form     profileForm
}

func (e *Environment) profiles(w http.ResponseWriter, r *http.Request, s *session) {
	e.showProfiles(w, r, s, profileForm{Name: "", Offers: []string{offers[0]}}, nil)
}

func (e *Environment) showProfiles(w http.ResponseWriter, r *http.Request, s *session, f profileForm, err error) {
	e.mu.Lock()
	b := profilesBody{copies(s.operator.profiles), f.fill(s)}
	e.mu.Unlock()
	e.page(w, r, s, view{Title: "Calling profiles", Here: "profiles", Body: b, Error: wrong(err)})
}

// profileForm is a calling profile as a person writes it.
type profileForm struct {
	Name, Suffix, Region, Carrier, Dial, Emergency string
	IsEmergency                                    bool
	Offers, Trunks                                 []string

	AllOffers []string // to choose from
	AllTrunks []Trunk
	Profiles  []Profile // for emergency calls
	May       bool
}

// fill adds what there is to choose from.
func (f profileForm) fill(s *session) profileForm {
	f.AllOffers, f.AllTrunks, f.May = offers, copies(s.operator.trunks), s.has(writeTrunks...)
	for _, p := range s.operator.profiles {
		if p.IsEmergencyProfile {
			f.Profiles = append(f.Profiles, *p)
		}
	}
	return f
}

// Offered and Goes tell whether a box is ticked.
func (f profileForm) Offered(name string) bool { return slices.Contains(f.Offers, name) }

// Goes tells whether the profile goes over a trunk.
func (f profileForm) Goes(id string) bool { return slices.Contains(f.Trunks, id) }

func sentProfile(r *http.Request) profileForm {
	text := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return profileForm{
		Name: text("name"), Suffix: text("suffix"), Region: text("region"), Carrier: text("carrier"), Dial: text("dial"), Emergency: text("emergency"),
		IsEmergency: text("isEmergency") == "yes", Offers: r.PostForm["offer"], Trunks: r.PostForm["trunk"],
	}
}

func (p *Profile) form() profileForm {
	f := profileForm{
		Name: p.Name, Suffix: p.NameSuffix, Region: p.Region, Carrier: p.Carrier, Dial: strings.Join(p.EmergencyDialStrings, " "), Emergency: p.EmergencyProfileID, IsEmergency: p.IsEmergencyProfile,
	}
	for _, o := range p.OfferTypes {
		f.Offers = append(f.Offers, o.OfferTypeName)
	}
	for _, t := range p.Trunks {
		f.Trunks = append(f.Trunks, t.TrunkID)
	}
	return f
}

// draft is what the form asks for; test numbers of offers stay as they are.
func (f profileForm) draft(old *Profile) profileDraft {
	d := profileDraft{
		Name: f.Name, NameSuffix: f.Suffix, Region: f.Region, Carrier: f.Carrier, EmergencyDialStrings: strings.Fields(f.Dial), IsEmergencyProfile: f.IsEmergency,
		EmergencyProfileID: f.Emergency, TrunkIDs: slices.Clone(f.Trunks),
	}
	for _, name := range f.Offers {
		offer := OfferType{OfferTypeName: name}
		if old != nil {
			for _, o := range old.OfferTypes {
				if o.OfferTypeName == name {
					offer = o
				}
			}
		}
		d.OfferTypes = append(d.OfferTypes, offer)
	}
	return d
}

func (e *Environment) addProfile(w http.ResponseWriter, r *http.Request, s *session) {
	f := sentProfile(r)
	e.mu.Lock()
	var err error
	if strings.EqualFold(f.Suffix, managedSuffix) {
		err = invalid("nameSuffix", "Calling profiles with the suffix %s are made by the communications gateway itself.", managedSuffix)
	} else {
		_, err = s.operator.createProfile(f.draft(nil), s.principal)
	}
	e.mu.Unlock()
	if err != nil {
		e.showProfiles(w, r, s, f, err)
		return
	}
	done(w, r, "/operator/profiles", "saved")
}

// profileBody is what the page of one calling profile shows.
type profileBody struct {
	Profile
	Full string
	Form profileForm
}

func (e *Environment) profile(w http.ResponseWriter, r *http.Request, s *session) {
	e.showProfile(w, r, s, nil, nil)
}

func (e *Environment) showProfile(w http.ResponseWriter, r *http.Request, s *session, sent *profileForm, err error) {
	e.mu.Lock()
	p := s.operator.profile(strings.ToLower(r.PathValue("id")))
	var b profileBody
	if p != nil {
		f := p.form()
		if sent != nil {
			f = *sent
		}
		b = profileBody{*p, p.full(), f.fill(s)}
	}
	e.mu.Unlock()
	if p == nil {
		e.ask(w, r, s, question{})
		return
	}
	e.page(w, r, s, view{Title: b.Full, Here: "profile", Body: b, Error: wrong(err)})
}

func (e *Environment) changeProfile(w http.ResponseWriter, r *http.Request, s *session) {
	f := sentProfile(r)
	e.mu.Lock()
	p := s.operator.profile(strings.ToLower(r.PathValue("id")))
	var err error
	switch {
	case p == nil:
	case p.ManagedBy != "" && !sure(r):
		err = unsure
	default:
		err = s.operator.replaceProfile(p, f.draft(p), s.principal)
	}
	e.mu.Unlock()
	if p == nil || err != nil {
		e.showProfile(w, r, s, &f, err)
		return
	}
	done(w, r, "/operator/profiles", "saved")
}

func (e *Environment) confirmProfile(w http.ResponseWriter, r *http.Request, s *session) {
	q := question{Action: r.URL.Path, Back: "/operator/profiles"}
	e.mu.Lock()
	if p := s.operator.profile(strings.ToLower(r.PathValue("id"))); p != nil {
		q.What, q.Managed, q.Warning = p.full(), p.ManagedBy != "", p.Warning
	}
	e.mu.Unlock()
	e.ask(w, r, s, q)
}

func (e *Environment) removeProfile(w http.ResponseWriter, r *http.Request, s *session) {
	e.mu.Lock()
	p := s.operator.profile(strings.ToLower(r.PathValue("id")))
	refused := p != nil && p.ManagedBy != "" && !sure(r)
	var err error
	if p != nil && !refused {
		err = s.operator.deleteProfile(p)
	}
	e.mu.Unlock()
	switch {
	case refused:
		e.confirmProfile(w, r, s)
	case err != nil:
		e.showProfile(w, r, s, nil, err)
	default:
		done(w, r, "/operator/profiles", "deleted")
	}
}

// consentsBody is what a page of consents shows.
type consentsBody struct {
	Consents    []Consent
	Total       int
	First, Last int
	Next        string
	Before      bool
}

// leaf is how many consents a page shows.
const leaf = 50

func (e *Environment) consents(w http.ResponseWriter, r *http.Request, s *session) {
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil || after < 0 {
		after = 0
	}
	e.mu.Lock()
	all := s.operator.consents
	i, _ := slices.BinarySearchFunc(all, after+1, func(c *Consent, n int) int { return c.nth - n })
	b := consentsBody{Consents: copies(all[i:min(i+leaf, len(all))]), Total: len(all), First: i + 1, Last: min(i+leaf, len(all)), Before: i > 0}
	if b.Last < b.Total {
		b.Next = strconv.Itoa(all[b.Last-1].nth)
	}
	e.mu.Unlock()
	e.page(w, r, s, view{Title: "Consents", Here: "consents", Body: b})
}

// consentBody is what the page of one consent shows.
type consentBody struct {
	Consent
	Numbers    int
	Statuses   []string
	WithReason []string
	May        bool
}

func (e *Environment) consent(w http.ResponseWriter, r *http.Request, s *session) {
	e.showConsent(w, r, s, nil, nil)
}

func (e *Environment) showConsent(w http.ResponseWriter, r *http.Request, s *session, sent *Relationship, err error) {
	e.mu.Lock()
	s.operator.settle(time.Now())
	c := s.operator.consent(strings.ToLower(r.PathValue("id")))
	var b consentBody
	if c != nil {
		b = consentBody{*c, len(s.operator.tenants[c.TenantID].numbers), relationships, withReason, s.has(writeConsents...)}
	}
	e.mu.Unlock()
	if c == nil {
		e.ask(w, r, s, question{})
		return
	}
	if sent != nil {
		b.CustomerRelationship.Status, b.CustomerRelationship.Comment = sent.Status, sent.Comment
	}
	e.page(w, r, s, view{Title: cmp.Or(b.TenantName, b.TenantID), Here: "consent", Body: b, Error: wrong(err)})
}

func (e *Environment) relate(w http.ResponseWriter, r *http.Request, s *session) {
	sent := Relationship{Status: r.PostFormValue("status"), Comment: strings.TrimSpace(r.PostFormValue("comment"))}
	e.mu.Lock()
	c := s.operator.consent(strings.ToLower(r.PathValue("id")))
	var err error
	if c != nil {
		err = c.relate(sent.Status, sent.Comment)
	}
	e.mu.Unlock()
	if c == nil || err != nil {
		e.showConsent(w, r, s, &sent, err)
		return
	}
	done(w, r, "/operator/consents", "saved")
}
