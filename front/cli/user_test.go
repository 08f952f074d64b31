package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
)

// household plays the directory of a control node.
type household struct{ list []ops.User }

func (h *household) find(name string) (*ops.User, error) {
	for i := range h.list {
		if h.list[i].Name == name {
			return &h.list[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no user "+name)
}

func (h *household) Users(context.Context) ([]ops.User, error) { return h.list, nil }

func (h *household) Create(_ context.Context, n ops.NewUser) (ops.Invited, error) {
	if !strings.Contains(n.Name, "@") {
		return ops.Invited{}, fault.New(fault.Invalid, "write name@domain")
	}
	u := ops.User{ID: "1", Name: n.Name, DisplayName: n.DisplayName, Enabled: true}
	if n.Admin {
		u.Roles = []string{"Global Administrator"}
	}
	h.list = append(h.list, u)
	return ops.Invited{User: u, Link: "https://api.telecom.example/x/password?link=ABC", Ends: time.Now().Add(24 * time.Hour)}, nil
}

func (h *household) Reset(_ context.Context, name string) (ops.Invited, error) {
	u, err := h.find(name)
	if err != nil {
		return ops.Invited{}, err
	}
	return ops.Invited{User: *u, Link: "https://api.telecom.example/x/password?link=DEF", Ends: time.Now().Add(24 * time.Hour)}, nil
}

func (h *household) Enable(_ context.Context, name string, is bool) (ops.User, error) {
	u, err := h.find(name)
	if err != nil {
		return ops.User{}, err
	}
	u.Enabled = is
	return *u, nil
}

func (h *household) Delete(_ context.Context, name string) error {
	if _, err := h.find(name); err != nil {
		return err
	}
	h.list = nil
	return nil
}

func TestUsers(t *testing.T) {
	home := &household{}
	listen(t, ops.Config{Users: func() (ops.Users, error) { return home, nil }})
	says(t, []said{
		{"user list", 0, "", "tandem user create NAME --admin"},
		{"user create", 2, "", "accepts 1 arg"},
		{"user create ann", 2, "", "write name@domain"},
		{"user create ann@telecom.example --admin", 0, "  https://api.telecom.example/x/password?link=ABC\n", ""},
		{"user list", 0, "ann@telecom.example  invited  -              Global Administrator", ""},
		{"user list --json", 0, `"name": "ann@telecom.example"`, ""},
		{"user reset ann@telecom.example --json", 0, `"link": "https://api.telecom.example/x/password?link=DEF"`, ""},
		{"user reset bob@telecom.example", 3, "", "there is no user bob@telecom.example"},
		{"user disable ann@telecom.example", 0, "ann@telecom.example may not sign in any more.", ""},
		{"user list", 0, "disabled", ""},
		{"user enable ann@telecom.example", 0, "may sign in again", ""},
		{"user delete bob@telecom.example --yes", 3, "", "there is no user"},
		{"user delete ann@telecom.example --yes", 0, "ann@telecom.example is gone.", ""},
		{"user", 2, "", "One of create, delete, disable, enable, list, reset"},
	})
}
