package interop

import (
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Options writes an OPTIONS of our own, which asks whether the side lives.
// Contact must carry our FQDN where the profile wants one: the cloud finds the
// trunk by it and refuses an address (Microsoft Teams docs, Direct Routing SIP
// protocol).
func Options(to Leg, n Names) *sip.Message {
	o := to.capabilities()
	o.URI = "sip:" + to.Remote + transportParam(to.Transport)
	o.From, o.To = "<sip:"+to.host()+">", "<sip:"+hostOf(to.Remote)+">"
	o.Tag, o.CallID = n.Tag, n.CallID
	m := ua.NewOptions(o)
	if to.Product != "" {
		m.Set("User-Agent", to.Product)
	}
	(&writing{m: m, to: to}).apply(OnOptions)
	return m
}

// AnswerOptions answers an OPTIONS of leg to: 200, with what we can do.
func AnswerOptions(req *sip.Message, tag string, to Leg) *sip.Message {
	m := ua.AnswerOptions(req, tag, to.capabilities())
	if to.Product != "" {
		m.Set("Server", to.Product)
	}
	(&writing{m: m, to: to}).apply(OnOptions)
	return m
}

func (l Leg) capabilities() ua.Options {
	return ua.Options{
		Contact: l.Contact(), Allow: l.Profile.Allow, Accept: "application/sdp", Supported: l.Profile.Supported,
	}
}
