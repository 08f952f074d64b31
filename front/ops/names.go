package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/zone"
)

// EdgeCertificates are those that a control node sees to.
type EdgeCertificates interface {
	List(ctx context.Context) ([]certificate.Certificate, error)
	Install(ctx context.Context, node, chain string) error // fault.Invalid: it does not fit
	Retry(ctx context.Context, node string) error
}

// Texts are the TXT records of a control node's zones.
type Texts interface {
	Texts(ctx context.Context, name string) ([]zone.Text, error) // at a name and below
	AddText(ctx context.Context, name, value string) error
	RemoveText(ctx context.Context, name, value string) error
}

// EdgeCertificate is how the certificate of an edge stands.
type EdgeCertificate struct {
	Node     string    `json:"node"`
	State    string    `json:"state"` // "waiting" for the operator, "shown", "failing" and so on
	Names    []string  `json:"names"`
	Begins   time.Time `json:"begins,omitzero"`
	Ends     time.Time `json:"ends,omitzero"`
	Problem  string    `json:"problem,omitempty"`
	Attempts int       `json:"attempts,omitempty"` // that failed
	Due      time.Time `json:"due,omitzero"`       // when it is looked at next
	Request  string    `json:"request,omitempty"`  // to be signed, PEM
}

// Text is a TXT record.
type Text struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type (
	certificateList struct {
		Certificates []EdgeCertificate `json:"certificates"`
	}
	chainRequest struct {
		Chain string `json:"chain"`
	}
	textList struct {
		Texts []Text `json:"texts"`
	}
)

// names adds what a control node has of names.
func (a api) names(mux *http.ServeMux) {
	if a.Certificates != nil {
		mux.HandleFunc("GET /certificates", a.answer(a.certificates))
		mux.HandleFunc("PUT /certificates/{node}", a.answer(a.install))
		mux.HandleFunc("POST /certificates/{node}/retry", a.answer(a.retry))
	}
	if a.Texts != nil {
		mux.HandleFunc("GET /texts", a.answer(a.texts))
		mux.HandleFunc("PUT /texts", a.answer(a.changeText))
		mux.HandleFunc("DELETE /texts", a.answer(a.changeText))
	}
}

func (a api) certificates(r *http.Request) (any, error) {
	all, err := a.Certificates.List(r.Context())
	list := certificateList{[]EdgeCertificate{}}
	for _, c := range all {
		list.Certificates = append(list.Certificates, EdgeCertificate{
			Node: c.Node, State: string(c.State), Names: c.Names, Begins: c.Begins, Ends: c.Ends,
			Problem: c.Problem, Attempts: c.Attempts, Due: c.Due, Request: c.Request,
		})
	}
	return list, err
}

func (a api) install(r *http.Request) (any, error) {
	var req chainRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	return struct{}{}, a.Certificates.Install(r.Context(), r.PathValue("node"), req.Chain)
}

func (a api) retry(r *http.Request) (any, error) {
	return struct{}{}, a.Certificates.Retry(r.Context(), r.PathValue("node"))
}

func (a api) texts(r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "name"); err != nil {
		return nil, err
	}
	name := q.Get("name")
	if name == "" {
		name = "." // all
	}
	all, err := a.Texts.Texts(r.Context(), name)
	list := textList{[]Text{}}
	for _, t := range all {
		list.Texts = append(list.Texts, Text(t))
	}
	return list, err
}

func (a api) changeText(r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "name", "value"); err != nil {
		return nil, err
	}
	t := Text{q.Get("name"), q.Get("value")}
	if t.Name == "" || t.Value == "" {
		return nil, fault.New(fault.Invalid, "a TXT record has a name and a value: give both")
	}
	if r.Method == http.MethodDelete {
		return t, a.Texts.RemoveText(r.Context(), t.Name, t.Value)
	}
	return t, a.Texts.AddText(r.Context(), t.Name, t.Value)
}

// EdgeCertificates lists the certificates that a control node sees to.
func (c *Client) EdgeCertificates(ctx context.Context) ([]EdgeCertificate, error) {
	var list certificateList
	err := c.get(ctx, "/certificates", &list)
	return list.Certificates, err
}

// Install brings the chain that an edge's request has been signed with, as PEM.
func (c *Client) Install(ctx context.Context, node, chain string) error {
	var done struct{}
	return c.send(ctx, http.MethodPut, "/certificates/"+url.PathEscape(node), chainRequest{chain}, &done)
}

// Retry has a certificate that failed tried again now.
func (c *Client) Retry(ctx context.Context, node string) error {
	var done struct{}
	return c.post(ctx, "/certificates/"+url.PathEscape(node)+"/retry", struct{}{}, &done)
}

// Texts lists the TXT records at a name and below; all when it is empty.
func (c *Client) Texts(ctx context.Context, name string) ([]Text, error) {
	var list textList
	err := c.get(ctx, "/texts?"+url.Values{"name": {name}}.Encode(), &list)
	return list.Texts, err
}

// AddText publishes a TXT record.
func (c *Client) AddText(ctx context.Context, t Text) error { return c.text(ctx, http.MethodPut, t) }

// RemoveText takes one away.
func (c *Client) RemoveText(ctx context.Context, t Text) error {
	return c.text(ctx, http.MethodDelete, t)
}

func (c *Client) text(ctx context.Context, method string, t Text) error {
	res, err := c.do(ctx, method, "/texts?"+url.Values{"name": {t.Name}, "value": {t.Value}}.Encode(), "")
	if err != nil {
		return err
	}
	return decode(res, &t)
}
