package directory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Program is what asks people to sign in: an application of the tenant, or one
// of the catalogue.
type Program struct {
	AppID, Name, Publisher string
	Known                  bool // of the catalogue
	Public                 bool // it has no secret to show
	Redirects              Redirects
	Required               []RequiredAccess
}

// Program is the one with a client ID, or ErrUnknown. Its service principal may
// be disabled, and then nobody signs in to it: ErrDisabled.
func (s *Set) Program(ctx context.Context, tenant, id string) (p Program, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		if sp, err := principalOf(ctx, tx, tenant, id); err == nil && !sp.Enabled {
			return ErrDisabled
		} else if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		if w, ok := s.WellKnown(id); ok {
			p = Program{AppID: w.AppID, Name: w.Name, Publisher: w.Publisher, Known: true, Public: w.Public, Redirects: w.Redirects}
			return nil
		}
		a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE tenant = ? AND app = ?", tenant, strings.ToLower(id)).Scan)
		if err = orMissing(err, "application", id); fault.Of(err) == fault.NotFound {
			return ErrUnknown
		}
		if err != nil {
			return err
		}
		p = Program{AppID: a.AppID, Name: a.DisplayName, Public: a.Public || len(a.Redirects.Public) > 0, Redirects: a.Redirects, Required: a.Required}
		return nil
	})
	return p, err
}

// Redirect tells whether people may be sent to an address after they have
// signed in to the program, and whether what waits there has no secret. The
// addresses are compared letter for letter (RFC 9700 §2.1); only the port of a
// program on the person's own machine is free (RFC 8252 §7.3).
func (p Program) Redirect(to string) (public, ok bool) {
	switch {
	case to == "" || strings.ContainsAny(to, "#\\\r\n\t "):
		return false, false
	case slices.Contains(p.Redirects.Web, to):
		return false, true
	case slices.Contains(p.Redirects.SPA, to), slices.Contains(p.Redirects.Public, to):
		return true, true
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" || u.User != nil || !slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()) {
		return false, false
	}
	return true, slices.ContainsFunc(p.Redirects.Public, func(known string) bool {
		k, err := url.Parse(known)
		return err == nil && k.Scheme == "http" && k.User == nil && k.Hostname() == u.Hostname() && rooted(k.EscapedPath()) == rooted(u.EscapedPath()) && k.RawQuery == u.RawQuery
	})
}

// rooted is the path of an address: none is the root (RFC 9110 §4.2.3).
func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// Wish is what a program asks for at one resource.
type Wish struct {
	Resource ServicePrincipal // without an ID: a part of the deployment that is no application
	Audience string           // as it was asked for
	OpenID   []string         // "openid", "profile", "email", "offline_access"
	Scopes   []string         // in the resource's own writing
	All      bool             // "/.default": what was allowed before, and what the registration asks for
}

// Has tells whether one of OpenID Connect's scopes is asked for.
func (w Wish) Has(scope string) bool { return slices.Contains(w.OpenID, scope) }

// OpenIDScopes are those that have a meaning of their own at every resource
// (OpenID Connect Core §5.4, §11).
var OpenIDScopes = []string{"openid", "profile", "email", "offline_access"}

// The reasons why a wish cannot be granted.
var (
	ErrResource = errors.New("no such resource")
	ErrScope    = errors.New("no such scope")
	ErrMixed    = errors.New("scopes of more than one resource")
)

// Wish reads a scope (RFC 6749 §3.3), and the resource of the older form. ours
// are the audiences of the deployment's own parts.
func (s *Set) Wish(ctx context.Context, tenant, scope, resource string, ours []string) (w Wish, err error) {
	var values []string
	w.Audience = resource
	for _, word := range strings.Fields(scope) {
		if i := slices.IndexFunc(OpenIDScopes, func(o string) bool { return strings.EqualFold(o, word) }); i >= 0 {
			w.OpenID = append(w.OpenID, OpenIDScopes[i])
			continue
		}
		at, value := GraphID, word
		if i := strings.LastIndex(word, "/"); i >= 0 {
			at, value = word[:i], word[i+1:]
		}
		if w.Audience != "" && audienceKey(w.Audience) != audienceKey(at) {
			return w, ErrMixed
		}
		w.Audience = at
		values = append(values, value)
	}
	if w.Audience == "" {
		w.Audience = GraphID // where the rest of what is known of a person is asked for
	}
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		w.Resource, err = s.resource(ctx, tx, tenant, w.Audience)
		switch {
		case fault.Of(err) == fault.NotFound && slices.ContainsFunc(ours, func(o string) bool { return audienceKey(o) == audienceKey(w.Audience) }):
			w.Resource = ServicePrincipal{}
			return nil
		case fault.Of(err) == fault.NotFound, err == nil && !w.Resource.Enabled:
			return fmt.Errorf("%w: %s", ErrResource, w.Audience)
		}
		return err
	})
	if err != nil {
		return w, err
	}
	w.All = resource != ""
	for _, v := range values {
		if v == ".default" {
			w.All = true
			continue
		}
		known, ok := w.Resource.Scope(v)
		switch {
		case w.Resource.ID == "" && strings.EqualFold(v, userImpersonation):
			known.Value = userImpersonation
		case !ok || known.Disabled:
			return w, fmt.Errorf("%w: %s", ErrScope, v)
		}
		w.Scopes = append(w.Scopes, known.Value)
	}
	return w, nil
}

// Want is one scope at one resource.
type Want struct {
	Scope
	Resource ServicePrincipal
}

// Standing is how far a wish is granted.
type Standing struct {
	Granted []Want // of what is asked for
	Missing []Want // not consented to yet
	Admin   bool   // an administrator must consent to some of it
}

// Weigh tells how far somebody's consent, or an administrator's for all,
// covers what a program asks for.
func (s *Set) Weigh(ctx context.Context, tenant string, p Program, user string, w Wish) (st Standing, err error) {
	switch {
	case w.Resource.ID == "" && !s.actsHere(p.AppID):
		return st, ErrScope
	case w.Resource.ID == "":
		// Nobody can consent to a part of ours that is no application.
		st.Granted = append(st.Granted, Want{Scope{Value: userImpersonation}, w.Resource})
	default:
		var list []string
		if list, err = s.wanted(ctx, tenant, p, user, w); err == nil {
			err = s.weigh(ctx, tenant, p, user, w.Resource, list, &st)
		}
	}
	if err != nil || len(w.OpenID) == 0 || w.Resource.AppID == GraphID {
		return st, err
	}
	graph, err := s.Resource(ctx, tenant, GraphID)
	if err != nil {
		return st, err
	}
	return st, s.weigh(ctx, tenant, p, user, graph, w.OpenID, &st)
}

// wanted are the scopes that a wish means.
func (s *Set) wanted(ctx context.Context, tenant string, p Program, user string, w Wish) ([]string, error) {
	list := slices.Clone(w.Scopes)
	if w.Resource.AppID == GraphID {
		list = append(list, w.OpenID...)
	}
	if !w.All {
		return list, nil
	}
	granted, err := s.Granted(ctx, tenant, p.AppID, user, w.Resource.AppID)
	list = append(list, granted...)
	for _, r := range p.Required {
		if !strings.EqualFold(r.Resource, w.Resource.AppID) {
			continue
		}
		for _, a := range r.Access {
			if known, ok := w.Resource.Scope(a.ID); ok && a.Type == ScopeAccess {
				list = append(list, known.Value)
			}
		}
	}
	return list, err
}

func (s *Set) weigh(ctx context.Context, tenant string, p Program, user string, resource ServicePrincipal, wanted []string, st *Standing) error {
	granted, err := s.Granted(ctx, tenant, p.AppID, user, resource.AppID)
	for _, value := range words(wanted) {
		known, ok := resource.Scope(value)
		switch {
		case !ok:
		case slices.Contains(granted, known.Value):
			st.Granted = append(st.Granted, Want{known, resource})
		default:
			st.Missing = append(st.Missing, Want{known, resource})
			st.Admin = st.Admin || known.Type == "Admin"
		}
	}
	return err
}

// Delegated is what a wish is to IssueUser.
func (w Wish) Delegated() []string {
	switch {
	case w.All:
		return nil
	case w.Resource.AppID == GraphID:
		return append(slices.Clone(w.Scopes), w.OpenID...)
	}
	return append([]string{}, w.Scopes...)
}
