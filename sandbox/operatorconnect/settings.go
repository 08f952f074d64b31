package operatorconnect

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// gatewaysApp is the application of the communications gateways themselves
// (Azure Communications Gateway docs, "Add the Application IDs for Azure
// Communications Gateway to Operator Connect": the second of the two).
const gatewaysApp = "8502a0ec-c76d-412f-836c-398018e2312b"

// Contact is a person.
type Contact struct {
	FullName    string `json:"fullName,omitempty"`
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
	CompanyName string `json:"companyName,omitempty"`
	CompanySize string `json:"companySize,omitempty"`
}

// Settings are an operator as Operator Connect knows it.
type Settings struct {
	OperatorID      string    `json:"operatorId"`
	TenantID        string    `json:"tenantId"`
	DisplayName     string    `json:"displayName"`
	Environment     string    `json:"environment"`
	Contact         *Contact  `json:"contact,omitempty"`
	GatewaySuffixes []string  `json:"gatewaySuffixes"`
	LastModifiedOn  time.Time `json:"lastModifiedOn"`
}

// ApplicationID is an application that may use the API.
type ApplicationID struct {
	ApplicationID string    `json:"applicationId"`
	Name          string    `json:"name,omitempty"`
	AddedOn       time.Time `json:"addedOn"`
	AddedBy       string    `json:"addedBy,omitempty"`
}

// maxApplications is far above what an operator has.
const maxApplications = 1000

// publicSuffix is that of the gateways in Azure.
const publicSuffix = ".commsgw.azure.com"

// suffixes are the domains below which trunks are gateways'.
func (o *operator) suffixes() []string {
	all := []string{publicSuffix}
	if own := "." + strings.ToLower(strings.Trim(o.Suffix, ".")); own != "." && own != publicSuffix {
		all = append(all, own)
	}
	return all
}

func (o *operator) environment() string {
	if o.Test {
		return "Test"
	}
	return "Production"
}

func (o *operator) settings() Settings {
	s := Settings{OperatorID: o.id, TenantID: o.Tenant, DisplayName: o.Name, Environment: o.environment(), GatewaySuffixes: o.suffixes(), LastModifiedOn: o.modified}
	if o.contact != (Contact{}) {
		contact := o.contact
		s.Contact = &contact
	}
	return s
}

func getSettings(c *call) (answer, error) {
	return answer{body: c.o.settings(), etag: c.o.version + 1}, nil
}

// long tells whether a text has too many characters.
func long(s string, n int) bool { return utf8.RuneCountInString(s) > n }

func (c Contact) check() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"fullName", c.FullName, 256}, {"email", c.Email, 256}, {"phoneNumber", c.PhoneNumber, 32}, {"companyName", c.CompanyName, 256}, {"companySize", c.CompanySize, 32}} {
		if long(f.value, f.most) {
			return invalid("contact."+f.name, "%s has %d characters at most.", f.name, f.most)
		}
	}
	return nil
}

func updateSettings(c *call) (answer, error) {
	var change struct {
		DisplayName *string         `json:"displayName"`
		Contact     json.RawMessage `json:"contact"`
	}
	if err := c.matches(c.o.version + 1); err != nil {
		return answer{}, err
	}
	if err := c.decode(&change); err != nil {
		return answer{}, err
	}
	name, contact := c.o.Name, c.o.contact
	if change.DisplayName != nil {
		if name = *change.DisplayName; name == "" || long(name, 256) {
			return answer{}, invalid("displayName", "displayName has from 1 to 256 characters.")
		}
	}
	if len(change.Contact) > 0 {
		var err error
		if contact, err = merged(contact, change.Contact); err != nil {
			return answer{}, err
		}
	}
	c.o.Name, c.o.contact, c.o.modified = name, contact, now()
	c.o.version++
	return getSettings(c)
}

// merged is a contact with a patch on it (RFC 7396): null takes away.
func merged(contact Contact, patch json.RawMessage) (Contact, error) {
	if string(patch) == "null" {
		return Contact{}, nil
	}
	var fields map[string]*string
	if err := json.Unmarshal(patch, &fields); err != nil {
		return contact, invalid("contact", "contact has texts.")
	}
	for name, value := range fields {
		at, ok := map[string]*string{
			"fullName": &contact.FullName, "email": &contact.Email, "phoneNumber": &contact.PhoneNumber, "companyName": &contact.CompanyName, "companySize": &contact.CompanySize,
		}[name]
		if !ok {
			return contact, invalid("contact."+clip(name, 60), "A contact has no %s.", clip(name, 60))
		}
		*at = ""
		if value != nil {
			*at = *value
		}
	}
	return contact, contact.check()
}

// listed tells whether an application may use the API.
func (o *operator) listed(app string) bool {
	return app != "" && slices.ContainsFunc(o.apps, func(a ApplicationID) bool { return a.ApplicationID == app })
}

func listApplications(c *call) (answer, error) {
	apps := slices.Clone(c.o.apps)
	slices.SortFunc(apps, func(a, b ApplicationID) int { return strings.Compare(a.ApplicationID, b.ApplicationID) })
	return list(c, apps, func(a ApplicationID) string { return a.ApplicationID })
}

func addApplication(c *call) (answer, error) {
	id, err := c.id("applicationId")
	if err != nil {
		return answer{}, err
	}
	var draft struct {
		Name string `json:"name"`
	}
	if len(c.body) > 0 {
		if err := c.decode(&draft); err != nil {
			return answer{}, err
		}
	}
	a, made, err := c.o.add(id, draft.Name, c.name)
	if err != nil {
		return answer{}, err
	}
	if made {
		return answer{status: http.StatusCreated, body: a}, nil
	}
	return answer{body: a}, nil
}

// add puts an application on the list; one that is there stays as it is, but
// for a new name.
func (o *operator) add(id, name, by string) (ApplicationID, bool, error) {
	id, name = strings.ToLower(strings.TrimSpace(id)), strings.TrimSpace(name)
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return ApplicationID{}, false, invalid("applicationId", "%q is no Application (client) ID: it looks like 00000000-0000-0000-0000-000000000000.", clip(id, 60))
	}
	if long(name, 256) {
		return ApplicationID{}, false, invalid("name", "name has 256 characters at most.")
	}
	for i := range o.apps {
		if o.apps[i].ApplicationID == id {
			if name != "" {
				o.apps[i].Name = name
			}
			return o.apps[i], false, nil
		}
	}
	if len(o.apps) >= maxApplications {
		return ApplicationID{}, false, invalid("applicationId", "There are %d Application Ids already.", maxApplications)
	}
	a := ApplicationID{ApplicationID: id, Name: name, AddedOn: now(), AddedBy: clip(by, 256)}
	o.apps = append(o.apps, a)
	return a, true, nil
}

// List does what a person does at /operator/configuration: it puts an
// application on an operator's list.
func (e *Environment) List(tenant, app, by string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.publish()
	o := e.operators[strings.ToLower(tenant)]
	if o == nil {
		return errTenant
	}
	_, _, err := o.add(app, "", by)
	return err
}

// Unlist takes an application off an operator's list.
func (e *Environment) Unlist(tenant, app string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.publish()
	if o := e.operators[strings.ToLower(tenant)]; o != nil {
		o.remove(app)
	}
}

// remove takes an application off the list; it tells whether it was there.
func (o *operator) remove(id string) bool {
	n := len(o.apps)
	o.apps = slices.DeleteFunc(o.apps, func(a ApplicationID) bool { return a.ApplicationID == strings.ToLower(id) })
	return len(o.apps) < n
}

func removeApplication(c *call) (answer, error) {
	id, err := c.id("applicationId")
	if err != nil {
		return answer{}, err
	}
	if !c.o.remove(id) {
		return answer{}, missing("Application Id", id)
	}
	return answer{status: http.StatusNoContent}, nil
}
