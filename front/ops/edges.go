package ops

import (
	"context"
	"net/http"
	"net/url"

	"github.com/tandemgw/tandem/link"
)

// Edges are those that a control node has ever heard of.
type Edges interface {
	Edges() []link.EdgeStatus
	// Forget removes one that will not come back; fault.NotFound when there is
	// none, fault.Conflict while it is alive.
	Forget(ctx context.Context, node string) error
}

type (
	edgeList struct {
		Edges []link.EdgeStatus `json:"edges"`
	}
	forgotEdge struct {
		Node string `json:"node"`
	}
)

// edges adds what a control node has of edges.
func (a api) edges(mux *http.ServeMux) {
	if a.Edges == nil {
		return
	}
	mux.HandleFunc("GET /edges", a.answer(func(*http.Request) (any, error) {
		return edgeList{append([]link.EdgeStatus{}, a.Edges.Edges()...)}, nil
	}))
	mux.HandleFunc("DELETE /edges/{node}", a.answer(func(r *http.Request) (any, error) {
		node := r.PathValue("node")
		return forgotEdge{node}, a.Edges.Forget(r.Context(), node)
	}))
}

// Edges lists the edges of a control node.
func (c *Client) Edges(ctx context.Context) ([]link.EdgeStatus, error) {
	var list edgeList
	err := c.get(ctx, "/edges", &list)
	return list.Edges, err
}

// ForgetEdge has a control node forget an edge that will not come back.
func (c *Client) ForgetEdge(ctx context.Context, node string) error {
	res, err := c.do(ctx, http.MethodDelete, "/edges/"+url.PathEscape(node), "")
	if err != nil {
		return err
	}
	return decode(res, new(forgotEdge))
}
