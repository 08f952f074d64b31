package ua

import "github.com/tandemgw/tandem/wire/sip"

// Options are the facts of an OPTIONS request, or of our answer to one.
type Options struct {
	URI      string // Request-URI; request only
	From, To string // name-addr without tag; request only
	Tag      string // From tag; request only
	CallID   string // request only

	Contact   string // name-addr; with the FQDN where the far side wants one
	Allow     string
	Accept    string
	Supported string
}

// NewOptions makes an OPTIONS request outside of any dialog (RFC 3261 11.1).
func NewOptions(o Options) *sip.Message {
	m := sip.NewRequest("OPTIONS", o.URI)
	m.Add("From", withTag(o.From, o.Tag))
	m.Add("To", o.To)
	m.Add("Call-ID", o.CallID)
	m.Add("CSeq", "1 OPTIONS")
	o.capabilities(m)
	return m
}

// AnswerOptions answers an OPTIONS request with 200 (RFC 3261 11.2).
func AnswerOptions(req *sip.Message, localTag string, o Options) *sip.Message {
	m := sip.NewResponse(req, 200, "")
	m.TagTo(localTag)
	o.capabilities(m)
	return m
}

func (o Options) capabilities(m *sip.Message) {
	for _, h := range [...]struct{ name, value string }{
		{"Contact", o.Contact}, {"Allow", o.Allow}, {"Accept", o.Accept}, {"Supported", o.Supported},
	} {
		if h.value != "" {
			m.Set(h.name, h.value)
		}
	}
}
