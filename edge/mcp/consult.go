package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
)

// What Microsoft's consultation interface looks like is not public. The shape
// here is ours (inferred, docs/mobile.md); a real one replaces this file.
//
//	POST <url>  {"direction": "terminating", "subscriber": "+447700900001", "party": "+442079460000"}
//	200         {"subscriber": true, "routingNumber": "+448081570000"}
//	200         {"subscriber": false}
//	404         not a subscriber

const (
	// askTime bounds a question, unless the configuration says otherwise: a
	// mobile caller waits for it, and S-CSCFs give an application server a few
	// seconds.
	askTime = time.Second
	// longestAnswer bounds what is read of an answer.
	longestAnswer = 64 << 10
)

type consultation struct {
	Direction  Direction `json:"direction"`
	Subscriber string    `json:"subscriber"`
	Party      string    `json:"party,omitempty"`
	Region     string    `json:"region,omitempty"`
}

type consulted struct {
	Subscriber    bool   `json:"subscriber"`
	RoutingNumber string `json:"routingNumber"`
}

// ask is the number to which a subscriber's call goes on, "" when the user is
// none.
func (s *Set) ask(ctx context.Context, m *snapshot.MCP, q question) (string, error) {
	if m.URL == "" {
		return "", fmt.Errorf("the configuration does not say where: set services.mobile.consultation")
	}
	client, err := s.client.of(m.TLS, s.Client)
	if err != nil {
		return "", err
	}
	timeout := m.Timeout
	if timeout == 0 {
		timeout = askTime
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(consultation{q.Direction, q.Subscriber, q.Party, s.Region})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, longestAnswer) // read out, the connection serves the next
		_ = resp.Body.Close()
	}()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return "", nil
	default:
		return "", fmt.Errorf("it answers %s", resp.Status)
	}
	return answer(io.LimitReader(resp.Body, longestAnswer), m)
}

// answer reads what was answered. A routing number outside the ranges that are
// Microsoft's would send a subscriber's call to anybody.
func answer(r io.Reader, m *snapshot.MCP) (string, error) {
	var a consulted
	if err := json.NewDecoder(r).Decode(&a); err != nil {
		return "", fmt.Errorf("its answer cannot be read: %w", err)
	}
	switch {
	case !a.Subscriber:
		return "", nil
	case a.RoutingNumber == "":
		return "", fmt.Errorf("it names a subscriber and no routing number")
	case number("tel:"+a.RoutingNumber) != a.RoutingNumber:
		return "", fmt.Errorf("its routing number %.40q is not E.164", a.RoutingNumber)
	case !m.Routes(a.RoutingNumber):
		return "", fmt.Errorf("its routing number %s is outside services.mobile.routingNumbers (%s)", a.RoutingNumber, strings.Join(m.Routing, ", "))
	}
	return a.RoutingNumber, nil
}

// clientCache keeps the client of the newest TLS settings, for its connections.
type clientCache struct {
	mu     sync.Mutex
	made   string // what the client was made of
	client *http.Client
}

func (c *clientCache) of(t snapshot.TLS, build func(snapshot.TLS) (*http.Client, error)) (*http.Client, error) {
	of, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && c.made == string(of) {
		return c.client, nil
	}
	client, err := build(t)
	if err != nil {
		return nil, err
	}
	c.drop()
	c.made, c.client = string(of), client
	return client, nil
}

// drop closes connections that nobody needs any more.
func (c *clientCache) drop() {
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
	c.client, c.made = nil, ""
}
