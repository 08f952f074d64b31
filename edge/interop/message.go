package interop

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Names are the random names of a new leg.
type Names struct {
	CallID, Tag string
}

// anonymous is the From of a caller who is withheld (RFC 3323 4.1.1.3).
const anonymous = `"Anonymous" <` + anonymousURI + `>`

// Invite writes the INVITE of the far leg on behalf of in. The body is the
// caller's affair (SetOffer).
func Invite(in *sip.Message, id Identity, to Leg, n Names) *sip.Message {
	m := sip.NewRequest("INVITE", to.uri(id.Called, to.Remote)+transportParam(to.Transport)+to.cause(id))
	m.Set("Max-Forwards", strconv.Itoa(id.Hops))
	m.Add("From", to.from(id)+";tag="+n.Tag)
	m.Add("To", "<"+to.uri(id.Called, hostOf(to.Remote))+">")
	m.Add("Call-ID", n.CallID)
	m.Add("CSeq", "1 INVITE")
	w := writing{m: m, far: in, from: id.from, to: to, id: &id}
	w.apply(OnInvite)
	return m
}

// Response writes a response of ours to req, a request of leg to. The caller
// adds the To tag and the body, and by Relay what of the other side's response
// may cross.
func Response(req *sip.Message, status int, to Leg) *sip.Message {
	m := sip.NewResponse(req, status, "")
	on := occasion(req.Method, status)
	if on&(OnEarly|OnAccept) != 0 {
		for rr := range req.Values("Record-Route") { // RFC 3261 12.1.1
			m.Add("Record-Route", rr)
		}
	}
	if status == 405 { // RFC 3261 21.4.6
		m.Set("Allow", to.Profile.Allow)
	}
	w := writing{m: m, to: to}
	w.apply(on)
	return m
}

// occasion is what kind of response a status to a method is; 0 for 100, which
// says nothing but that the request has come.
func occasion(method string, status int) Occasion {
	session := method == "INVITE" || method == "UPDATE"
	switch {
	case status == 100:
		return onTrying
	case status < 200:
		return OnEarly
	case status < 300 && session:
		return OnAccept
	case status < 300:
		return OnDone
	}
	return OnFailure
}

// Relay puts on resp, a response of ours on leg to, what may cross of far, the
// response of leg from that it is made of, nil when there is none.
func Relay(resp, far *sip.Message, from, to Leg) {
	if far == nil {
		return
	}
	c, err := far.CSeq()
	if err != nil {
		return
	}
	w := writing{m: resp, far: far, from: from.Profile, to: to}
	on := occasion(c.Method, resp.Status)
	for _, r := range to.Profile.Sends {
		switch {
		case r.On&on == 0:
		case r.Deed == Keep:
			w.keep(r.Header)
		case r.Header == "P-Asserted-Identity":
			w.connected(from)
		}
	}
}

// connected tells the caller's side who has answered, as far as the callee's
// vouches for it and may tell (RFC 3325 section 5; 3GPP TS 24.608).
func (w *writing) connected(from Leg) {
	if id, _ := asserted(w.far, from); id != "" && (w.to.Profile.Trusted || !hides(privacy(w.far))) {
		w.m.Set("P-Asserted-Identity", "<"+w.to.uri(id, w.to.host())+">")
		if p := privacy(w.far); len(p) > 0 {
			w.m.Set("Privacy", strings.Join(p, ";"))
		}
	}
}

// InDialog completes a request that ua.Dialog has made, on behalf of far, the
// message of the other leg; nil when it is our own. Request-URI, From and To
// are the dialog's own, parameters and all: what the other side has changed of
// its never shows (RFC 3261 12.2.1.1).
func InDialog(req, far *sip.Message, to Leg) {
	w := writing{m: req, far: far, to: to}
	switch req.Method {
	case "INVITE", "UPDATE":
		w.apply(OnChange)
	case "BYE":
		w.apply(OnBye)
	case "ACK":
		w.apply(OnAck)
	default:
		w.apply(OnInside)
	}
}

// uri names a user at a host.
func (l Leg) uri(user, host string) string {
	user = l.Plan.Write(user)
	u := "sip:" + user + "@" + host
	if dialled(strings.ReplaceAll(user, "%23", "#")) {
		u += ";user=phone"
	}
	return u
}

// cause is the parameter of the Request-URI that tells why a forwarded call
// comes (RFC 4458), where forwarding is told by History-Info.
func (l Leg) cause(id Identity) string {
	if l.Profile.History != HistoryInfo || id.Cause == 0 {
		return ""
	}
	return ";cause=" + strconv.Itoa(id.Cause)
}

// from is the From of a call towards l, without tag.
func (l Leg) from(id Identity) string {
	number := id.Calling
	if l.Profile.CallerInFrom && id.Asserted != "" {
		number = id.Asserted
	}
	// RFC 3323 5: the last one who may know the caller hides him. A trusted
	// side is told, with his wish in Privacy.
	if id.Anonymous || number == "" || (id.Private() && !l.Profile.Trusted) {
		return anonymous
	}
	name := id.Display
	if number == id.Asserted && l.Profile.CallerInFrom && id.Name != "" {
		name = id.Name // it goes with the number
	}
	name = quoted(name)
	if l.told(id) != "" {
		return name + "<" + l.uri(number, l.host()) + ">"
	}
	return name + "<" + l.verified(id, number) + ">"
}

// quoted is a display name before an address; "" for none.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return sip.Quote(name) + " "
}

// verified names a caller with what became of verifying him, to a side that
// may believe us (3GPP TS 24.229 section 7.2A.20): in P-Asserted-Identity, and
// where there is none in From.
func (l Leg) verified(id Identity, number string) string {
	u := l.uri(number, l.host())
	if !l.Profile.Trusted || !token(id.Verstat) || !dialled(number) {
		return u
	}
	user, rest, _ := strings.Cut(u, "@")
	return user + ";verstat=" + id.Verstat + "@" + rest
}

// told is the identity that l is assured of; "" when there is none, or the
// caller may not be known there (RFC 3325 section 7).
func (l Leg) told(id Identity) string {
	number := id.Asserted
	if number == "" && l.Profile.AssertFrom || number != "" && l.Profile.ShownOnly {
		if id.CallingOK {
			number = id.Calling
		}
	}
	if !l.Profile.Trusted && id.Private() {
		return ""
	}
	return number
}

// writeAsserted puts the asserted caller on an INVITE (RFC 3325 section 5).
func writeAsserted(w *writing, on Occasion) {
	if on != OnInvite {
		return // Relay knows who has answered
	}
	if number := w.to.told(*w.id); number != "" {
		name := ""
		if number == w.id.Asserted {
			name = w.id.Name // it goes with the number
		}
		if name == "" && w.to.Profile.AssertFrom && !w.id.Private() {
			name = w.id.Display // it is read nowhere else
		}
		w.m.Set("P-Asserted-Identity", quoted(name)+"<"+w.to.verified(*w.id, number)+">")
	}
}

// writePrivacy puts the caller's wish on an INVITE (RFC 3323 4.2).
func writePrivacy(w *writing, _ Occasion) {
	words := w.id.Privacy
	if w.to.told(*w.id) != "" && w.id.Anonymous && !slices.Contains(words, "id") {
		// Else a number its owner hid in From would be shown from here.
		words = append(slices.DeleteFunc(slices.Clone(words), func(p string) bool { return p == "none" }), "id")
	}
	if len(words) > 0 {
		w.m.Set("Privacy", strings.Join(words, ";"))
	}
}
