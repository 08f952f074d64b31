package teams

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// broken is what is wrong with a request.
type broken struct {
	rule    string
	message string
	refusal *phone.Refusal // nil: it is handled nevertheless
}

// lost is a request that was sent where nobody is.
var lost = &phone.Refusal{}

// judge holds a request against the rules. All breaches are noted, the first
// one that forbids handling decides.
func (s *System) judge(_ *phone.Gate, req *sip.Message, src sip.Source) *phone.Refusal {
	if req.Method == "INVITE" {
		if no := s.strange(req); no != nil {
			return no
		}
	}
	var refusal *phone.Refusal
	id, _ := req.CallID()
	for _, check := range []func(*sip.Message, *x509.Certificate) []broken{
		s.routed, s.named, s.follows, s.numbered, worded, described,
	} {
		for _, b := range check(req, src.Certificate()) {
			s.Violate(b.rule, id, "%s %s: %s", req.Method, req.RequestURI, b.message)
			if refusal == nil {
				refusal = b.refusal
			}
		}
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

func inDialog(req *sip.Message) bool {
	to, err := req.To()
	return err == nil && to.Tag() != ""
}

// routed: an in-dialog request goes through our Record-Route to our Contact as
// it was; elsewhere nobody is (RFC 3261 section 12.2.1.1, and Microsoft's
// Contact is an API host).
func (s *System) routed(req *sip.Message, _ *x509.Certificate) []broken {
	if !inDialog(req) {
		return nil
	}
	routes, err := req.Addresses("Route")
	if err != nil || len(routes) == 0 || !s.isRoute(routes[0]) {
		return []broken{{"loose-route", "in a dialog, without a Route to the proxy that record-routed", lost}}
	}
	uri, err := sip.ParseURI(req.RequestURI)
	_, inquiry := uri.Params.Get("x-i")
	_, conversation := uri.Params.Get("x-c")
	if err != nil || uri.Host != "api-du-a-euno."+s.cfg.Domain && uri.Host != "api-du-a-usea."+s.cfg.Domain || uri.Port != 443 || !inquiry || !conversation {
		return []broken{{"remote-target", "the Request-URI is not our Contact as we wrote it", lost}}
	}
	return nil
}

// named: the name in Contact (or Record-Route) is the SBC's, is in its
// certificate, and belongs to a tenant.
func (s *System) named(req *sip.Message, cert *x509.Certificate) []broken {
	switch req.Method {
	case "INVITE", "OPTIONS":
	default:
		return nil
	}
	if strings.Contains(req.Get("Contact"), ":@") {
		return []broken{{"contact-user", "an @ in Contact with no user before it", &phone.Refusal{Status: 400}}}
	}
	who, err := sbc(req)
	if err != nil {
		return []broken{{"contact-missing", err.Error(), &phone.Refusal{Status: 403, Reason: quoted(63, err.Error())}}}
	}
	wrong := &phone.Refusal{Status: 403, Reason: quoted(63, "510532;No trunk found: "+who.Host)}
	if _, err := netip.ParseAddr(who.Host); err == nil {
		return []broken{{"contact-ip", "an address instead of an FQDN in Contact: " + who.Host, wrong}}
	}
	var all []broken
	if cert == nil || !covers(cert, who.Host) {
		all = append(all, broken{"contact-fqdn", "Contact names " + who.Host + ", which is not in the certificate of the connection", wrong})
	}
	if who.Scheme != "sip" {
		all = append(all, broken{"sips", "scheme " + who.Scheme + " in Contact", wrong})
	}
	if s.tenant(who.Host) == "" && s.trunks[who.Host] == nil {
		all = append(all, broken{"tenant", "no tenant has registered " + who.Host, wrong})
	}
	return all
}

// sbc is the name an SBC goes by: that of Record-Route, else of Contact.
func sbc(req *sip.Message) (sip.URI, error) {
	if rr, err := req.Addresses("Record-Route"); err == nil && len(rr) > 0 {
		return rr[0].URI, nil
	}
	contact, err := req.Contact()
	if err != nil || contact.URI.Host == "" {
		return sip.URI{}, errors.New("no Contact and no Record-Route")
	}
	contact.URI.Host = strings.ToLower(contact.URI.Host)
	return contact.URI, nil
}

// covers: the name is in the certificate, exactly or by a wildcard for its
// first label (RFC 2818 section 3.1).
func covers(cert *x509.Certificate, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(append([]string{cert.Subject.CommonName}, cert.DNSNames...), func(name string) bool {
		name = strings.ToLower(name)
		return name == host || name == "*."+parent
	})
}

// follows: an INVITE by a REFER of ours copies what we wrote.
func (s *System) follows(req *sip.Message, _ *x509.Certificate) []broken { return s.obeyed(req) }

// numbered: E.164 with + and user=phone.
func (s *System) numbered(req *sip.Message, _ *x509.Certificate) []broken {
	if req.Method != "INVITE" || inDialog(req) {
		return nil
	}
	var all []broken
	uri, err := sip.ParseURI(req.RequestURI)
	if err != nil {
		return []broken{{"request-uri", err.Error(), &phone.Refusal{Status: 400}}}
	}
	if host, in := strings.CutSuffix(strings.ToLower(uri.Host), "."+s.cfg.Domain); !in || !slices.Contains(proxies[:], host) {
		all = append(all, broken{"request-uri", uri.Host + " is not one of our names", &phone.Refusal{Status: 404}})
	}
	if uri.Scheme != "sip" {
		all = append(all, broken{"sips", "scheme " + uri.Scheme, &phone.Refusal{Status: 416}})
	}
	if s.referred(req) != nil {
		return all // whoever Refer-To names, as it names him
	}
	if !e164(uri.User) {
		all = append(all, broken{"called-e164", "the called number is not + and digits", nil})
	}
	if v, _ := uri.Params.Get("user"); v != "phone" {
		all = append(all, broken{"user-phone", "no user=phone in the Request-URI", nil})
	}
	from, err := req.From()
	switch {
	case err != nil:
	case !e164(from.URI.User) && !strings.EqualFold(from.URI.User, "anonymous"):
		all = append(all, broken{"caller-e164", "the calling number in From is not + and digits: " + from.URI.User, nil})
	}
	return all
}

func e164(user string) bool {
	digits, plus := strings.CutPrefix(user, "+")
	return plus && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// worded: methods, extensions and headers.
func worded(req *sip.Message, _ *x509.Certificate) []broken {
	var all []broken
	if !strings.Contains(","+allow+",", ","+req.Method+",") {
		return []broken{{"method", "not in our Allow", &phone.Refusal{Status: 405}}}
	}
	if req.Has("Replaces") {
		all = append(all, broken{"replaces", "Replaces towards Teams", &phone.Refusal{Status: 420, Reason: quoted(127, "560420;Replaces is not supported")}})
	}
	for tag := range req.List("Require") {
		if tag != "timer" {
			all = append(all, broken{"require", "Require: " + tag, &phone.Refusal{Status: 420}})
		}
	}
	if req.Method != "INVITE" && req.Method != "OPTIONS" {
		return all
	}
	for _, h := range []struct{ name, rule string }{{"X-MS-SBC", "x-ms-sbc"}, {"Allow", "allow"}} {
		if !req.Has(h.name) {
			all = append(all, broken{h.rule, "no " + h.name, nil})
		}
	}
	if req.Has("X-MS-TenantID") {
		all = append(all, broken{"echo", "X-MS-TenantID is ours to send", nil})
	}
	return all
}

// described: an offer is there, keyed, and holds only by a=inactive.
func described(req *sip.Message, _ *x509.Certificate) []broken {
	if req.Method != "INVITE" {
		return nil
	}
	refuse := func(rule, message, code string) []broken {
		return []broken{{rule, message, &phone.Refusal{Status: 488, Reason: quoted(88, code)}}}
	}
	if len(req.Body) == 0 {
		return refuse("late-offer", "INVITE without SDP", "531000;No offer in INVITE")
	}
	d, err := sdp.Parse(req.Body)
	if err != nil {
		return refuse("sdp", err.Error(), "531000;The offer cannot be read")
	}
	for i, m := range d.Media {
		switch {
		case m.Kind != "audio":
			return refuse("m-line", fmt.Sprintf("m=%s in section %d", m.Kind, i), "531000;Only audio is accepted")
		case len(m.Crypto) == 0 || !m.Secure():
			return refuse("srtp", "no key in a section "+m.Proto, "531000;SrtpEncryptionRequired")
		case m.Direction == sdp.SendOnly || m.Direction == sdp.RecvOnly:
			return refuse("hold", "a="+m.Direction.String()+", only inactive holds", "531052;Hold is not understood")
		case m.Conn.Null():
			return refuse("hold", "connection address 0.0.0.0", "531052;Black hole address")
		}
	}
	if pt := doubled(string(req.Body)); pt != "" {
		return refuse("payload", "payload number "+pt+" is there twice", "531000;Duplicate payload")
	}
	return nil
}

// doubled finds a payload number that an m-line lists twice, or that has two
// meanings. It reads the text: whoever reads descriptions kindly overlooks it.
func doubled(body string) string {
	var formats, maps []string
	for line := range strings.Lines(body) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "m="):
			maps = nil
			formats = strings.Fields(line)[min(3, len(strings.Fields(line))):]
			for i, pt := range formats {
				if slices.Contains(formats[:i], pt) {
					return pt
				}
			}
		case strings.HasPrefix(line, "a=rtpmap:"):
			pt, _, _ := strings.Cut(strings.TrimPrefix(line, "a=rtpmap:"), " ")
			if slices.Contains(maps, pt) {
				return pt
			}
			maps = append(maps, pt)
		}
	}
	return ""
}

// response notes what is wrong with an SBC's response and takes our own
// Record-Route off, which was for the other side.
func (s *System) response(c *phone.Call, resp *sip.Message) *sip.Message {
	id, _ := resp.CallID()
	note := func(rule, format string, a ...any) {
		s.Violate(rule, id, "%d %s: %s", resp.Status, resp.Reason, fmt.Sprintf(format, a...))
	}
	cseq, err := resp.CSeq()
	if err != nil || cseq.Method != "INVITE" || resp.Status <= 100 {
		return resp
	}
	if !resp.Has("X-MS-SBC") {
		note("x-ms-sbc", "no X-MS-SBC")
	}
	if resp.Status >= 300 {
		if resp.Status < 400 {
			note("redirect", "Teams follows no redirection")
		}
		return resp
	}
	s.judgeContact(c, resp, note)
	judgeAnswer(resp, note)
	resp = resp.Clone()
	if rr, err := resp.Addresses("Record-Route"); err == nil {
		if !slices.ContainsFunc(rr, s.isRoute) && !c.Established() {
			note("record-route", "our Record-Route was not copied (RFC 3261 section 12.1.1)")
		}
		resp.Del("Record-Route")
		for _, a := range rr {
			if !s.isRoute(a) {
				resp.Add("Record-Route", a.Raw)
			}
		}
	}
	return resp
}

// judgeContact: the FQDN we called is in Contact again.
func (s *System) judgeContact(c *phone.Call, resp *sip.Message, note func(string, string, ...any)) {
	contact, err := resp.Contact()
	switch f := c.Brief(); {
	case err != nil && resp.Status >= 200:
		note("contact-missing", "no Contact")
	case err == nil && f.Outbound && !strings.EqualFold(contact.URI.Host, f.Peer):
		note("contact-fqdn", "Contact names %s, the call went to %s", contact.URI.Host, f.Peer)
	}
}

// judgeAnswer: one crypto line, with the tag of a line of ours, the better
// suite, and formats we offered.
func judgeAnswer(resp *sip.Message, note func(string, string, ...any)) {
	if len(resp.Body) == 0 {
		return
	}
	d, err := sdp.Parse(resp.Body)
	if err != nil || len(d.Media) != 1 {
		note("sdp", "our offer had one m-line; the answer cannot be read, or has another number of them")
		return
	}
	m := d.Media[0]
	switch {
	case m.Proto != "RTP/SAVP":
		note("profile", "answered with %s", m.Proto)
	case len(m.Crypto) != 1:
		note("crypto", "%d crypto lines in the answer", len(m.Crypto))
	case m.Crypto[0].Tag != "1" || m.Crypto[0].Suite != "AES_CM_128_HMAC_SHA1_80":
		note("crypto", "tag %s with %s, of tag 1 with AES_CM_128_HMAC_SHA1_80", m.Crypto[0].Tag, m.Crypto[0].Suite)
	}
	for _, k := range m.Codecs {
		if !slices.ContainsFunc(dialect.Formats, func(f phone.Format) bool { return f.PT == k.PT }) {
			note("payload", "payload number %d in the answer was not offered", k.PT)
		}
	}
	if m.Direction == sdp.SendOnly || m.Direction == sdp.RecvOnly {
		note("hold", "a=%v in the answer, only inactive holds", m.Direction)
	}
}

// reason is what Teams says about a failure of its own.
func reason(status int, err error) string {
	switch {
	case errors.Is(err, phone.ErrNoCrypto):
		return quoted(88, "531000;SrtpEncryptionRequired")
	case errors.Is(err, phone.ErrNoICE):
		return quoted(88, "531027;There are no ICE candidates in the SDP. Non-ice endpoints cannot use bypass")
	case errors.Is(err, phone.ErrNoCodec):
		return quoted(88, "531000;No acceptable codec")
	case status == 486:
		// Microsoft maps by NICC ND1017, where others say 17.
		return quoted(34, "Call was declined")
	case status == 404:
		return quoted(1, "510560;User is not voice enabled")
	case status == 480:
		return quoted(31, "10037;No callee endpoints were found")
	case status == 603:
		return quoted(21, "Call rejected by the callee")
	}
	return ""
}

func quoted(cause int, phrase string) string {
	return fmt.Sprintf(`Q.850;cause=%d;text="%s;%s"`, cause, guid(phrase), strings.ReplaceAll(phrase, `"`, "'"))
}

// guid makes one of a text; the same text gives the same one.
func guid(text string) string {
	h := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	return h[0:8] + "-" + h[8:12] + "-4" + h[12:15] + "-8" + h[15:18] + "-" + h[18:30]
}
