package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Users are the people of a control node's directory. Whoever may open the
// socket may do all this: it is the way in when nobody else has one.
type Users interface {
	Users(ctx context.Context) ([]User, error)
	Create(ctx context.Context, u NewUser) (Invited, error)
	Reset(ctx context.Context, name string) (Invited, error)
	Enable(ctx context.Context, name string, enabled bool) (User, error)
	Delete(ctx context.Context, name string) error
}

// User is a person who may sign in.
type User struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"` // "ann@telecom.example"
	DisplayName string    `json:"displayName"`
	Mail        string    `json:"mail,omitempty"`
	Enabled     bool      `json:"enabled"`
	Roles       []string  `json:"roles"`   // over the directory: "Global Administrator"
	Factors     []string  `json:"factors"` // "totp", "passkey"
	Password    bool      `json:"password"`
	Created     time.Time `json:"created"`
}

// NewUser is one that is to be.
type NewUser struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"` // "": the first part of the name
	Mail        string `json:"mail,omitempty"`
	Admin       bool   `json:"admin,omitempty"` // Global Administrator
	Role        string `json:"role,omitempty"`  // at every subscription: "Owner", "Contributor", "Reader"
}

// Invited is a user with the link that sets a password, once.
type Invited struct {
	User
	Link string    `json:"link"`
	Ends time.Time `json:"ends"`
}

type (
	userList struct {
		Users []User `json:"users"`
	}
	enabling struct {
		Enabled *bool `json:"enabled"`
	}
)

// users adds what a control node has of people.
func (a api) users(mux *http.ServeMux) {
	if a.Users == nil {
		return
	}
	with := func(f func(r *http.Request, all Users) (any, error)) http.HandlerFunc {
		return a.answer(func(r *http.Request) (any, error) {
			all, err := a.Users()
			if err != nil {
				return nil, err
			}
			return f(r, all)
		})
	}
	mux.HandleFunc("GET /users", with(func(r *http.Request, all Users) (any, error) {
		list, err := all.Users(r.Context())
		return userList{list}, err
	}))
	mux.HandleFunc("POST /users", with(func(r *http.Request, all Users) (any, error) {
		var u NewUser
		if err := read(r, &u); err != nil {
			return nil, err
		}
		return all.Create(r.Context(), u)
	}))
	mux.HandleFunc("POST /users/{name}/reset", with(func(r *http.Request, all Users) (any, error) {
		return all.Reset(r.Context(), r.PathValue("name"))
	}))
	mux.HandleFunc("PATCH /users/{name}", with(func(r *http.Request, all Users) (any, error) {
		var e enabling
		if err := read(r, &e); err != nil {
			return nil, err
		}
		if e.Enabled == nil {
			return nil, fault.New(fault.Invalid, `say whether the user is to be enabled: {"enabled":true}`)
		}
		return all.Enable(r.Context(), r.PathValue("name"), *e.Enabled)
	}))
	mux.HandleFunc("DELETE /users/{name}", with(func(r *http.Request, all Users) (any, error) {
		return struct{}{}, all.Delete(r.Context(), r.PathValue("name"))
	}))
}

// Users lists the people of the directory.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var list userList
	err := c.get(ctx, "/users", &list)
	return list.Users, err
}

// CreateUser makes a person known, with a link that sets a password.
func (c *Client) CreateUser(ctx context.Context, u NewUser) (i Invited, err error) {
	return i, c.post(ctx, "/users", u, &i)
}

// ResetUser forgets all that a person signs in with, and makes another link.
func (c *Client) ResetUser(ctx context.Context, name string) (i Invited, err error) {
	return i, c.post(ctx, "/users/"+url.PathEscape(name)+"/reset", struct{}{}, &i)
}

// EnableUser lets a person sign in, or not any more.
func (c *Client) EnableUser(ctx context.Context, name string, enabled bool) (u User, err error) {
	return u, c.send(ctx, http.MethodPatch, "/users/"+url.PathEscape(name), enabling{&enabled}, &u)
}

// DeleteUser takes a person away, with all that was given to them.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	var done struct{}
	return c.send(ctx, http.MethodDelete, "/users/"+url.PathEscape(name), struct{}{}, &done)
}
