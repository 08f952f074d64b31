package sip

import "strconv"

// Reason is one value of the Reason header (RFC 3326).
type Reason struct {
	Protocol string // "Q.850" or "SIP"
	Cause    int    // 0: not given
	Text     string
}

// ParseReason reads one value.
func ParseReason(s string) (Reason, error) {
	s = trim(s)
	n := clsToken.span(s)
	if n == 0 {
		return Reason{}, refuse("Reason", 0, "no protocol")
	}
	params, e := parseParams(s[n:])
	if e != nil {
		e.Header = "Reason"
		return Reason{}, e.shift(n)
	}
	r := Reason{Protocol: s[:n]}
	if cause, ok := params.Get("cause"); ok {
		v, digits, ok := parseDigits(cause, 999)
		if !ok || digits != len(cause) {
			return Reason{}, refuse("Reason", n, "malformed cause")
		}
		r.Cause = int(v)
	}
	r.Text, _ = params.Get("text")
	return r, nil
}

// String writes the value.
func (r Reason) String() string {
	s := cleanToken(r.Protocol)
	if r.Cause != 0 {
		s += ";cause=" + strconv.Itoa(r.Cause)
	}
	if r.Text != "" {
		s += ";text=" + Quote(r.Text)
	}
	return s
}

// Reasons reads the Reason headers; malformed ones are left out, since a
// reason is told and never acted upon.
func (m *Message) Reasons() []Reason {
	var all []Reason
	for item := range m.List("Reason") {
		if r, err := ParseReason(item); err == nil {
			all = append(all, r)
		}
	}
	return all
}

// StatusText is the standard reason phrase of a status, the phrase of its
// class when it is not registered.
func StatusText(status int) string {
	if s := phrases[status]; s != "" {
		return s
	}
	return phrases[status/100*100]
}

// phrases of the IANA registry of SIP response codes.
var phrases = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
	199: "Early Dialog Terminated",
	200: "OK", 202: "Accepted", 204: "No Notification",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
	380: "Alternative Service",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
	408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large",
	414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
	417: "Unknown Resource-Priority", 420: "Bad Extension", 421: "Extension Required",
	422: "Session Interval Too Small", 423: "Interval Too Brief", 424: "Bad Location Information",
	425: "Bad Alert Message", 428: "Use Identity Header", 429: "Provide Referrer Identity", 430: "Flow Failed",
	433: "Anonymity Disallowed", 436: "Bad Identity Info", 437: "Unsupported Credential",
	438: "Invalid Identity Header", 439: "First Hop Lacks Outbound Support", 440: "Max-Breadth Exceeded",
	469: "Bad Info Package", 470: "Consent Needed", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
	488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable",
	494: "Security Agreement Required",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
	555: "Push Notification Service Not Supported", 580: "Precondition Failure",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
	607: "Unwanted", 608: "Rejected",
}
