package rotation

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

// attendSafely sees to one secret and keeps what became of it.
func (s *Set) attendSafely(r Rotation) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("rotating a secret broke", "secret", r.Name(), obs.KeyError, p)
		}
	}()
	ctx, cancel := context.WithTimeout(s.life, leased-time.Minute)
	defer cancel()
	err := s.attend(ctx, &r)
	if s.life.Err() != nil {
		return // the lease ends, and the next start goes on
	}
	if errors.Is(err, errLost) {
		err = s.free(s.life, r.Name())
	} else {
		s.settle(&r, err)
		err = s.keep(s.life, &r)
		if errors.Is(err, errLost) {
			err = s.free(s.life, r.Name())
		}
	}
	if err != nil && s.life.Err() == nil {
		s.log.Error("keep what became of a secret", "secret", r.Name(), obs.KeyError, err)
	}
}

// settle says when the next look is, and tells of an end that comes near.
func (s *Set) settle(r *Rotation, err error) {
	now := time.Now()
	r.lease = time.Time{}
	if err != nil {
		r.Attempts++
		r.Problem = err.Error()
		r.Due = now.Add(pause(r.Attempts))
		s.log.Warn("a secret is not rotated; it is tried again", "secret", r.Name(), "application", r.Application, "attempts", r.Attempts, "again", r.Due, obs.KeyError, err)
	} else {
		r.Attempts, r.Problem = 0, ""
		r.Due = now.Add(recheck/2 + mathrand.N(recheck))
		for _, t := range []time.Time{r.Renews, r.Revokes} {
			if !t.IsZero() && t.Before(r.Due) {
				r.Due = t
			}
		}
	}
	level := r.urgency(now)
	if level > r.warned {
		s.log.Warn("a secret nears its end", "secret", r.Name(), "application", r.Application, "ends", r.Ends, "left", r.Ends.Sub(now).Round(time.Minute))
	}
	r.warned = level
}

// pause is how long to wait after so many failures, with jitter.
func pause(attempts int) time.Duration {
	d := min(longest, shortest*time.Duration(math.Exp2(float64(min(attempts, 10)-1))))
	return d/2 + mathrand.N(d/2)
}

// attend looks how a secret stands and does what is due. It can be killed
// anywhere and called again.
func (s *Set) attend(ctx context.Context, r *Rotation) error {
	a, err := s.cfg.Directory.ApplicationOf(ctx, r.Application)
	if err != nil {
		return err
	}
	v, err := s.cfg.Vaults.Vault(ctx, r.Vault)
	if err != nil {
		return err
	}
	held, err := s.cfg.Vaults.Secret(ctx, v, r.Secret)
	if err != nil && fault.Of(err) != fault.NotFound && !entra.Disabled(err) {
		return err
	}
	if err := s.tidy(ctx, r, &a, held); err != nil {
		return err
	}
	now := time.Now()
	good := r.adopt(a, held, now)
	if !good || r.Asked || !r.Renews.After(now) {
		if held, err = s.renew(ctx, r, a, v); err != nil {
			return err
		}
	}
	return s.revoke(ctx, r, a, held)
}

// tidy takes away what an earlier run made and did not keep: nobody knows its
// value. What the vault has is kept, whatever the run thought of it.
func (s *Set) tidy(ctx context.Context, r *Rotation, a *entra.Application, held entra.Secret) error {
	if r.making == "" {
		return nil
	}
	var left []entra.Credential
	for _, c := range a.Secrets {
		switch {
		case c.Name == r.making && is(c, held):
			r.Rotated = c.Start // another one may be wanted since
		case c.Name == r.making:
			if err := s.remove(ctx, r, a.ID, c.KeyID); err != nil {
				return err
			}
			continue
		}
		left = append(left, c)
	}
	a.Secrets, r.making = left, ""
	return nil
}

// is tells whether a credential's value is the one in the vault.
func is(c entra.Credential, held entra.Secret) bool {
	return strings.EqualFold(c.KeyID, held.Tags[KeyTag])
}

// remove revokes a credential. One that is gone is no error; since Graph has no
// code of its own for that, it is looked for.
func (s *Set) remove(ctx context.Context, r *Rotation, application, key string) error {
	err := s.cfg.Directory.RemoveSecret(ctx, application, key)
	if fault.Of(err) != fault.Invalid {
		return err
	}
	a, again := s.cfg.Directory.ApplicationOf(ctx, r.Application)
	if again == nil && !slices.ContainsFunc(a.Secrets, func(c entra.Credential) bool { return strings.EqualFold(c.KeyID, key) }) {
		return nil
	}
	return err
}

// adopt takes note of what the vault has. Somebody may have put another secret
// there, as the documents say people do; the one before is then to be revoked.
// False: there is nothing in it that is good.
func (r *Rotation) adopt(a entra.Application, held entra.Secret, now time.Time) bool {
	i := slices.IndexFunc(a.Secrets, func(c entra.Credential) bool { return is(c, held) })
	if i < 0 {
		return false
	}
	c := a.Secrets[i]
	if r.KeyID != c.KeyID {
		r.take(c, r.until(now))
	}
	if r.Renews.IsZero() {
		r.Renews = r.renewal(c.End)
	}
	return c.End.After(now)
}

// until is how long those before the next one are good: not at all, where
// somebody wants it so, until that has been done.
func (r *Rotation) until(now time.Time) time.Time {
	if r.Asked && !r.Revokes.IsZero() && !r.Revokes.After(now) {
		return r.Revokes
	}
	return now.Add(r.Overlap)
}

// take lets another credential be the one, and the one before go then.
func (r *Rotation) take(c entra.Credential, revokes time.Time) {
	if r.KeyID != "" {
		r.Old = append(slices.Clone(r.Old), r.KeyID)
	}
	// Never the one that is in force, should somebody have gone back to it.
	r.Old = slices.DeleteFunc(r.Old, func(key string) bool { return strings.EqualFold(key, c.KeyID) })
	r.KeyID, r.Ends, r.Renews, r.Revokes = c.KeyID, c.End, r.renewal(c.End), revokes
}

// renew makes the next secret: in the directory, used once, into the vault,
// read back and used again.
func (s *Set) renew(ctx context.Context, r *Rotation, a entra.Application, v entra.Vault) (entra.Secret, error) {
	now := time.Now().UTC()
	// The name has the date, as the documents want, and is this attempt's alone:
	// by it the next run knows what this one made.
	mark := make([]byte, 3)
	rand.Read(mark)
	r.making = fmt.Sprintf("%.80s %s (%s)", a.DisplayName, now.Format(time.DateOnly), hex.EncodeToString(mark))
	if err := s.keep(ctx, r); err != nil {
		return entra.Secret{}, err
	}
	key, value, err := s.cfg.Directory.AddSecret(ctx, a.ID, r.making, now.Add(r.Life))
	if err != nil {
		return entra.Secret{}, err
	}
	if err := s.prove(ctx, r.Application, value); err != nil {
		return entra.Secret{}, fmt.Errorf("the new secret was used once before it is kept: %w", err)
	}
	// Without an answer nobody knows whether it was kept: the next run looks.
	if _, err = s.cfg.Vaults.PutSecret(ctx, v, entra.Secret{Name: r.Secret, Value: value, Expires: key.End, Tags: map[string]string{KeyTag: key.KeyID, "created": now.Format(time.DateOnly)}}); err != nil {
		return entra.Secret{}, err
	}
	held, err := s.cfg.Vaults.Secret(ctx, v, r.Secret)
	if err != nil {
		return entra.Secret{}, err
	}
	if !is(key, held) || subtle.ConstantTimeCompare([]byte(held.Value), []byte(value)) != 1 {
		return entra.Secret{}, fault.New(fault.Conflict, "the vault shows another secret than the one that was just kept: somebody else changes it too")
	}
	r.take(key, r.until(now))
	r.Rotated, r.Asked, r.making, r.warned = now, false, "", 0
	s.log.Info("a secret was rotated", "secret", r.Name(), "application", r.Application, "key", key.KeyID, "ends", key.End)
	return held, nil
}

// prove uses a secret. A directory takes a moment until all of it knows a new
// one.
func (s *Set) prove(ctx context.Context, application string, value obs.Secret) error {
	for wait := time.Second; ; wait *= 2 {
		err := s.cfg.Prove(ctx, application, value)
		if err == nil || fault.Of(err) != fault.Denied || wait > 32*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// revoke takes away what is to be revoked, once it is time and the secret in
// the vault has been used: nobody is left without one.
func (s *Set) revoke(ctx context.Context, r *Rotation, a entra.Application, held entra.Secret) error {
	if len(r.Old) == 0 {
		r.Revokes = time.Time{}
		return nil
	}
	if r.Revokes.After(time.Now()) {
		return nil
	}
	if err := s.prove(ctx, r.Application, held.Value); err != nil {
		return fmt.Errorf("the secret in the vault is used before the one before it is revoked: %w", err)
	}
	for _, key := range slices.Clone(r.Old) {
		if err := s.remove(ctx, r, a.ID, key); err != nil {
			return err
		}
		r.Old = slices.DeleteFunc(r.Old, func(k string) bool { return k == key })
		s.log.Info("a secret was revoked", "secret", r.Name(), "application", r.Application, "key", key)
	}
	r.Revokes = time.Time{}
	return nil
}
