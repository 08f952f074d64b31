package operatorconnect

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

func below(parts ...string) string {
	var p string
	for _, s := range parts {
		p += "/" + url.PathEscape(s)
	}
	return p
}

// PartnerSettings shows the operator.
func (c *Client) PartnerSettings(ctx context.Context) (p PartnerSettings, err error) {
	_, err = c.do(ctx, call{what: "show the operator's settings", method: http.MethodGet, path: "/partnersettings"}, &p)
	return p, err
}

// ApplicationIDs are the applications that may use the API.
func (c *Client) ApplicationIDs(ctx context.Context) ([]ApplicationID, error) {
	return all[ApplicationID](ctx, c, call{what: "list the application IDs", path: "/partnersettings/applicationids"})
}

// AddApplicationID lets an application use the API. It takes a token that
// may: an application that is not listed cannot list itself.
func (c *Client) AddApplicationID(ctx context.Context, id, name string) (a ApplicationID, err error) {
	_, err = c.do(ctx, call{what: "add the application ID " + id, method: http.MethodPut, path: below("partnersettings", "applicationids", id), body: map[string]string{"name": name}}, &a)
	return a, err
}

// RemoveApplicationID lets an application use the API no longer.
func (c *Client) RemoveApplicationID(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{what: "remove the application ID " + id, method: http.MethodDelete, path: below("partnersettings", "applicationids", id)}, nil)
	return err
}

// Consents are the enterprises that chose the operator; tenant: those of one.
func (c *Client) Consents(ctx context.Context, tenant string) ([]Consent, error) {
	q := call{what: "list the consents", path: "/consents", query: url.Values{}}
	if tenant != "" {
		q.query.Set("tenantId", tenant)
	}
	return all[Consent](ctx, c, q)
}

// Consent is one.
func (c *Client) Consent(ctx context.Context, id string) (x Consent, err error) {
	head, err := c.do(ctx, call{what: "show the consent " + id, method: http.MethodGet, path: below("consents", id)}, &x)
	x.ETag = head.Get("ETag")
	return x, err
}

// Relate says how the operator stands with an enterprise. etag "" is whatever
// it is now.
func (c *Client) Relate(ctx context.Context, id, etag string, r Relationship) (x Consent, err error) {
	r.LastModifiedOn = time.Time{}
	head, err := c.do(ctx, call{what: "change the consent " + id, method: http.MethodPatch, path: below("consents", id), etag: etag, body: map[string]Relationship{"customerRelationship": r}}, &x)
	x.ETag = head.Get("ETag")
	return x, err
}

// Profiles are the calling profiles.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	return all[Profile](ctx, c, call{what: "list the calling profiles", path: "/callingprofiles"})
}

// Profile is one calling profile.
func (c *Client) Profile(ctx context.Context, id string) (p Profile, err error) {
	head, err := c.do(ctx, call{what: "show the calling profile " + id, method: http.MethodGet, path: below("callingprofiles", id)}, &p)
	p.ETag = head.Get("ETag")
	return p, err
}

// CreateProfile makes a calling profile.
func (c *Client) CreateProfile(ctx context.Context, d ProfileDraft) (p Profile, err error) {
	head, err := c.do(ctx, call{what: "make the calling profile " + d.Name, method: http.MethodPost, path: "/callingprofiles", body: d}, &p)
	p.ETag = head.Get("ETag")
	return p, err
}

// Edit says which state of a thing is changed, and whether one that a gateway
// manages may be.
type Edit struct {
	ID    string
	ETag  string // of the state that was read; "" is the one that is there
	Force bool
}

// query is force for a far side that protects, too.
func (e Edit) query() url.Values {
	if !e.Force {
		return nil
	}
	return url.Values{"force": {"true"}}
}

// ReplaceProfile changes a calling profile to what is said. One that a gateway
// manages is refused with a warning unless forced.
func (c *Client) ReplaceProfile(ctx context.Context, e Edit, d ProfileDraft) (p Profile, err error) {
	if err := c.guardProfile(ctx, &e); err != nil {
		return p, err
	}
	head, err := c.do(ctx, call{what: "change the calling profile " + e.ID, method: http.MethodPut, path: below("callingprofiles", e.ID), query: e.query(), etag: e.ETag, body: d}, &p)
	p.ETag = head.Get("ETag")
	return p, err
}

// DeleteProfile deletes a calling profile, guarded as ReplaceProfile is.
func (c *Client) DeleteProfile(ctx context.Context, e Edit) error {
	if err := c.guardProfile(ctx, &e); err != nil {
		return err
	}
	_, err := c.do(ctx, call{what: "delete the calling profile " + e.ID, method: http.MethodDelete, path: below("callingprofiles", e.ID), query: e.query(), etag: e.ETag}, nil)
	return err
}

// guardProfile looks before it leaps: what was looked at is what is changed.
func (c *Client) guardProfile(ctx context.Context, e *Edit) error {
	p, err := c.Profile(ctx, e.ID)
	if err != nil {
		return err
	}
	if e.ETag == "" {
		e.ETag = p.ETag
	}
	return guarded(c.WarnProfile(p), e.Force)
}

// Trunks are all trunks and how they stand.
func (c *Client) Trunks(ctx context.Context) ([]Trunk, error) {
	return all[Trunk](ctx, c, call{what: "list the trunks", path: "/trunks"})
}

// Trunk is one trunk.
func (c *Client) Trunk(ctx context.Context, id string) (t Trunk, err error) {
	head, err := c.do(ctx, call{what: "show the trunk " + id, method: http.MethodGet, path: below("trunks", id)}, &t)
	t.ETag = head.Get("ETag")
	return t, err
}

// TrunkNamed is the trunk of a host name; fault.NotFound when there is none.
func (c *Client) TrunkNamed(ctx context.Context, fqdn string) (Trunk, error) {
	list, err := all[Trunk](ctx, c, call{what: "look for the trunk " + fqdn, path: "/trunks", query: url.Values{"trunkFqdn": {fqdn}}})
	if err != nil {
		return Trunk{}, err
	}
	// A far side that knows no such filter gives all.
	for _, t := range list {
		if strings.EqualFold(strings.TrimSuffix(t.FQDN, "."), strings.TrimSuffix(fqdn, ".")) {
			return t, nil
		}
	}
	return Trunk{}, fault.New(fault.NotFound, fmt.Sprintf("Operator Connect at %s has no trunk %s", c.base.Host, fqdn))
}

// CreateTrunk enrolls a trunk.
func (c *Client) CreateTrunk(ctx context.Context, d TrunkDraft) (t Trunk, err error) {
	head, err := c.do(ctx, call{what: "enroll the trunk " + d.FQDN, method: http.MethodPost, path: "/trunks", body: d}, &t)
	t.ETag = head.Get("ETag")
	return t, err
}

// ReplaceTrunk changes a trunk, guarded as ReplaceProfile is.
func (c *Client) ReplaceTrunk(ctx context.Context, e Edit, d TrunkDraft) (t Trunk, err error) {
	if err := c.guardTrunk(ctx, &e); err != nil {
		return t, err
	}
	head, err := c.do(ctx, call{what: "change the trunk " + e.ID, method: http.MethodPut, path: below("trunks", e.ID), query: e.query(), etag: e.ETag, body: d}, &t)
	t.ETag = head.Get("ETag")
	return t, err
}

// DeleteTrunk takes a trunk away, guarded as ReplaceProfile is.
func (c *Client) DeleteTrunk(ctx context.Context, e Edit) error {
	if err := c.guardTrunk(ctx, &e); err != nil {
		return err
	}
	_, err := c.do(ctx, call{what: "delete the trunk " + e.ID, method: http.MethodDelete, path: below("trunks", e.ID), query: e.query(), etag: e.ETag}, nil)
	return err
}

func (c *Client) guardTrunk(ctx context.Context, e *Edit) error {
	t, err := c.Trunk(ctx, e.ID)
	if err != nil {
		return err
	}
	if e.ETag == "" {
		e.ETag = t.ETag
	}
	return guarded(c.WarnTrunk(t), e.Force)
}

// CapabilityPlans are what numbers may be used for; tenant: of one enterprise.
func (c *Client) CapabilityPlans(ctx context.Context, tenant string) ([]CapabilityPlan, error) {
	q := call{what: "list the capability plans", path: "/capabilityplans", query: url.Values{}}
	if tenant != "" {
		q.query.Set("tenantId", tenant)
	}
	return all[CapabilityPlan](ctx, c, q)
}

// CivicAddresses are the emergency addresses of an enterprise.
func (c *Client) CivicAddresses(ctx context.Context, tenant string) ([]CivicAddress, error) {
	return all[CivicAddress](ctx, c, call{what: "list the civic addresses of " + tenant, path: below("tenants", tenant, "civicaddresses")})
}

// CivicAddress is one of them.
func (c *Client) CivicAddress(ctx context.Context, tenant, id string) (a CivicAddress, err error) {
	_, err = c.do(ctx, call{what: "show the civic address " + id, method: http.MethodGet, path: below("tenants", tenant, "civicaddresses", id)}, &a)
	return a, err
}

// Numbers gives the numbers that an enterprise has of the operator, as they
// come: there may be a million.
func (c *Client) Numbers(ctx context.Context, tenant string) iter.Seq2[Number, error] {
	return each[Number](ctx, c, call{what: "list the numbers of " + tenant, path: below("tenants", tenant, "numbers")})
}

// Number is one of them.
func (c *Client) Number(ctx context.Context, tenant, number string) (n Number, err error) {
	_, err = c.do(ctx, call{what: "show the number " + number, method: http.MethodGet, path: below("tenants", tenant, "numbers", number)}, &n)
	return n, err
}

// Upload orders that an enterprise gets numbers.
func (c *Client) Upload(ctx context.Context, tenant string, u Upload) (Order, error) {
	return c.order(ctx, tenant, "upload", u)
}

// Assign orders that numbers become something else.
func (c *Client) Assign(ctx context.Context, tenant string, a Assign) (Order, error) {
	return c.order(ctx, tenant, "assign", a)
}

// Release orders that numbers are taken from an enterprise.
func (c *Client) Release(ctx context.Context, tenant string, r Release) (Order, error) {
	return c.order(ctx, tenant, "release", r)
}

func (c *Client) order(ctx context.Context, tenant, kind string, body any) (o Order, err error) {
	_, err = c.do(ctx, call{what: "take an order to " + kind + " numbers of " + tenant, method: http.MethodPost, path: below("tenants", tenant, "numbers", kind), body: body}, &o)
	return o, err
}

// Order is how an order stands.
func (c *Client) Order(ctx context.Context, tenant, id string) (Order, error) {
	o, _, err := c.look(ctx, tenant, id)
	return o, err
}

func (c *Client) look(ctx context.Context, tenant, id string) (o Order, again time.Duration, err error) {
	head, err := c.do(ctx, call{what: "show the order " + id, method: http.MethodGet, path: below("tenants", tenant, "orders", id)}, &o)
	return o, after(head, time.Now()), err
}

// Orders are those of an enterprise, the newest first; ticket: those with it.
func (c *Client) Orders(ctx context.Context, tenant, ticket string) ([]Order, error) {
	q := call{what: "list the orders of " + tenant, path: below("tenants", tenant, "orders"), query: url.Values{}}
	if ticket != "" {
		q.query.Set("ticketId", ticket)
	}
	return all[Order](ctx, c, q)
}

// Await is the order at its end. It asks as often as the far side wants; who
// does not wait any longer ends ctx and may come back.
func (c *Client) Await(ctx context.Context, o Order) (Order, error) {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		now, again, err := c.look(ctx, o.TenantID, o.ID)
		if err != nil || now.Ended() {
			return now, err
		}
		if again >= 0 {
			pause = min(max(again, 100*time.Millisecond), longest)
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// NumberStatus is whose the numbers of an enterprise are.
func (c *Client) NumberStatus(ctx context.Context, tenant string) iter.Seq2[NumberStatus, error] {
	return each[NumberStatus](ctx, c, call{what: "tell whose the numbers of " + tenant + " are", path: "/numberstatus", query: url.Values{"tenantId": {tenant}}})
}

// MostDurations is how many call durations one request has.
const MostDurations = 1000

// UploadDurations tells how long calls were, MostDurations at most.
func (c *Client) UploadDurations(ctx context.Context, list []CallDuration) (u Uploaded, err error) {
	_, err = c.do(ctx, call{what: "take call durations", method: http.MethodPost, path: "/callduration", body: map[string][]CallDuration{"records": list}}, &u)
	return u, err
}

// Durations gives the call durations of a span of 31 days at most.
func (c *Client) Durations(ctx context.Context, from, to time.Time) iter.Seq2[CallDuration, error] {
	return each[CallDuration](ctx, c, call{what: "list call durations", path: "/callduration", query: url.Values{"from": {from.UTC().Format(time.RFC3339)}, "to": {to.UTC().Format(time.RFC3339)}}})
}
