package carrier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
)

var errNoSite = errors.New("no such site")

// Everything lists the methods of a core that has them all, for Config.Methods.
var Everything = []string{"PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"}

// Holds are the forms in which cores put a caller on hold, by name. "music" goes
// on sending, as a core with a media server does.
func Holds() map[string]phone.HoldForm {
	return map[string]phone.HoldForm{
		"sendonly": {Direction: sdp.SendOnly},
		"recvonly": {Direction: sdp.RecvOnly},
		"inactive": {Direction: sdp.Inactive},
		"0.0.0.0":  {Direction: sdp.SendRecv, Null: true},
		"music":    {Direction: sdp.SendOnly, Music: Music()},
	}
}

// Music is what a media server plays.
func Music() []int16 { return audio.Tones(0x11d, 5*audio.MaxDelay) }

// Transfer refers the far side of a subscriber's call to a number (RFC 3515).
func (c *Core) Transfer(ctx context.Context, call *phone.Call, number string) (*phone.Transfer, error) {
	uri, err := c.beyond(call, number)
	if err != nil {
		return nil, err
	}
	return call.Refer(ctx, phone.Referral{To: "<" + uri + ">", By: c.self(call)})
}

// TransferTo refers the far side of one call to that of another one of the same
// subscriber, which it is to replace (RFC 5589 section 7). Both calls end when
// it has succeeded.
func (c *Core) TransferTo(ctx context.Context, call, consultation *phone.Call) (*phone.Transfer, error) {
	id, theirs, ours, err := consultation.Peers(ctx)
	if err != nil {
		return nil, err
	}
	f := consultation.Brief()
	number := f.From
	if f.Outbound {
		number = f.To
	}
	uri, err := c.beyond(call, number)
	if err != nil {
		return nil, err
	}
	c.Go(func(ctx context.Context) { c.left(ctx, call, consultation) })
	replaces := url.QueryEscape(id + ";to-tag=" + theirs + ";from-tag=" + ours)
	return call.Refer(ctx, phone.Referral{To: "<" + uri + "?Replaces=" + replaces + ">", By: c.self(call)})
}

// left waits for the end of a consultation whose place was to be taken.
func (c *Core) left(ctx context.Context, call, consultation *phone.Call) {
	select {
	case <-consultation.Done():
		return
	case <-call.Done():
	case <-ctx.Done():
		return
	}
	select {
	case <-consultation.Done():
	case <-time.After(leftFor):
		c.Violate("replaces-left", consultation.Brief().ID, "a call that was replaced is still up %v after its transfer (RFC 3891 section 3)", leftFor)
		consultation.HangUp()
	case <-ctx.Done():
	}
}

// leftFor is how long a call that was replaced may stay.
const leftFor = 2 * time.Second

// beyond is a number by way of the gateway.
func (c *Core) beyond(call *phone.Call, number string) (string, error) {
	g := c.Gate(call.Brief().Gate)
	if g == nil {
		return "", fmt.Errorf("call of %s: %w", number, errNoSite)
	}
	for _, s := range c.cfg.Sites {
		if s.Name == g.Name {
			return "sip:" + number + "@" + cmp.Or(s.Near, c.cfg.Regions[0]) + ";user=phone", nil
		}
	}
	return "", errNoSite
}

func (c *Core) self(call *phone.Call) string {
	return "<sip:" + call.Number() + "@" + net.JoinHostPort(c.cfg.Domain, "5060") + ">"
}

// Diversion is the header of a call that a number forwarded (RFC 5806); reason is
// "unconditional", "user-busy", "no-answer".
func (c *Core) Diversion(number, reason string) phone.Header {
	return phone.Header{Name: "Diversion", Value: "<sip:" + number + "@" + c.cfg.Domain + ";user=phone>;reason=" + reason + ";counter=1;privacy=off"}
}

// RingOn is P-Early-Media of an 18x, for Behaviour.Headers: what the far side may
// open of the early media ("sendrecv", "sendonly", "inactive").
func RingOn(gate string) phone.Header {
	return phone.Header{Name: "P-Early-Media", Value: strings.ToLower(gate)}
}
