package lab

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/operatorconnect"
)

// Who is who when the lab onboards its operator.
const (
	operatorDomain = "operator.lab.example" // initial domain of the tenant
	vaultDomain    = "vault.lab.example"    // vaults are below it
	setupUser      = "setup@" + operatorDomain
	portOperators  = 8443 // of Operator Connect
)

// startOperators starts the Operator Connect environment. It knows no operator
// yet.
func (w *world) startOperators() error {
	at := netip.AddrPortFrom(w.addr(hostOperators), portOperators)
	cert, err := w.authority.Issue(authority.Terms{}, at.Addr().String())
	if err != nil {
		return err
	}
	api := net.JoinHostPort(w.addr(hostControl).String(), fmt.Sprint(portAPI))
	w.domains = &domains{api: w.newAPI(), changed: make(chan struct{}, 1), done: make(chan struct{})}
	w.operators, err = operatorconnect.Start(operatorconnect.Config{
		Listen: at, Certificate: func() (*tls.Certificate, error) { return cert, nil }, Roots: w.authority.Roots(),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, api)
		},
		Verified: w.domains.verified, Health: w.trunkHealth, Log: w.log,
	})
	return err
}

// trunkHealth is what Teams thinks of a trunk.
func (w *world) trunkHealth(fqdn string) (active bool, options time.Time) {
	if w.teams == nil {
		return false, time.Time{}
	}
	for _, t := range w.teams.Trunks() {
		if strings.EqualFold(t.FQDN, fqdn) {
			return t.Active, t.LastOptions
		}
	}
	return false, time.Time{}
}

// usable tells whether Teams may use a trunk: its domain is verified in the
// tenant, and Operator Connect has enrolled it.
func (w *world) usable(fqdn string) bool {
	return w.domains.verified(fqdn) && w.operators.Enrolled(fqdn)
}

// domains are those that are verified in the operator's directory, as Teams
// sees them: it looks now and then, and goes on with what it knows while the
// directory is away.
type domains struct {
	api     *api          // run
	changed chan struct{} // asks for a look at once
	done    chan struct{} // closed when watch has ended

	mu   sync.Mutex
	list []string // mu
}

// looking is how often Teams looks.
const looking = time.Second

// watch looks until ctx is done; each look that finds something else is told.
func (d *domains) watch(ctx context.Context, tell func()) {
	defer close(d.done)
	tick := time.NewTicker(looking)
	defer tick.Stop()
	for {
		if d.look(ctx) {
			tell()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.changed:
		}
	}
}

// again asks for a look at once.
func (d *domains) again() {
	select {
	case d.changed <- struct{}{}:
	default: // one is asked for
	}
}

// look asks the directory; it tells whether anything has changed.
func (d *domains) look(ctx context.Context) bool {
	var answer struct {
		Value []struct {
			ID       string `json:"id"`
			Verified bool   `json:"isVerified"`
		} `json:"value"`
	}
	ask := func() error {
		_, err := d.api.do(ctx, http.MethodGet, "/v1.0/domains?$select=id,isVerified", nil, &answer)
		return err
	}
	if d.api.token == "" || ask() != nil { // it may be too old
		if d.api.signIn(ctx) != nil || ask() != nil {
			return false
		}
	}
	var list []string
	for _, v := range answer.Value {
		if v.Verified {
			list = append(list, strings.ToLower(v.ID))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := !slices.Equal(d.list, list)
	d.list = list
	return changed
}

// verified tells whether a name is one of them, or below one.
func (d *domains) verified(fqdn string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.list, func(domain string) bool {
		return fqdn == domain || strings.HasSuffix(strings.ToLower(fqdn), "."+domain)
	})
}

// subject is whose onboarding it is.
var subject = ops.Subject{Subscription: subscription, Group: "lab", Gateway: "lab", Service: "OperatorConnect"}

// onboardOptions are those of `tandem onboard --environment lab`.
var onboardOptions = ops.OnboardOptions{Track: onboard.TrackCurrent, Environment: onboard.Lab}

// declared is what people would have done and said by now.
func (w *world) declared() map[string]string {
	today := time.Now().Format(time.DateOnly)
	return map[string]string{
		"agreement": "LAB-1 of " + today, "support-plan": "other", "onboarding-contact": "Grace, grace@onboarding.lab.example", "subscription-enabled": today,
		"operator-name": "Lab Telecom", "contact-name": "Ada", "contact-mail": "ada@" + operatorDomain, "contact-phone": "+442079460001", "setup-user": setupUser,
		"service-at-deploy": "yes", "verification-numbers": "+442079460011,+442079460012,+442079460013", "integration-numbers": "+442079460014",
		"network-design": today, "management-region": "r1", "tags": "no", "certificates": today, "bfd": today,
		"onboarded": today, // by letIn
	}
}

// settle onboards the gateway, unless it is to stay as it is, and has Teams look
// at the directory from then on.
func (w *world) settle(ctx context.Context, opt Options, s *show) error {
	watching, stop := context.WithCancel(context.Background())
	w.stopLooking = stop
	go w.domains.watch(watching, w.teams.Reconsider)
	if opt.Raw {
		w.raw, w.settled = true, "left out: Teams does not use its trunks"
		return nil
	}
	err := w.onboard(ctx, s)
	w.settled = "domain verified, 2 trunks enrolled"
	return err
}

// onboard takes the gateway from Complete to being called: what programs do is
// done by `tandem onboard apply`; the lab does what people would, as the steps
// tell them to.
func (w *world) onboard(ctx context.Context, s *show) error {
	if err := w.makeSetupUser(ctx); err != nil {
		return err
	}
	if err := w.letIn(); err != nil {
		return err
	}
	client := w.planes[0].client
	if _, err := client.OnboardDeclare(ctx, subject, w.declared(), "lab"); err != nil {
		return fmt.Errorf("declare facts: %w", err)
	}
	if err := w.apply(ctx, s); err != nil {
		return err
	}
	if err := w.listApplications(ctx); err != nil {
		return err
	}
	w.domains.again()
	if err := w.apply(ctx, s); err != nil {
		return err
	}
	for !w.usable(w.r1.cloudName) || !w.usable(w.r2.cloudName) {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the gateway is onboarded, and Teams does not use its trunks: verified %v, enrolled %v", w.domains.verified(w.r1.cloudName), w.operators.Enrolled(w.r1.cloudName))
		}
	}
	w.teams.Reconsider()
	return nil
}

// pause waits a little.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// letIn is what the onboarding team does when it has the form.
func (w *world) letIn() error {
	return w.operators.Onboard(operatorconnect.Operator{Tenant: tenantID, Name: "Lab Telecom", Test: true, Issuers: []string{w.api.base + "/" + tenantID + "/v2.0"}, Suffix: suffix})
}

// makeSetupUser makes the person who sets the gateway up. Nobody knows the
// password; `tandem user reset` gives a link to make one.
func (w *world) makeSetupUser(ctx context.Context) error {
	user := map[string]any{
		"accountEnabled": true, "displayName": "Ada Setup", "mailNickname": "setup", "userPrincipalName": setupUser,
		"passwordProfile": map[string]any{"password": rand.Text() + "a1!", "forceChangePasswordNextSignIn": false},
	}
	if _, err := w.api.do(ctx, http.MethodPost, "/v1.0/users", user, nil); err != nil {
		return fmt.Errorf("make a user: %w", err)
	}
	return nil
}

// apply runs `tandem onboard apply` to its end.
func (w *world) apply(ctx context.Context, s *show) error {
	client := w.planes[0].client
	p, err := client.OnboardApply(ctx, subject, onboardOptions, "lab")
	if err != nil {
		return fmt.Errorf("onboard: %w", err)
	}
	for after := p.Last; p.Apply != nil && !p.Apply.Ended; after = p.Last {
		if p, err = client.OnboardEvents(ctx, subject, after); err != nil {
			return fmt.Errorf("onboard: %w", err)
		}
		for _, e := range p.Events {
			s.progress("%s", e.Step)
		}
	}
	if p.Apply != nil && p.Apply.Problem != "" {
		return errors.New("onboard: " + p.Apply.Problem)
	}
	return nil
}

// step is how a step stands, looked at now.
func (w *world) step(ctx context.Context, id string) (onboard.Status, error) {
	plan, err := w.planes[0].client.OnboardPlan(ctx, subject, onboardOptions)
	if err != nil {
		return onboard.Status{}, fmt.Errorf("onboard: %w", err)
	}
	i := slices.IndexFunc(plan.Steps, func(s onboard.Status) bool { return s.ID == id })
	if i < 0 {
		return onboard.Status{}, fmt.Errorf("onboarding has no step %s", id)
	}
	return plan.Steps[i], nil
}

// listApplications does what step B22 tells a person to do in the portal.
func (w *world) listApplications(ctx context.Context) error {
	st, err := w.step(ctx, "B22")
	if err != nil {
		return err
	}
	if st.Instruction == nil || st.Instruction.Paste == "" {
		return fmt.Errorf("step B22 (%s) does not say which Application Ids to add: %s", st.State, st.Detail)
	}
	for id := range strings.Lines(st.Instruction.Paste) {
		if err := w.operators.List(tenantID, strings.TrimSpace(id), "lab"); err != nil {
			return err
		}
	}
	return nil
}
