package directory

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// period is the time step of TOTP (RFC 6238 §5.2); codes of the step before and
// the one after are taken too, since clocks differ.
const period = 30 * time.Second

// b32 is how seeds are written.
var b32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// Seed is what an authenticator app is told.
type Seed struct {
	URI    obs.Secret // "otpauth://totp/…", shown as a QR code
	Secret obs.Secret // the same to be typed
}

// ProposeTOTP makes a seed, which AddTOTP keeps when the app has shown that it
// has it. The seed stays the same while the session is at it.
func (s *Set) ProposeTOTP(ctx context.Context, token string) (Seed, error) {
	v, _, err := s.adding(ctx, token)
	if err != nil {
		return Seed{}, err
	}
	o := totp.GenerateOpts{Issuer: "Tandem", AccountName: v.User.Name}
	p := v.proposal()
	if p.Seed != "" {
		if o.Secret, err = b32.DecodeString(p.Seed); err != nil {
			return Seed{}, err
		}
	}
	key, err := totp.Generate(o)
	if err != nil {
		return Seed{}, err
	}
	seed := Seed{obs.Secret(key.URL()), obs.Secret(key.Secret())}
	if p.Seed != "" {
		return seed, nil
	}
	return seed, s.propose(ctx, v, proposal{Seed: key.Secret(), Adds: true})
}

// AddTOTP keeps the seed that was proposed once a code of it was typed.
func (s *Set) AddTOTP(ctx context.Context, token, name, code string, from Visitor) (Opened, error) {
	v, _, err := s.adding(ctx, token)
	if err != nil {
		return Opened{}, err
	}
	p := v.proposal()
	step := stepOf(p.Seed, code, time.Now())
	if p.Seed == "" || step == 0 {
		return Opened{}, ErrFactor
	}
	seed, err := s.seal(ctx, []byte(p.Seed), ofSeed(v.User.ID))
	if err != nil {
		return Opened{}, err
	}
	return s.add(ctx, v, Factor{Kind: TOTP, Name: name, content: seed, counter: step}, from)
}

// ShowTOTP makes a session whole. A code is taken once (RFC 6238 §5.2).
func (s *Set) ShowTOTP(ctx context.Context, token, code string, from Visitor) (opened Opened, err error) {
	v, err := s.Session(ctx, token)
	if err != nil {
		return Opened{}, err
	}
	defer func() { s.refuse(err, v.Caller(), from, "wrong second factor") }()
	key, err := s.lockOf(ctx, v.User.ID, ofFactor+v.User.ID, from)
	if err != nil {
		return Opened{}, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		if err := held(ctx, tx, key); err != nil {
			return err
		}
		opened = Opened{}
		list, err := factors(ctx, tx, v.User.ID)
		if err != nil {
			return err
		}
		for _, f := range list {
			step := int64(0)
			if f.Kind == TOTP {
				seed, err := s.unseal(ctx, f.content, ofSeed(v.User.ID))
				if err != nil {
					return err
				}
				step = stepOf(string(seed), code, time.Now())
			}
			if step <= f.counter {
				continue // wrong, or seen before
			}
			if _, err := tx.Exec(ctx, "UPDATE factor SET counter = ?, used = ? WHERE id = ?", step, store.Micros(now()), f.ID); err != nil {
				return err
			}
			if err := drop(ctx, tx, key, "wrong WHERE hash"); err != nil {
				return err
			}
			opened, err = s.complete(ctx, tx, v, TOTP, from)
			return err
		}
		return wrongGuess(ctx, tx, key) // counted in the same transaction: no two at once
	})
	if err == nil && opened.Token == "" {
		s.log.Warn("sign-in refused", "cause", "wrong second factor", "user", v.User.Name, "from", from.Source)
		err = ErrFactor
	}
	return opened, err
}

// stepOf is the time step that a code is of, 0 when it is of none near now.
func stepOf(seed, code string, now time.Time) int64 {
	code = strings.ReplaceAll(code, " ", "")
	found := int64(0)
	for _, t := range []time.Time{now.Add(-period), now, now.Add(period)} {
		want, err := totp.GenerateCodeCustom(seed, t, totp.ValidateOpts{Period: uint(period / time.Second), Digits: otp.DigitsSix})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			found = t.Unix() / int64(period/time.Second)
		}
	}
	return found
}
