package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
)

// ReloadRequest asks a node to read its configuration again.
type ReloadRequest struct {
	File   string `json:"file,omitempty"`   // another file, to compare with only; empty: the node's own
	DryRun bool   `json:"dryRun,omitempty"` // change nothing, tell what would be
}

// Reload is what a configuration has changed, or would.
type Reload struct {
	File     string   `json:"file"`
	Revision uint64   `json:"revision"` // in force now
	Changes  []Change `json:"changes"`
	Restart  []string `json:"restart,omitempty"`  // dry run only: what the node would refuse until it is started again
	Warnings []string `json:"warnings,omitempty"` // what is allowed but unwise
	Renewing []string `json:"renewing,omitempty"` // peers whose TLS connections are made anew
}

// Change is one difference. Old is empty for what is new, New for what is gone.
type Change struct {
	Path string `json:"path"` // of the configuration: "sip.options"
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// Rejected is the error of a configuration that is not fit to be put in force.
// The one before stays.
type Rejected struct {
	Problems []string // a sentence each, at least one
}

// Error is all problems, a line each.
func (r *Rejected) Error() string { return strings.Join(r.Problems, "\n") }

func (a api) reload(r *http.Request) (any, error) {
	var req ReloadRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if req.File != "" && !req.DryRun {
		return nil, fault.New(fault.Invalid, "a node takes its configuration from its own file only: set dryRun to compare another one")
	}
	done, err := a.Reload(r.Context(), req)
	if done.Changes == nil {
		done.Changes = []Change{}
	}
	return done, err
}

// Reload lets the node read its configuration again. The error is a *Rejected
// when the file is not fit.
func (c *Client) Reload(ctx context.Context, req ReloadRequest) (done Reload, err error) {
	return done, c.post(ctx, "/reload", req, &done)
}

func (c *Client) post(ctx context.Context, path string, what, v any) error {
	return c.send(ctx, http.MethodPost, path, what, v)
}

func (c *Client) send(ctx context.Context, method, path string, what, v any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	return decode(res, v)
}
