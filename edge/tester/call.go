package tester

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// phone is the telephone that places one test call.
type phone struct {
	cfg    *Config
	callID string
	talk   time.Duration
	r      *record.TestCall // run

	stack  *sip.Stack
	to     sip.Target
	invite *sip.Message
	offer  *sdp.Session
	line   *line
	events chan sip.Event // of the INVITE
	over   chan struct{}  // closed when the far side hangs up
	hungUp sync.Once

	mu     sync.Mutex
	moved  bool       // mu; the far side has offered anew
	dialog *ua.Dialog // mu
}

// call places the call and hangs up. The error says why it could not be tried.
func (p *phone) call(ctx context.Context) error {
	from := snapshot.Cloud
	if p.r.Towards == record.Side(snapshot.Cloud) {
		from = snapshot.Operator
	}
	here, ok := p.cfg.Media(from)
	at := p.cfg.Listener(Name(from))
	if !ok || !at.IsValid() {
		return fmt.Errorf("node %s has no media on the %s side", p.cfg.Node, from)
	}
	var err error
	if p.line, err = open(here); err != nil {
		return fmt.Errorf("open a port for the test's own media: %w", err)
	}
	defer p.line.close()
	if err := p.openStack(at); err != nil {
		return fmt.Errorf("open a port for the test's own signalling: %w", err)
	}
	defer p.stack.Close()
	if err := p.compose(); err != nil {
		return err
	}
	began := time.Now()
	tx, err := p.stack.Request(p.invite, p.to, func(ev sip.Event) { p.events <- ev })
	if err != nil {
		return fmt.Errorf("place the call: %w", err)
	}
	answer := p.await(ctx, tx, began)
	if answer == nil {
		return nil
	}
	return p.converse(ctx, answer)
}

// openStack makes the telephone's end of SIP.
func (p *phone) openStack(at netip.AddrPort) (err error) {
	node := &sip.Remote{Name: p.cfg.Node}
	p.events, p.over = make(chan sip.Event, 64), make(chan struct{})
	p.stack, err = sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "phone", Transport: sip.TCP, Bind: netip.AddrPortFrom(loopback, 0)}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{node} },
		Handle:    p.handle,
		Log:       p.cfg.Log,
	})
	p.to = sip.Target{Listener: "phone", Transport: sip.TCP, Addr: at, Remote: node}
	return err
}

// compose writes the INVITE.
func (p *phone) compose() (err error) {
	p.offer, err = sdp.Propose(sdp.End{
		ID: p.sessionID(), RTP: p.line.rtp, RTCP: p.line.rtcp, Codecs: []string{"PCMA", "PCMU"}, NoEvents: true,
	})
	if err != nil {
		return err
	}
	host := p.to.Addr.String()
	m := sip.NewRequest("INVITE", "sip:"+p.r.To+"@"+host+";user=phone")
	m.Set("From", "<sip:"+p.r.From+"@"+host+";user=phone>;tag="+sip.NewTag())
	m.Set("To", "<sip:"+p.r.To+"@"+host+";user=phone>")
	m.Set("Call-ID", p.callID)
	m.Set("CSeq", "1 INVITE")
	m.Set("Max-Forwards", "70")
	m.Set("Contact", p.contact())
	m.Set("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE")
	m.SetBody("application/sdp", p.offer.Bytes())
	p.invite = m
	return nil
}

// sessionID is that of our descriptions.
func (p *phone) sessionID() uint64 { return uint64(p.r.Began.UnixNano()) >> 2 }

func (p *phone) contact() string {
	return "<sip:test@" + p.stack.Addr("phone").String() + ";transport=tcp>"
}

// await waits for the answer; nil when there is none, and the call is over.
func (p *phone) await(ctx context.Context, tx *sip.ClientTx, began time.Time) *sip.Message {
	tooLong := time.NewTimer(patience)
	defer tooLong.Stop()
	cancelled := false
	give := func() {
		if !cancelled {
			cancelled = true
			tx.Cancel("")
			tooLong.Reset(3 * time.Second)
		}
	}
	done := ctx.Done()
	for {
		select {
		case ev := <-p.events:
			switch {
			case ev.Err != nil:
				return nil
			case ev.Msg.Status < 200:
				if ev.Msg.Status > 100 && p.r.Ring == 0 {
					p.r.Ring = time.Since(began).Round(time.Millisecond)
				}
			case ev.Msg.Status < 300:
				p.r.Status = ev.Msg.Status
				if !cancelled {
					p.r.Answer = time.Since(began).Round(time.Millisecond)
				}
				return ev.Msg
			default:
				if !cancelled {
					p.r.Status = ev.Msg.Status
				}
				return nil
			}
		case <-done:
			done = nil
			give()
		case <-tooLong.C:
			if cancelled {
				return nil // the node does not answer its own CANCEL
			}
			give()
		}
	}
}

// converse acknowledges, sends the tone and listens, and hangs up.
func (p *phone) converse(ctx context.Context, answer *sip.Message) error {
	dialog, err := ua.ClientDialog(p.invite, answer)
	if err != nil {
		return fmt.Errorf("the answer makes no dialog: %w", err)
	}
	p.mu.Lock()
	p.dialog = dialog
	p.mu.Unlock()
	defer p.hangUp()
	ack := dialog.NewAck(p.invite)
	if err := p.stack.Send(ack, p.to); err != nil {
		return fmt.Errorf("acknowledge the answer: %w", err)
	}
	if err := p.begin(answer); err != nil {
		return fmt.Errorf("the answer's description cannot be used: %w", err)
	}
	for {
		select {
		case ev := <-p.events: // the 200 again: the ACK went astray
			if ev.Msg != nil && ev.Msg.Status/100 == 2 {
				_ = p.stack.Send(ack, p.to) // it comes again until this arrives
			}
			continue
		case <-time.After(p.talk):
		case <-p.over:
		case <-ctx.Done():
		}
		break
	}
	heard := p.line.hush()
	p.r.Sent, p.r.Received, p.r.Heard, p.r.Echo = heard.sent, heard.received, heard.sound, heard.echo
	if heard.received == 0 {
		p.r.OneWay = "nothing comes from the far side"
	}
	return nil
}

// begin sends the tone to where an answer says, unless the far side has said
// something newer meanwhile.
func (p *phone) begin(answer *sip.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved {
		return nil
	}
	side, err := p.agree(answer)
	if err == nil {
		p.line.talk(side)
	}
	return err
}

// agree reads the description of an answer.
func (p *phone) agree(answer *sip.Message) (sdp.Side, error) {
	desc, err := sdp.Parse(answer.Body)
	if err != nil {
		return sdp.Side{}, err
	}
	side, err := sdp.Agree(p.offer, desc)
	if err == nil && (side.First == nil || !side.RTP.IsValid()) {
		err = errors.New("it has no voice")
	}
	return side, err
}

// hangUp ends the call, unless the far side has.
func (p *phone) hangUp() {
	select {
	case <-p.over:
		return
	default:
	}
	p.mu.Lock()
	bye := p.dialog.NewRequest("BYE")
	p.mu.Unlock()
	ended := make(chan struct{})
	var once sync.Once
	if _, err := p.stack.Request(bye, p.to, func(ev sip.Event) {
		if ev.Err != nil || ev.Msg.Status >= 200 {
			once.Do(func() { close(ended) })
		}
	}); err != nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
	}
}

// handle answers what the node asks in the course of the call.
func (p *phone) handle(tx *sip.ServerTx) {
	req := tx.Request()
	resp := sip.NewResponse(req, 200, "")
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dialog == nil || ua.IDOf(req) != p.dialog.ID():
		resp = sip.NewResponse(req, 481, "")
	case p.dialog.Accept(req) != nil:
		resp = sip.NewResponse(req, 500, "")
	case req.Method == "BYE":
		p.hungUp.Do(func() { close(p.over) })
	case req.Method == "OPTIONS":
	case req.Method == "INVITE" || req.Method == "UPDATE":
		p.dialog.Refresh(req)
		resp.Set("Contact", p.contact())
		if !p.renegotiate(req, resp) {
			resp = sip.NewResponse(req, 488, "")
		}
	default:
		resp = sip.NewResponse(req, 501, "")
	}
	_ = tx.Respond(resp) // the node repeats what it needs
}

// renegotiate answers the offer of a re-INVITE or an UPDATE: the tone goes to
// where it is wanted now. One without an offer gets ours again.
func (p *phone) renegotiate(req, resp *sip.Message) bool {
	if len(req.Body) == 0 {
		if req.Method == "INVITE" {
			resp.SetBody("application/sdp", p.offer.Bytes())
		}
		return true
	}
	offer, err := sdp.Parse(req.Body)
	if err != nil {
		return false
	}
	end := sdp.End{
		ID: p.sessionID(), RTP: p.line.rtp, RTCP: p.line.rtcp, Codecs: []string{"PCMA", "PCMU"}, NoEvents: true, Sent: p.offer, Received: offer,
	}
	answer, err := sdp.Answer(offer, p.offer, end)
	if err != nil {
		return false
	}
	if side, err := sdp.Agree(answer, offer); err == nil {
		p.line.talk(side)
	}
	p.offer, p.moved = answer, true
	resp.SetBody("application/sdp", answer.Bytes())
	return true
}
