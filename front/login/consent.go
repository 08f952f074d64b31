package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

// wish reads what is asked for, with what is to be answered when it cannot be.
func (e *endpoint) wish(ctx context.Context, a asked, scope, resource string) (directory.Wish, refusal, bool) {
	w, err := e.Directory.Wish(ctx, a.home, scope, resource, e.Resources)
	switch {
	case err == nil:
		return w, refusal{}, true
	case errors.Is(err, directory.ErrMixed):
		return w, refusal{http.StatusBadRequest, "invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it contains more than one resource."}, false
	case errors.Is(err, directory.ErrScope):
		return w, refusal{http.StatusBadRequest, "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid: " + clean(err.Error()) + "."}, false
	case errors.Is(err, directory.ErrResource):
		return w, e.noResource(a, w.Audience), false
	}
	e.Log.Error("a scope cannot be looked up", obs.KeyError, err, "request", a.id)
	return w, transient, false
}

func (e *endpoint) noResource(a asked, name string) refusal {
	return refusal{http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named " + clean(name) + " was not found in the tenant named " + clean(e.name(a)) + ". This deployment has " + strings.Join(e.Resources, ", ") + "."}
}

// administers tells whether somebody may consent for everybody.
func (e *endpoint) administers(v *visit) (bool, error) {
	roles, err := e.Directory.RolesOf(v.r.Context(), v.session.Caller(), v.session.User.ID)
	return slices.ContainsFunc(roles, func(r directory.DirectoryRole) bool {
		return r == directory.GlobalAdministrator || r == directory.ApplicationAdministrator || r == directory.CloudApplicationAdministrator
	}), err
}

// inWords is what scopes let a program do.
func inWords(wants []directory.Want) (list []permission) {
	for _, w := range wants {
		list = append(list, permission{Text: w.DisplayName, Resource: w.Resource.AppDisplayName, Value: w.Value})
	}
	return list
}

// askConsent shows what a program wants.
func (e *endpoint) askConsent(v *visit, a authorization, w directory.Wish, st directory.Standing, back string) {
	admin, err := e.administers(v)
	if err != nil {
		e.broken(v, err)
		return
	}
	if st.Admin && !admin {
		e.needsAdministrator(v, a.program)
		return
	}
	e.show(v, http.StatusOK, "consent", view{
		Title: "Permissions", Wide: true, App: a.program.Name, Client: a.program.AppID, Publisher: a.program.Publisher,
		Permissions: inWords(append(st.Missing, st.Granted...)), MayAll: admin && w.Resource.ID != "", Action: v.at("consent", nil), Back: back, Target: targetOf(a.redirect),
	})
}

func (e *endpoint) needsAdministrator(v *visit, p directory.Program) {
	e.noConsent(v, p, "it takes an administrator")
	e.Log.Warn("consent refused", "cause", "it takes an administrator", "client", p.AppID, "user", v.session.User.Name, "request", v.id)
	e.stop(v, http.StatusForbidden, "An administrator has to approve", p.Name+" asks for permissions that only an administrator can give. Ask one to open its admin consent page. (AADSTS90094)")
}

// noConsent tells the trail that a program is not let act.
func (e *endpoint) noConsent(v *visit, p directory.Program, why string) {
	by := v.session.Caller()
	by.App = p.AppID
	e.Directory.Count(directory.Attempt{Action: directory.Consents, By: by, Source: source(v.r.RemoteAddr), Refused: why})
}

// consent is the answer to that page. All is looked at anew: the form carries
// nothing but the request it was shown for.
func (e *endpoint) consent(v *visit) {
	back := v.back(v.r.FormValue("back"))
	u, err := url.Parse(back)
	if v.r.Method != http.MethodPost || err != nil || back == "" {
		e.stop(v, http.StatusBadRequest, "There is nothing to consent to", "Begin again in the program that you come from.")
		return
	}
	if !e.ours(v) {
		return
	}
	if !v.whole() {
		e.to(v, v.at("signin", url.Values{"back": {back}}))
		return
	}
	a, no, ok := e.destination(v, u.Query())
	if !ok {
		e.stop(v, no.status, "This request cannot be answered", no.say())
		return
	}
	if no, ok := e.authorization(&a, u.Query()); !ok {
		e.answer(v, a, no.values())
		return
	}
	if v.r.PostForm.Get("answer") != "yes" {
		e.noConsent(v, a.program, "declined")
		e.answer(v, a, refusal{0, "access_denied", 65004, "User declined to consent to access the app."}.values())
		return
	}
	w, no, ok := e.wish(v.r.Context(), v.asked, a.scope, a.resource)
	if !ok {
		e.answer(v, a, no.values())
		return
	}
	if err := e.allow(v, a.program, w, v.r.PostForm.Get("all") == "1"); err != nil {
		if fault.Of(err) == fault.Denied {
			e.needsAdministrator(v, a.program)
			return
		}
		e.broken(v, err)
		return
	}
	e.to(v, without(back, "consent"))
}

// allow writes down what somebody has consented to. The directory asks whether
// they may.
func (e *endpoint) allow(v *visit, p directory.Program, w directory.Wish, all bool) error {
	ctx := v.r.Context()
	st, err := e.Directory.Weigh(ctx, v.home, p, v.session.User.ID, w)
	if err != nil {
		return err
	}
	wants := st.Missing
	if all {
		wants = append(wants, st.Granted...)
	}
	scopes := map[string][]string{} // by resource
	for _, x := range wants {
		if x.Resource.ID != "" {
			scopes[x.Resource.ID] = append(scopes[x.Resource.ID], x.Value)
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	if all || st.Admin { // asked before anything is written
		admin, err := e.administers(v)
		if err != nil {
			return err
		}
		if !admin {
			return fault.New(fault.Denied, "An administrator has to approve this.")
		}
	}
	client, err := e.Directory.PrincipalOf(ctx, directory.Ourselves(v.home, "consent"), p.AppID)
	if fault.Of(err) == fault.NotFound {
		// The first consent brings a program into the tenant.
		client, err = e.Directory.AddPrincipal(ctx, directory.Ourselves(v.home, "consent of "+v.session.User.Name), p.AppID, "")
	}
	if err != nil {
		return err
	}
	for resource, values := range scopes {
		g := directory.Grant{Client: client.ID, ConsentType: directory.OnePrincipal, Principal: v.session.User.ID, Resource: resource, Scopes: values}
		if all {
			g.ConsentType, g.Principal = directory.AllPrincipals, ""
		}
		if _, err := e.Directory.Allow(ctx, v.session.Caller(), g); err != nil {
			return err
		}
		e.Log.Info("consented", "client", p.AppID, "name", p.Name, "resource", resource, "scopes", strings.Join(values, " "), "for", g.ConsentType, "user", v.session.User.Name, "request", v.id)
	}
	return nil
}

// adminconsent lets an administrator consent to all that an application's
// registration asks for (Microsoft identity platform docs, "Admin consent").
func (e *endpoint) adminconsent(v *visit) {
	q := v.r.URL.Query()
	if v.r.Method == http.MethodPost {
		u, err := url.Parse(v.back(v.r.PostForm.Get("back")))
		if err != nil || u.Path == "" {
			e.stop(v, http.StatusBadRequest, "There is nothing to consent to", "Begin again.")
			return
		}
		q = u.Query()
	}
	a, no, ok := e.consenting(v, q)
	if !ok {
		e.stop(v, no.status, "This request cannot be answered", no.say())
		return
	}
	back := v.at(v.page(), q)
	if !v.whole() {
		e.to(v, v.at("signin", url.Values{"back": {back}}))
		return
	}
	admin, err := e.administers(v)
	if err != nil {
		e.broken(v, err)
		return
	}
	if !admin {
		e.needsAdministrator(v, a.program)
		return
	}
	if v.r.Method != http.MethodPost {
		e.askAdmin(v, a, back)
		return
	}
	if !e.ours(v) {
		return
	}
	if v.r.PostForm.Get("answer") != "yes" {
		e.noConsent(v, a.program, "declined")
		e.consented(v, a, refusal{0, "access_denied", 65004, "The administrator declined to consent to access the app."}.values())
		return
	}
	out, err := e.Directory.Consent(v.r.Context(), v.session.Caller(), a.program.AppID)
	if err == nil && a.scope != "" {
		err = e.allowAsked(v, a)
	}
	if err != nil {
		e.broken(v, err)
		return
	}
	e.Log.Info("an administrator has consented", "client", a.program.AppID, "name", a.program.Name, "assignments", len(out.Assignments), "grants", len(out.Grants), "user", v.session.User.Name, "request", v.id)
	e.consented(v, a, url.Values{"admin_consent": {"True"}, "tenant": {v.home}, "scope": {a.scope}})
}

// allowAsked grants the scopes of the request beside those of the registration.
// Nobody can consent to those of our own APIs.
func (e *endpoint) allowAsked(v *visit, a authorization) error {
	w, no, ok := e.wish(v.r.Context(), v.asked, a.scope, "")
	if !ok {
		return fault.New(fault.Invalid, no.say())
	}
	err := e.allow(v, a.program, w, true)
	if errors.Is(err, directory.ErrScope) {
		return nil
	}
	return err
}

// consenting finds the program and where the answer goes: an application that
// has no address, or names none, gets none.
func (e *endpoint) consenting(v *visit, q url.Values) (a authorization, no refusal, ok bool) {
	if q.Get("redirect_uri") != "" {
		a, no, ok = e.destination(v, q)
	} else if a.program, no, ok = e.known(v, q.Get("client_id")); ok {
		a.redirect = ""
	}
	a.mode, a.state, a.scope = "query", q.Get("state"), q.Get("scope")
	if len(a.state) > maxState || len(a.scope) > maxState {
		return a, refusal{http.StatusBadRequest, "invalid_request", 9002313, "The state or the scope is too long."}, false
	}
	return a, no, ok
}

// askAdmin shows what an application's registration asks for.
func (e *endpoint) askAdmin(v *visit, a authorization, back string) {
	p := view{
		Title: "Admin consent", Wide: true, Admin: true, App: a.program.Name, Client: a.program.AppID, Publisher: a.program.Publisher,
		Action: v.at(v.page(), nil), Back: back, Target: targetOf(a.redirect),
	}
	for _, r := range a.program.Required {
		resource, err := e.Directory.PrincipalOf(v.r.Context(), v.session.Caller(), r.Resource)
		if fault.Of(err) == fault.NotFound {
			e.stop(v, http.StatusBadRequest, "Something is missing first", "The application asks for permissions of a service, "+clean(r.Resource)+", that your organization has not added. Add its service principal, then come back. (AADSTS650052)")
			return
		}
		if err != nil {
			e.broken(v, err)
			return
		}
		for _, x := range r.Access {
			if x.Type == directory.RoleAccess {
				role, _ := resource.Role(x.ID)
				p.Permissions = append(p.Permissions, permission{first(role.DisplayName, x.ID), resource.AppDisplayName, first(role.Value, x.ID), true})
				continue
			}
			scope, _ := resource.Scope(x.ID)
			p.Permissions = append(p.Permissions, permission{first(scope.DisplayName, x.ID), resource.AppDisplayName, first(scope.Value, x.ID), false})
		}
	}
	if a.scope != "" {
		w, no, ok := e.wish(v.r.Context(), v.asked, a.scope, "")
		if !ok {
			e.stop(v, no.status, "This request cannot be answered", no.say())
			return
		}
		st, err := e.Directory.Weigh(v.r.Context(), v.home, a.program, v.session.User.ID, w)
		if err != nil && !errors.Is(err, directory.ErrScope) {
			e.broken(v, err)
			return
		}
		for _, x := range inWords(append(st.Missing, st.Granted...)) {
			if !slices.Contains(p.Permissions, x) {
				p.Permissions = append(p.Permissions, x)
			}
		}
	}
	e.show(v, http.StatusOK, "consent", p)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// consented sends the administrator back, or says what has come of it.
func (e *endpoint) consented(v *visit, a authorization, values url.Values) {
	switch {
	case a.redirect != "":
		if values.Get("scope") == "" {
			values.Del("scope")
		}
		e.answer(v, a, values)
	case values.Has("error"):
		e.stop(v, http.StatusOK, "Nothing was allowed", a.program.Name+" has no more permissions than before.")
	default:
		e.show(v, http.StatusOK, "done", view{Title: "Consent is given", Text: a.program.Name + " now has the permissions that its registration asks for, in all of " + e.name(v.asked) + "."})
	}
}
