package call

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/route"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// arrive takes the caller's INVITE: it is checked, routed, and given ports.
func (s *state) arrive(ev invited) {
	s.invite, s.inviteTx = ev.msg, ev.tx
	s.snapshot, s.health = ev.snapshot, ev.suspended
	s.setCaller(ev)
	s.record.Gateway, s.record.Revision, s.record.Test = ev.snapshot.Gateway, ev.snapshot.Revision, ev.peer.Group.Tester
	s.do(respond{s.inviteTx, sip.NewResponse(ev.msg, 100, "")})
	no := s.rulesIn()
	if no == nil {
		no = s.check()
	}
	if no != nil {
		s.decline(no)
		return
	}
	f := s.facts()
	if ev.recall != nil && f.From == snapshot.Operator {
		f.Recall = ev.recall(f.Called)
	}
	d := route.Route(f, ev.snapshot, ev.suspended)
	if s.elin = d.ELIN; d.Called != "" {
		s.identity.Called, s.identity.CalledOK = d.Called, true
	}
	s.record.Service, s.record.Account, s.record.Emergency = string(d.Service), d.Account, d.Emergency
	for _, rule := range d.Rules {
		s.do(note{rule})
	}
	s.label, s.domain, s.custom = d.Label, d.Domain, interop.Custom{Name: ev.snapshot.Header, Value: d.Header}
	s.clothe(s.caller())
	switch {
	case d.Refuse != nil:
		s.decline(&refusal{status: d.Refuse.Status, q850: d.Refuse.Q850, text: d.Refuse.Text})
	case ev.full && !d.Emergency:
		s.decline(&refusal{status: 503, q850: 42, text: "the node carries as many calls as it may", headers: [][2]string{{"Retry-After", "10"}}, unrecorded: true})
	case ev.limit != nil && !d.Emergency:
		s.declineLimited(ev.limit)
	default:
		s.targets = d.Targets
		s.examine()
		s.do(open{s.record.Caller.Side, record.Side(d.Targets[0].Group.Side)})
	}
}

// declineLimited refuses a call that is one too many for the caller's peer:
// 503 makes it try another way to us, or elsewhere.
func (s *state) declineLimited(full *peer.Full) {
	name := s.caller().peer.Name
	s.do(limited{name, full})
	s.notef("refused by the limits of %s: %v", name, full)
	s.decline(&refusal{
		status: 503, q850: 42, text: name + ": " + full.Why,
		headers: [][2]string{{"Retry-After", seconds(full.RetryAfter)}}, unrecorded: true,
	})
}

func (s *state) setCaller(ev invited) {
	c := s.caller()
	c.peer, c.dress, c.tag, c.timers = ev.peer, ev.dress.Called(ev.msg), s.token(8), ev.remote.Timers
	callID, _ := ev.msg.CallID() // the stack has checked it
	sip.Own(&callID)
	s.record.Caller = record.Leg{
		Side: record.Side(ev.peer.Group.Side), Peer: ev.peer.Name,
		Transport: ev.transport.String(), Address: ev.addr.String(), CallID: callID,
	}
}

// refusal is why an INVITE makes no call.
type refusal struct {
	status     int
	q850       int
	text       string
	headers    [][2]string
	unrecorded bool // for want of means to do so
}

// check looks for all that makes an INVITE unfit before any target is asked,
// in the order of RFC 3261 8.2 and 16.3.
func (s *state) check() *refusal {
	for _, check := range []func() *refusal{s.checkExtensions, s.checkDialog, s.checkSession, s.checkIdentity, s.checkBody} {
		if no := check(); no != nil {
			return no
		}
	}
	return nil
}

// checkExtensions refuses what the caller insists on and we do not have
// (RFC 3261 8.2.2.3). Proxy-Require is not for us.
func (s *state) checkExtensions() *refusal {
	return checkRequire(s.invite, s.caller().dress.Profile)
}

// checkRequire refuses what a request insists on, unless the profile supports
// it or it is known otherwise.
func checkRequire(m *sip.Message, p *interop.Profile, known ...string) *refusal {
	var unknown []string
	for tag := range m.List("Require") {
		if tag = strings.ToLower(tag); !p.Knows(tag) && !slices.Contains(known, tag) {
			unknown = append(unknown, tag)
		}
	}
	if unknown == nil {
		return nil
	}
	list := strings.Join(unknown, ", ")
	return &refusal{
		status: 420, q850: 127, text: "extensions are required that we do not have: " + list,
		headers: [][2]string{{"Unsupported", list}},
	}
}

func (s *state) checkDialog() *refusal {
	d, err := ua.ServerDialog(s.invite, s.caller().tag)
	if err != nil {
		return refusalOf(err)
	}
	s.caller().dialog = d
	s.early = []*early{{tag: s.caller().tag, dialog: d}}
	return nil
}

func (s *state) checkSession() *refusal { return checkSession(s.invite) }

func (s *state) checkIdentity() *refusal {
	id, err := interop.Identify(s.view, s.caller().dress)
	if err != nil {
		return refusalOf(err)
	}
	id.Own()
	s.identity = id
	s.record.From, s.record.To = id.Caller(), id.Called
	return nil
}

func (s *state) checkBody() *refusal {
	desc, no := describe(s.view)
	s.offer = desc
	if desc == nil && no == nil {
		s.do(note{"the INVITE has no offer: the callee gets ours, the caller the callee's answer"})
	}
	return no
}

// describe finds a description in a message; the refusal tells why its body
// cannot be understood.
func describe(m *sip.Message) (*sdp.Session, *refusal) {
	if enc := m.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, &refusal{
			status: 415, q850: 79, text: "the body is encoded as " + enc,
			headers: [][2]string{{"Accept-Encoding", "identity"}},
		}
	}
	desc, err := interop.Describe(m)
	if err != nil {
		return nil, refusalOf(err)
	}
	return desc, nil
}

// refusalOf is how an error is told to who caused it.
func refusalOf(err error) *refusal {
	told := interop.Refuse(err)
	no := &refusal{status: told.Status, q850: q850Of(told), text: err.Error()}
	if no.status == 415 { // RFC 3261 21.4.13
		no.headers = [][2]string{{"Accept", "application/sdp"}}
	}
	return no
}

func (s *state) facts() route.Facts {
	dialled, host := "", ""
	if u, err := sip.ParseURI(s.view.RequestURI); err == nil {
		dialled, host = u.User, u.Host
	}
	return route.Facts{
		From: s.caller().peer.Group.Side, Group: s.caller().peer.Group.Name, Peer: s.caller().peer.Name,
		Dialled: dialled, Host: host, Called: s.identity.Called, Calling: s.identity.Caller(),
		Region: s.region, FMC: s.view.Has("X-MS-FMC"), ELIN: interop.ELIN(s.invite), Seed: s.random.Uint64(),
	}
}

// decline ends a call that has not left us.
func (s *state) decline(no *refusal) {
	c := gatewayCause(no.status, no.q850, no.text)
	c.headers, c.unrecorded = no.headers, no.unrecorded
	s.finish(c)
}

// opened has the ports: the record comes next, before anything leaves.
func (s *state) opened(ev opened) {
	if s.phase != arriving {
		return
	}
	if ev.err != nil {
		s.decline(&refusal{status: 503, q850: 47, text: "no media ports: " + ev.err.Error()})
		return
	}
	s.print = ev.print
	for i := range s.legs {
		s.legs[i].end.RTP, s.legs[i].end.RTCP = ev.rtp[i], ev.rtcp[i]
	}
	s.equip(s.caller())
	s.recorded = true
	s.do(begin{s.record})
}

// begun has the record on the disk. A call that cannot be recorded is not
// carried: 503 sends it to the other region's node.
func (s *state) begun(ev begun) {
	switch {
	case s.phase != arriving:
	case ev.err != nil:
		s.decline(&refusal{status: 503, q850: 47, text: "the call record cannot be written: " + ev.err.Error(), unrecorded: true})
	case s.examining:
		s.durable = true
	default:
		s.depart()
	}
}

// depart begins the hunt.
func (s *state) depart() {
	s.phase = hunting
	s.do(arm{patience, s.limits.Progress})
	if !s.mustReserve() || !s.reserve() {
		s.hunt()
	}
}

// equip gives our end of a leg what its peer demands.
func (s *state) equip(l *leg) {
	l.end.ID = s.random.Uint64() >> 2 // some far sides read it as a signed number
	l.end.Codecs = l.peer.Group.Codecs
	l.end.Suites = l.peer.Group.Suites
	l.end.InactiveOnly, l.end.Mux = l.dress.Profile.InactiveOnly, l.dress.Profile.Mux
	l.end.Ptime = l.dress.Profile.Ptime
	l.end.Lite = l.dress.Profile.Bypass
	l.end.Bandwidth = l.dress.Profile.Bandwidth
	// Whatever its list has may be transcoded. The services speak all of theirs,
	// and their calls have comfort noise always (Azure Communications Gateway docs,
	// interoperability with Operator Connect). Who made no offer gets ours out of
	// what the other side has already chosen.
	cloud := l.peer.Group.Side == snapshot.Cloud
	l.end.Transcode, l.end.Sparing, l.end.Noise = l.end.Codecs, cloud || s.offer == nil, cloud
	l.end.NoEvents = l.dress.Profile.DTMF != interop.DTMFEvents
	l.end.Sent, l.end.Received, l.end.Secret = nil, nil, nil
	l.end.Keying, l.end.Print = l.dress.Profile.Keying, s.print
	if l.inner { // both ends are ours, and nobody is in between
		l.end.Keying = sdp.BySDES
	}
	if l.peer.SRTP {
		l.end.Secret = make([]byte, sdp.SecretSize)
		_, _ = s.random.Read(l.end.Secret) // never fails
	}
}

// common keeps the codecs of a that b has too, in the order of a.
func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(c string) bool { return !slices.Contains(b, c) })
}

func (s *state) notef(format string, args ...any) { s.do(note{fmt.Sprintf(format, args...)}) }
