package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/rotation"
)

// Secrets are the client secrets that a control node replaces before they end.
type Secrets interface {
	List(ctx context.Context) ([]rotation.Rotation, error)
	Keep(ctx context.Context, t rotation.Target) error
	Forget(ctx context.Context, name string) error
	Rotate(ctx context.Context, name string, revoke bool) (rotation.Rotation, error)
}

// Secret is how one of them stands. Its value is in its vault.
type Secret struct {
	Name        string    `json:"name"` // "<vault>/<secret>"
	State       string    `json:"state"`
	Application string    `json:"application"`
	Vault       string    `json:"vault"` // resource ID
	Secret      string    `json:"secret"`
	KeyID       string    `json:"keyId,omitempty"`
	Ends        time.Time `json:"ends,omitzero"`
	Renews      time.Time `json:"renews,omitzero"`
	Rotated     time.Time `json:"rotated,omitzero"`
	Old         []string  `json:"toBeRevoked,omitempty"` // key IDs
	Revokes     time.Time `json:"revokes,omitzero"`
	Asked       bool      `json:"asked,omitempty"`
	Attempts    int       `json:"attempts,omitempty"` // that failed
	Problem     string    `json:"problem,omitempty"`
	Due         time.Time `json:"due,omitzero"`
}

// SecretTarget is a secret to be seen to. What is zero is the usual.
type SecretTarget struct {
	Application string `json:"application"`
	Vault       string `json:"vault"` // resource ID
	Secret      string `json:"secret,omitempty"`
	LifeDays    int    `json:"lifeDays,omitempty"`
	AheadDays   int    `json:"aheadDays,omitempty"`
	OverlapDays int    `json:"overlapDays,omitempty"`
}

type (
	secretList struct {
		Secrets []Secret `json:"secrets"`
	}
	rotateRequest struct {
		Name   string `json:"name"`
		Revoke bool   `json:"revoke"`
	}
	rotateKeyRequest struct {
		Step KeyStep `json:"step"`
	}
	rewrapped struct {
		Vaults int `json:"vaults"`
	}
)

// KeyStep is what of a rotation of the vaults' key is done. Control nodes that
// share a database have a copy of the key file each: the key is made on one,
// its file is brought to the others, and then all is wrapped anew.
type KeyStep string

// The steps.
const (
	KeyBoth   KeyStep = "" // refused where there may be other copies
	KeyMake   KeyStep = "make"
	KeyRewrap KeyStep = "rewrap"
)

func showSecret(r rotation.Rotation) Secret {
	return Secret{
		Name: r.Name(), State: r.State(time.Now()), Application: r.Application, Vault: r.Vault, Secret: r.Secret, KeyID: r.KeyID,
		Ends: r.Ends, Renews: r.Renews, Rotated: r.Rotated, Old: r.Old, Revokes: r.Revokes, Asked: r.Asked, Attempts: r.Attempts, Problem: r.Problem, Due: r.Due,
	}
}

// secrets adds what a control node has of them.
func (a api) secrets(mux *http.ServeMux) {
	if a.Secrets != nil {
		mux.HandleFunc("GET /secrets", a.answer(a.listSecrets))
		mux.HandleFunc("PUT /secrets", a.answer(a.keepSecret))
		mux.HandleFunc("DELETE /secrets", a.answer(a.forgetSecret))
		mux.HandleFunc("POST /secrets/rotate", a.answer(a.rotateSecret))
	}
	if a.RotateKey != nil {
		mux.HandleFunc("POST /vault-key/rotate", a.answer(func(r *http.Request) (any, error) {
			var req rotateKeyRequest
			if err := read(r, &req); err != nil {
				return nil, err
			}
			n, err := a.RotateKey(r.Context(), req.Step)
			return rewrapped{n}, err
		}))
	}
}

func (a api) listSecrets(r *http.Request) (any, error) {
	set, err := a.Secrets()
	if err != nil {
		return nil, err
	}
	all, err := set.List(r.Context())
	list := secretList{[]Secret{}}
	for _, x := range all {
		list.Secrets = append(list.Secrets, showSecret(x))
	}
	return list, err
}

func (a api) keepSecret(r *http.Request) (any, error) {
	set, err := a.Secrets()
	if err != nil {
		return nil, err
	}
	var req SecretTarget
	if err := read(r, &req); err != nil {
		return nil, err
	}
	const day = 24 * time.Hour
	if most := 365; req.LifeDays > most || req.AheadDays > most || req.OverlapDays > most {
		return nil, fault.New(fault.Invalid, "a secret is good for 70 days at most")
	}
	t := rotation.Target{
		Application: req.Application, Vault: req.Vault, Secret: req.Secret,
		Life: time.Duration(req.LifeDays) * day, Ahead: time.Duration(req.AheadDays) * day, Overlap: time.Duration(req.OverlapDays) * day,
	}
	return struct{}{}, set.Keep(r.Context(), t)
}

func (a api) forgetSecret(r *http.Request) (any, error) {
	set, err := a.Secrets()
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	if err := known(q, "name"); err != nil {
		return nil, err
	}
	return struct{}{}, set.Forget(r.Context(), q.Get("name"))
}

func (a api) rotateSecret(r *http.Request) (any, error) {
	set, err := a.Secrets()
	if err != nil {
		return nil, err
	}
	var req rotateRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	x, err := set.Rotate(r.Context(), req.Name, req.Revoke)
	if err != nil {
		return nil, err
	}
	return showSecret(x), nil // as it was before
}

// Secrets lists the secrets that the node sees to.
func (c *Client) Secrets(ctx context.Context) ([]Secret, error) {
	var list secretList
	err := c.get(ctx, "/secrets", &list)
	return list.Secrets, err
}

// KeepSecret has the node see to a secret.
func (c *Client) KeepSecret(ctx context.Context, t SecretTarget) error {
	return c.send(ctx, http.MethodPut, "/secrets", t, &struct{}{})
}

// ForgetSecret has it leave one alone.
func (c *Client) ForgetSecret(ctx context.Context, name string) error {
	res, err := c.do(ctx, http.MethodDelete, "/secrets?name="+url.QueryEscape(name), "")
	if err != nil {
		return err
	}
	return decode(res, &struct{}{})
}

// RotateSecret orders another one, and gives how it stood before.
func (c *Client) RotateSecret(ctx context.Context, name string, revoke bool) (s Secret, err error) {
	return s, c.post(ctx, "/secrets/rotate", rotateRequest{name, revoke}, &s)
}

// RotateVaultKey makes another key for the vaults of the node, wraps all data
// keys anew, and gives how many; or does one step of it.
func (c *Client) RotateVaultKey(ctx context.Context, step KeyStep) (int, error) {
	var done rewrapped
	err := c.post(ctx, "/vault-key/rotate", rotateKeyRequest{step}, &done)
	return done.Vaults, err
}
