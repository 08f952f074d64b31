package vault

import (
	"context"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Limits of a secret (Azure Key Vault docs, "About Azure Key Vault secrets",
// and the Set Secret operation).
const (
	maxValue       = 25 << 10
	maxContentType = 255
	maxTags        = 15
	maxTag         = 256
	mostInPage     = 25
)

var (
	secretName    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	secretVersion = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
)

// check refuses names that no secret has.
func (r Ref) check() error {
	switch {
	case !secretName.MatchString(r.Name):
		return invalid("The secret's name is not valid: write 1 to 127 letters, digits and hyphens.")
	case r.Version != "" && !secretVersion.MatchString(r.Version):
		return invalid("The version of the secret is not valid: it is 32 hexadecimal digits.")
	}
	return nil
}

// check refuses what is too long. It does not repeat what was said: people put
// secrets in the wrong field.
func (a Attributes) check() error {
	switch {
	case utf8.RuneCountInString(a.ContentType) > maxContentType:
		return invalid("contentType has more than %d characters.", maxContentType)
	case len(a.Tags) > maxTags:
		return invalid("There are more than %d tags.", maxTags)
	}
	for name, value := range a.Tags {
		if utf8.RuneCountInString(name) > maxTag || utf8.RuneCountInString(value) > maxTag {
			return invalid("The name or the value of a tag has more than %d characters.", maxTag)
		}
	}
	return nil
}

func noSecret(ref Ref) error {
	if ref.Version != "" {
		return refuse(ErrNoSecret, "A secret with (name/id) %s/%s was not found in this key vault.", ref.Name, ref.Version)
	}
	return refuse(ErrNoSecret, "A secret with (name/id) %s was not found in this key vault. If you recently deleted this secret you may be able to recover it.", ref.Name)
}

func trashed(ref Ref) error {
	return refuse(ErrTrashed, "Secret %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.", ref.Name)
}

// PutSecret makes a secret, or the next version of it.
func (s *Set) PutSecret(ctx context.Context, by Caller, ref Ref, value obs.Secret, a Attributes) (Secret, error) {
	v, err := s.visit(ctx, by, ref.Vault, Write)
	if err != nil {
		return Secret{}, err
	}
	if err := (Ref{Name: ref.Name}).check(); err != nil {
		return Secret{}, err
	}
	if err := a.check(); err != nil {
		return Secret{}, err
	}
	if len(value) > maxValue || !utf8.ValidString(string(value)) {
		return Secret{}, invalid("The value of the secret must be text of at most %d bytes.", maxValue)
	}
	key, err := s.keys.of(ctx, v)
	if err != nil {
		return Secret{}, err
	}
	x := &stored{Secret: Secret{Name: ref.Name, Version: newVersion(), Attributes: a, Created: now(), Days: v.RetentionDays, Guarded: v.PurgeGuard}}
	x.Updated = x.Created
	if x.sealed, err = key.seal(value, v.id, x.Name, x.Version); err != nil {
		return Secret{}, err
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.again(ctx, tx, by, v, Write); err != nil {
			return err
		}
		h, err := v.room(ctx, tx, ref)
		if err != nil {
			return err
		}
		if h == nil {
			h = &head{name: ref.Name}
		}
		h.latest++
		x.Name, x.seq = h.name, h.latest
		if err := v.saveHead(ctx, tx, *h); err != nil {
			return err
		}
		if err := v.insert(ctx, tx, x); err != nil {
			return err
		}
		return s.auditSecret(ctx, tx, by, v, "setSecret "+x.Name)
	})
	return x.show(value), err
}

// again is enter in the transaction that writes what was sealed for a vault: a
// right may have been taken away, and the vault may be another of its name.
func (s *Set) again(ctx context.Context, tx *store.Tx, by Caller, v *row, may Permission) error {
	here, err := s.enter(ctx, tx, by, v.ID.Name, may)
	if err != nil {
		return err
	}
	if here.id != v.id {
		return fault.New(fault.Conflict, "The vault has just been replaced by another of its name: try again.")
	}
	return nil
}

// Secret is one version of a secret, with its value. One that has expired, or
// is not yet good, is given all the same (Azure Key Vault docs, "About Azure
// Key Vault secrets", Date-time controlled operations).
func (s *Set) Secret(ctx context.Context, by Caller, ref Ref) (Secret, error) {
	var v *row
	var x *stored
	err := s.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if v, err = s.enter(ctx, tx, by, ref.Vault, Get); err != nil {
			return err
		}
		if err := ref.check(); err != nil {
			return err
		}
		if x, err = v.loadSecret(ctx, tx, ref); err == nil && x == nil {
			err = noSecret(ref)
		}
		return err
	})
	if err != nil {
		return Secret{}, err
	}
	if x.Disabled {
		return Secret{}, refuse(ErrDisabled, "Operation get is not allowed on a disabled secret.")
	}
	value, err := s.unseal(ctx, v, x)
	if err != nil {
		return Secret{}, err
	}
	return x.show(value), nil
}

func (s *Set) unseal(ctx context.Context, v *row, x *stored) (obs.Secret, error) {
	key, err := s.keys.of(ctx, v)
	if err != nil {
		return "", err
	}
	return key.open(x.sealed, v.id, x.Name, x.Version)
}

// Change is what UpdateSecret does to a version; nil leaves a part as it is.
type Change struct {
	ContentType        *string
	Tags               *map[string]string
	Enabled            *bool
	NotBefore, Expires *time.Time
}

// UpdateSecret changes what is said of a version, and never its value.
func (s *Set) UpdateSecret(ctx context.Context, by Caller, ref Ref, c Change) (Secret, error) {
	var x *stored
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, ref.Vault, Write)
		if err != nil {
			return err
		}
		if err := ref.check(); err != nil {
			return err
		}
		if x, err = v.loadSecret(ctx, tx, ref); err != nil {
			return err
		}
		if x == nil {
			return noSecret(ref)
		}
		c.Apply(&x.Attributes)
		if err := x.Attributes.check(); err != nil {
			return err
		}
		x.Updated = now()
		if err := v.update(ctx, tx, x); err != nil {
			return err
		}
		return s.auditSecret(ctx, tx, by, v, "updateSecret "+x.Name)
	})
	if err != nil {
		return Secret{}, err
	}
	return x.show(""), nil
}

// Apply makes the change.
func (c Change) Apply(a *Attributes) {
	if c.ContentType != nil {
		a.ContentType = *c.ContentType
	}
	if c.Tags != nil {
		a.Tags = *c.Tags
	}
	if c.Enabled != nil {
		a.Disabled = !*c.Enabled
	}
	if c.NotBefore != nil {
		a.NotBefore = c.NotBefore
	}
	if c.Expires != nil {
		a.Expires = c.Expires
	}
}

// Secrets is a page of the secrets of a vault, each in its latest version.
func (s *Set) Secrets(ctx context.Context, by Caller, vault string, p Page) ([]Secret, string, error) {
	return s.list(ctx, by, vault, p, false)
}

// DeletedSecrets is a page of those that can be had back.
func (s *Set) DeletedSecrets(ctx context.Context, by Caller, vault string, p Page) ([]Secret, string, error) {
	return s.list(ctx, by, vault, p, true)
}

func (s *Set) list(ctx context.Context, by Caller, vault string, p Page, deleted bool) (list []Secret, next string, err error) {
	limit, where, after := p.limit(), "s.deleted = 0", int64(-1)
	if deleted {
		where, after = "s.deleted <> 0", store.Micros(now()) // what is due is gone already
	}
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, vault, List)
		if err != nil {
			return err
		}
		found, err := v.loadSecrets(ctx, tx, "WHERE s.vault = ? AND v.seq = s.latest AND "+where+" AND s.purge > ? AND s.name_key > ? ORDER BY s.name_key LIMIT ?", v.id, after, p.After, limit+1)
		list, next = pageOf(found, limit, func(x *stored) string { return lower(x.Name) })
		return err
	})
	return list, next, err
}

// Versions is a page of the versions of a secret, the oldest first.
func (s *Set) Versions(ctx context.Context, by Caller, ref Ref, p Page) (list []Secret, next string, err error) {
	limit, after := p.limit(), int64(0)
	if p.After != "" {
		if after, err = strconv.ParseInt(p.After, 10, 64); err != nil {
			return nil, "", invalid("The $skiptoken is not valid: take nextLink as it is.")
		}
	}
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, ref.Vault, List)
		if err != nil {
			return err
		}
		if err := (Ref{Name: ref.Name}).check(); err != nil {
			return err
		}
		found, err := v.loadSecrets(ctx, tx, "WHERE s.vault = ? AND s.name_key = ? AND s.deleted = 0 AND v.seq > ? ORDER BY v.seq LIMIT ?", v.id, lower(ref.Name), after, limit+1)
		list, next = pageOf(found, limit, func(x *stored) string { return strconv.FormatInt(x.seq, 10) })
		return err
	})
	return list, next, err
}

func (p Page) limit() int {
	if p.Limit < 1 || p.Limit > mostInPage {
		return mostInPage
	}
	return p.Limit
}

// pageOf cuts off what was read beyond the limit.
func pageOf(found []*stored, limit int, mark func(*stored) string) (list []Secret, next string) {
	if len(found) > limit {
		found = found[:limit]
		next = mark(found[limit-1])
	}
	for _, x := range found {
		list = append(list, x.show(""))
	}
	return list, next
}
