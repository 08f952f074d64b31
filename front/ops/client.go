package ops

import (
	"context"
	"io"

	"github.com/tandemgw/tandem/link/record"
)

// Client speaks to one node.
type Client struct{}

// Dial makes a client of the node behind a unix socket. Nothing is connected
// yet: a node that is not there shows as ErrNoNode at the first question.
func Dial(socket string) *Client { panic("todo") }

// Live lists the live calls.
func (c *Client) Live(ctx context.Context) ([]record.LiveCall, error) { panic("todo") }

// Past lists call records, newest first.
func (c *Client) Past(ctx context.Context, f record.Filter) ([]record.Call, error) { panic("todo") }

// Call finds one call, live (State set) or past, by its ID or the beginning of it.
func (c *Client) Call(ctx context.Context, id string) (record.LiveCall, error) { panic("todo") }

// Trace gives the messages of a call.
func (c *Client) Trace(ctx context.Context, id string) (record.Trace, error) { panic("todo") }

// Pcap writes the messages of a call to w as a capture file.
func (c *Client) Pcap(ctx context.Context, id string, w io.Writer) error { panic("todo") }

// Hangup ends a live call and gives its full ID.
func (c *Client) Hangup(ctx context.Context, id string) (string, error) { panic("todo") }

// Peers lists the peers of the node.
func (c *Client) Peers(ctx context.Context) ([]record.PeerHealth, error) { panic("todo") }

// Health tells how the node stands, also while it is not ready.
func (c *Client) Health(ctx context.Context) (Health, error) { panic("todo") }
