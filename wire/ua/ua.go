// Package ua holds dialogs (RFC 3261 section 12) as plain data: what a user
// agent must remember to write the next request of a call and to judge the
// next one it gets. No I/O, no clock, no goroutine: one owner per Dialog.
//
// A gateway has two dialogs per call, one for each leg, and one early dialog
// per To tag when the far side forks. Transactions, retransmission, CANCEL and
// ACK to failures live in wire/sip; when to send what is the call's affair.
package ua

import (
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// ID names a dialog (RFC 3261 section 12).
type ID struct {
	CallID, LocalTag, RemoteTag string
}

// Dialog is one dialog. The exported fields are for reading.
type Dialog struct {
	Local  string   // our From (To as UAS) value exactly as in the dialog-forming messages, tag included
	Remote string   // the other side's, tag included
	Target string   // remote target: the URI of their Contact
	Routes []string // route set, first hop first, as on the wire
	Client bool     // we sent the INVITE: we own the Call-ID
	Early  bool     // formed by a provisional response, no 2xx yet

	id        ID
	localSeq  uint32
	remoteSeq uint32
}

// ClientDialog makes the dialog of a 1xx with a To tag, or of a 2xx
// (RFC 3261 12.1.2). The error is a *sip.ParseError.
func ClientDialog(invite, resp *sip.Message) (*Dialog, error) { panic("todo") }

// ServerDialog makes the dialog of an INVITE that we answer with localTag
// (RFC 3261 12.1.1). The error is a *sip.ParseError.
func ServerDialog(invite *sip.Message, localTag string) (*Dialog, error) { panic("todo") }

// IDOf is the dialog a message received from the other side belongs to: the
// local tag is To's in a request and From's in a response. RemoteTag or
// LocalTag is "" where the message has none.
func IDOf(m *sip.Message) ID { panic("todo") }

// ID names the dialog.
func (d *Dialog) ID() ID { return d.id }

// NewRequest makes the next in-dialog request (RFC 3261 12.2.1.1). The caller
// adds Contact and whatever the profile wants. For ACK use NewAck.
func (d *Dialog) NewRequest(method string) *sip.Message { panic("todo") }

// NewAck acknowledges the 2xx to invite, an INVITE of ours in this dialog.
func (d *Dialog) NewAck(invite *sip.Message) *sip.Message { panic("todo") }

// Accept judges a request received in this dialog by its CSeq (RFC 3261
// 12.2.2) and remembers it. The error is a *sip.ParseError whose Status is to
// be answered; for an ACK there is no answer.
func (d *Dialog) Accept(req *sip.Message) error { panic("todo") }

// Refresh moves the remote target to the Contact of a target refresh request
// or of a 2xx to one (RFC 3261 12.2.1.2, 12.2.2), and confirms an early dialog
// on a 2xx. Messages that do not refresh leave the dialog alone.
func (d *Dialog) Refresh(m *sip.Message) { panic("todo") }

// NextHop is where the next request goes: the first route, else the target.
func (d *Dialog) NextHop() (sip.URI, error) { panic("todo") }

// Glare is how long to wait after a 491 before the re-INVITE is tried again
// (RFC 3261 14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the
// other, in steps of 10 ms. random gives a number in [0, n).
func (d *Dialog) Glare(random func(n int) int) time.Duration { panic("todo") }

// Options are the facts of an OPTIONS request or of our answer to one.
type Options struct {
	URI       string // Request-URI; request only
	From, To  string // name-addr without tag; request only
	Tag       string // From tag; request only
	CallID    string // request only
	Contact   string // name-addr; with the FQDN where the far side wants one
	Allow     string
	Accept    string
	Supported string
}

// NewOptions makes an OPTIONS request outside of any dialog.
func NewOptions(o Options) *sip.Message { panic("todo") }

// AnswerOptions answers an OPTIONS request (RFC 3261 11.2).
func AnswerOptions(req *sip.Message, localTag string, o Options) *sip.Message { panic("todo") }
