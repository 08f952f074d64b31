package ua

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// maxReference bounds Refer-To and Referred-By: Microsoft speaks of 400
// characters, and its replacement URIs alone are longer (Microsoft Teams docs,
// "Direct Routing - SIP protocol").
const maxReference = 4 << 10

// Refer is what a REFER asks for (RFC 3515).
type Refer struct {
	// Target is the URI of Refer-To byte for byte, less the headers it asks for
	// and less nothing else: what it means is its maker's affair.
	Target string
	URI    sip.URI
	// Replaces is the dialog that the INVITE to the target shall take over, out
	// of the headers of Refer-To (RFC 5589 section 7); nil: none.
	Replaces *Replaces
	By       string // Referred-By byte for byte (RFC 3892); "" when there is none
	Silent   bool   // it wants no NOTIFY (RFC 4488)
	ID       uint32 // names the subscription: its CSeq (RFC 3515 2.4.6)
}

// ReferOf reads a REFER. The error is a *sip.ParseError whose Status is to be
// answered.
func ReferOf(m *sip.Message) (Refer, error) {
	bad := func(header, why string, status int) (Refer, error) {
		return Refer{}, &sip.ParseError{Header: header, Msg: why, Status: status}
	}
	to, ok := sole(m, "Refer-To")
	if !ok { // RFC 3515 2.4.2: exactly one
		return bad("Refer-To", "a REFER has one Refer-To", 400)
	}
	if len(to) > maxReference || len(m.Get("Referred-By")) > maxReference {
		return bad("Refer-To", "too long", 413)
	}
	a, err := sip.ParseAddress(to)
	if err != nil {
		return bad("Refer-To", err.Error(), 400)
	}
	seq, err := m.CSeq()
	if err != nil {
		return Refer{}, err
	}
	r := Refer{Target: reference(to), URI: a.URI, By: m.Get("Referred-By"), ID: seq.Seq}
	r.Silent = strings.EqualFold(strings.TrimSpace(m.Get("Refer-Sub")), "false")
	if a.URI.Scheme != "sip" && a.URI.Scheme != "sips" && a.URI.Scheme != "tel" {
		return bad("Refer-To", "a call cannot be placed to a "+a.URI.Scheme+" URI", 416)
	}
	if method, ok := a.URI.Params.Get("method"); ok && method != "INVITE" {
		return bad("Refer-To", "nothing but a call can be asked for", 403)
	}
	if v, ok := a.URI.Header("Replaces"); ok {
		rep, err := ParseReplaces(v)
		if err != nil {
			return bad("Refer-To", err.Error(), 400)
		}
		r.Replaces = &rep
	}
	return r, nil
}

// sole is the value of a header that stands once.
func sole(m *sip.Message, name string) (string, bool) {
	n, value := 0, ""
	for v := range m.Values(name) {
		n, value = n+1, v
	}
	return value, n == 1
}

// reference is the URI of a Refer-To as it stands there, without its headers.
func reference(value string) string {
	uri := afterName(strings.TrimSpace(value))
	if open := strings.IndexByte(uri, '<'); open >= 0 { // ParseAddress has found it closed
		uri = uri[open+1:]
		uri = uri[:strings.IndexByte(uri, '>')]
	} else if end := strings.IndexByte(uri, ';'); end >= 0 { // RFC 3261 20: its parameters are the header's
		uri = uri[:end]
	}
	uri, _, _ = strings.Cut(uri, "?")
	return uri
}

// afterName drops a display name in quotes, in which brackets may stand.
func afterName(s string) string {
	if s == "" || s[0] != '"' {
		return s
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[i+1:]
		}
	}
	return s
}

// Replaces names a dialog that an INVITE takes over (RFC 3891). The tags are
// as its receiver sees them: To is the receiver's own.
type Replaces struct {
	CallID, To, From string
	EarlyOnly        bool // only while it has no answer
}

// ID is the dialog as its receiver knows it.
func (r Replaces) ID() ID { return ID{r.CallID, r.To, r.From} }

// String is the header value.
func (r Replaces) String() string {
	s := r.CallID + ";to-tag=" + r.To + ";from-tag=" + r.From
	if r.EarlyOnly {
		s += ";early-only"
	}
	return s
}

// ReplacesOf reads the Replaces of an INVITE; nil when it has none. The error
// is a *sip.ParseError whose Status is to be answered.
func ReplacesOf(m *sip.Message) (*Replaces, error) {
	if !m.Has("Replaces") {
		return nil, nil
	}
	v, ok := sole(m, "Replaces")
	if !ok { // RFC 3891 section 3
		return nil, &sip.ParseError{Header: "Replaces", Msg: "more than one dialog to be replaced", Status: 400}
	}
	r, err := ParseReplaces(v)
	if err != nil {
		return nil, &sip.ParseError{Header: "Replaces", Msg: err.Error(), Status: 400}
	}
	return &r, nil
}

// ParseReplaces reads the value of Replaces (RFC 3891 6.1).
func ParseReplaces(v string) (Replaces, error) {
	id, rest, _ := strings.Cut(v, ";")
	r := Replaces{CallID: strings.TrimSpace(id)}
	if r.CallID == "" || len(v) > maxReference || strings.ContainsAny(r.CallID, " \t\",<>\r\n") {
		return Replaces{}, fmt.Errorf("no Call-ID in %.80q", v)
	}
	var to, from bool
	for param := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(param, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			if to {
				return Replaces{}, fmt.Errorf("two to-tags in %.80q", v)
			}
			r.To, to = value, true
		case "from-tag":
			if from {
				return Replaces{}, fmt.Errorf("two from-tags in %.80q", v)
			}
			r.From, from = value, true
		case "early-only":
			r.EarlyOnly = true
		}
	}
	if r.To == "" || r.From == "" || strings.ContainsAny(r.To+r.From, " \t\",<>\r\n") {
		return Replaces{}, fmt.Errorf("both tags are needed in %.80q", v)
	}
	if r.From == "0" { // RFC 3891 section 3: stands for a peer of RFC 2543 without a tag
		r.From = ""
	}
	return r, nil
}

// Notify completes a NOTIFY of the subscription that a REFER has made
// (RFC 3515 2.4.4 to 2.4.6): how far the call to the target is. A final status
// ends the subscription.
func (r Refer) Notify(m *sip.Message, status int, lasts time.Duration) {
	// The id is due from a dialog's second REFER on, and allowed in the first.
	m.Set("Event", "refer;id="+strconv.FormatUint(uint64(r.ID), 10))
	if status < 200 {
		m.Set("Subscription-State", "active;expires="+strconv.Itoa(int(lasts/time.Second)))
	} else {
		m.Set("Subscription-State", "terminated;reason=noresource")
	}
	line := sip.NewResponse(m, status, "")
	m.SetBody("message/sipfrag;version=2.0", fmt.Appendf(nil, "SIP/2.0 %d %s", line.Status, line.Reason))
}
