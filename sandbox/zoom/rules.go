package zoom

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// judge holds a request against the rules. All breaches are noted, the first one
// that forbids handling decides.
func (s *System) judge(_ *phone.Gate, req *sip.Message, _ sip.Source) *phone.Refusal {
	id, _ := req.CallID()
	var refusal *phone.Refusal
	note := func(rule string, r *phone.Refusal, format string, a ...any) {
		s.Violate(rule, id, "%s %s: %s", req.Method, req.RequestURI, fmt.Sprintf(format, a...))
		if refusal == nil {
			refusal = r
		}
	}
	s.hide(req, note)
	if !slices.Contains(slices.Collect(sip.List(allow)), req.Method) {
		note("method", &phone.Refusal{Status: 405}, "not in our Allow")
	}
	if req.Method != "INVITE" {
		return refusal
	}
	if to, err := req.To(); err == nil && to.Tag() == "" {
		identified(req, note)
	}
	described(req, note)
	return refusal
}

type noting func(rule string, r *phone.Refusal, format string, a ...any)

// hide notes what is of another side.
func (s *System) hide(m *sip.Message, note noting) {
	text := strings.ToLower(string(m.Append(nil)))
	for _, h := range append([]string{"x-ms-"}, s.cfg.Hidden...) {
		if strings.Contains(text, strings.ToLower(h)) {
			note("topology", nil, "shows %q", h)
		}
	}
}

// identified: E.164 numbers, and who calls in P-Asserted-Identity.
func identified(req *sip.Message, note noting) {
	if uri, err := sip.ParseURI(req.RequestURI); err != nil || !e164(uri.User) {
		note("called-e164", nil, "the called number is not + and digits")
	}
	all, err := req.Addresses("P-Asserted-Identity")
	switch {
	case err == nil && len(all) == 0 && strings.Contains(req.Get("Privacy"), "id"): // RFC 3325 section 7: withheld from who is not trusted
	case err != nil || len(all) == 0:
		note("identity", &phone.Refusal{Status: 403}, "no P-Asserted-Identity")
	case !slices.ContainsFunc(all, func(a sip.Address) bool { return e164(a.URI.User) }):
		note("identity", &phone.Refusal{Status: 403}, "P-Asserted-Identity is not + and digits")
	}
	for _, h := range []string{"Diversion", "Remote-Party-ID", "P-Preferred-Identity"} {
		if req.Has(h) {
			note("identity", nil, "%s, which P-Asserted-Identity replaces", h)
		}
	}
	if req.HasToken("Require", "100rel") {
		note("require", &phone.Refusal{Status: 420}, "Require: 100rel")
	}
}

func e164(user string) bool {
	digits, plus := strings.CutPrefix(user, "+")
	return plus && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// described: an offer is there, keyed, in packets of 20 ms, of formats we have.
func described(req *sip.Message, note noting) {
	wrong := &phone.Refusal{Status: 488}
	if len(req.Body) == 0 {
		note("late-offer", wrong, "INVITE without SDP")
		return
	}
	d, err := sdp.Parse(req.Body)
	if err != nil {
		note("sdp", wrong, "%v", err)
		return
	}
	m := d.Carried()
	if m == nil {
		note("sdp", wrong, "no audio")
		return
	}
	if !m.Secure() || len(m.Crypto) == 0 {
		note("srtp", wrong, "no key in a section %s", m.Proto)
	}
	judgeMedia(m, note)
}

// judgeMedia: 20 ms, and formats of the list.
func judgeMedia(m *sdp.Media, note noting) {
	if m.Ptime != 0 && m.Ptime != 20*time.Millisecond {
		note("ptime", &phone.Refusal{Status: 488}, "packets of %v", m.Ptime)
	}
	for _, c := range m.Codecs {
		if !slices.ContainsFunc([]string{"opus", "G722", "PCMU", "PCMA", "telephone-event", "CN"}, func(n string) bool { return strings.EqualFold(n, c.Name) }) {
			note("codec", nil, "format %s", c.Name)
		}
	}
}

// response notes what is wrong with the gateway's response.
func (s *System) response(_ *phone.Call, resp *sip.Message) *sip.Message {
	id, _ := resp.CallID()
	note := func(rule string, _ *phone.Refusal, format string, a ...any) {
		s.Violate(rule, id, "%d %s: %s", resp.Status, resp.Reason, fmt.Sprintf(format, a...))
	}
	s.hide(resp, note)
	cseq, err := resp.CSeq()
	if err != nil || cseq.Method != "INVITE" {
		return resp
	}
	described := len(resp.Body) > 0
	switch {
	case resp.Status == 180 && described:
		note("ringing", nil, "a description in 180")
	case resp.Status == 183 && !described:
		note("ringing", nil, "no description in 183")
	case resp.Status >= 300 && resp.Status < 400:
		note("redirect", nil, "Zoom follows no redirection")
	}
	if resp.Status >= 300 || !described {
		return resp
	}
	if d, err := sdp.Parse(resp.Body); err == nil && d.Carried() != nil {
		if m := d.Carried(); len(m.Crypto) != 1 {
			note("crypto", nil, "%d crypto lines in the answer (RFC 4568 section 5.1.2)", len(m.Crypto))
		}
		judgeMedia(d.Carried(), note)
	}
	return resp
}

func reason(_ int, err error) string {
	switch {
	case errors.Is(err, phone.ErrNoCrypto), errors.Is(err, phone.ErrNoCodec):
		return sip.Reason{Protocol: "Q.850", Cause: 88, Text: "Incompatible destination"}.String()
	}
	return ""
}

// The documents that the rules are from.
const (
	peering  = "Azure Communications Gateway docs, interoperability with Zoom Phone Cloud Peering"
	premises = "Zoom support, KB0073073 (premises peering)"
)

// Sources says where the rules of Zoom stand; those of every far side are in
// package phone.
var Sources = map[string]string{
	"called-e164": peering,
	"codec":       peering,
	"crypto":      "RFC 4568 section 5.1.2",
	"identity":    peering,
	"late-offer":  premises + ": early offer is mandatory",
	"ptime":       peering,
	"redirect":    peering,
	"require":     premises,
	"ringing":     peering,
	"sdp":         "RFC 8866",
	"srtp":        peering,
	"topology":    "RFC 5853 section 3.1",
}
