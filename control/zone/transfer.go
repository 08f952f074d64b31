package zone

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/obs"
)

// transfer tells whether a query asks for a whole zone.
func transfer(q *dns.Msg) bool {
	return !q.Response && q.Opcode == dns.OpcodeQuery && len(q.Question) == 1 && q.Question[0].Qclass == dns.ClassINET &&
		(q.Question[0].Qtype == dns.TypeAXFR || q.Question[0].Qtype == dns.TypeIXFR)
}

// tsig are the secrets by the names of their keys.
func (s *Set) tsig() map[string]string {
	keys := map[string]string{}
	for _, sec := range s.cfg.Secondaries {
		if sec.Key != nil {
			keys[canonical(sec.Key.Name)] = sec.Key.Secret
		}
	}
	return keys
}

// transfer gives a zone to a secondary, whole even when it asked for the
// difference (RFC 1995 §4 allows it), and refuses everybody else.
func (s *Set) transfer(w dns.ResponseWriter, q *dns.Msg, from netip.Addr, udp bool) {
	m := new(dns.Msg)
	m.SetReply(q)
	z := s.served.Load().zones[canonical(q.Question[0].Name)]
	secondary := s.secondary(w, q, from)
	switch {
	case secondary == nil || z == nil:
		if udp && s.limit.take(from, time.Now()) != whole {
			return
		}
		s.refused.Add(1)
		m.Rcode = dns.RcodeRefused
	case udp: // RFC 1995 §2: the SOA alone says "come by TCP"
		m.Authoritative, m.Answer = true, []dns.RR{z.soa}
	default:
		s.send(w, q, z, secondary)
		return
	}
	_ = w.WriteMsg(m)
}

// secondary is who asks, by address and, where one is set, by key.
func (s *Set) secondary(w dns.ResponseWriter, q *dns.Msg, from netip.Addr) *Secondary {
	for i := range s.cfg.Secondaries {
		sec := &s.cfg.Secondaries[i]
		if sec.Addr.Addr().Unmap() != from {
			continue
		}
		if sec.Key == nil {
			return sec
		}
		if t := q.IsTsig(); t != nil && w.TsigStatus() == nil && canonical(t.Hdr.Name) == canonical(sec.Key.Name) {
			return sec
		}
	}
	return nil
}

// perMessage is how many records go into one message of a transfer.
const perMessage = 100

func (s *Set) send(w dns.ResponseWriter, q *dns.Msg, z *content, to *Secondary) {
	chunks := slices.Collect(slices.Chunk(append(slices.Clone(z.records), z.soa), perMessage))
	out := make(chan *dns.Envelope, len(chunks))
	for _, c := range chunks {
		out <- &dns.Envelope{RR: c}
	}
	close(out)
	err := new(dns.Transfer).Out(w, q, out)
	if err != nil {
		s.log.Warn("DNS zone was not transferred", "zone", z.apex, "secondary", to.Addr, obs.KeyError, err)
		return
	}
	s.transferred.Add(1)
	s.log.Info("DNS zone transferred", "zone", z.apex, "secondary", to.Addr, "serial", z.soa.Serial)
}

// notifier tells secondaries of changes (RFC 1996).
type notifier struct {
	life        context.Context // RO
	secondaries []Secondary     // RO
	log         *slog.Logger    // RO
	wait        sync.WaitGroup

	mu      sync.Mutex
	current map[string]uint32 // mu; serial by zone: an older one is no more worth telling
}

func newNotifier(life context.Context, to []Secondary, log *slog.Logger) *notifier {
	return &notifier{life: life, secondaries: to, log: log, current: map[string]uint32{}}
}

// patience is the wait for an answer, and how often it is asked for: RFC 1996
// §3.6 has 60 s and five times; a change here is worth more hurry, and who
// misses it looks after the refresh time.
const (
	notifyWait  = 3 * time.Second
	notifyTries = 5
)

func (n *notifier) changed(soa *dns.SOA) {
	n.mu.Lock()
	n.current[soa.Hdr.Name] = soa.Serial
	n.mu.Unlock()
	for _, to := range n.secondaries {
		n.wait.Go(func() { n.tell(to, soa) })
	}
}

func (n *notifier) stale(soa *dns.SOA) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current[soa.Hdr.Name] != soa.Serial || n.life.Err() != nil
}

func (n *notifier) tell(to Secondary, soa *dns.SOA) {
	m := new(dns.Msg)
	m.SetNotify(soa.Hdr.Name)
	m.Answer = []dns.RR{soa}
	client := &dns.Client{Timeout: notifyWait}
	for try := range notifyTries {
		if n.stale(soa) {
			return
		}
		ask := m.Copy()
		ask.Id = dns.Id()
		if to.Key != nil {
			client.TsigSecret = map[string]string{canonical(to.Key.Name): to.Key.Secret}
			ask.SetTsig(canonical(to.Key.Name), dns.HmacSHA256, 300, time.Now().Unix())
		}
		_, _, err := client.ExchangeContext(n.life, ask, to.Addr.String())
		if err == nil {
			return
		}
		if try == notifyTries-1 {
			n.log.Warn("secondary name server does not answer; it will look by itself within the hour", "secondary", to.Addr, "zone", soa.Hdr.Name, obs.KeyError, err)
			return
		}
		select {
		case <-time.After(notifyWait << try):
		case <-n.life.Done():
			return
		}
	}
}
