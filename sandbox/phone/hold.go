package phone

import (
	"context"
	"errors"
)

var (
	errEnded = errors.New("the call is not up")
	errBusy  = errors.New("another change is under way")
)

// Hold puts the far side on hold as this side does, and waits for its answer.
func (c *Call) Hold(ctx context.Context) error {
	return c.await1(ctx, func(done func(error)) { c.hold(nil, done) })
}

// HoldAs puts it on hold in the given form.
func (c *Call) HoldAs(ctx context.Context, form HoldForm) error {
	return c.await1(ctx, func(done func(error)) { c.hold(&form, done) })
}

// Resume takes it back.
func (c *Call) Resume(ctx context.Context) error {
	return c.await1(ctx, func(done func(error)) { c.resume(done) })
}

// Refresh sends a re-INVITE that changes nothing (RFC 4028 section 7.4).
func (c *Call) Refresh(ctx context.Context) error {
	return c.await1(ctx, func(done func(error)) { c.change(c.holds(), true, 3, done) })
}

func (c *Call) holds() bool { return c.session != nil && c.session.holding }

func (c *Call) hold(form *HoldForm, done func(error)) {
	if c.phase != talking || c.busy {
		c.change(true, false, 3, done) // which says why not
		return
	}
	c.session.form = form
	if form != nil && form.Music != nil {
		c.before = c.voice.change(form.Music, nil)
	}
	c.change(true, false, 3, done)
}

func (c *Call) resume(done func(error)) {
	c.change(false, false, 3, func(err error) {
		if err == nil && c.before != nil {
			c.voice.change(c.before, nil)
			c.before = nil
		}
		done(err)
	})
}

// await1 posts f and waits for the one error it reports.
func (c *Call) await1(ctx context.Context, f func(done func(error))) error {
	result := make(chan error, 1)
	c.post(func() { f(func(err error) { result <- err }) })
	select {
	case err := <-result:
		return err
	case <-c.gone:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}
