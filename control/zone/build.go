package zone

import (
	"context"
	"fmt"
	"maps"
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
	s.building.Lock()
	defer s.building.Unlock()
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
	next := &served{version: st.version, zones: map[string]*content{}, facts: facts}
	changed := map[string]string{} // zones that hold something else than before -> digest
	for _, z := range Records(Input{Suffix: s.cfg.Suffix, Contact: s.cfg.Contact, NameServers: s.cfg.NameServers, Gateways: facts, Texts: st.texts}) {
		last, digest := st.serials[z.Apex], z.digest()
		if last.digest != digest {
			changed[z.Apex] = digest
		}
		next.zones[z.Apex] = newContent(z, last.serial)
	}
	if err := s.write(ctx, st, next, changed); err != nil {
		return err
	}
	s.served.Store(next)
	for apex := range changed {
		s.log.Info("DNS zone has changed", "zone", apex, "serial", next.zones[apex].soa.Serial)
		s.notify.changed(next.zones[apex].soa)
	}
	return nil
}

// write keeps what is to be served: facts that have changed, serial numbers of
// zones that have, and keys of new ones.
func (s *Set) write(ctx context.Context, was stored, next *served, changed map[string]string) error {
	facts := slices.CompareFunc(was.facts, next.facts, func(a, b Gateway) int { return strings.Compare(text(a), text(b)) }) != 0
	keyless := func(apex string) bool { return s.cfg.DNSSEC && was.keys[apex] == "" }
	if facts || len(changed) > 0 || slices.ContainsFunc(slices.Collect(maps.Keys(next.zones)), keyless) {
		var made map[string]string
		err := s.cfg.Store.Write(ctx, func(tx *store.Tx) (err error) {
			made = map[string]string{}
			if facts {
				if err := keep(ctx, tx, was.facts, next.facts); err != nil {
					return err
				}
				if next.version, err = touch(ctx, tx); err != nil {
					return err
				}
			}
			for apex, digest := range changed {
				if next.zones[apex].soa.Serial, err = renumber(ctx, tx, apex, digest); err != nil {
					return err
				}
			}
			for apex := range next.zones {
				if !keyless(apex) {
					continue
				}
				if made[apex], err = private(ctx, tx, apex); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		maps.Copy(was.keys, made)
		if facts && next.version != was.version+1 {
			s.Changed() // another control node came in between, and what it changed is not in here
		}
	}
	if !s.cfg.DNSSEC {
		return nil
	}
	for apex, z := range next.zones {
		if err := z.sign(was.keys[apex]); err != nil {
			return fmt.Errorf("zone %s: %w", apex, err)
		}
	}
	return nil
}

// sign has a zone signed from now on.
func (z *content) sign(private string) (err error) {
	if z.signer, err = newSigner(z.apex, private); err != nil {
		return err
	}
	z.nodes[z.apex][dns.TypeDNSKEY] = []dns.RR{z.signer.key}
	return nil
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

// belongs tells whether a canonical name is a gateway's to say something of.
func (v *served) belongs(name string) bool {
	return slices.ContainsFunc(v.facts, func(g Gateway) bool {
		return inside(name, canonical(g.Base)) || slices.ContainsFunc(g.Delegated, func(d string) bool { return inside(name, canonical(d)) })
	})
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
