package call

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// maxExplained bounds the text of an INVITE.
const maxExplained = 64 << 10

// Explain tells what would become of an INVITE from a peer, by the same step
// that carries calls and without any of its effects: no message, no port, no
// record, no look-up of names. text is the message as people paste it: line
// ends and Content-Length need not be right. The error is a fault.Invalid when
// it is no INVITE, a fault.NotFound when there is no such peer.
func (s *Set) Explain(from string, text []byte) (record.Explanation, error) {
	known, ok := s.cfg.Peers.Find(from)
	if !ok {
		return record.Explanation{}, fault.New(fault.NotFound, "there is no peer "+from+": tandem peer list shows them")
	}
	msg, err := pasted(text)
	if err != nil {
		return record.Explanation{}, &fault.Error{Kind: fault.Invalid, Public: "the file holds no INVITE that can be read: " + err.Error(), Err: err}
	}
	dress := s.cfg.Peers.Leg(known)
	r := rehearsal{
		set: s, out: record.Explanation{Peer: known.Name, Group: known.Group.Name, Profile: dress.Profile.Name, Notes: []string{}},
		st: state{
			legs:   [2]leg{{peer: peer.Nobody}, {peer: peer.Nobody}},
			limits: &s.cfg.Limits, vouching: &s.cfg.Vouching, region: s.cfg.Region, random: rand.NewChaCha8([32]byte{}),
			record: record.Call{Node: s.cfg.Node, Region: s.cfg.Region},
		},
	}
	r.play(invited{
		tx: 1, msg: msg, addr: exampleAddr, remote: &sip.Remote{Name: known.Name}, transport: dress.Transport,
		peer: known, dress: dress, snapshot: s.cfg.Snapshot(), suspended: s.cfg.Peers.Suspended,
	})
	c := r.st.record
	r.out.From, r.out.To, r.out.Service, r.out.Emergency = c.From, c.To, c.Service, c.Emergency
	return r.out, nil
}

// exampleAddr stands for every address that only a call would have (RFC 5737).
var exampleAddr = netip.MustParseAddrPort("192.0.2.1:40000")

// examplePrint stands for the fingerprint of the node's certificate.
var examplePrint = sdp.Fingerprint{Hash: "sha-256", Value: strings.Repeat("00:", 31) + "00"}

// rehearsal plays a call until its first INVITE, or its end.
type rehearsal struct {
	set *Set
	st  state
	out record.Explanation
}

// play gives the call what it waits for, until it wants nothing more.
func (r *rehearsal) play(first event) {
	for todo := []event{first}; len(todo) > 0; todo = todo[1:] {
		for _, e := range r.st.step(time.Now(), todo[0]) {
			if next := r.answer(e); next != nil {
				todo = append(todo, next)
			}
		}
		if r.out.Message != "" || r.out.Status != 0 {
			return
		}
	}
}

func (r *rehearsal) answer(e effect) event {
	switch e := e.(type) {
	case note:
		r.out.Notes = append(r.out.Notes, e.text)
	case open:
		r.targets()
		return opened{rtp: [2]netip.AddrPort{exampleAddr, exampleAddr}, rtcp: [2]netip.AddrPort{exampleAddr, exampleAddr}, print: examplePrint}
	case begin:
		return begun{}
	case examine:
		return r.examined(e)
	case resolve:
		return r.resolved(e.peer)
	case invite:
		r.out.Message = e.msg.String()
	case respond:
		if e.msg.Status >= 300 {
			r.out.Status, r.out.Why, r.out.Answer = e.msg.Status, r.st.record.Cause.Text, e.msg.String()
		}
	}
	return nil
}

// examined is as if who vouches for the caller were believed: certificates are
// fetched for calls alone, and the message may be an old one.
func (r *rehearsal) examined(e examine) event {
	if len(e.values) == 0 {
		return examined{attest.Absent()}
	}
	r.out.Notes = append(r.out.Notes, "its Identity headers would be verified; the rest is as if they were believed")
	return examined{}
}

// targets are told before the first of them is taken.
func (r *rehearsal) targets() {
	for _, t := range r.st.targets {
		x := record.ExplainedTarget{Peer: t.Peer.Name, Group: t.Group.Name, Why: t.Why, Down: r.set.cfg.Peers.Down(t.Peer.Name)}
		if known, ok := r.set.cfg.Peers.Find(t.Peer.Name); ok {
			x.Profile = r.set.cfg.Peers.Leg(known).Profile.Name
		}
		r.out.Targets = append(r.out.Targets, x)
	}
}

// resolved is as if the name had led somewhere.
func (r *rehearsal) resolved(name string) event {
	known, _ := r.set.cfg.Peers.Find(name)
	dress := r.set.cfg.Peers.Leg(known)
	to := sip.Target{Transport: dress.Transport, Addr: exampleAddr, Host: known.Host, Remote: &sip.Remote{Name: name}}
	return resolved{peer: known, dress: dress, hops: []sip.Target{to}}
}

// pasted reads an INVITE as people have it: from a trace, with the line ends of
// their editor, without headers that it has not copied.
func pasted(text []byte) (*sip.Message, error) {
	if len(text) > maxExplained {
		return nil, fmt.Errorf("it is longer than %d bytes", maxExplained)
	}
	text = bytes.ReplaceAll(bytes.TrimLeft(text, "\r\n\t "), []byte("\r\n"), []byte("\n"))
	head, body, _ := bytes.Cut(text, []byte("\n\n"))
	body = bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))
	if n := len(body); n > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
		body = append(body, "\r\n"...)
	}
	var b bytes.Buffer
	for line := range bytes.SplitSeq(bytes.TrimRight(head, "\n"), []byte("\n")) {
		if name, _, _ := bytes.Cut(line, []byte(":")); !bytes.EqualFold(bytes.TrimSpace(name), []byte("Content-Length")) && !bytes.EqualFold(bytes.TrimSpace(name), []byte("l")) {
			b.Write(line)
			b.WriteString("\r\n")
		}
	}
	b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	b.Write(body)
	m, err := sip.Parse(b.Bytes(), sip.Limits{})
	if err != nil {
		return nil, err
	}
	if m.Method != "INVITE" {
		return nil, fmt.Errorf("it is no INVITE")
	}
	if m.Get("Via") == "" {
		m.Prepend("Via", "SIP/2.0/UDP "+exampleAddr.String()+";branch="+sip.NewBranch())
	}
	return m, m.Check()
}
