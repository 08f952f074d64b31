// Package ua holds dialogs (RFC 3261 section 12) as plain data: what a user
// agent must remember to write the next request of a call and to judge the
// next one it gets. No I/O, no clock, no goroutine: one owner per Dialog.
//
// A gateway has two dialogs per call, one for each leg, and one early dialog
// per To tag when the far side forks. Transactions, retransmission, CANCEL and
// the ACK to failures live in wire/sip; when to send what is the call's affair.
//
// Start reading at ClientDialog and Dialog.NewRequest.
package ua

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// ID names a dialog (RFC 3261 section 12).
type ID struct {
	CallID, LocalTag, RemoteTag string
}

// IDOf is the dialog a message received from the other side belongs to: the
// local tag is To's in a request and From's in a response. A tag the message
// does not have, or that cannot be read, is "".
func IDOf(m *sip.Message) ID {
	from, _ := m.From()
	to, _ := m.To()
	if m.IsRequest() {
		return ID{m.Get("Call-ID"), to.Tag(), from.Tag()}
	}
	return ID{m.Get("Call-ID"), from.Tag(), to.Tag()}
}

// Dialog is one dialog. The exported fields are for reading.
type Dialog struct {
	Local  string   // our From (or To) value as in the dialog-forming request, with our tag
	Remote string   // the other side's, with its tag
	Target string   // remote target: the URI of their Contact
	Routes []string // route set, first hop first, each as on the wire
	Client bool     // we sent the INVITE, so we own the Call-ID
	Early  bool     // as client: formed by a provisional response, no 2xx yet

	id        ID
	localSeq  uint32
	remoteSeq uint32
	heard     bool   // remoteSeq is set
	invited   uint32 // number of their last INVITE, which its ACK repeats
}

// ClientDialog makes the dialog of a 1xx with a To tag, or of a 2xx to invite
// (RFC 3261 12.1.2). The error is a *sip.ParseError.
//
// From and To are those of the INVITE, the tag of the response added: a far
// side that embroiders To in its response does not get the embroidery back.
func ClientDialog(invite, resp *sip.Message) (*Dialog, error) {
	to, err := resp.To()
	if err != nil {
		return nil, err
	}
	early := resp.Status < 200
	if early && to.Tag() == "" {
		return nil, &sip.ParseError{Header: "To", Msg: "no tag: the response forms no dialog"}
	}
	from, err := invite.From()
	if err != nil {
		return nil, err
	}
	seq, err := invite.CSeq()
	if err != nil {
		return nil, err
	}
	d := &Dialog{
		Local:  invite.Get("From"),
		Remote: withTag(invite.Get("To"), to.Tag()),
		// A response without Contact breaks 12.1.1, yet the place the INVITE
		// went to is a better guess than giving the call up.
		Target: invite.RequestURI,
		Client: true, Early: early,
		id:       ID{invite.Get("Call-ID"), from.Tag(), to.Tag()},
		localSeq: seq.Seq,
	}
	if d.Routes, err = routes(resp); err != nil {
		return nil, err
	}
	slices.Reverse(d.Routes)
	err = d.retarget(resp)
	d.own()
	return d, err
}

// own parts the dialog from the messages that it was made of.
func (d *Dialog) own() {
	parts := [...]*string{&d.Local, &d.Remote, &d.Target, &d.id.CallID, &d.id.LocalTag, &d.id.RemoteTag}
	sip.Own(parts[:]...)
	for i := range d.Routes {
		sip.Own(&d.Routes[i])
	}
}

// ServerDialog makes the dialog of an INVITE that we answer with localTag
// (RFC 3261 12.1.1). The error is a *sip.ParseError whose Status is to be
// answered.
func ServerDialog(invite *sip.Message, localTag string) (*Dialog, error) {
	from, err := invite.From()
	if err != nil {
		return nil, err
	}
	seq, err := invite.CSeq()
	if err != nil {
		return nil, err
	}
	d := &Dialog{
		Local:  withTag(invite.Get("To"), localTag),
		Remote: invite.Get("From"),
		id:     ID{invite.Get("Call-ID"), localTag, from.Tag()},

		remoteSeq: seq.Seq, heard: true, invited: seq.Seq,
	}
	if d.Routes, err = routes(invite); err != nil {
		return nil, err
	}
	if err := d.retarget(invite); err != nil {
		return nil, err
	}
	if d.Target == "" { // 8.1.1.8: an INVITE has exactly one
		return nil, &sip.ParseError{Header: "Contact", Msg: "missing Contact", Status: 400}
	}
	d.own()
	return d, nil
}

// ID names the dialog.
func (d *Dialog) ID() ID { return d.id }

// NewRequest makes the next in-dialog request (RFC 3261 12.2.1.1). The caller
// adds Contact and whatever the far side wants. For ACK use NewAck; CANCEL
// belongs to the transaction.
func (d *Dialog) NewRequest(method string) *sip.Message {
	d.localSeq++
	return d.request(method, d.localSeq)
}

// NewAck acknowledges a 2xx to invite, an INVITE of ours in this dialog: same
// number, route set of the dialog (RFC 3261 13.2.2.4).
func (d *Dialog) NewAck(invite *sip.Message) *sip.Message {
	seq, _ := invite.CSeq() // our own message
	return d.request("ACK", seq.Seq)
}

func (d *Dialog) request(method string, seq uint32) *sip.Message {
	uri, route := d.Target, d.Routes
	if len(route) > 0 && !loose(route[0]) {
		// 12.2.1.1: a strict router is addressed in the Request-URI and finds the
		// target at the end of the Route.
		uri = inside(route[0])
		route = append(slices.Clone(route[1:]), "<"+d.Target+">")
	}
	m := sip.NewRequest(method, requestURI(uri))
	for _, r := range route {
		m.Add("Route", r)
	}
	m.Add("From", d.Local)
	m.Add("To", d.Remote)
	m.Add("Call-ID", d.id.CallID)
	m.Add("CSeq", strconv.FormatUint(uint64(seq), 10)+" "+method)
	return m
}

// Accept judges a request received in this dialog by its CSeq (RFC 3261
// 12.2.2) and remembers it. The error is a *sip.ParseError whose Status is to
// be answered; it is 0 for an ACK that belongs to no INVITE: drop that.
func (d *Dialog) Accept(req *sip.Message) error {
	seq, err := req.CSeq()
	if err != nil {
		return err
	}
	if req.Method == "ACK" {
		if seq.Seq != d.invited || !d.heard {
			return &sip.ParseError{Header: "CSeq", Msg: "ACK to no INVITE of this dialog"}
		}
		return nil
	}
	if d.heard && seq.Seq <= d.remoteSeq {
		return &sip.ParseError{Header: "CSeq", Msg: "CSeq out of order", Status: 500}
	}
	d.remoteSeq, d.heard = seq.Seq, true
	if req.Method == "INVITE" {
		d.invited = seq.Seq
	}
	return nil
}

// Refresh moves the remote target to the Contact of a target refresh request
// received, or of a 2xx to one of ours (RFC 3261 12.2.1.2, 12.2.2). A 2xx to
// the INVITE that formed an early dialog confirms it and gives it the 2xx's
// route set (13.2.2.4); later responses never change the routes. A message
// that refreshes nothing, or whose Contact cannot be read, changes nothing.
func (d *Dialog) Refresh(m *sip.Message) {
	method := m.Method
	if !m.IsRequest() {
		if m.Status < 200 || m.Status > 299 {
			return
		}
		seq, err := m.CSeq()
		if err != nil {
			return
		}
		method = seq.Method
	}
	if method != "INVITE" && method != "UPDATE" && (method != "REFER" || !m.IsRequest()) { // RFC 5057 section 5
		return
	}
	if d.Early && !m.IsRequest() && method == "INVITE" {
		if r, err := routes(m); err == nil {
			slices.Reverse(r)
			d.Routes = r
		}
		d.Early = false
	}
	_ = d.retarget(m) // an unreadable Contact leaves the old target in force
	d.own()
}

// Glare is how long to wait after a 491 before the re-INVITE is tried again
// (RFC 3261 14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the
// other, in steps of 10 ms. random gives a number in [0, n).
func (d *Dialog) Glare(random func(n int) int) time.Duration {
	const step = 10 * time.Millisecond
	if d.Client {
		return 2100*time.Millisecond + step*time.Duration(random(191))
	}
	return step * time.Duration(random(201))
}

// NextHop is where the next request goes: the first route, else the target.
func (d *Dialog) NextHop() (sip.URI, error) {
	if len(d.Routes) > 0 {
		return sip.ParseURI(inside(d.Routes[0]))
	}
	return sip.ParseURI(d.Target)
}

// retarget takes over the Contact, when there is one.
func (d *Dialog) retarget(m *sip.Message) error {
	if !m.Has("Contact") {
		return nil
	}
	c, err := m.Contact()
	if err != nil {
		return err
	}
	d.Target = c.URI.String()
	return nil
}

// routes are the Record-Route values in the order of the message.
func routes(m *sip.Message) ([]string, error) {
	all, err := m.Addresses("Record-Route")
	if err != nil || len(all) == 0 {
		return nil, err
	}
	list := make([]string, len(all))
	for i := range all {
		list[i] = all[i].Raw
	}
	return list, nil
}

// loose reports whether a route understands loose routing (RFC 3261 19.1.1).
func loose(route string) bool {
	a, err := sip.ParseAddress(route)
	if err != nil {
		return true // routes were parsed when they were taken in
	}
	_, lr := a.URI.Params.Get("lr")
	return lr
}

// inside is the URI of a name-addr.
func inside(route string) string {
	a, err := sip.ParseAddress(route)
	if err != nil {
		return route
	}
	return a.URI.String()
}

// requestURI drops what a Request-URI must not carry: headers and the method
// parameter (RFC 3261 19.1.1, table 1).
func requestURI(s string) string {
	if !strings.Contains(s, "?") && !strings.Contains(s, ";method=") {
		return s
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		return s
	}
	u.Headers = ""
	u.Params = u.Params.Without("method")
	return u.String()
}

// withTag adds the tag to a From or To value. Without brackets the semicolon
// would still belong to the header (RFC 3261 section 20), so it can be added
// to either form.
func withTag(value, tag string) string {
	if tag == "" {
		return value
	}
	return value + ";tag=" + tag
}
