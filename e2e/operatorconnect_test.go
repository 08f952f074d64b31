package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	oc "github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/login"
	environment "github.com/tandemgw/tandem/sandbox/operatorconnect"
)

const (
	ocTenant     = "7f8d5c6e-0000-4000-8000-0000000000a1"
	ocEnterprise = "7f8d5c6e-0000-4000-8000-0000000000e1"
)

// ocWorld is our directory, whose tokens are verified by discovery over HTTPS,
// and the environment, which other hands have written from the same document
// as the client.
type ocWorld struct {
	*testing.T
	env       *environment.Environment
	directory *directory.Set
	store     *store.Store
	issuer    string
	trust     *http.Transport
}

func buildOC(t *testing.T) *ocWorld {
	t.Helper()
	w := &ocWorld{T: t, store: storetest.New(t)}
	var err error
	if w.directory, err = directory.Open(t.Context(), directory.Config{Store: w.store, Tenant: directory.Tenant{ID: ocTenant, Name: "Telecom"}, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	url := "https://" + srv.Listener.Addr().String()
	srv.Config.Handler = login.Handler(login.Config{Directory: w.directory, URL: url, Log: slog.New(slog.DiscardHandler)})
	srv.StartTLS()
	t.Cleanup(srv.Close)
	w.issuer = login.Issuers(url, ocTenant)[0]
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	cert := srv.TLS.Certificates[0]
	w.env, err = environment.Start(environment.Config{
		Listen:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0),
		Certificate: func() (*tls.Certificate, error) { return &cert, nil }, Roots: roots, Work: 20 * time.Millisecond,
		Dial: (&net.Dialer{}).DialContext, Verified: func(fqdn string) bool { return strings.HasSuffix(fqdn, ".commsgw.azure.com") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.env.Close() })
	w.trust = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(w.trust.CloseIdleConnections)
	if _, err := w.directory.AddPrincipal(t.Context(), w.ourselves(), directory.SynergyID, "Operator Connect"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *ocWorld) ourselves() directory.Caller { return directory.Ourselves(ocTenant, "e2e") }

// identity is a gateway's, with roles of Project Synergy.
func (w *ocWorld) identity(name string, roles ...string) (directory.ServicePrincipal, *oc.Client) {
	w.Helper()
	var p directory.ServicePrincipal
	err := w.store.Write(w.Context(), func(tx *store.Tx) (err error) {
		p, err = w.directory.MakeManagedIdentity(w.Context(), tx, directory.Identity{Resource: "/gateways/" + name, Name: name})
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	for _, role := range roles {
		w.give(p, role)
	}
	c, err := oc.New(oc.Config{
		URL: w.env.URL(), Application: p.AppID, HTTP: w.trust,
		Token: oc.Issued(func(ctx context.Context) (obs.Secret, time.Duration, error) {
			t, err := w.directory.IssueFor(ctx, p.ID, w.issuer, oc.ProjectSynergy)
			return t.Raw, t.Life, err
		}),
	})
	if err != nil {
		w.Fatal(err)
	}
	return p, c
}

func (w *ocWorld) give(p directory.ServicePrincipal, role string) {
	w.Helper()
	synergy, err := w.directory.PrincipalOf(w.Context(), w.ourselves(), directory.SynergyID)
	if err != nil {
		w.Fatal(err)
	}
	i := slices.IndexFunc(synergy.Roles, func(r directory.AppRole) bool { return strings.EqualFold(r.Value, role) })
	if i < 0 {
		w.Fatalf("there is no role %s", role)
	}
	if _, err := w.directory.Assign(w.Context(), w.ourselves(), directory.Assignment{Principal: p.ID, Resource: synergy.ID, Role: synergy.Roles[i].ID}); err != nil {
		w.Fatal(err)
	}
}

var gatewayRoles = []string{"TrunkManagement.Read", "TrunkManagement.Write", "partnerSettings.Read", "NumberManagement.Read", "NumberManagement.Write", "Data.Read", "Data.Write"}

// TestOperatorConnectLetsInWhoIsOnboarded: first the tenant, then the list,
// then the role, each by its own sentence; a role that was granted a moment ago
// counts at once.
func TestOperatorConnectLetsInWhoIsOnboarded(t *testing.T) {
	w := buildOC(t)
	p, c := w.identity("lab", "partnerSettings.Read")
	if _, err := c.PartnerSettings(t.Context()); fault.Of(err) != fault.Denied || oc.Code(err) != "UnknownOperator" {
		t.Errorf("before the team has let the tenant in: %v", err)
	}
	if err := w.env.Onboard(environment.Operator{Tenant: ocTenant, Name: "Telecom", Issuers: []string{w.issuer}, Suffix: "commsgw.azure.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PartnerSettings(t.Context()); oc.Code(err) != oc.NotListed || !strings.Contains(err.Error(), "Add it as an Application Id at "+w.env.URL()+"/operator/configuration") {
		t.Errorf("not listed: %v", err)
	}
	if err := w.env.List(ocTenant, p.AppID, "Ann"); err != nil {
		t.Fatal(err)
	}
	settings, err := c.PartnerSettings(t.Context())
	if err != nil || settings.TenantID != ocTenant || settings.DisplayName != "Telecom" {
		t.Errorf("%+v, %v", settings, err)
	}
	if ids, err := c.ApplicationIDs(t.Context()); err != nil || len(ids) != 1 || ids[0].ID != p.AppID {
		t.Errorf("%+v, %v", ids, err)
	}
	if _, err := c.AddApplicationID(t.Context(), oc.GatewayApplication, "service"); oc.Code(err) != oc.RoleMissing {
		t.Errorf("the list is people's: %v", err)
	}
	if _, err := c.Trunks(t.Context()); oc.Code(err) != oc.RoleMissing || !strings.Contains(err.Error(), "TrunkManagement.Read") {
		t.Errorf("without the role: %v", err)
	}
	w.give(p, "TrunkManagement.Read")
	if _, err := c.Trunks(t.Context()); err != nil {
		t.Errorf("with a role that is in the next token: %v", err)
	}
	w.env.Unlist(ocTenant, p.AppID)
	if _, err := c.Trunks(t.Context()); oc.Code(err) != oc.NotListed {
		t.Errorf("taken off the list: %v", err)
	}
}

// onboarded is a world with a gateway that may everything.
func onboarded(t *testing.T) (*ocWorld, *oc.Client) {
	t.Helper()
	w := buildOC(t)
	if err := w.env.Onboard(environment.Operator{Tenant: ocTenant, Name: "Telecom", Issuers: []string{w.issuer}, Suffix: "commsgw.azure.com"}); err != nil {
		t.Fatal(err)
	}
	p, c := w.identity("lab", gatewayRoles...)
	if err := w.env.List(ocTenant, p.AppID, "Ann"); err != nil {
		t.Fatal(err)
	}
	return w, c
}

// TestOperatorConnectKeepsWhatTheGatewayManages from another application of
// the same operator, by our own hesitation and by the environment's.
func TestOperatorConnectKeepsWhatTheGatewayManages(t *testing.T) {
	w, c := onboarded(t)
	ctx := t.Context()
	var ids []string
	for _, site := range []string{"1r1", "1r2"} {
		trunk, err := c.CreateTrunk(ctx, oc.TrunkDraft{FQDN: site + ".lab.commsgw.azure.com", Enabled: true})
		if err != nil || !trunk.DomainVerified {
			t.Fatalf("%+v, %v", trunk, err)
		}
		ids = append(ids, trunk.ID)
	}
	profile, err := c.CreateProfile(ctx, oc.ProfileDraft{Name: "Lab", NameSuffix: "CommsGw", Region: "EMEA", OfferTypes: []oc.OfferType{{Name: "Calling"}}, TrunkIDs: ids})
	if err != nil || profile.ManagedBy == "" || profile.Warning == "" {
		t.Fatalf("%+v, %v", profile, err)
	}
	other, stranger := w.identity("other", "TrunkManagement.Read", "TrunkManagement.Write")
	if err := w.env.List(ocTenant, other.AppID, "Ann"); err != nil {
		t.Fatal(err)
	}
	draft := profile.Draft()
	draft.Carrier = "Another"
	if _, err := stranger.ReplaceProfile(ctx, oc.Edit{ID: profile.ID}, draft); oc.Code(err) != oc.Managed || !strings.Contains(err.Error(), "LabCommsGw is managed by a communications gateway") {
		t.Errorf("a profile: %v", err)
	}
	if err := stranger.DeleteTrunk(ctx, oc.Edit{ID: ids[0]}); oc.Code(err) != oc.Managed {
		t.Errorf("a trunk: %v", err)
	}
	for _, r := range w.env.Requests() {
		if r.App == other.AppID && r.Method != http.MethodGet {
			t.Errorf("it was asked for without force: %+v", r)
		}
	}
	if changed, err := stranger.ReplaceProfile(ctx, oc.Edit{ID: profile.ID, Force: true}, draft); err != nil || changed.Carrier != "Another" {
		t.Errorf("with force: %v", err)
	}
	draft.Carrier = ""
	if _, err := c.ReplaceProfile(ctx, oc.Edit{ID: profile.ID, ETag: profile.ETag}, draft); fault.Of(err) != fault.Conflict || oc.Code(err) != "PreconditionFailed" {
		t.Errorf("from a state that is no longer: %v", err)
	}
	if _, err := c.ReplaceProfile(ctx, oc.Edit{ID: profile.ID}, draft); err != nil {
		t.Errorf("the gateway's own: %v", err)
	}
	if err := c.DeleteTrunk(ctx, oc.Edit{ID: ids[0]}); oc.Code(err) != "InUse" {
		t.Errorf("a trunk in use: %v", err)
	}
	if err := c.DeleteProfile(ctx, oc.Edit{ID: profile.ID}); err != nil {
		t.Error(err)
	}
	if err := c.DeleteTrunk(ctx, oc.Edit{ID: ids[0]}); err != nil {
		t.Error(err)
	}
	if trunk, err := c.TrunkNamed(ctx, "1R2.lab.commsgw.azure.com"); err != nil || trunk.ID != ids[1] {
		t.Errorf("%+v, %v", trunk, err)
	}
	if _, err := c.TrunkNamed(ctx, "1r1.lab.commsgw.azure.com"); fault.Of(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}

// TestOperatorConnectInBadWeather: what is throttled or lost is done in the
// end, and once.
func TestOperatorConnectInBadWeather(t *testing.T) {
	w, c := onboarded(t)
	for name, f := range map[string]environment.Faults{
		"throttled":    {Status: 429, RetryAfter: time.Second, Next: 1},
		"by a date":    {Status: 429, RetryAfter: time.Second, Date: true, Next: 1},
		"away":         {Status: 503, RetryAfter: time.Second, Next: 1},
		"broken":       {Status: 500, Next: 2},
		"answers lost": {Lose: true, Next: 2},
		"slow":         {Slow: 300 * time.Millisecond, Next: 1},
	} {
		w.env.SetFaults(f)
		fqdn := strings.ReplaceAll(name, " ", "-") + ".lab.commsgw.azure.com"
		trunk, err := c.CreateTrunk(t.Context(), oc.TrunkDraft{FQDN: fqdn, Enabled: true})
		if err != nil || trunk.FQDN != fqdn {
			t.Errorf("%s: %+v, %v", name, trunk, err)
		}
	}
	if all, err := c.Trunks(t.Context()); err != nil || len(all) != 6 {
		t.Errorf("%d trunks, %v", len(all), err)
	}
	w.env.SetFaults(environment.Faults{Status: 429, RetryAfter: time.Hour})
	if _, err := c.Trunks(t.Context()); fault.Of(err) != fault.Exhausted || !strings.Contains(err.Error(), "Try again in 1h") {
		t.Errorf("%v", err)
	}
}

// TestOperatorConnectNumbers of an enterprise: consent, upload, change,
// release, in more pages than one, and call durations.
func TestOperatorConnectNumbers(t *testing.T) {
	w, c := onboarded(t)
	ctx := t.Context()
	if _, err := c.Upload(ctx, ocEnterprise, oc.Upload{}); oc.Code(err) != oc.NotConsented {
		t.Errorf("before the enterprise has chosen: %v", err)
	}
	if _, err := w.env.Choose(ocTenant, environment.Lead{Tenant: ocEnterprise, Name: "Contoso", Countries: []string{"GB"}}); err != nil {
		t.Fatal(err)
	}
	consents, err := c.Consents(ctx, ocEnterprise)
	if err != nil || len(consents) != 1 || consents[0].Status != "Active" {
		t.Fatalf("%+v, %v", consents, err)
	}
	if x, err := c.Relate(ctx, consents[0].ID, "", oc.Relationship{Status: "ConsentAcknowledged"}); err != nil || x.Relationship.Status != "ConsentAcknowledged" {
		t.Errorf("%+v, %v", x, err)
	}
	trunk, err := c.CreateTrunk(ctx, oc.TrunkDraft{FQDN: "1r1.lab.commsgw.azure.com", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := c.CreateProfile(ctx, oc.ProfileDraft{Name: "Lab", NameSuffix: "CommsGw", Region: "EMEA", OfferTypes: []oc.OfferType{{Name: "Calling"}}, TrunkIDs: []string{trunk.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if plans, err := c.CapabilityPlans(ctx, ocEnterprise); err != nil || len(plans) == 0 {
		t.Errorf("%+v, %v", plans, err)
	}
	const many = 1500
	up := oc.Upload{Usage: "CallingUserAssignment", CallingProfileID: profile.ID, Country: "GB", TicketID: "T-1"}
	for i := range many {
		up.TelephoneNumbers = append(up.TelephoneNumbers, fmt.Sprintf("+44207946%04d", i))
	}
	done := func(o oc.Order, err error) oc.Order {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		wait, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if o, err = c.Await(wait, o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := done(c.Upload(ctx, ocEnterprise, up)); o.Status != oc.Success || o.Succeeded != many {
		t.Errorf("upload: %s, %d", o.Status, o.Succeeded)
	}
	up.TelephoneNumbers = []string{"+442079460001", "+442079461999"}
	if o := done(c.Upload(ctx, ocEnterprise, up)); o.Status != oc.PartialSuccess || o.Failed != 1 {
		t.Errorf("upload of one that is there: %+v", o)
	}
	seen := map[string]bool{}
	for n, err := range c.Numbers(ctx, ocEnterprise) {
		if err != nil {
			t.Fatal(err)
		}
		seen[n.TelephoneNumber] = true
	}
	if len(seen) != many+1 {
		t.Errorf("%d numbers", len(seen))
	}
	if o := done(c.Assign(ctx, ocEnterprise, oc.Assign{Usage: "FirstPartyAppAssignment", TelephoneNumbers: []string{"+442079460001"}})); o.Status != oc.Success {
		t.Errorf("assign: %+v", o)
	}
	if n, err := c.Number(ctx, ocEnterprise, "+442079460001"); err != nil || n.Usage != "FirstPartyAppAssignment" {
		t.Errorf("%+v, %v", n, err)
	}
	if o := done(c.Release(ctx, ocEnterprise, oc.Release{TelephoneNumbers: []string{"+442079460001", "+12"}})); o.Status != oc.PartialSuccess {
		t.Errorf("release: %+v", o)
	}
	if _, err := c.Number(ctx, ocEnterprise, "+442079460001"); fault.Of(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	if orders, err := c.Orders(ctx, ocEnterprise, "T-1"); err != nil || len(orders) != 2 {
		t.Errorf("%d orders, %v", len(orders), err)
	}
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	call := oc.CallDuration{CallID: "a@b", Direction: "Inbound", Caller: "+12025550100", Callee: "+442079460002", Started: began, Seconds: 61}
	strange := call
	strange.CallID, strange.Callee = "c@d", "+999"
	if u, err := c.UploadDurations(ctx, []oc.CallDuration{call, strange}); err != nil || u.Accepted != 1 || len(u.Rejected) != 1 || u.Rejected[0].Index != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := c.UploadDurations(ctx, []oc.CallDuration{call}); err != nil || u.Replaced != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	var got []oc.CallDuration
	for d, err := range c.Durations(ctx, began.Add(-time.Hour), time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
	}
	if len(got) != 1 || got[0].Seconds != 61 || !got[0].Started.Equal(began) {
		t.Errorf("%+v", got)
	}
}
