package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// undoing is a step of onboarding that somebody undoes.
type undoing struct {
	step, what string
	undo, redo func(*stage, context.Context) error
	calls      bool                                // go on all the same
	refused    func(*stage, context.Context) error // sees that Operator Connect refuses what it should, and nothing else; nil: calls tell
}

// gatewaysApp is the second of the two Application Ids.
const gatewaysApp = "8502a0ec-c76d-412f-836c-398018e2312b"

func undoings() []undoing {
	unlist := func(s *stage, ctx context.Context) error {
		p, err := s.identity(ctx)
		s.operators.Unlist(tenantID, p.AppID)
		return err
	}
	unlistSecond := func(s *stage, _ context.Context) error {
		s.operators.Unlist(tenantID, gatewaysApp)
		return nil
	}
	list := func(s *stage, ctx context.Context) error { return s.listApplications(ctx) }
	apply := func(s *stage, ctx context.Context) error { return s.apply(ctx, &show{quiet: true}) }
	return []undoing{
		{"B22", "the gateway's Application Id", unlist, list, false, (*stage).unlisted},
		{"B22", "the second Application Id", unlistSecond, list, false, nil},
		{"B23", "the domain", (*stage).forgetDomain, apply, false, nil},
		{"B19", "the role " + takenRole, (*stage).takeRole, apply, true, (*stage).roleless},
	}
}

// playOnboarding: steps of onboarding are undone one by one. Each breaks what it
// should, its check tells, and when it has been done again calls go through.
func playOnboarding(ctx context.Context, s *stage) error {
	for _, u := range undoings() {
		if err := s.undone(ctx, u); err != nil {
			return fmt.Errorf("without %s: %w", u.what, err)
		}
		s.note("%s", u.step)
	}
	for _, teams := range []bool{true, false} {
		t, at, err := s.converse(ctx, casting{teams: teams})
		if err != nil {
			return fmt.Errorf("after all: %w", err)
		}
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("after all", at))
		if err := s.finish(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// undone undoes one step, looks what that breaks, and does it again.
func (s *stage) undone(ctx context.Context, u undoing) error {
	if err := u.undo(s, ctx); err != nil {
		return err
	}
	st, err := s.step(ctx, u.step)
	switch {
	case err != nil:
		return err
	case st.State == onboard.Done || st.Detail == "":
		return fmt.Errorf("step %s is %s: nobody is told", u.step, st.State)
	}
	if err := s.soon(ctx, func() error { return s.carries(ctx, u.calls) }); err != nil {
		return err
	}
	if u.refused != nil {
		if err := u.refused(s, ctx); err != nil {
			return err
		}
	}
	if err := u.redo(s, ctx); err != nil {
		return err
	}
	s.domains.again()
	err = s.soon(ctx, func() error {
		if !s.usable(s.r1.cloudName) || !s.usable(s.r2.cloudName) {
			return errors.New("it was done again, and Teams does not use the trunks")
		}
		return s.carries(ctx, true)
	})
	if err != nil {
		return err
	}
	if st, err = s.step(ctx, u.step); err == nil && st.State != onboard.Done {
		return fmt.Errorf("step %s is %s after it was done again: %s", u.step, st.State, st.Detail)
	}
	return err
}

// carries checks that calls go through both ways, or that neither does, for the
// reason that Teams does not use the trunk.
func (s *stage) carries(ctx context.Context, want bool) error {
	for _, teams := range []bool{true, false} {
		t, err := s.attempt(ctx, teams)
		switch {
		case err != nil && want:
			return err
		case err == nil && !want:
			return fmt.Errorf("a call of the %s goes through", t.caller.name)
		case err != nil && !strings.Contains(err.Error(), "no trunk can be used") && !strings.Contains(err.Error(), "status 403"):
			return fmt.Errorf("a call fails for another reason: %w", err)
		case err == nil:
			if err := s.finish(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// attempt places a call and waits for its answer, whichever that is.
func (s *stage) attempt(ctx context.Context, teams bool) (conversation, error) {
	c := casting{teams: teams}
	if teams || s.usable(s.r1.cloudName) {
		t, _, err := s.converse(ctx, c)
		return t, err
	}
	from, to := s.numbers(false)
	call, err := s.core.Dial(ctx, phone.CallSpec{From: from, To: to, Site: s.r1.site})
	if err != nil {
		return conversation{}, err
	}
	t := conversation{caller: end{name: aSubscriber, call: call}}
	_, err = s.answered(ctx, t)
	return t, err
}

// identityAnswer is as much of a service principal as the lab looks at.
type identityAnswer struct {
	ID    string `json:"id"`
	AppID string `json:"appId"`
}

// identity is that of the gateway, in the directory.
func (s *stage) identity(ctx context.Context) (identityAnswer, error) {
	var answer struct {
		Value []identityAnswer `json:"value"`
	}
	_, err := s.api.do(ctx, http.MethodGet, "/v1.0/servicePrincipals?$filter="+url.QueryEscape("displayName eq 'lab'"), nil, &answer)
	if err == nil && len(answer.Value) != 1 {
		err = fmt.Errorf("%d service principals are called lab", len(answer.Value))
	}
	if err != nil {
		return identityAnswer{}, err
	}
	return answer.Value[0], nil
}

// takenRole is the one of the seven that is taken: it lets the settings of the
// operator be read, and trunks need another.
const takenRole = "PartnerSettings.Read"

// unlisted: an identity that is not on the list is refused everything.
func (s *stage) unlisted(ctx context.Context) error {
	c, err := s.planes[0].client.OperatorConnect(ctx, "lab")
	if err != nil {
		return err
	}
	_, settings := c.PartnerSettings(ctx)
	_, trunks := c.Trunks(ctx)
	if fault.Of(settings) != fault.Denied || fault.Of(trunks) != fault.Denied {
		return fmt.Errorf("an identity that is not on the list is let in by Operator Connect (settings: %v; trunks: %v)", settings, trunks)
	}
	return nil
}

// roleless: without a role its operations are refused, and no others.
func (s *stage) roleless(ctx context.Context) error {
	c, err := s.planes[0].client.OperatorConnect(ctx, "lab")
	if err != nil {
		return err
	}
	if _, err := c.PartnerSettings(ctx); fault.Of(err) != fault.Denied || !strings.Contains(err.Error(), takenRole) {
		return fmt.Errorf("an identity without %s sees the settings of Operator Connect, or is not told why not: %v", takenRole, err)
	}
	if _, err := c.Trunks(ctx); err != nil {
		return fmt.Errorf("the trunks are refused, too: %w", err)
	}
	return nil
}

// takeRole takes a role of Project Synergy from the gateway's identity.
func (s *stage) takeRole(ctx context.Context) error {
	p, err := s.identity(ctx)
	if err != nil {
		return err
	}
	var list struct {
		Value []struct {
			ID   string `json:"id"`
			Role string `json:"appRoleId"`
		} `json:"value"`
	}
	at := "/v1.0/servicePrincipals/" + p.ID + "/appRoleAssignments"
	if _, err := s.api.do(ctx, http.MethodGet, at, nil, &list); err != nil {
		return err
	}
	var synergy struct {
		Value []struct {
			Roles []struct {
				ID    string `json:"id"`
				Value string `json:"value"`
			} `json:"appRoles"`
		} `json:"value"`
	}
	if _, err := s.api.do(ctx, http.MethodGet, "/v1.0/servicePrincipals?$filter="+url.QueryEscape("appId eq '"+operatorconnect.ProjectSynergy+"'"), nil, &synergy); err != nil {
		return err
	}
	if len(list.Value) != 7 || len(synergy.Value) != 1 {
		return fmt.Errorf("the identity has %d roles, and there are %d principals of Project Synergy", len(list.Value), len(synergy.Value))
	}
	for _, r := range synergy.Value[0].Roles {
		for _, a := range list.Value {
			if a.Role == r.ID && strings.EqualFold(r.Value, takenRole) {
				_, err = s.api.do(ctx, http.MethodDelete, at+"/"+url.PathEscape(a.ID), nil, nil)
				return err
			}
		}
	}
	return fmt.Errorf("the identity has no role %s", takenRole)
}

// forgetDomain takes the gateway's domain out of the directory.
func (s *stage) forgetDomain(ctx context.Context) error {
	if _, err := s.api.do(ctx, http.MethodDelete, "/v1.0/domains/"+s.base, nil, nil); err != nil {
		return err
	}
	s.domains.again()
	return s.soon(ctx, func() error {
		if s.domains.verified(s.r1.cloudName) {
			return errors.New("it is still verified for Teams")
		}
		return nil
	})
}
