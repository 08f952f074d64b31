package ice

import (
	"net/netip"
	"strconv"
	"strings"
)

// Credentials are a side's (RFC 8839 5.4).
type Credentials struct{ Ufrag, Pwd string }

// Remote is what a description of the far side says; comparable.
type Remote struct {
	Credentials
	Candidate netip.AddrPort // the one that is used; not valid: there is none
}

// Fault is a rule that a description breaks.
type Fault struct{ Rule, Message string }

const (
	bypass   = "Microsoft Teams docs, Plan for media bypass with Direct Routing"
	protocol = "Microsoft Teams docs, Direct Routing: media protocols"
)

// Sources says where the rules stand.
var Sources = map[string]string{
	"ice-answer":      protocol + ": an offer with candidates is answered with candidates",
	"ice-candidates":  bypass + ": one candidate, the public IPv4 address of the SBC",
	"ice-changed":     protocol + ": credentials and candidates stay without an ICE restart",
	"ice-check":       "RFC 8445 section 7.3",
	"ice-credentials": "RFC 8839 section 5.4",
	"ice-lite":        protocol + ": the SBC is ICE lite",
	"ice-mux":         protocol + ": RTCP is multiplexed",
	"ice-restart":     "RFC 8839 section 4.4.1.1.1",
	"ice-stun":        "RFC 8489 section 9.1, RFC 8445 section 7.2.5.2",
}

// Read takes ICE out of a gateway's description, and says which rules it breaks.
// has is false when there is none at all.
func Read(description string) (r Remote, has bool, faults []Fault) {
	d := reading{}
	for line := range strings.Lines(description) {
		d.line(strings.TrimRight(line, "\r\n"))
	}
	if d.Ufrag == "" && d.Pwd == "" && len(d.candidates) == 0 {
		return Remote{}, false, nil
	}
	wrong := func(rule, message string) { faults = append(faults, Fault{rule, message}) }
	if !d.lite {
		wrong("ice-lite", "no a=ice-lite at the session level")
	}
	if n, k := len(d.Ufrag), len(d.Pwd); n < 4 || n > 256 || k < 22 || k > 256 {
		wrong("ice-credentials", "ice-ufrag of "+strconv.Itoa(n)+" and ice-pwd of "+strconv.Itoa(k)+" characters")
	}
	if !d.mux {
		wrong("ice-mux", "no a=rtcp-mux")
	}
	r.Credentials = d.Credentials
	if len(d.candidates) != 1 {
		wrong("ice-candidates", strconv.Itoa(len(d.candidates))+" candidates")
	}
	for _, text := range d.candidates {
		at, why := candidate(text)
		switch {
		case why != "":
			wrong("ice-candidates", why+": "+text)
		case at != d.at:
			wrong("ice-candidates", at.String()+" is not what c= and m= say, "+d.at.String())
		}
		r.Candidate = at
	}
	return r, true, faults
}

// reading is a description so far; that of its audio is wanted.
type reading struct {
	Credentials
	candidates []string
	at         netip.AddrPort // c= and m=
	lite, mux  bool
	sections   int
}

func (d *reading) line(l string) {
	switch {
	case strings.HasPrefix(l, "m="):
		d.sections++
		if f := strings.Fields(l); d.sections == 1 && len(f) > 1 {
			port, _ := strconv.ParseUint(f[1], 10, 16)
			d.at = netip.AddrPortFrom(d.at.Addr(), uint16(port))
		}
	case d.sections > 1:
	case strings.HasPrefix(l, "c="):
		f := strings.Fields(l)
		addr, _ := netip.ParseAddr(f[len(f)-1])
		d.at = netip.AddrPortFrom(addr, d.at.Port())
	case l == "a=ice-lite":
		d.lite = d.sections == 0
	case l == "a=rtcp-mux":
		d.mux = true
	case strings.HasPrefix(l, "a=ice-ufrag:"):
		d.Ufrag = l[len("a=ice-ufrag:"):]
	case strings.HasPrefix(l, "a=ice-pwd:"):
		d.Pwd = l[len("a=ice-pwd:"):]
	case strings.HasPrefix(l, "a=candidate:"):
		d.candidates = append(d.candidates, l[len("a=candidate:"):])
	}
}

// candidate reads one, and says what is wrong with it: a lite agent has host
// candidates alone (RFC 8445 5.2), and here one of IPv4 over UDP.
func candidate(text string) (at netip.AddrPort, why string) {
	f := strings.Fields(text)
	if len(f) < 8 || f[6] != "typ" {
		return at, "a candidate that cannot be read"
	}
	addr, err := netip.ParseAddr(f[4])
	port, err2 := strconv.ParseUint(f[5], 10, 16)
	at = netip.AddrPortFrom(addr, uint16(port))
	switch {
	case err != nil || err2 != nil:
		return netip.AddrPort{}, "a candidate that cannot be read"
	case !strings.EqualFold(f[2], "UDP"), f[1] != "1":
		return at, "not UDP, or not of RTP"
	case f[7] != "host":
		return at, "not a host candidate"
	case !addr.Is4() || addr.IsUnspecified():
		return at, "not an IPv4 address"
	}
	return at, ""
}
