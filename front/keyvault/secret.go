package keyvault

import (
	"encoding/base64"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/vault"
)

// What bodies have at most. A value has 25 KB, each byte of which JSON may
// write as six; a backup has 500 values, twice in base64: 23 MB, and tags.
const (
	maxBody   = 512 << 10
	maxBackup = 32 << 20
)

func (d *data) routes() []route {
	return []route{
		{method: "GET", path: "secrets", do: d.list},
		{method: "POST", path: "secrets/restore", needs: vault.Restore, most: maxBackup, do: d.restore},
		{method: "PUT", path: "secrets/{name}", most: maxBody, do: d.set},
		{method: "GET", path: "secrets/{name}", do: d.get},
		{method: "PATCH", path: "secrets/{name}", most: maxBody, do: d.update},
		{method: "DELETE", path: "secrets/{name}", do: d.delete},
		{method: "GET", path: "secrets/{name}/versions", do: d.versions},
		{method: "POST", path: "secrets/{name}/backup", do: d.backup},
		{method: "GET", path: "secrets/{name}/{version}", do: d.get},
		{method: "PATCH", path: "secrets/{name}/{version}", most: maxBody, do: d.update},
		{method: "GET", path: "deletedsecrets", do: d.listDeleted},
		{method: "GET", path: "deletedsecrets/{name}", do: d.getDeleted},
		{method: "DELETE", path: "deletedsecrets/{name}", do: d.purge},
		{method: "POST", path: "deletedsecrets/{name}/recover", do: d.recover},
	}
}

func (q *request) ref() vault.Ref {
	return vault.Ref{Vault: q.vault, Name: q.vars["name"], Version: q.vars["version"]}
}

// said is what a client says of a secret.
type said struct {
	Value       *string            `json:"value"`
	ContentType *string            `json:"contentType"`
	Tags        *map[string]string `json:"tags"`
	Attributes  struct {
		Enabled   *bool  `json:"enabled"`
		NotBefore *int64 `json:"nbf"`
		Expires   *int64 `json:"exp"`
	} `json:"attributes"`
}

// maxTime is the end of the year 9999.
const maxTime = 253402300799

// change is what was said of a version.
func (s said) change() (c vault.Change, err error) {
	c = vault.Change{ContentType: s.ContentType, Tags: s.Tags, Enabled: s.Attributes.Enabled}
	for _, t := range []struct {
		name string
		said *int64
		to   **time.Time
	}{{"nbf", s.Attributes.NotBefore, &c.NotBefore}, {"exp", s.Attributes.Expires, &c.Expires}} {
		if t.said == nil {
			continue
		}
		if *t.said < 0 || *t.said > maxTime {
			return c, badParameter("attributes.%s must be seconds since 1970.", t.name)
		}
		at := time.Unix(*t.said, 0).UTC()
		*t.to = &at
	}
	return c, nil
}

func (d *data) set(q *request) (answer, error) {
	var s said
	if err := q.decode(&s); err != nil {
		return answer{}, err
	}
	if s.Value == nil {
		return answer{}, badParameter("The parameter 'value' is required.")
	}
	c, err := s.change()
	if err != nil {
		return answer{}, err
	}
	var a vault.Attributes
	c.Apply(&a)
	x, err := d.Vaults.PutSecret(q.Context(), q.caller, q.ref(), obs.Secret(*s.Value), a)
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, true))
}

func (d *data) get(q *request) (answer, error) {
	x, err := d.Vaults.Secret(q.Context(), q.caller, q.ref())
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, true))
}

func (d *data) update(q *request) (answer, error) {
	var s said
	if err := q.decode(&s); err != nil {
		return answer{}, err
	}
	c, err := s.change()
	if err != nil {
		return answer{}, err
	}
	x, err := d.Vaults.UpdateSecret(q.Context(), q.caller, q.ref(), c)
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, false))
}

func (d *data) delete(q *request) (answer, error) {
	x, err := d.Vaults.DeleteSecret(q.Context(), q.caller, q.ref())
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, false))
}

func (d *data) recover(q *request) (answer, error) {
	x, err := d.Vaults.RecoverSecret(q.Context(), q.caller, q.ref())
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, false))
}

func (d *data) getDeleted(q *request) (answer, error) {
	x, err := d.Vaults.DeletedSecret(q.Context(), q.caller, q.ref())
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, false))
}

func (d *data) purge(q *request) (answer, error) {
	return answer{Status: http.StatusNoContent}, d.Vaults.PurgeSecret(q.Context(), q.caller, q.ref())
}

// blob is a backup, in base64url.
type blob struct {
	Value string `json:"value"`
}

func (d *data) backup(q *request) (answer, error) {
	b, err := d.Vaults.BackupSecret(q.Context(), q.caller, q.ref())
	if err != nil {
		return answer{}, err
	}
	return ok(blob{base64.RawURLEncoding.EncodeToString(b)})
}

func (d *data) restore(q *request) (answer, error) {
	var said blob
	if err := q.decode(&said); err != nil {
		return answer{}, err
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(said.Value, "="))
	if err != nil {
		return answer{}, badParameter("The parameter 'value' is not a backup: it must be base64url.")
	}
	x, err := d.Vaults.RestoreSecret(q.Context(), q.caller, q.vault, b)
	if err != nil {
		return answer{}, err
	}
	return ok(d.full(q, x, false))
}

func (d *data) list(q *request) (answer, error) {
	p, err := q.page()
	if err != nil {
		return answer{}, err
	}
	found, next, err := d.Vaults.Secrets(q.Context(), q.caller, q.vault, p)
	return d.pageOf(q, found, next, err)
}

func (d *data) listDeleted(q *request) (answer, error) {
	p, err := q.page()
	if err != nil {
		return answer{}, err
	}
	found, next, err := d.Vaults.DeletedSecrets(q.Context(), q.caller, q.vault, p)
	return d.pageOf(q, found, next, err)
}

func (d *data) versions(q *request) (answer, error) {
	p, err := q.page()
	if err != nil {
		return answer{}, err
	}
	found, next, err := d.Vaults.Versions(q.Context(), q.caller, q.ref(), p)
	return d.pageOf(q, found, next, err)
}

// mostInPage is Key Vault's (Azure Key Vault REST docs, "Get Secrets",
// maxresults).
const mostInPage = 25

func (q *request) page() (p vault.Page, err error) {
	if most := q.query.Get("maxresults"); most != "" {
		if p.Limit, err = strconv.Atoi(most); err != nil || p.Limit < 1 || p.Limit > mostInPage {
			return p, badParameter("The query parameter 'maxresults' must be 1 to %d.", mostInPage)
		}
	}
	mark, err := base64.RawURLEncoding.DecodeString(q.query.Get("$skiptoken"))
	if err != nil || len(mark) > math.MaxUint8 || !utf8.Valid(mark) || slices.Contains(mark, 0) {
		return p, badParameter("The query parameter '$skiptoken' is not valid: take nextLink as it is.")
	}
	p.After = string(mark)
	return p, nil
}

// shown is a part of a list.
type shown struct {
	Value []bundle `json:"value"`
	Next  *string  `json:"nextLink"` // null at the end
}

func (d *data) pageOf(q *request, found []vault.Secret, next string, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	page := shown{Value: []bundle{}}
	for _, x := range found {
		// Secrets are shown without a version, versions with theirs.
		if q.vars["name"] == "" {
			x.Version = ""
		}
		page.Value = append(page.Value, d.full(q, x, false))
	}
	if next != "" {
		v := url.Values{"api-version": {q.query.Get("api-version")}, "$skiptoken": {base64.RawURLEncoding.EncodeToString([]byte(next))}}
		if most := q.query.Get("maxresults"); most != "" {
			v.Set("maxresults", most)
		}
		link := d.base(q.vault) + (&url.URL{Path: q.URL.Path}).EscapedPath() + "?" + v.Encode()
		page.Next = &link
	}
	return ok(page)
}

// bundle is a secret as it is shown.
type bundle struct {
	Value       *string           `json:"value,omitempty"`
	ID          string            `json:"id"`
	ContentType string            `json:"contentType,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Attributes  attributes        `json:"attributes"`
	RecoveryID  string            `json:"recoveryId,omitempty"`
	Deleted     int64             `json:"deletedDate,omitempty"`
	Purges      int64             `json:"scheduledPurgeDate,omitempty"`
}

type attributes struct {
	Enabled   bool   `json:"enabled"`
	NotBefore *int64 `json:"nbf,omitempty"`
	Expires   *int64 `json:"exp,omitempty"`
	Created   int64  `json:"created"`
	Updated   int64  `json:"updated"`
	Level     string `json:"recoveryLevel"`
	Days      int    `json:"recoverableDays"`
}

// full shows a secret, with its value if that is wanted.
func (d *data) full(q *request, x vault.Secret, value bool) bundle {
	base := d.base(q.vault)
	b := bundle{ID: base + "/secrets/" + x.Name, ContentType: x.ContentType, Tags: x.Tags}
	if x.Version != "" {
		b.ID += "/" + x.Version
	}
	if value {
		s := string(x.Value)
		b.Value = &s
	}
	b.Attributes = attributes{Enabled: !x.Disabled, Created: x.Created.Unix(), Updated: x.Updated.Unix(), Level: level(x), Days: x.Days}
	for _, t := range []struct {
		from *time.Time
		to   **int64
	}{{x.NotBefore, &b.Attributes.NotBefore}, {x.Expires, &b.Attributes.Expires}} {
		if t.from != nil {
			at := t.from.Unix()
			*t.to = &at
		}
	}
	if !x.Deleted.IsZero() {
		b.RecoveryID, b.Deleted, b.Purges = base+"/deletedsecrets/"+x.Name, x.Deleted.Unix(), x.Purges.Unix()
	}
	return b
}

// level says how a secret can be lost (Azure Key Vault REST docs,
// DeletionRecoveryLevel).
func level(x vault.Secret) string {
	s := "Recoverable"
	if x.Days < 90 {
		s = "CustomizedRecoverable"
	}
	if !x.Guarded {
		s += "+Purgeable"
	}
	return s
}
