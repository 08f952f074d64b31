package call

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/route"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/stir"
	"github.com/tandemgw/tandem/wire/ua"
)

// phase is how far a call has come.
type phase uint8

const (
	arriving phase = iota // its ports and its record are being made
	hunting               // a target is looked for, tried, or rings
	talking               // answered
	ending                // released; waits for what is still under way
	over
)

// state is everything of one call that decides what happens next. It belongs
// to the call's goroutine; only step and what step calls change it.
type state struct {
	limits   *Limits       // RO
	vouching *Vouching     // RO; only asked what it does
	region   string        // RO
	random   *rand.ChaCha8 // source of tags, Call-IDs and SRTP keys
	now      time.Time     // of the event being handled
	out      []effect      // of the event being handled
	phase    phase
	record   record.Call
	recorded bool // the record is on its way to the disk
	legs     [2]leg
	print    sdp.Fingerprint // of our certificate for handshakes
	shaken   [2]string       // suites that the handshakes of the sides have come to

	// The caller's INVITE.
	invite     *sip.Message // nil once it has its final response
	view       *sip.Message // it, as the rules for its peers leave it
	inviteTx   txn          // 0 once it has its final response
	identity   interop.Identity
	label      string             // of the customer's subdomain, on the cloud's leg
	domain     string             // that it stands before, where it is not the region's own
	elin       string             // of the location of an emergency caller, where he is to be shown by it
	custom     interop.Custom     // header of the number, on the operator's leg
	examining  bool               // its Identity headers are being verified
	durable    bool               // its record is, while it is examined
	identities []string           // its Identity headers, once they are believed
	claims     stir.Claims        // of the one that was
	offer      *sdp.Session       // nil: it came without, and gets ours
	assumed    *sdp.Session       // what it was answered out of while it had resources to reserve
	reserving  bool               // it has
	snapshot   *snapshot.Snapshot // RO
	health     route.Health       // RO

	// The hunt: for the callee first, in an answered call for the target of a
	// transfer.
	targets []route.Target // still to be tried
	target  route.Target   // the one being tried
	down    bool           // it does not answer OPTIONS
	hops    []sip.Target   // its addresses still to be tried
	attempt *attempt       // under way, or answered; nil between two
	told    int            // last provisional status sent to the caller
	rang    bool           // a callee has rung
	early   []*early       // the caller's dialogs before the answer; the first is always there
	chosen  *early         // which of them was answered; nil: the first
	tone    ringback
	failure failure // of the last attempt

	followed int      // redirections
	places   []string // that they led to

	transfer  *transfer           // under way; nil when there is none
	verdict   *verdict            // that a party hears; nil: none
	aside     [2]*leg             // that left its side to another and is not released yet
	party     [2]interop.Identity // who is at each side, once the call is answered
	transfers pace                // of those that have begun
	music     [2]bool             // that we play
	digits    [2]pace             // of INFOs with digits to a leg

	round    *round            // re-INVITE under way between the legs
	asked    time.Time         // when a side was last asked whether it is there
	fax      [2]netip.AddrPort // our ports for T.38; not valid: there are none
	stale    [2]bool           // legs that must be told of a change when no round is under way
	requests []*request        // of ours that may still be answered
	lastID   int               // of requests
}

// leg is one side of the call.
type leg struct {
	peer      *peer.Known
	dress     interop.Leg // how messages to it are written
	tag       string      // ours
	dialog    *ua.Dialog  // nil while there is none
	confirmed bool        // by a 2xx: it has to be released by a BYE
	gone      bool        // it has sent BYE, or was sent one
	inner     bool        // it is another call of ours
	timers    sip.Timers  // RO

	end   sdp.End       // what we have said and heard there
	media sdp.Side      // what came of it
	holds sdp.Direction // what it wanted when it was free to choose; anything but sendrecv: it holds the call

	accepted    *accepted // our 2xx that waits for its ACK
	takesUpdate bool      // it has said that it takes UPDATE
	session     session
}

// accepted is a 2xx of ours that is repeated until it is acknowledged
// (RFC 3261 13.3.1.4).
type accepted struct {
	tx       txn
	msg      *sip.Message
	pause    time.Duration // before the next repetition
	until    time.Time     // when we give up
	offer    *sdp.Session  // when the 2xx made one: the ACK has to bring the answer
	withheld bool          // it waits for a PRACK first, and has not left
}

// request is a request of ours.
type request struct {
	id       int
	kind     requestKind
	leg      relay.Side
	accepted bool         // a 2xx has come; it may come again, and other forks may send theirs
	dialog   *ua.Dialog   // it went in; nil for inviting. The leg may have left its place since
	attempt  *attempt     // inviting
	stub     *sip.Message // inviting, reinviting: what dialogs and ACKs need of it
	offer    *sdp.Session // reinviting
}

type requestKind uint8

const (
	inviting requestKind = iota
	reinviting
	asking // OPTIONS: are you still there?
	releasing
	acknowledging // PRACK
	updating      // a session, by UPDATE
	informing     // of a digit
	notifying     // how far a transfer is
)

// txn names a server transaction; 0 is none.
type txn int

// timer names the timers of a call. Each is armed or not; expired tells that
// one has run out.
type timer uint8

const (
	silence         timer = iota // an attempt has had no response at all
	patience                     // the caller has heard nothing for long
	ringingTooLong               // an attempt has had no final response
	repeatCaller                 // 2xx to the caller is not acknowledged
	repeatCallee                 // 2xx to the callee (its re-INVITE) is not acknowledged
	roundTooLong                 // a re-INVITE has had no final response
	again                        // a re-INVITE of ours met another one
	listening                    // it is time to see who still sends
	talkedEnough                 // Limits.Duration
	scoring                      // it is time to record how the call has sounded
	refreshCaller                // its session has to be refreshed by us
	refreshCallee                // likewise
	lapseCaller                  // its session was not refreshed by anybody
	lapseCallee                  // likewise
	ringingSoon                  // a transferred party has heard nothing for a moment
	partedCaller                 // the leg that left the caller's place does not hang up
	partedCallee                 // likewise
	repeatRinging                // a reliable provisional response is not acknowledged
	reservedTooLate              // the caller has no resources
	lookingOut                   // it is time to see whether the callee sends
	toneOver                     // a party has heard long enough why its call ends
	giveUp                       // what an ended call waits for does not come
	timers
)

func repeatTimer(s relay.Side) timer { return repeatCaller + timer(s) }

// Events: what happens to a call. Results of effects are events too.
type event interface{ event() }

type (
	// invited begins the call.
	invited struct {
		tx        txn
		msg       *sip.Message
		addr      netip.AddrPort
		remote    *sip.Remote
		transport sip.Transport
		peer      *peer.Known
		dress     interop.Leg
		snapshot  *snapshot.Snapshot
		suspended route.Health
		recall    func(elin string) (caller string)
		full      bool       // the node carries as many calls as it may
		limit     *peer.Full // the caller's peer has as many as it may
	}
	// opened answers open.
	opened struct {
		rtp, rtcp [2]netip.AddrPort
		print     sdp.Fingerprint // of the certificate for handshakes
		err       error
	}
	// faxOpened answers openFax.
	faxOpened struct {
		asked openFax
		at    [2]netip.AddrPort
		err   error
	}
	// begun answers begin.
	begun struct{ err error }
	// resolved answers resolve.
	resolved struct {
		peer  *peer.Known
		dress interop.Leg
		hops  []sip.Target
		down  bool // it does not answer OPTIONS
		full  *peer.Full
		err   error
	}
	// responded is a response to a request of ours.
	responded struct {
		id  int
		msg *sip.Message
	}
	// failed tells that a request of ours will have no final response.
	failed struct {
		id  int
		err error
	}
	// requested is a request inside a dialog.
	requested struct {
		leg relay.Side
		tx  txn
		msg *sip.Message
		own bool // a REFER: what it wants to be replaced is a leg of another call of ours
	}
	// acked is the ACK to a 2xx.
	acked struct {
		leg relay.Side
		msg *sip.Message
	}
	// cancelled tells that the sender of an INVITE gave it up.
	cancelled struct {
		tx  txn
		msg *sip.Message
	}
	// unreachable tells that our responses do not reach the sender.
	unreachable struct {
		tx  txn
		err error
	}
	// heard answers listen: who has been silent for longer, and how long.
	heard struct {
		leg    relay.Side
		silent time.Duration
	}
	// digit is a DTMF digit that a leg has sent, in whatever form: told when it
	// ended.
	digit struct {
		leg      relay.Side
		digit    byte // 0-9, *, #, A-D
		duration time.Duration
	}
	// counted answers count.
	counted struct {
		leg     relay.Side
		packets uint64
	}
	// unplayed tells that what was to be played, or sent, to a leg cannot be.
	unplayed struct {
		leg relay.Side
		err error
	}
	// unplugged tells that the relay refused what it was set to.
	unplugged struct{ err error }
	// expired tells that a timer ran out.
	expired struct{ timer timer }
	// hangup ends the call from outside.
	hangup struct{ cause cause }
)

func (invited) event()     {}
func (opened) event()      {}
func (faxOpened) event()   {}
func (begun) event()       {}
func (resolved) event()    {}
func (responded) event()   {}
func (failed) event()      {}
func (requested) event()   {}
func (acked) event()       {}
func (cancelled) event()   {}
func (unreachable) event() {}
func (heard) event()       {}
func (digit) event()       {}
func (counted) event()     {}
func (unplayed) event()    {}
func (unplugged) event()   {}
func (expired) event()     {}
func (hangup) event()      {}

// Effects: what a call wants done, in order.
type effect interface{ effect() }

type (
	// respond answers a request.
	respond struct {
		tx  txn
		msg *sip.Message
	}
	// settled tells that a 2xx to INVITE will not be repeated any more.
	settled struct{ tx txn }
	// open takes the ports of the two sides.
	open struct{ caller, callee record.Side }
	// begin makes the record durable.
	begin struct{ record record.Call }
	// answered and ended write it on.
	answered struct{ record record.Call }
	ended    struct{ record record.Call }
	// scored writes down how it has sounded until now.
	scored struct{ record record.Call }
	// resolve looks up a target, and counts the call there if its limits allow
	// that, or must. beside: the target is to take the place of a leg that
	// stays until it has.
	resolve struct {
		peer   string
		must   bool
		beside bool
	}
	// invite sends the INVITE of an attempt, and makes its dialog known as one of
	// that side.
	invite struct {
		id  int
		leg relay.Side
		msg *sip.Message
		key dialogKey
		to  sip.Target
		who *vouch
	}
	// cancel gives an INVITE of ours up.
	cancel struct {
		id     int
		reason string
	}
	// locate sets where the requests of a leg's dialog go: to hop, if the peer
	// may be there, else where the dialog came from or went to.
	locate struct {
		leg relay.Side
		hop sip.URI
		id  int // callee: the attempt that made the dialog
	}
	// send sends a request inside a leg's dialog.
	send struct {
		id  int
		leg relay.Side
		msg *sip.Message
	}
	// sendDirect sends a request, or with id 0 an ACK, to where the attempt
	// went.
	sendDirect struct {
		id      int
		attempt int
		msg     *sip.Message
	}
	// ack sends an ACK inside a leg's dialog.
	ack struct {
		leg relay.Side
		msg *sip.Message
	}
	// openFax takes the ports for T.38, which a leg has asked for.
	openFax struct {
		leg relay.Side
		tx  txn
		msg *sip.Message
	}
	// plug sets what the relay does for a side.
	plug struct {
		leg  relay.Side
		what relay.Negotiated
	}
	// play lets a leg hear something of ours instead of the other leg, until
	// stop or the next play.
	play struct {
		leg  relay.Side
		what relay.Source
	}
	// stop lets it hear the other leg again.
	stop struct{ leg relay.Side }
	// sendDigit sends a leg a DTMF digit in the form it takes them, as event or
	// tone; one after the other.
	sendDigit struct {
		leg      relay.Side
		digit    byte
		duration time.Duration
	}
	// count asks how many packets a leg has sent.
	count struct{ leg relay.Side }
	// also makes another dialog of the caller's INVITE known.
	also struct{ key dialogKey }
	// listen asks the relay who has been silent.
	listen struct{}
	// unplug gives the ports back.
	unplug struct{}
	// arm sets a timer, or with 0 stops it.
	arm struct {
		timer timer
		after time.Duration
	}
	// report feeds a peer's circuit breaker.
	report struct {
		peer    string
		outcome peer.Outcome
	}
	// limited counts a call that a peer's limits kept from it.
	limited struct {
		peer string
		full *peer.Full
	}
	// part puts the leg of a side aside for another: one that we called, or,
	// with tx, one whose INVITE came in.
	part struct {
		leg relay.Side
		tx  txn
		key dialogKey
	}
	// sendAside sends a request, or with id 0 an ACK, inside the dialog of the
	// leg that is aside.
	sendAside struct {
		id  int
		leg relay.Side
		msg *sip.Message
	}
	// farewell forgets the leg that is aside.
	farewell struct {
		leg relay.Side
		key dialogKey
	}
	// forgo uncounts the call at the peer that a transfer has tried.
	forgo struct{}
	// remember keeps who has called the emergency service by an ELIN.
	remember struct{ elin, caller string }
	// note puts a decision into the trace.
	note struct{ text string }
)

func (respond) effect()    {}
func (settled) effect()    {}
func (open) effect()       {}
func (begin) effect()      {}
func (answered) effect()   {}
func (ended) effect()      {}
func (scored) effect()     {}
func (resolve) effect()    {}
func (invite) effect()     {}
func (cancel) effect()     {}
func (locate) effect()     {}
func (send) effect()       {}
func (sendDirect) effect() {}
func (ack) effect()        {}
func (openFax) effect()    {}
func (plug) effect()       {}
func (play) effect()       {}
func (stop) effect()       {}
func (sendDigit) effect()  {}
func (count) effect()      {}
func (also) effect()       {}
func (listen) effect()     {}
func (unplug) effect()     {}
func (arm) effect()        {}
func (report) effect()     {}
func (limited) effect()    {}
func (part) effect()       {}
func (sendAside) effect()  {}
func (farewell) effect()   {}
func (forgo) effect()      {}
func (remember) effect()   {}
func (note) effect()       {}

func (s *state) do(e effect) { s.out = append(s.out, e) }

func (s *state) caller() *leg { return &s.legs[relay.Caller] }
func (s *state) callee() *leg { return &s.legs[relay.Callee] }

// token is n random bytes as text, for tags and Call-IDs.
func (s *state) token(n int) string {
	b := make([]byte, n)
	_, _ = s.random.Read(b) // never fails
	return tokens.EncodeToString(b)
}

var tokens = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID names a call: 48 bits of time, so that names sort, and 80 of chance,
// so that no two nodes make the same.
func newID(at time.Time, random *rand.ChaCha8) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16)
	_, _ = random.Read(b[6:])
	return sortable.EncodeToString(b[:])
}

// sortable is Crockford's alphabet: its order is that of the bytes.
var sortable = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// random gives a number in [0, n).
func (s *state) pick(n int) int { return int(s.random.Uint64() % uint64(n)) }

// newRequest remembers a request of ours.
func (s *state) newRequest(kind requestKind, leg relay.Side) *request {
	s.lastID++
	r := &request{id: s.lastID, kind: kind, leg: leg}
	s.requests = append(s.requests, r)
	return r
}
