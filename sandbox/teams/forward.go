package teams

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// onward places the call of a user who forwards, or whose second telephone is a
// number outside: with the history, who caused it, and why (RFC 7044, RFC 3892,
// RFC 4458), as ForwardCallHistory has it.
func (s *System) onward(c *phone.Call, number string, forwarded bool, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	f, user := c.Brief(), c.Number()
	spec := phone.CallSpec{From: f.From, To: number}
	s.reach(c, &spec)
	if r := s.referralOf(c); r != nil {
		// The call of a transfer has no history (Microsoft Teams docs, History-Info).
		spec.Headers = []phone.Header{{Name: "P-Asserted-Identity", Value: "<tel:" + r.Old().Number() + ">"}}
		return s.dial(spec, watch)
	}
	cause := cmp.Or(c.Does().Cause, 302)
	if forwarded {
		spec.Params = ";cause=" + strconv.Itoa(cause)
	}
	spec.Headers = []phone.Header{
		{Name: "History-Info", Value: s.history(user, number, cause)},
		{Name: "Referred-By", Value: "<sip:" + user + "@" + s.proxyHost() + ";user=phone>"},
		{Name: "P-Asserted-Identity", Value: "<tel:" + user + ">"},
	}
	return s.dial(spec, watch)
}

func (s *System) history(user, number string, cause int) string {
	text := map[int]string{302: "Moved temporarily", 408: "Request timeout", 486: "Busy here"}[cause]
	reason := strings.ReplaceAll(url.QueryEscape(fmt.Sprintf(`SIP;cause=%d;text="%s"`, cause, text)), "+", "%20")
	return "<sip:" + user + "@" + s.proxyHost() + ";user=phone?Reason=" + reason + ">;index=1," +
		"<sip:" + number + "@" + s.proxyHost() + ";user=phone>;index=1.1"
}

// referralOf is the REFER that a call came by; nil when it came by itself.
func (s *System) referralOf(c *phone.Call) *referral {
	for _, r := range s.open() {
		if r.Call() == c {
			return r
		}
	}
	return nil
}
