package app

import (
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/ops"
)

// TestAUserWhoWasMadeInPartIsMadeWhole by the same again: with the roles, and a
// link. Who has a password is nobody's to be made again.
func TestAUserWhoWasMadeInPartIsMadeWhole(t *testing.T) {
	n, _ := controlNode(t)
	u := people{n.plane.Load()}
	domains, err := u.p.directory.Domains(t.Context(), u.us())
	if err != nil || len(domains) == 0 {
		t.Fatal(err, domains)
	}
	wanted := ops.NewUser{Name: "ann@" + domains[0].Name, Role: "Owner", Admin: true}
	_, err = u.p.directory.CreateUser(t.Context(), u.us(), directory.User{Name: wanted.Name, DisplayName: "ann", Enabled: true}) // and no more: it was killed
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := u.Create(t.Context(), wanted)
		if err != nil || got.Link == "" || len(got.User.Roles) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, s := range u.p.cfg.Subscriptions {
			all, err := u.p.subscriptions.Assignments(t.Context(), "/subscriptions/"+s.ID, false)
			mine := 0
			for _, a := range all {
				if a.Principal == got.User.ID && a.Role == "Owner" {
					mine++
				}
			}
			if err != nil || mine != 1 {
				t.Errorf("%d roles at %s, %v", mine, s.ID, err)
			}
		}
	}
	i, err := u.p.directory.Invite(t.Context(), u.us(), wanted.Name, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.p.directory.SetPassword(t.Context(), string(i.Link), "a long and unheard-of sentence", directory.Visitor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Create(t.Context(), wanted); fault.Of(err) != fault.Invalid {
		t.Errorf("one who has a password: %v", err)
	}
}
