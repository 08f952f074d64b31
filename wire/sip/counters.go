package sip

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counters are the stack's figures at one moment.
type Counters struct {
	RequestsIn, RequestsOut   map[string]uint64 // by method; unknown ones under "other"
	ResponsesIn, ResponsesOut [7]uint64         // by status class 1 to 6; 0 is not used
	Drops                     map[string]uint64 // what was not acted on, by cause
	Refused                   map[string]uint64 // connections closed before or during TLS, by cause
	Connections               int               // open stream connections
	ClientTx, ServerTx        int               // live transactions, lingering ones included
}

// Counters reads the figures.
func (s *Stack) Counters() Counters {
	c := Counters{
		RequestsIn: map[string]uint64{}, RequestsOut: map[string]uint64{},
		Drops: map[string]uint64{}, Refused: map[string]uint64{},
		Connections: s.conns.len(), ClientTx: s.clients.len(), ServerTx: s.servers.len(),
	}
	for i, name := range methodNames {
		c.RequestsIn[name] = s.count.requests[in][i].Load()
		c.RequestsOut[name] = s.count.requests[out][i].Load()
	}
	for i := range c.ResponsesIn {
		c.ResponsesIn[i] = s.count.responses[in][i].Load()
		c.ResponsesOut[i] = s.count.responses[out][i].Load()
	}
	for i, name := range dropNames {
		c.Drops[name] = s.count.drops[i].Load()
	}
	for i, name := range refusalNames {
		c.Refused[name] = s.count.refusals[i].Load()
	}
	return c
}

// methodNames are the methods counted apart; the last stands for all others.
var methodNames = [...]string{
	"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "REFER", "NOTIFY",
	"SUBSCRIBE", "INFO", "MESSAGE", "PUBLISH", "other",
}

var methods = func() map[string]int {
	m := map[string]int{}
	for i, name := range methodNames[:len(methodNames)-1] {
		m[name] = i
	}
	return m
}()

func methodIndex(m string) int {
	if i, ok := methods[m]; ok {
		return i
	}
	return len(methodNames) - 1
}

// internMethod gives the method without the message it was cut from.
func internMethod(m string) string {
	if i, ok := methods[m]; ok {
		return methodNames[i]
	}
	return strings.Clone(m)
}

type direction int

const (
	in direction = iota
	out
)

type dropCause int

const (
	dropStranger dropCause = iota
	dropMalformed
	dropFraming
	dropRetransmission
	dropMerged
	dropLooped
	dropUnmatched
	dropOverload
	dropThrottled
	dropSlowReader
	dropSlowSender
	dropUnsent
	dropPanic
)

var dropNames = [...]string{
	"stranger", "malformed", "framing", "retransmission", "merged", "looped", "unmatched", "overload", "throttled",
	"slow_reader", "slow_sender", "unsent", "panic",
}

type refusal int

const (
	refusedStranger refusal = iota
	refusedPerSource
	refusedHandshakes
	refusedTLS
)

var refusalNames = [...]string{"stranger", "per_source", "handshakes", "tls"}

// counts are written where things happen, and only added to.
type counts struct {
	requests  [2][len(methodNames)]atomic.Uint64
	responses [2][7]atomic.Uint64
	drops     [len(dropNames)]atomic.Uint64
	refusals  [len(refusalNames)]atomic.Uint64
}

func (c *counts) drop(cause dropCause) { c.drops[cause].Add(1) }

func (c *counts) refuse(err error) {
	cause := refusedTLS
	switch {
	case errors.Is(err, errNotAdmitted):
		cause = refusedStranger
	case errors.Is(err, errPerSource):
		cause = refusedPerSource
	case errors.Is(err, errHandshakes):
		cause = refusedHandshakes
	}
	c.refusals[cause].Add(1)
}

func (c *counts) got(m *Message) {
	if m.IsRequest() {
		c.requests[in][methodIndex(m.Method)].Add(1)
		return
	}
	c.responses[in][statusClass(m.Status)].Add(1)
}

// sent counts by the start line, which is all that a retransmission has.
func (c *counts) sent(raw []byte) {
	if status, ok := bytes.CutPrefix(raw, []byte("SIP/2.0 ")); ok && len(status) > 0 {
		c.responses[out][statusClass(int(status[0]-'0')*100)].Add(1)
		return
	}
	method, _, _ := bytes.Cut(raw, []byte(" "))
	i, ok := methods[string(method)]
	if !ok {
		i = len(methodNames) - 1
	}
	c.requests[out][i].Add(1)
}

func statusClass(status int) int {
	if c := status / 100; c >= 1 && c <= 6 {
		return c
	}
	return 0
}

// gripeEvery is how often the same complaint about the same source is logged.
const gripeEvery = time.Minute

// gripesKept bounds the memory of who complained about whom; beyond it all is
// forgotten, and said once more.
const gripesKept = 4096

// gripes keeps the log from being a peer's to fill.
type gripes struct {
	mu   sync.Mutex
	last map[gripeKey]time.Time // mu
	said map[string]struct{}    // mu
}

type gripeKey struct {
	cause string
	src   netip.Addr
}

// gripe logs at most one line per cause, source and minute.
func (s *Stack) gripe(cause string, src netip.Addr, msg string, args ...any) {
	if s.gripes.may(gripeKey{cause, src}, time.Now()) {
		s.cfg.Log.Warn(msg, append(args, "source", src)...)
	}
}

func (g *gripes) may(k gripeKey, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t, ok := g.last[k]; ok && now.Sub(t) < gripeEvery {
		return false
	}
	if g.last == nil || len(g.last) >= gripesKept {
		g.last = map[gripeKey]time.Time{}
	}
	g.last[k] = now
	return true
}

// once does f the first time key is named.
func (g *gripes) once(key string, f func()) {
	g.mu.Lock()
	if g.said == nil {
		g.said = map[string]struct{}{}
	}
	_, said := g.said[key]
	g.said[key] = struct{}{}
	g.mu.Unlock()
	if !said {
		f()
	}
}

func (s *Stack) panicked(what string, src Source, r any) {
	s.cfg.Log.Error("panic in a callback; its transaction is given up", "in", what, "source", src.Addr, "panic", r, "stack", string(debug.Stack()))
}
