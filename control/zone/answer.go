package zone

import "github.com/miekg/dns"

// largest is the UDP answer that crosses every path unbroken (DNS flag day
// 2020).
const largest = 1232

// plainest is what a client takes that says nothing (RFC 1035 §2.3.4).
const plainest = 512

// answer is what is said to a query, whole; nil when nothing is. It is pure:
// truncation and rate are the transport's.
func (v *served) answer(q *dns.Msg) *dns.Msg {
	if q.Response {
		return nil // RFC 5358: two servers must not talk to each other for ever
	}
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable, m.Rcode = false, false, dns.RcodeSuccess
	opt := q.IsEdns0()
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case opt != nil && opt.Version() != 0:
		m.Rcode = dns.RcodeBadVers // RFC 6891 §6.1.3
	case q.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		v.ask(m, q.Question[0], opt != nil && opt.Do())
	}
	if opt != nil {
		answerEDNS(m, opt)
	}
	return m
}

// answerEDNS adds our OPT record; options of the client mean nothing to us.
func answerEDNS(m *dns.Msg, opt *dns.OPT) {
	ours := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	ours.SetUDPSize(largest)
	if opt.Do() {
		ours.SetDo()
	}
	m.Extra = append(m.Extra, ours)
}

// ask answers one question.
func (v *served) ask(m *dns.Msg, q dns.Question, secure bool) {
	name := canonical(q.Name)
	z := v.zoneOf(name)
	if z != nil && q.Qtype == dns.TypeDS && name == z.apex {
		z = v.zoneOf(parent(name)) // RFC 4035 §3.1.4.1: the parent answers, should it be ours
	}
	if z == nil {
		m.Rcode = dns.RcodeRefused
		return
	}
	m.Authoritative = true
	node, exists := z.look(name)
	found := node[q.Qtype]
	switch {
	case q.Qtype == dns.TypeANY && len(node) > 0:
		found = []dns.RR{&dns.HINFO{Hdr: header(name, dns.TypeHINFO, serverTTL), Cpu: "RFC8482"}}
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		m.Authoritative, m.Rcode = false, dns.RcodeRefused // allowed ones do not come here
		return
	}
	sign := secure && z.signer != nil
	if len(found) == 0 {
		z.denied(m, q.Name, exists, sign)
		return
	}
	m.Answer = z.signed(q.Name, found, sign)
	v.additional(m, found, sign)
}

// denied says that there is no such record, or no such name: with the SOA,
// whose TTL is the time that this may be remembered (RFC 2308 §3).
func (z *content) denied(m *dns.Msg, asked string, exists, sign bool) {
	soa := *z.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	m.Ns = z.signed(soa.Hdr.Name, []dns.RR{&soa}, sign)
	switch {
	case sign:
		if len(asked) > maxDenied {
			return // there is no next name; who checks will not believe the denial, and nobody asks for such names
		}
		// RFC 9824: the name is said to exist, without the type.
		m.Ns = append(m.Ns, z.signed(asked, []dns.RR{z.nothing(canonical(asked), exists)}, true)...)
	case !exists:
		m.Rcode = dns.RcodeNameError
	}
}

// maxDenied leaves room for the first label of the name that follows.
const maxDenied = 250

// signed are records under the name they were asked by, as it was written,
// with their signature.
func (z *content) signed(asked string, set []dns.RR, sign bool) []dns.RR {
	out := make([]dns.RR, 0, len(set)+1)
	for _, rr := range set {
		out = append(out, renamed(rr, asked))
	}
	if sign {
		if sig := z.signer.sign(out); sig != nil {
			out = append(out, renamed(sig, asked))
		}
	}
	return out
}

func renamed(rr dns.RR, name string) dns.RR {
	same := dns.Copy(rr)
	same.Header().Name = name
	return same
}

// additional adds the addresses of what an answer leads to.
func (v *served) additional(m *dns.Msg, found []dns.RR, sign bool) {
	seen := map[string]bool{}
	for _, rr := range found {
		var name string
		switch rr := rr.(type) {
		case *dns.SRV:
			name = rr.Target
		case *dns.NS:
			name = rr.Ns
		default:
			return
		}
		z := v.zoneOf(name)
		if z == nil || seen[name] {
			continue
		}
		seen[name] = true
		node, _ := z.look(name)
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if set := node[kind]; len(set) > 0 {
				m.Extra = append(m.Extra, z.signed(name, set, sign && z.signer != nil)...)
			}
		}
	}
}

// fit cuts an answer to what goes into one datagram.
func fit(m, q *dns.Msg) {
	size := plainest
	if opt := q.IsEdns0(); opt != nil {
		size = min(max(int(opt.UDPSize()), plainest), largest)
	}
	m.Truncate(size)
}

// types are those that a name has, for NSEC.
func types(node map[uint16][]dns.RR) (all []uint16) {
	for t := range node {
		all = append(all, t)
	}
	return all
}
