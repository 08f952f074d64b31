package interop

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Occasion is a kind of message, or a set of them.
type Occasion uint16

// The kinds of messages that leave on a leg.
const (
	OnInvite  Occasion = 1 << iota // INVITE that begins a dialog
	OnChange                       // INVITE and UPDATE inside a dialog
	OnBye                          // BYE
	OnInside                       // other requests inside a dialog
	OnAck                          // ACK to a 2xx
	OnOptions                      // OPTIONS outside of dialogs, and its answer
	OnEarly                        // 101 to 199 to INVITE
	OnAccept                       // 2xx to INVITE and UPDATE
	OnDone                         // 2xx to anything else
	OnFailure                      // 300 to 699
	onTrying                       // 100

	OnSession  = OnInvite | OnChange | OnEarly | OnAccept // where what we can do is told (RFC 3261 tables 2, 3)
	OnResponse = OnEarly | OnAccept | OnDone | OnFailure
	OnAll      = OnSession | OnBye | OnInside | OnAck | OnOptions | OnResponse | onTrying
)

// Deed is what becomes of a header. What no rule names is removed.
type Deed string

// The deeds.
const (
	Make    Deed = "made"      // by us, of what we know; the other side's has no part in it
	Keep    Deed = "kept"      // the other side's, as long as it has the plain form of its header
	Convert Deed = "converted" // the other side's, in the words that this side reads
)

// Rule is how a far side is sent one header.
type Rule struct {
	Header string
	On     Occasion
	Deed   Deed
}

// CustomHeader stands in rules for the header of the operator's own that
// Leg.Custom holds.
const CustomHeader = "(custom header)"

// ruled reports whether the profile sends a header at all.
func (p *Profile) ruled(header string) bool {
	return slices.ContainsFunc(p.Sends, func(r Rule) bool { return r.Header == header })
}

// with and without change the rules of a profile that is being compiled.
func (p *Profile) with(rules ...Rule) {
	for _, r := range rules {
		p.without(r.Header)
		p.Sends = append(p.Sends, r)
	}
}

func (p *Profile) without(header string) {
	p.Sends = slices.DeleteFunc(slices.Clone(p.Sends), func(r Rule) bool { return r.Header == header })
}

// hears reports whether what a header says is believed when it comes from
// there.
func (p *Profile) hears(header string) bool {
	return p != nil && slices.Contains(p.Hears, header)
}

// writing is a message of ours in the making.
type writing struct {
	m    *sip.Message
	far  *sip.Message // of the other side, on whose behalf; nil: our own
	from *Profile     // of the other side
	to   Leg
	id   *Identity // of OnInvite
}

// apply writes what the rules of the side say for an occasion.
func (w *writing) apply(on Occasion) {
	for _, r := range w.to.Profile.Sends {
		switch {
		case r.On&on == 0:
		case r.Deed == Keep:
			w.keep(r.Header)
		default:
			writers[r.Header](w, on)
		}
	}
}

// keep passes a header on.
func (w *writing) keep(header string) {
	if w.far == nil || !w.from.hears(header) {
		return
	}
	form := forms[header]
	if form == nil {
		form = token
	}
	if v := w.far.Get(header); form(v) {
		w.m.Set(header, v)
	}
}

// writers make and convert. Rules name no others (TestEveryRuleCanBeCarriedOut).
var writers = map[string]func(*writing, Occasion){
	"Contact":             writeContact,
	"Allow":               func(w *writing, _ Occasion) { w.m.Set("Allow", w.to.Profile.Allow) },
	"Supported":           writeSupported,
	"P-Asserted-Identity": writeAsserted,
	"Privacy":             writePrivacy,
	"Diversion":           writeDiversion,
	"History-Info":        writeHistory,
	"Reason":              writeReason,
	"X-MS-SBC":            writeSBC,
	"X-MS-TenantID":       writeTenant,
	"P-Charging-Vector":   writeCharging,
	"P-Early-Media":       func(w *writing, _ Occasion) { w.m.Set("P-Early-Media", "supported") },
	"P-Access-Network-Info": func(w *writing, _ Occasion) {
		if v := w.to.Profile.Access; v != "" {
			w.m.Set("P-Access-Network-Info", v)
		}
	},
	CustomHeader: func(w *writing, _ Occasion) {
		if c := w.to.Custom; c.Name != "" && token(c.Value) {
			w.m.Set(c.Name, c.Value)
		}
	},
}

// forms are what may pass of headers that are kept; of all others one plain
// token.
var forms = map[string]func(string) bool{
	"User-to-User": userToUser,
	"Priority":     func(v string) bool { return slices.Contains(priorities, strings.ToLower(v)) },
}

var priorities = []string{"emergency", "urgent", "normal", "non-urgent"} // RFC 3261 20.26

func writeContact(w *writing, on Occasion) {
	contact := w.to.Contact()
	if on == OnInvite && w.to.Profile.TenantGroup {
		contact = w.to.groupContact(*w.id)
	}
	w.m.Set("Contact", contact)
}

func writeSupported(w *writing, _ Occasion) {
	if s := w.to.Profile.Supported; s != "" {
		if w.to.Profile.Preconditions && !w.m.IsRequest() {
			s = with(s, preconditions)
		}
		w.m.Set("Supported", s)
	}
}

func writeSBC(w *writing, _ Occasion) {
	if w.to.Product != "" {
		w.m.Set("X-MS-SBC", w.to.Product)
	}
}

func writeTenant(w *writing, _ Occasion) {
	if w.id.Tenant != "" {
		w.m.Set("X-MS-TenantID", w.id.Tenant)
	}
}

func writeDiversion(w *writing, _ Occasion) {
	for _, v := range w.to.diversionHeaders(w.id.Forwards) {
		w.m.Add("Diversion", v)
	}
}

func writeHistory(w *writing, _ Occasion) {
	if len(w.id.Forwards) == 0 {
		return
	}
	for _, v := range w.to.historyHeaders(*w.id) {
		w.m.Add("History-Info", v)
	}
}

func writeReason(w *writing, _ Occasion) {
	if w.far != nil {
		setReasons(w.m, Reasons(w.far))
	}
}

// maxUserData is how many octets User-to-User may hold: what ISDN and the
// ISUP allow for user-user information (ITU-T Q.931 4.5.30), doubled, since
// some networks have grown beyond it.
const maxUserData = 256

// userToUser is the plain form of User-to-User (RFC 7433): hexadecimal data
// with the parameters that say what it is. Quoted text would let names pass.
func userToUser(v string) bool {
	data, params, _ := strings.Cut(v, ";")
	data = strings.TrimSpace(data)
	if data == "" || len(data)%2 != 0 || len(data) > 2*maxUserData || strings.Trim(data, "0123456789abcdefABCDEF") != "" {
		return false
	}
	if params == "" {
		return true
	}
	for name, value := range sip.Params(";" + params).All() {
		switch strings.ToLower(name) {
		case "encoding":
			if !strings.EqualFold(value, "hex") {
				return false
			}
		case "purpose", "content":
			if !token(value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// Microsoft reports whether the far side is Microsoft's phone system, whose
// reasons Diagnose understands.
func (p *Profile) Microsoft() bool { return p.ruled("X-MS-SBC") }
