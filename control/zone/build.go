package zone

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/control/store"
)

// served is all that is answered with. Immutable.
type served struct {
	version int64
	zones   map[string]*content // by apex
	facts   []Gateway
}

// content is one zone, ready to be asked.
type content struct {
	apex    string
	soa     *dns.SOA
	nodes   map[string]map[uint16][]dns.RR // by canonical name; a name that only others lie below has none
	records []dns.RR                       // all, SOA first
	signer  *signer                        // nil: not signed
}

// Refresh makes the zones anew out of the gateways' facts, and returns when
// this node serves them.
func (s *Set) Refresh(ctx context.Context) error {
	want := s.asked.Add(1)
	s.building.Lock()
	defer s.building.Unlock()
	if s.built >= want {
		return nil // by one that began after we asked
	}
	will := s.asked.Load()
	facts, err := s.cfg.Gateways(ctx)
	if err != nil {
		return fmt.Errorf("ask for gateways' facts: %w", err)
	}
	if err := s.rebuild(ctx, facts, true); err != nil {
		return err
	}
	s.built = will
	return nil
}

// restore serves what the store has. The gateways are asked later, since a
// control node that has just started may know none of its edges.
func (s *Set) restore(ctx context.Context) error {
	if err := s.rebuild(ctx, nil, false); err != nil {
		return fmt.Errorf("restore zones: %w", err)
	}
	return nil
}

// rebuild makes what is served out of facts, or of the stored ones, and the
// stored tokens.
func (s *Set) rebuild(ctx context.Context, facts []Gateway, known bool) error {
	var st stored
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		st, err = load(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if known {
		facts = merge(st.facts, facts)
	} else {
		facts = st.facts
	}
	zones := Records(Input{Suffix: s.cfg.Suffix, Contact: s.cfg.Contact, NameServers: s.cfg.NameServers, Gateways: facts, Texts: st.texts})
	next := &served{version: st.version, zones: map[string]*content{}, facts: facts}
	var fresh []string
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		fresh = nil
		changed, err := keep(ctx, tx, st.facts, facts)
		if err != nil {
			return err
		}
		if changed {
			if next.version, err = touch(ctx, tx); err != nil {
				return err
			}
		}
		for _, z := range zones {
			c, news, err := s.content(ctx, tx, z)
			if err != nil {
				return fmt.Errorf("zone %s: %w", z.Apex, err)
			}
			if news {
				fresh = append(fresh, z.Apex)
			}
			next.zones[z.Apex] = c
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.served.Store(next)
	for _, apex := range fresh {
		s.log.Info("DNS zone has changed", "zone", apex, "serial", next.zones[apex].soa.Serial)
		s.notify.changed(next.zones[apex].soa)
	}
	return nil
}

// content makes a zone ready to be asked.
func (s *Set) content(ctx context.Context, tx *store.Tx, z Zone) (*content, bool, error) {
	number, fresh, err := serial(ctx, tx, z)
	if err != nil {
		return nil, false, err
	}
	c := newContent(z, number)
	if s.cfg.DNSSEC {
		pem, err := private(ctx, tx, z.Apex)
		if err != nil {
			return nil, false, err
		}
		if c.signer, err = newSigner(z.Apex, pem); err != nil {
			return nil, false, err
		}
		c.nodes[c.apex][dns.TypeDNSKEY] = []dns.RR{c.signer.key}
	}
	return c, fresh, nil
}

func newContent(z Zone, serial uint32) *content {
	c := &content{apex: z.Apex, nodes: map[string]map[uint16][]dns.RR{}}
	for _, rr := range z.Records {
		h := rr.Header()
		if soa, ok := rr.(*dns.SOA); ok {
			stamped := *soa
			stamped.Serial = serial
			c.soa, rr = &stamped, &stamped
		}
		c.records = append(c.records, rr)
		node := c.nodes[h.Name]
		if node == nil {
			node = map[uint16][]dns.RR{}
			c.nodes[h.Name] = node
		}
		node[h.Rrtype] = append(node[h.Rrtype], rr)
		for above := parent(h.Name); inside(above, c.apex); above = parent(above) {
			if _, ok := c.nodes[above]; !ok {
				c.nodes[above] = nil // RFC 4592 §2.2.2: an empty non-terminal exists
			}
		}
	}
	return c
}

// parent is a name without its first label.
func parent(name string) string {
	if next, end := dns.NextLabel(name, 0); !end {
		return name[next:]
	}
	return "."
}

// merge keeps the addresses of a region that nobody has heard of for now: a
// control node that has just started, or whose link is gone, must not take
// names away from calls.
func merge(old, fresh []Gateway) []Gateway {
	out := slices.Clone(fresh)
	slices.SortFunc(out, func(a, b Gateway) int { return strings.Compare(a.Base, b.Base) })
	out = slices.CompactFunc(out, func(a, b Gateway) bool { return a.Base == b.Base })
	last := map[string]Gateway{}
	for _, g := range old {
		last[g.Base] = g
	}
	for i, g := range out {
		was, regions := last[g.Base].Regions, slices.Clone(g.Regions)
		for n, r := range regions {
			if !r.reachable() && n < len(was) && was[n].Name == r.Name {
				regions[n] = was[n]
			}
		}
		out[i].Regions = regions
	}
	return out
}

func (r Region) reachable() bool { return len(r.addresses("operator"))+len(r.addresses("cloud")) > 0 }

// zoneOf is the zone that a canonical name lies in; nil when it is none of
// ours.
func (v *served) zoneOf(name string) *content {
	for {
		if z := v.zones[name]; z != nil {
			return z
		}
		if name == "." {
			return nil
		}
		name = parent(name)
	}
}

// look gives the node of a name, that of the wildcard that covers it, or says
// that there is none (RFC 4592 §3.3).
func (z *content) look(name string) (node map[uint16][]dns.RR, exists bool) {
	if node, ok := z.nodes[name]; ok {
		return node, true
	}
	for above := parent(name); inside(above, z.apex); above = parent(above) {
		if _, ok := z.nodes[above]; ok { // the closest encloser
			node, ok := z.nodes["*."+above]
			return node, ok
		}
	}
	return nil, false
}

// timestamps of signatures: cached ones are used for a day, and hold for a
// week, so that what others keep never ends early.
const (
	signedFor  = 7 * 24 * time.Hour
	signedBack = time.Hour
	signedKeep = 24 * time.Hour
)
