package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	ids "github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/front/ops"
)

// people are the users of the directory, as the control socket has them.
type people struct{ p *plane }

// users are those of a control node that has started.
func (n *Node) users() (ops.Users, error) {
	p := n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	return people{p}, nil
}

// us is who changes something by the socket.
func (u people) us() directory.Caller {
	return directory.Ourselves(u.p.directory.Tenant().ID, "control socket")
}

func (u people) Users(ctx context.Context) ([]ops.User, error) {
	all, err := u.p.directory.Users(ctx, u.us())
	list := []ops.User{}
	for _, one := range all {
		shown, err := u.show(ctx, one)
		if err != nil {
			return nil, err
		}
		list = append(list, shown)
	}
	return list, err
}

// show is a user with what they sign in with.
func (u people) show(ctx context.Context, one directory.User) (ops.User, error) {
	out := ops.User{ID: one.ID, Name: one.Name, DisplayName: one.DisplayName, Mail: one.Mail, Enabled: one.Enabled, Created: one.Created, Roles: []string{}, Factors: []string{}}
	roles, err := u.p.directory.RolesOf(ctx, u.us(), one.ID)
	if err != nil {
		return out, err
	}
	for _, r := range roles {
		out.Roles = append(out.Roles, string(r))
	}
	factors, err := u.p.directory.Factors(ctx, one.ID)
	if err != nil {
		return out, err
	}
	for _, f := range factors {
		out.Factors = append(out.Factors, f.Kind)
	}
	out.Password, err = u.p.directory.HasPassword(ctx, one.ID)
	return out, err
}

// Create makes somebody known. What was made stays when a later step fails: the
// same again goes on from there.
func (u people) Create(ctx context.Context, wanted ops.NewUser) (ops.Invited, error) {
	role := subscription.Role(wanted.Role)
	if role != "" && role != subscription.Owner && role != subscription.Contributor && role != subscription.Reader {
		return ops.Invited{}, fault.New(fault.Invalid, fmt.Sprintf("there is no role %.50q at a subscription: take Owner, Contributor or Reader", wanted.Role))
	}
	local, _, _ := strings.Cut(wanted.Name, "@")
	made, err := u.make(ctx, directory.User{Name: wanted.Name, DisplayName: cmp.Or(wanted.DisplayName, local), Mail: wanted.Mail, Enabled: true})
	if err != nil {
		return ops.Invited{}, err
	}
	if wanted.Admin {
		if err := u.p.directory.AssignDirectoryRole(ctx, u.us(), directory.GlobalAdministrator, made.ID); err != nil {
			return ops.Invited{}, err
		}
	}
	if role != "" {
		for _, s := range u.p.cfg.Subscriptions {
			if err := u.assign(ctx, made, role, "/subscriptions/"+s.ID); err != nil {
				return ops.Invited{}, err
			}
		}
	}
	return u.invite(ctx, made.ID, false)
}

// make makes a user, or finds the one that was made before: nobody has set a
// password for them since.
func (u people) make(ctx context.Context, wanted directory.User) (directory.User, error) {
	made, err := u.p.directory.CreateUser(ctx, u.us(), wanted)
	if fault.Of(err) != fault.Invalid {
		return made, err
	}
	old, none := u.p.directory.User(ctx, u.us(), wanted.Name)
	if none != nil || !strings.EqualFold(old.Name, wanted.Name) || !old.Enabled {
		return made, err
	}
	if has, no := u.p.directory.HasPassword(ctx, old.ID); has || no != nil {
		return made, cmp.Or(no, err)
	}
	return old, nil
}

// assign gives a role at a scope to who does not have it.
func (u people) assign(ctx context.Context, to directory.User, role subscription.Role, scope string) error {
	all, err := u.p.subscriptions.Assignments(ctx, scope, false)
	if err != nil || slices.ContainsFunc(all, func(a subscription.Assignment) bool {
		return strings.EqualFold(a.Scope, scope) && a.Principal == to.ID && a.Role == role
	}) {
		return err
	}
	by := subscription.Principal{Tenant: to.Tenant, Object: "control-socket", Name: "control socket"}
	_, _, err = u.p.subscriptions.Assign(subscription.WithRequest(ctx, subscription.Request{Principal: by}), by,
		subscription.Assignment{ID: ids.NewString(), Scope: scope, Principal: to.ID, Type: "User", Role: role})
	return err
}

func (u people) invite(ctx context.Context, id string, anew bool) (ops.Invited, error) {
	i, err := u.p.directory.Invite(ctx, u.us(), id, anew)
	if err != nil {
		return ops.Invited{}, err
	}
	shown, err := u.show(ctx, i.User)
	return ops.Invited{User: shown, Link: string(login.InvitationURL(u.p.url(), i.User.Tenant, i)), Ends: i.Ends}, err
}

func (u people) Reset(ctx context.Context, name string) (ops.Invited, error) {
	return u.invite(ctx, name, true)
}

func (u people) Enable(ctx context.Context, name string, enabled bool) (ops.User, error) {
	one, err := u.p.directory.UpdateUser(ctx, u.us(), name, func(x *directory.User) error {
		x.Enabled = enabled
		return nil
	})
	if err == nil && !enabled {
		err = u.p.directory.SignOut(ctx, u.us(), one.ID)
	}
	if err != nil {
		return ops.User{}, err
	}
	return u.show(ctx, one)
}

func (u people) Delete(ctx context.Context, name string) error {
	return u.p.directory.DeleteUser(ctx, u.us(), name)
}
