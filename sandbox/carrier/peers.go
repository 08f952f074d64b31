package carrier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// PeerState is what a site thinks of one peer of the gateway.
type PeerState struct {
	Site       string         `json:"site"`
	Region     string         `json:"region"`
	Addr       netip.AddrPort `json:"addr"`
	Up         bool           `json:"up"`         // it answered our newest OPTIONS
	LastAnswer time.Time      `json:"lastAnswer"` // newest final response to our OPTIONS
	LastError  string         `json:"lastError,omitempty"`
}

type peerKey struct {
	site, region string
	addr         netip.AddrPort // zero: the name could not be resolved
}

// Peers tells the state of each peer of the gateway, by site.
func (c *Core) Peers() []PeerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []PeerState
	for _, p := range c.peers {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b PeerState) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Region, b.Region), a.Addr.Compare(b.Addr))
	})
	return all
}

// watch sends OPTIONS to the peers of a region, each interval.
func (c *Core) watch(ctx context.Context, g *phone.Gate, region string) {
	tick := time.NewTicker(c.cfg.Options)
	defer tick.Stop()
	for {
		if !g.Faults().NoOptions {
			c.ping(ctx, g, region)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ping asks all peers of a region at once; answers come as they come.
func (c *Core) ping(ctx context.Context, g *phone.Gate, region string) {
	places, err := c.Resolve(ctx, sip.Hop{Host: region, Transport: g.Transport})
	if err != nil {
		c.pinged(peerKey{site: g.Name, region: region}, err)
		return
	}
	c.prune(g, region, places)
	for _, p := range places {
		key := peerKey{g.Name, region, p.Addr}
		m := sip.NewRequest("OPTIONS", "sip:"+region)
		m.Set("From", "<sip:"+g.Name+"."+c.cfg.Domain+">;tag="+sip.NewTag())
		m.Set("To", "<sip:"+region+">")
		m.Set("Call-ID", sip.NewCallID())
		m.Set("CSeq", "1 OPTIONS")
		_, err := g.Request(c.finish(nil, g, m), p, func(ev sip.Event) {
			switch {
			case ev.Err != nil:
				c.pinged(key, ev.Err)
			case ev.Msg.Status == 503: // a draining node: up, and not to be used
				c.pinged(key, errors.New(ev.Msg.Reason))
			case ev.Msg.Status >= 200:
				c.pinged(key, nil)
			}
		})
		if err != nil {
			c.pinged(key, err)
		}
	}
}

func (c *Core) pinged(key peerKey, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[key]
	if p == nil {
		p = &PeerState{Site: key.site, Region: key.region, Addr: key.addr}
		c.peers[key] = p
	}
	p.Up, p.LastError = err == nil, ""
	if err != nil {
		p.LastError = err.Error()
		return
	}
	p.LastAnswer = time.Now()
}

// prune forgets peers that DNS no longer names.
func (c *Core) prune(g *phone.Gate, region string, places []sip.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.peers {
		if k.site == g.Name && k.region == region && !slices.ContainsFunc(places, func(p sip.Endpoint) bool { return p.Addr == k.addr }) {
			delete(c.peers, k)
		}
	}
}

func (c *Core) up(key peerKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[key]
	return p != nil && p.Up
}

// targets orders the peers: those of the near region as SRV says, then those
// of the others; behind them, in the same order, those that OPTIONS found
// down.
func (c *Core) targets(ctx context.Context, spec phone.CallSpec) ([]phone.Target, error) {
	site := c.cfg.Sites[0]
	if spec.Site != "" {
		k := slices.IndexFunc(c.cfg.Sites, func(s Site) bool { return s.Name == spec.Site })
		if k < 0 {
			return nil, fmt.Errorf("no site %q", spec.Site)
		}
		site = c.cfg.Sites[k]
	}
	near := cmp.Or(spec.Region, site.Near)
	if !slices.Contains(c.cfg.Regions, near) {
		return nil, fmt.Errorf("no region %q", near)
	}
	regions := append([]string{near}, slices.DeleteFunc(slices.Clone(c.cfg.Regions), func(r string) bool { return r == near })...)
	g := c.Gate(site.Name)
	var up, down []phone.Target
	var why []error
	for _, region := range regions {
		places, err := c.Resolve(ctx, sip.Hop{Host: region, Transport: g.Transport})
		why = append(why, err)
		for _, p := range places {
			t := phone.Target{
				Name: region + " " + p.Addr.String(), Gate: g, Place: p,
				Host: net.JoinHostPort(region, strconv.Itoa(int(p.Addr.Port()))),
			}
			if c.up(peerKey{g.Name, region, p.Addr}) {
				up = append(up, t)
			} else {
				down = append(down, t)
			}
		}
	}
	all := append(up, down...)
	if len(all) == 0 {
		return nil, errors.Join(why...)
	}
	return all, nil
}
