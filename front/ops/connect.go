package ops

import (
	"context"
	"net/http"
	"net/url"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/operatorconnect"
)

// connectDoc is where Operator Connect is, for who asks through the socket.
type connectDoc struct {
	URL      string   `json:"url"`
	Suffixes []string `json:"suffixes"`
}

// connect adds the door to Operator Connect: it is asked as a gateway, by whose
// token it takes everything for the gateway's own. So whoever comes through
// here must hesitate by himself before he edits what the gateway manages, as
// operatorconnect.Client does.
func (a api) connect(mux *http.ServeMux) {
	if a.Connect == nil {
		return
	}
	mux.HandleFunc("GET /operatorconnect", a.answer(func(r *http.Request) (any, error) {
		if err := known(r.URL.Query(), "gateway"); err != nil {
			return nil, err
		}
		c, err := a.Connect(r.Context(), r.URL.Query().Get("gateway"))
		if err != nil {
			return nil, err
		}
		return connectDoc{c.URL, c.Suffixes}, nil
	}))
	mux.HandleFunc("/operatorconnect/{gateway}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		gateway := r.PathValue("gateway")
		c, err := a.Connect(r.Context(), named(gateway))
		if err == nil {
			var at *url.URL
			if at, err = url.Parse(c.URL); err == nil {
				// A role that has been granted a moment ago is in the next token.
				token := func(ctx context.Context) (obs.Secret, error) { return c.Token(ctx, true) }
				err = a.forward(w, r, way{"/operatorconnect/" + gateway, at.Host, token, c.HTTP})
			}
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// anyGateway stands in a path for the only gateway that there is.
const anyGateway = "-"

func named(gateway string) string {
	if gateway == anyGateway {
		return ""
	}
	return gateway
}

// OperatorConnect is the environment, asked as a gateway through the node; "" is
// the only gateway that there is. What the gateway manages is guarded from its
// own token, too.
func (c *Client) OperatorConnect(ctx context.Context, gateway string) (*operatorconnect.Client, error) {
	var doc connectDoc
	if err := c.get(ctx, "/operatorconnect?gateway="+url.QueryEscape(gateway), &doc); err != nil {
		return nil, err
	}
	at := anyGateway
	if gateway != "" {
		at = url.PathEscape(gateway)
	}
	if doc.URL == "" {
		return nil, fault.New(fault.Unavailable, "the node does not say where Operator Connect is")
	}
	return operatorconnect.New(operatorconnect.Config{
		URL: doc.URL, Suffixes: doc.Suffixes, HTTP: door{c, func(*http.Request) string { return "/operatorconnect/" + at }},
		Token: func(context.Context, bool) (obs.Secret, error) { return ofTheNode, nil },
	})
}
