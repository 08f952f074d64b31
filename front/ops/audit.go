package ops

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// AuditFilter is what of the audit trail is wanted. What is empty is not looked
// at.
type AuditFilter struct {
	Since, Until time.Time
	Scope        string // path of a resource or of an object of the directory, with all below
	Who          string // ID or name
	Action       string // a part of it
	Source       string // address
	Refused      bool   // only what did not succeed
	Limit        int    // the last so many
}

// AuditLine is who did what, or tried to.
type AuditLine struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`     // of the first
	Latest    time.Time `json:"latest"` // of the last
	Times     int64     `json:"times"`  // that the line stands for
	Principal string    `json:"principal"`
	Name      string    `json:"name,omitempty"`
	Action    string    `json:"action"`
	Resource  string    `json:"resource"`
	Outcome   string    `json:"outcome"`
	Source    string    `json:"source,omitempty"`
	Request   string    `json:"request,omitempty"`
}

type auditList struct {
	Lines []AuditLine `json:"lines"`
}

// audit adds the trail of a control node.
func (a api) audit(mux *http.ServeMux) {
	if a.Audit == nil {
		return
	}
	mux.HandleFunc("GET /audit", a.answer(func(r *http.Request) (any, error) {
		f, err := auditFilter(r.URL.Query())
		if err != nil {
			return nil, err
		}
		list, err := a.Audit(r.Context(), f)
		if list == nil {
			list = []AuditLine{}
		}
		return auditList{list}, err
	}))
}

func auditFilter(q url.Values) (f AuditFilter, err error) {
	if err := known(q, "since", "until", "scope", "who", "action", "source", "refused", "limit"); err != nil {
		return f, err
	}
	f = AuditFilter{Scope: q.Get("scope"), Who: q.Get("who"), Action: q.Get("action"), Source: q.Get("source"), Refused: q.Get("refused") == "1", Limit: 100}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if q.Has(name) {
			if *t, err = time.Parse(time.RFC3339, q.Get(name)); err != nil {
				return f, fault.New(fault.Invalid, name+" is not a time such as 2026-11-21T20:00:00Z")
			}
		}
	}
	if q.Has("limit") {
		if f.Limit, err = strconv.Atoi(q.Get("limit")); err != nil || f.Limit < 1 || f.Limit > maxLimit {
			return f, fault.New(fault.Invalid, fmt.Sprintf("limit is not a number from 1 to %d", maxLimit))
		}
	}
	return f, nil
}

// Audit reads the trail, the oldest line first.
func (c *Client) Audit(ctx context.Context, f AuditFilter) ([]AuditLine, error) {
	q := url.Values{}
	for name, value := range map[string]string{"scope": f.Scope, "who": f.Who, "action": f.Action, "source": f.Source} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	if f.Refused {
		q.Set("refused", "1")
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var list auditList
	err := c.get(ctx, "/audit?"+q.Encode(), &list)
	return list.Lines, err
}
