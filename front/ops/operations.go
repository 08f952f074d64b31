package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
)

// Operations are the slow work of a control node; *operation.Set is one.
type Operations interface {
	Newest(ctx context.Context, limit int) ([]operation.Operation, error)
	Find(ctx context.Context, id string) (operation.Operation, error)
	Cancel(ctx context.Context, id string) error
}

// Operation is one, as it was when it was looked at.
type Operation struct {
	ID       string               `json:"id"`
	Kind     string               `json:"kind"`
	Resource string               `json:"resource"`
	By       string               `json:"by"`
	Status   operation.Status     `json:"status"`
	Steps    []operation.Progress `json:"steps"`
	Problem  *operation.Problem   `json:"problem,omitempty"` // of a failed or canceled one
	Created  time.Time            `json:"created"`
	Started  time.Time            `json:"started,omitzero"`
	Ended    time.Time            `json:"ended,omitzero"`
}

type operationList struct {
	Operations []Operation `json:"operations"`
}

func showOperation(o operation.Operation) Operation {
	return Operation{ID: o.ID, Kind: o.Kind, Resource: o.Resource, By: o.Actor, Status: o.Status, Steps: append([]operation.Progress{}, o.Steps...), Problem: o.Error, Created: o.Created, Started: o.Started, Ended: o.Ended}
}

// manyOperations bounds a list.
const manyOperations = 200

// operations adds those of a control node.
func (a api) operations(mux *http.ServeMux) {
	if a.Operations == nil {
		return
	}
	mux.HandleFunc("GET /operations", a.answer(func(r *http.Request) (any, error) {
		set, err := a.Operations()
		if err != nil {
			return nil, err
		}
		all, err := set.Newest(r.Context(), manyOperations)
		list := operationList{[]Operation{}}
		for _, o := range all {
			list.Operations = append(list.Operations, showOperation(o))
		}
		return list, err
	}))
	mux.HandleFunc("GET /operations/{id}", a.answer(func(r *http.Request) (any, error) {
		set, err := a.Operations()
		if err != nil {
			return nil, err
		}
		o, err := set.Find(r.Context(), r.PathValue("id"))
		return showOperation(o), err
	}))
	mux.HandleFunc("POST /operations/{id}/cancel", a.answer(func(r *http.Request) (any, error) {
		set, err := a.Operations()
		if err != nil {
			return nil, err
		}
		o, err := set.Find(r.Context(), r.PathValue("id"))
		if err == nil && o.Status.Ended() {
			err = fault.New(fault.Conflict, "the operation "+o.ID+" has ended: it is "+string(o.Status))
		}
		if err == nil {
			err = set.Cancel(r.Context(), o.ID)
		}
		if err == nil {
			o, err = set.Find(r.Context(), o.ID)
		}
		return showOperation(o), err
	}))
}

// Operations lists those that go on, then the newest.
func (c *Client) Operations(ctx context.Context) ([]Operation, error) {
	var list operationList
	err := c.get(ctx, "/operations", &list)
	return list.Operations, err
}

// Operation finds one by its ID or the beginning of it.
func (c *Client) Operation(ctx context.Context, id string) (o Operation, err error) {
	return o, c.get(ctx, "/operations/"+url.PathEscape(id), &o)
}

// CancelOperation asks one to stop, and gives it as it is then: it has ended
// when the step that it is at has returned.
func (c *Client) CancelOperation(ctx context.Context, id string) (o Operation, err error) {
	return o, c.post(ctx, "/operations/"+url.PathEscape(id)+"/cancel", nil, &o)
}
