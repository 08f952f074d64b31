package onboard_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
)

// seen is what edges tell.
type seen struct{ peers []record.PeerHealth }

func (s *seen) Peers(context.Context, gateway.ID) ([]record.PeerHealth, error) { return s.peers, nil }

func (s *seen) Shown(context.Context, gateway.ID) (map[string][]link.Certificate, error) {
	return map[string][]link.Certificate{"r1-a": {{Bears: []string{"r1." + base}, Issuer: "CN=Lab Root", Serial: "0a1b", Ends: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)}}}, nil
}

// TestTrustIsNotDoneWhileNobodyIsMet: that both sides trust each other is a
// person's word, and the edges see whether a connection stands.
func TestTrustIsNotDoneWhileNobodyIsMet(t *testing.T) {
	edges := &seen{peers: []record.PeerHealth{
		{Peer: "core-a", Target: "core-a.example:5061", Transport: "TLS", State: "down", Why: "its certificate is of an unknown authority"},
		{Peer: "core-b", Target: "core-b.example:5061", Transport: "TLS", State: "unknown"},
		{Peer: "old", Target: "old.example:5060", Transport: "udp", State: "up"},
	}}
	w := newWorld(t, func(p *onboard.Parts) { p.Edges = edges })
	w.deploy()
	w.declare("certificates", "2026-01-04")
	p := w.plan(now)
	w.is(p, "B9", onboard.Waiting, "None of 2 peers", "unknown authority", "TLS with core-b")
	if h := w.handed(p, "B9"); !strings.Contains(h.Message, "r1-a: r1."+base+", issued by CN=Lab Root, serial number 0a1b, until 2027-03-01") {
		t.Errorf("%s", h.Message)
	}
	edges.peers[0].State = "up"
	w.is(w.plan(now), "B9", onboard.Declared, "2026-01-04; 1 of 2 peers of the core are up over TLS")
	w.declare("certificates", "")
	w.is(w.plan(now), "B9", onboard.Ready, "Nobody has said", "1 of 2 peers")
	edges.peers = edges.peers[2:]
	w.declare("certificates", "2026-01-04")
	w.is(w.plan(now), "B9", onboard.Declared, "no peer of the core is called over TLS")
	// Nobody connects to a peer that only calls us: it is not waited for.
	edges.peers = []record.PeerHealth{{Peer: "caller", Target: "caller.example:5061", Transport: "TLS", State: "unknown", Unused: true}}
	w.is(w.plan(now), "B9", onboard.Declared, "no peer of the core is called over TLS")
}
