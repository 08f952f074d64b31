package directory

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// The numbers of RFC 8628.
const (
	deviceLife  = 15 * time.Minute
	devicePause = 5      // seconds between two questions (§3.5)
	maxDevices  = 10_000 // codes at once: anybody may ask for one
)

// letters are those of user codes: no vowels, so that no words come out, and
// none that are taken for others (RFC 8628 §6.1). Eight of them are 34 bits; a
// person who is signed in may try ten.
const letters = "BCDFGHJKLMNPQRSTVWXZ"

// Device is what a program without a browser is given.
type Device struct {
	Code     obs.Secret // that the program asks with
	UserCode obs.Secret // that the person types elsewhere: "BCDF-GHJK"
	Life     time.Duration
	Pause    time.Duration
}

// DeviceRequest is what a person is asked to allow.
type DeviceRequest struct {
	Client, Scope, Source string
	Created               time.Time
}

// The answers to a program that asks whether the person has decided.
var (
	ErrPending  = errors.New("the person has not decided yet")
	ErrSlowDown = errors.New("asked too often")
	ErrDeclined = errors.New("the person said no")
)

// BeginDevice gives a program a pair of codes.
func (s *Set) BeginDevice(ctx context.Context, client, scope, source string) (Device, error) {
	d := Device{Code: obs.Secret(rand.Text() + rand.Text()), Life: deviceLife, Pause: devicePause * time.Second}
	var b strings.Builder
	for i := range 8 {
		if i == 4 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return Device{}, err
		}
		b.WriteByte(letters[n.Int64()])
	}
	d.UserCode = obs.Secret(b.String())
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		if err := s.sweep(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM device_code WHERE ends < ?", store.Micros(now())); err != nil {
			return err
		}
		var n int
		if err := tx.Row(ctx, "SELECT count(*) FROM device_code").Scan(&n); err != nil {
			return err
		}
		if n >= maxDevices {
			return fault.New(fault.Exhausted, "Too many device codes are waiting to be used. Try again in a few minutes.")
		}
		_, err := tx.Exec(ctx, "INSERT INTO device_code (hash, user_code, client, scope, source, created, ends, asked, pause, state, family) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 'waiting', '')",
			digest(string(d.Code)), userCode(string(d.UserCode)), client, scope, source, store.Micros(now()), store.Micros(now().Add(deviceLife)), devicePause)
		return err
	})
	return d, err
}

// userCode is what is kept of a code as a person types it.
func userCode(typed string) string {
	return digest("device " + strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed)))
}

// Device is what a user code is for, asked by somebody who is signed in: codes
// that are guessed are counted.
func (s *Set) Device(ctx context.Context, token, typed string) (r DeviceRequest, err error) {
	_, r, err = s.device(ctx, token, typed, func(*store.Tx, Session, DeviceRequest) error { return nil })
	return r, err
}

// AnswerDevice allows what a device asked for, or declines it.
func (s *Set) AnswerDevice(ctx context.Context, token, typed string, allow bool) error {
	_, _, err := s.device(ctx, token, typed, func(tx *store.Tx, v Session, r DeviceRequest) error {
		if !allow {
			_, err := tx.Exec(ctx, "UPDATE device_code SET state = 'declined' WHERE user_code = ?", userCode(typed))
			return err
		}
		id, err := s.permit(ctx, tx, v, Asked{Client: r.Client, Scope: r.Scope, Public: true})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE device_code SET state = 'allowed', family = ? WHERE user_code = ?", id, userCode(typed))
		return err
	})
	return err
}

func (s *Set) device(ctx context.Context, token, typed string, then func(*store.Tx, Session, DeviceRequest) error) (v Session, r DeviceRequest, err error) {
	var no error
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		no = nil
		if v, _, err = s.session(ctx, tx, token); err == nil && !v.Whole() {
			err = ErrSession
		}
		if err != nil {
			return err
		}
		key := digest("device of " + v.User.ID)
		if err := held(ctx, tx, key); err != nil {
			return err
		}
		var created int64
		err := tx.Row(ctx, "SELECT client, scope, source, created FROM device_code WHERE user_code = ? AND state = 'waiting' AND ends > ?", userCode(typed), store.Micros(now())).
			Scan(&r.Client, &r.Scope, &r.Source, &created)
		if errors.Is(err, sql.ErrNoRows) {
			no = ErrCode
			return wrongGuess(ctx, tx, key)
		}
		if err != nil {
			return err
		}
		r.Created = store.Time(created)
		return then(tx, v, r)
	})
	return v, r, errors.Join(err, no)
}

// PollDevice gives a program what the person allowed, once.
func (s *Set) PollDevice(ctx context.Context, client, code string) (p Permit, err error) {
	var no error
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		var whose, state, id string
		var ends, asked, pause int64
		no = nil
		hash := digest(code)
		err := tx.Row(ctx, "SELECT client, state, family, ends, asked, pause FROM device_code WHERE hash = ?", hash).Scan(&whose, &state, &id, &ends, &asked, &pause)
		if errors.Is(err, sql.ErrNoRows) || err == nil && whose != client {
			return ErrCode
		}
		if err != nil {
			return err
		}
		at := now()
		if !at.Before(store.Time(ends)) {
			return ErrTooOld
		}
		if state == "waiting" {
			no = ErrPending
			// A second is forgiven: timers of others are not exact.
			if asked != 0 && at.Sub(store.Time(asked)) < time.Duration(pause-1)*time.Second {
				no, pause = ErrSlowDown, min(pause+devicePause, 60) // §3.5
			}
			_, err := tx.Exec(ctx, "UPDATE device_code SET asked = ?, pause = ? WHERE hash = ?", store.Micros(at), pause, hash)
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM device_code WHERE hash = ?", hash); err != nil {
			return err
		}
		if state == "declined" {
			no = ErrDeclined
			return nil
		}
		p, err = family(ctx, tx, id)
		return err
	})
	return p, errors.Join(err, no)
}
