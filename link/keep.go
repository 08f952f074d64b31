package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tandemgw/tandem/link/record"
)

const (
	perKeep  = 16               // messages of up to 256 entries that are kept together
	keepTime = 20 * time.Second // that keeping them may take
)

// Records hands the entries of all edges to keep, in batches, until ctx is
// done. A batch has arrived when keep returns nil; otherwise it comes again.
// Entries may come twice and in any order. An entry's node is who sent it.
func (c *Control) Records(ctx context.Context, keep func(context.Context, []record.Entry) error) error {
	fails := 0
	for ctx.Err() == nil {
		err := c.keepSome(ctx, keep)
		if err == nil {
			fails = 0
			continue
		}
		if fails++; fails&(fails-1) == 0 && ctx.Err() == nil { // 1, 2, 4, 8 …
			c.log.Warn("call records cannot be kept and wait in the link", "error", err, "count", fails)
		}
		select {
		case <-time.After(backOff(fails)):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// keepSome has one batch kept and acknowledged.
func (c *Control) keepSome(ctx context.Context, keep func(context.Context, []record.Entry) error) error {
	messages, err := c.nextMessages(ctx)
	if err != nil || len(messages) == 0 {
		return err
	}
	var entries []record.Entry
	for _, m := range messages {
		node := name(strings.TrimPrefix(m.Subject(), recordSubject))
		list, err := unpackEntries(node, m.Data())
		if err != nil {
			// Only a broken or hostile edge sends such a thing, and keeps what
			// it is.
			c.log.Error("call records of an edge cannot be read and are put aside", "node", node, "error", err)
			_ = m.TermWithReason(err.Error())
			continue
		}
		entries = append(entries, list...)
	}
	if len(entries) > 0 {
		deadline, cancel := context.WithTimeout(ctx, keepTime)
		err = keep(deadline, entries)
		cancel()
	}
	for _, m := range messages {
		if err != nil {
			_ = m.Nak() // comes again after a while even when this is lost
			continue
		}
		// An acknowledgement that is lost brings the message again.
		_ = m.Ack()
	}
	return err
}

// nextMessages waits for one message and takes what else is there.
func (c *Control) nextMessages(ctx context.Context) ([]jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	first, err := c.records.Next(jetstream.FetchContext(wait))
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	default:
		return nil, fmt.Errorf("read call records: %w", err)
	}
	messages := []jetstream.Msg{first}
	rest, err := c.records.FetchNoWait(perKeep - 1)
	if err != nil {
		return messages, nil // the first one is here
	}
	for m := range rest.Messages() {
		messages = append(messages, m)
	}
	return messages, nil
}
