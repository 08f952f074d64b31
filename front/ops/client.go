package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/record"
)

// ErrNoNode is in the chain of an error when no node answered at all.
var ErrNoNode = errors.New("no node answers")

// Client speaks to one node. Its errors are fault.Errors with the sentence
// the node gave, or have ErrNoNode in their chain.
type Client struct {
	socket string
	http   *http.Client
}

// Dial makes a client of the node behind a unix socket. Nothing is connected
// yet: a node that is not there shows as ErrNoNode at the first question.
func Dial(socket string) *Client {
	if abs, err := filepath.Abs(socket); err == nil {
		socket = abs // in an error, "data/control.sock" does not say where
	}
	t := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
		DisableKeepAlives: true, // a local connection costs nothing, and none is left behind
	}
	return &Client{socket: socket, http: &http.Client{Transport: t}}
}

// Live lists the live calls, newest first.
func (c *Client) Live(ctx context.Context) ([]record.LiveCall, error) {
	var list liveList
	err := c.get(ctx, "/calls", &list)
	return list.Calls, err
}

// Past lists call records, newest first.
func (c *Client) Past(ctx context.Context, f record.Filter) ([]record.Call, error) {
	q := url.Values{"past": {"1"}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("peer", f.Peer)
	set("number", f.Number)
	set("id", f.ID)
	if !f.Since.IsZero() {
		set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.Format(time.RFC3339Nano))
	}
	if f.Failed {
		set("failed", "1")
	}
	if f.Limit != 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	var list pastList
	err := c.get(ctx, "/calls?"+q.Encode(), &list)
	return list.Calls, err
}

// Call finds one call, live (State set) or past, by its ID or the beginning of it.
func (c *Client) Call(ctx context.Context, id string) (call record.LiveCall, err error) {
	return call, c.get(ctx, path(id), &call)
}

// Trace gives the messages of a call.
func (c *Client) Trace(ctx context.Context, id string) (t record.Trace, err error) {
	return t, c.get(ctx, path(id)+"/trace", &t)
}

// Pcap writes the messages of a call to w as a capture file.
func (c *Client) Pcap(ctx context.Context, id string, w io.Writer) error {
	res, err := c.do(ctx, http.MethodGet, path(id)+"/trace", PcapType)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := refusal(res); err != nil {
		return err
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// Hangup ends a live call and gives its full ID.
func (c *Client) Hangup(ctx context.Context, id string) (string, error) {
	res, err := c.do(ctx, http.MethodDelete, path(id), "")
	if err != nil {
		return "", err
	}
	var h hungUp
	err = decode(res, &h)
	return h.ID, err
}

// Peers lists the peers of the node.
func (c *Client) Peers(ctx context.Context) ([]record.PeerHealth, error) {
	list, err := c.PeerList(ctx)
	return list.Peers, err
}

// PeerList is the peers with the certificates that we show them, and what is
// to be feared of either.
type PeerList struct {
	Peers        []record.PeerHealth `json:"peers"`
	Certificates []Certificate       `json:"certificates"`
	Warnings     []Warning           `json:"warnings"`
}

// PeerList lists them.
func (c *Client) PeerList(ctx context.Context) (list PeerList, err error) {
	return list, c.get(ctx, "/peers", &list)
}

// Reconnect makes TLS connections anew, of all peers when none is named.
func (c *Client) Reconnect(ctx context.Context, peers ...string) ([]record.Reconnection, error) {
	var done reconnected
	err := c.post(ctx, "/peers/reconnect", map[string][]string{"peers": peers}, &done)
	return done.Connections, err
}

// Explain tells what would become of an INVITE from a peer.
func (c *Client) Explain(ctx context.Context, from string, invite []byte) (e record.Explanation, err error) {
	return e, c.post(ctx, "/explain", explainRequest{from, string(invite)}, &e)
}

// Health tells how the node stands, also while it is not ready.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	res, err := c.do(ctx, http.MethodGet, "/health", "")
	if err != nil {
		return h, err
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		res.StatusCode = http.StatusOK // the answer is the same, the status is for probes
	}
	return h, decode(res, &h)
}

func path(id string) string { return "/calls/" + url.PathEscape(id) }

func (c *Client) get(ctx context.Context, path string, v any) error {
	res, err := c.do(ctx, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	return decode(res, v)
}

func (c *Client) do(ctx context.Context, method, path, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	return c.Do(req)
}

// Do sends a request of the caller's own to the node; the host of its URL does
// not matter. The body is the caller's to close.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return res, nil
}

// noNode is the sentence for somebody whose node is not there.
type noNode string

func (e noNode) Error() string      { return string(e) }
func (noNode) Is(target error) bool { return target == ErrNoNode }

// unreachable says in words why no node answered and what to do.
func (c *Client) unreachable(err error) error {
	const instead = "; start one with `tandem serve -c tandem.yaml` or name another with --socket"
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return noNode("no node is running here: " + c.socket + " does not exist" + instead)
	case errors.Is(err, syscall.ECONNREFUSED):
		return noNode("no node is running here any more: nobody serves " + c.socket + instead)
	case errors.Is(err, fs.ErrPermission):
		return noNode("you may not use " + c.socket + ": run this as the user the node runs as, or with sudo")
	}
	return noNode(fmt.Sprintf("the node behind %s does not answer: %v", c.socket, rootCause(err)))
}

// rootCause leaves out the "Get http://node/…" that http.Client puts in front.
func rootCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func decode(res *http.Response, v any) error {
	defer res.Body.Close()
	if err := refusal(res); err != nil {
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}

// maxAnswer bounds an error: a configuration may have a thousand mistakes.
const maxAnswer = 1 << 20

// refusal turns an error of the API back into the fault it was.
func refusal(res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	var f failure
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&f); err != nil || f.Error.Message == "" {
		return fmt.Errorf("the node answered %s and no reason", res.Status)
	}
	if len(f.Error.Problems) > 0 {
		return &Rejected{f.Error.Problems}
	}
	for kind, t := range translation {
		if t.code == f.Error.Code {
			return fault.New(kind, f.Error.Message)
		}
	}
	return errors.New(f.Error.Message)
}
