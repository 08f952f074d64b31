package interop

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Identity is who calls whom, as read from an INVITE. Numbers are in E.164
// with a plus, or, where the matching OK is false, the user part as it came.
type Identity struct {
	Called    string
	CalledOK  bool
	Calling   string // of From; "" when withheld or absent
	CallingOK bool
	Asserted  string // number of P-Asserted-Identity, E.164; "" when there is none
	Name      string // that is asserted with it
	Display   string // name of the caller, "" when withheld
	Anonymous bool   // From itself hides the caller
	Privacy   []string
	Tenant    string // X-MS-TenantID: the enterprise in the cloud
	Hops      int    // Max-Forwards left for the next leg
	Verstat   string // what became of verifying the number, "TN-Validation-Passed"; "" when nobody has
	Forwards  []Forward
	Cause     int // why it comes to Called, in the words of RFC 4458; 0: nobody says

	from *Profile // of the caller's side
}

// Own parts the identity from the message that it was read in.
func (id *Identity) Own() {
	sip.Own(&id.Called, &id.Calling, &id.Asserted, &id.Name, &id.Display, &id.Tenant, &id.Verstat)
	for i := range id.Privacy {
		sip.Own(&id.Privacy[i])
	}
	for i := range id.Forwards {
		sip.Own(&id.Forwards[i].Number)
	}
}

// Caller is the number the call is from for rules and records: the asserted
// one, which the network vouches for, else that of From.
func (id Identity) Caller() string {
	if id.Asserted != "" {
		return id.Asserted
	}
	return id.Calling
}

// Private reports whether the callee must not see the caller: From hides him,
// or he asked for it (RFC 3323 4.2, RFC 3325 9.3).
func (id Identity) Private() bool { return id.Anonymous || hides(id.Privacy) }

func hides(words []string) bool {
	return slices.ContainsFunc(words, func(p string) bool {
		return p == "id" || p == "user" || p == "header" || p == "session"
	})
}

// Identify reads who calls whom. The error is a *sip.ParseError whose Status
// is to be answered.
func Identify(invite *sip.Message, from Leg) (Identity, error) {
	hops, err := invite.MaxForwards()
	if err != nil {
		return Identity{}, err
	}
	if hops == 0 {
		return Identity{}, &sip.ParseError{Header: "Max-Forwards", Msg: "too many hops", Status: 483}
	}
	id := Identity{Hops: hops - 1, Privacy: privacy(invite), Tenant: from.Profile.tenant(invite), from: from.Profile}
	target, err := sip.ParseURI(invite.RequestURI)
	if err != nil {
		return Identity{}, &sip.ParseError{Msg: "Request-URI cannot be read", Status: 400}
	}
	if !callable(target) {
		return Identity{}, &sip.ParseError{Msg: "URI scheme not supported", Status: 416}
	}
	id.Called, id.CalledOK = from.Plan.number(target)
	if id.Called == "" {
		return Identity{}, &sip.ParseError{Msg: "Request-URI names nobody", Status: 484}
	}
	if err := id.caller(invite, from); err != nil {
		return Identity{}, err
	}
	id.Asserted, id.Name = asserted(invite, from)
	id.Forwards, id.Cause = forwards(invite, from), causeParam(target)
	if id.Cause == 0 && len(id.Forwards) > 0 {
		id.Cause = id.Forwards[len(id.Forwards)-1].Cause
	}
	return id, checkForwards(id)
}

func (id *Identity) caller(invite *sip.Message, from Leg) error {
	a, err := invite.From()
	if err != nil {
		return err
	}
	// RFC 3323 4.1.1.3: anonymous@anonymous.invalid; some write their own host.
	id.Anonymous = a.URI.User == "" || strings.EqualFold(a.URI.User, "anonymous") ||
		strings.EqualFold(a.URI.Host, "anonymous.invalid")
	if id.Anonymous {
		return nil
	}
	id.Calling, id.CallingOK = from.Plan.number(a.URI)
	id.Display = display(a.Display)
	return nil
}

// asserted is the first number among the asserted identities; RFC 3325 allows
// a sip and a tel URI side by side, the cloud sends a mail-like one too. Where
// there is none, Remote-Party-ID says it in the words of switches that are
// older. What a side says that is not believed asserts nothing (RFC 3325
// section 5).
func asserted(m *sip.Message, from Leg) (number, name string) {
	for _, name := range [...]string{"P-Asserted-Identity", "Remote-Party-ID"} {
		if !from.Profile.hears(name) {
			continue
		}
		list, err := m.Addresses(name)
		if err != nil {
			continue // an identity that cannot be read asserts nothing
		}
		for _, a := range list {
			if n, ok := from.Plan.number(a.URI); ok && screened(a.Params) {
				return n, display(a.Display)
			}
		}
	}
	return "", ""
}

// screened leaves out what Remote-Party-ID says of others than the caller, or
// without having looked (draft-ietf-sip-privacy-04).
func screened(params sip.Params) bool {
	party, _ := params.Get("party")
	screen, _ := params.Get("screen")
	return (party == "" || strings.EqualFold(party, "calling")) && !strings.EqualFold(screen, "no")
}

// privacy reads the wishes that RFC 3323 and 3325 define, and what
// Remote-Party-ID has for them; that of RFC 7044, history, goes with the
// entries it is about. Others say nothing to us.
func privacy(m *sip.Message) []string {
	var known []string
	for _, p := range privacyWords(m) {
		if p != "history" && !slices.Contains(known, p) {
			known = append(known, p)
		}
	}
	return known
}

func privacyWords(m *sip.Message) []string {
	var words []string
	for v := range m.Values("Privacy") {
		for p := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
			switch p = strings.ToLower(p); p {
			case "id", "user", "header", "session", "critical", "none", "history":
				words = append(words, p)
			}
		}
	}
	if list, _ := m.Addresses("Remote-Party-ID"); words == nil && len(list) > 0 {
		if p, _ := list[0].Params.Get("privacy"); strings.EqualFold(p, "full") {
			words = append(words, "id")
		}
	}
	return words
}

// NamesTenants tells whether INVITEs from there say of which enterprise they
// are.
func (p *Profile) NamesTenants() bool { return p.hears("X-MS-TenantID") }

func (p *Profile) tenant(invite *sip.Message) string {
	if !p.NamesTenants() {
		return ""
	}
	return Tenant(invite)
}

// Tenant is the enterprise that an INVITE names, in either published spelling
// (Azure Communications Gateway docs); "" when it names none.
func Tenant(invite *sip.Message) string {
	for _, name := range [...]string{"X-MS-TenantID", "X-MSTenantID"} {
		if v := invite.Get(name); token(v) {
			return v
		}
	}
	return ""
}

// display is a name fit to be shown; one that carries an address is a device's
// way of leaking it.
func display(s string) string {
	if strings.ContainsAny(s, "@<>") || strings.Contains(strings.ToLower(s), "sip:") {
		return ""
	}
	return s
}

// token: letters, digits, hyphen and underscore. No dot, so that no host name
// or address can ride in it.
func token(v string) bool {
	if v == "" || len(v) > 64 {
		return false
	}
	for i := range len(v) {
		c := v[i] | 0x20
		if (c < 'a' || c > 'z') && (v[i] < '0' || v[i] > '9') && v[i] != '-' && v[i] != '_' {
			return false
		}
	}
	return true
}
