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
const anonymous = `"Anonymous" <sip:anonymous@anonymous.invalid>`

// Invite writes the INVITE of the far leg on behalf of in. The body is the
// caller's affair (SetBody).
func Invite(in *sip.Message, id Identity, to Leg, n Names) *sip.Message {
	m := sip.NewRequest("INVITE", to.uri(id.Called, to.Remote)+transportParam(to.Transport))
	m.Set("Max-Forwards", strconv.Itoa(id.Hops))
	m.Add("From", to.from(id)+";tag="+n.Tag)
	m.Add("To", "<"+to.uri(id.Called, hostOf(to.Remote))+">")
	m.Add("Call-ID", n.CallID)
	m.Add("CSeq", "1 INVITE")
	m.Add("Contact", to.Contact())
	to.capable(m)
	to.identity(m, id)
	for _, name := range to.Profile.Takes {
		if v := in.Get(name); token(v) {
			m.Set(name, v)
		}
	}
	if to.Profile.Tenant && id.Tenant != "" {
		m.Set("X-MS-TenantID", id.Tenant)
	}
	to.sign(m)
	return m
}

// Response writes a response of ours to req, a request of leg to. The caller
// adds the To tag and the body.
func Response(req *sip.Message, status int, to Leg) *sip.Message {
	m := sip.NewResponse(req, status, "")
	if (req.Method == "INVITE" || req.Method == "UPDATE") && status > 100 && status < 300 {
		for rr := range req.Values("Record-Route") { // RFC 3261 12.1.1
			m.Add("Record-Route", rr)
		}
		m.Set("Contact", to.Contact())
		to.capable(m)
	}
	if status == 405 { // RFC 3261 21.4.6
		m.Set("Allow", to.Profile.Allow)
	}
	to.sign(m)
	return m
}

// InDialog completes a request that ua.Dialog has made, on behalf of far, the
// message of the other leg; nil when it is our own.
func InDialog(req, far *sip.Message, to Leg) {
	switch req.Method {
	case "INVITE", "UPDATE":
		req.Set("Contact", to.Contact())
		to.capable(req)
	case "BYE":
		if far != nil {
			setReasons(req, Reasons(far))
		}
	}
	to.sign(req)
}

// uri names a user at a host.
func (l Leg) uri(user, host string) string {
	u := "sip:" + user + "@" + host
	if dialled(strings.ReplaceAll(user, "%23", "#")) {
		u += ";user=phone"
	}
	return u
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
	name := ""
	if id.Display != "" {
		name = sip.Quote(id.Display) + " "
	}
	return name + "<" + l.uri(number, hostOf(l.Local)) + ">"
}

// identity puts the asserted caller and the wish for privacy on m
// (RFC 3325 sections 5 and 7).
func (l Leg) identity(m *sip.Message, id Identity) {
	privacy := id.Privacy
	if id.Asserted != "" && (l.Profile.Trusted || !id.Private()) {
		m.Set("P-Asserted-Identity", "<"+l.uri(id.Asserted, hostOf(l.Local))+">")
		if id.Anonymous && !slices.Contains(privacy, "id") {
			// Else a number its owner hid in From would be shown from here.
			privacy = append(slices.DeleteFunc(slices.Clone(privacy), func(p string) bool { return p == "none" }), "id")
		}
	}
	if len(privacy) > 0 {
		m.Set("Privacy", strings.Join(privacy, ";"))
	}
}
