package zone

import (
	"testing"

	"github.com/miekg/dns"
)

// Whatever can be parsed as a message gets an answer that can be written, is
// no answer to an answer, and fits where it must.
func FuzzAnswer(f *testing.F) {
	plain := newServed(f, false)
	secure := newServed(f, true)
	for _, name := range []string{"r1." + base, "x.1r1." + base, "_sip._tls.r1." + base, "*.1r2." + base, suffix, ".", "voice.telecom.example", `a\.b.` + base} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeANY, dns.TypeDS, dns.TypeAXFR, dns.TypeDNSKEY, dns.TypeNSEC} {
			q := new(dns.Msg)
			q.SetQuestion(dns.Fqdn(name), kind)
			q.SetEdns0(1232, true)
			if wire, err := q.Pack(); err == nil {
				f.Add(wire)
			}
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		q := new(dns.Msg)
		if q.Unpack(wire) != nil {
			return
		}
		for _, v := range []*served{plain, secure} {
			m := v.answer(q)
			if q.Response {
				if m != nil {
					t.Fatal("it answers an answer")
				}
				return
			}
			fit(m, q)
			out, err := m.Pack()
			if err != nil {
				t.Fatalf("%v: %v", m, err)
			}
			if len(out) > largest {
				t.Fatalf("%d octets", len(out))
			}
			if m.RecursionAvailable || m.Id != q.Id || !m.Response {
				t.Fatalf("%v", m)
			}
			if err := new(dns.Msg).Unpack(out); err != nil {
				t.Fatalf("%v: %v", m, err)
			}
		}
	})
}

func newServed(f *testing.F, sign bool) *served {
	v := &served{zones: map[string]*content{}, facts: []Gateway{twoRegions()}}
	for _, z := range Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: v.facts}) {
		c := newContent(z, 1)
		if sign {
			pem, err := newKey()
			if err != nil {
				f.Fatal(err)
			}
			if err := c.sign(pem); err != nil {
				f.Fatal(err)
			}
		}
		v.zones[z.Apex] = c
	}
	return v
}
