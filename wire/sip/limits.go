package sip

import "cmp"

// Limits bound what one message may cost. A zero field means its default.
type Limits struct {
	Message int // bytes, start line to end of body; default 64 KiB
	Headers int // header lines; default 256
	Line    int // bytes of the start line, or of one header with its folds; default 16 KiB
	Body    int // bytes of body; default 64 KiB
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Message: cmp.Or(l.Message, 64<<10),
		Headers: cmp.Or(l.Headers, 256),
		Line:    cmp.Or(l.Line, 16<<10),
		Body:    cmp.Or(l.Body, 64<<10),
	}
}

// published are the sizes in bytes that the communications gateway of Azure
// documented as the most it carried. They warn and do not bind: a REFER of
// Teams or an INVITE with a location body comes near the first.
const (
	publishedMessage    = 10 << 10
	publishedURI        = 256 // Request-URI, Contact URI, each user part
	publishedFromHost   = 255
	publishedHeaderName = 32
	publishedOptionList = 256 // Supported, Require, Proxy-Require
	publishedOptionTag  = 32
)

// Oversize names the first published size of the service that m exceeds, ""
// when none. Such messages are carried; the far side may be less patient.
func (m *Message) Oversize() string {
	switch {
	case m.size() > publishedMessage:
		return "message above 10 KB"
	case len(m.RequestURI) > publishedURI:
		return "Request-URI above 256 bytes"
	}
	for i := range m.headers {
		h := &m.headers[i]
		if h.nameEnd > publishedHeaderName {
			return "header name above 32 bytes"
		}
		if what := h.oversize(); what != "" {
			return what
		}
	}
	return ""
}

func (h *header) oversize() string {
	switch h.id {
	case hdrSupported, hdrRequire, hdrProxyRequire:
		return h.oversizeOptions()
	case hdrContact, hdrFrom:
		// A short header holds no long address; reading each would cost.
		if len(h.wire()) > publishedFromHost {
			return h.oversizeAddress()
		}
	}
	return ""
}

func (h *header) oversizeOptions() string {
	if len(h.wire()) > publishedOptionList {
		return headerNames[h.id] + " above 256 bytes"
	}
	for tag := range List(h.wire()) {
		if len(tag) > publishedOptionTag {
			return "option tag above 32 bytes"
		}
	}
	return ""
}

func (h *header) oversizeAddress() string {
	text := h.text()
	a, err := ParseAddress(text[:itemEnd(text)])
	switch {
	case err != nil:
	case h.id == hdrContact && len(a.URI.String()) > publishedURI:
		return "Contact URI above 256 bytes"
	case h.id == hdrFrom && len(a.URI.User) > publishedURI:
		return "user part of From above 256 bytes"
	case h.id == hdrFrom && len(a.URI.Host) > publishedFromHost:
		return "domain of From above 255 bytes"
	}
	return ""
}
