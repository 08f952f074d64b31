package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// Names of those who come in later.
const (
	aColleague = "colleague"
	aFriend    = "friend"
)

// playBlindTransfer: a subscriber calls a user, who refers him to a colleague.
func playBlindTransfer(ctx context.Context, s *stage) error {
	t, at, err := s.converse(ctx, casting{})
	if err != nil {
		return err
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("before the transfer", at))
	_, colleague := s.numbers(false)
	s.teams.Answer(colleague, phone.Behaviour{Ring: 500 * time.Millisecond})
	transfer, err := s.teams.TransferToUser(ctx, t.called.call, colleague)
	if err != nil {
		return fmt.Errorf("the user cannot refer: %w", err)
	}
	at, err = s.transferred(ctx, transfer)
	if err != nil {
		return err
	}
	if transfer.Call() == nil {
		return errors.New("nobody called the colleague")
	}
	joined := conversation{t.caller, end{aColleague, transfer.Call()}, t.number}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(joined, since("after the transfer", at))
	return s.finish(ctx, joined)
}

// transferred waits for the end of a transfer and gives the moment.
func (s *stage) transferred(ctx context.Context, t *phone.Transfer) (time.Time, error) {
	wait, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	err := t.Wait(wait)
	s.note("NOTIFY %s", strings.Trim(fmt.Sprint(t.Notified()), "[]"))
	if err != nil {
		return time.Time{}, fmt.Errorf("the transfer failed: REFER was answered with %d, NOTIFY said %v: %w", t.Accepted(), t.Notified(), err)
	}
	return time.Now(), nil
}

// playAttendedTransfer: a user talks with a subscriber, calls the subscriber's
// friend, and joins them.
func playAttendedTransfer(ctx context.Context, s *stage) error {
	t, at, err := s.converse(ctx, casting{teams: true})
	if err != nil {
		return err
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("before the transfer", at))
	if err := t.caller.call.Hold(ctx); err != nil {
		return fmt.Errorf("the user cannot hold: %w", err)
	}
	other, at, err := s.converse(ctx, casting{teams: true, spec: phone.CallSpec{From: t.caller.call.Number()}})
	if err != nil {
		return err
	}
	other.called.name = aFriend
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(other, since("in the consultation", at))
	transfer, err := s.teams.TransferTo(ctx, t.caller.call, other.caller.call)
	if err != nil {
		return fmt.Errorf("the user cannot refer: %w", err)
	}
	if at, err = s.transferred(ctx, transfer); err != nil {
		return err
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(conversation{t.called, other.called, other.number}, since("after the transfer", at))
	return s.finish(ctx, conversation{t.called, other.called, other.number})
}

// playForward: a user's telephone forwards a subscriber's call to another
// subscriber, who is told from whom.
func playForward(ctx context.Context, s *stage) error {
	_, friend := s.numbers(true)
	s.core.Answer(friend, phone.Behaviour{})
	t, at, err := s.converse(ctx, casting{does: phone.Behaviour{Forward: friend}})
	if err != nil {
		return err
	}
	call := find(s.core.Exchange, friend)
	if call == nil {
		return errors.New("the call has not reached the friend to whom it was forwarded")
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	joined := conversation{t.caller, end{aFriend, call}, t.number}
	s.both(joined, since("after the forwarding", at))
	invite := call.Facts().Invite
	history := headers(invite, "History-Info", "Diversion")
	if !strings.Contains(history, t.number) {
		return fmt.Errorf("the friend is not told that the call was for %s: %q", t.number, history)
	}
	s.note("the friend is told for whom it was")
	return s.finish(ctx, joined)
}

// headers are the lines of a message that bear one of the names.
func headers(message string, names ...string) string {
	var found []string
	for line := range strings.Lines(message) {
		for _, n := range names {
			if name, _, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), n) {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(found, "\n")
}
