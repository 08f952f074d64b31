package interop

import (
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// writeCharging writes P-Charging-Vector (RFC 7315 section 4.6): the vector
// of the side's own dialog, which it made, answered with who we are; and one
// of ours for a dialog that we begin. The vector of one side never reaches the
// other: it names its networks, and it correlates its own records.
func writeCharging(w *writing, on Occasion) {
	if w.to.charging != "" {
		v := w.to.charging
		if on&OnResponse != 0 {
			v += ";term-ioi=" + sip.Quote(w.to.operator())
		}
		w.m.Set("P-Charging-Vector", v)
		return
	}
	callID := w.m.Get("Call-ID")
	if on&OnResponse != 0 || w.to.theirs || !icid(callID) {
		return // it has called without a vector
	}
	// icid-value is one for the whole dialog and unique in the world, as the
	// Call-ID that we made for it is.
	w.m.Set("P-Charging-Vector", "icid-value="+callID+";icid-generated-at="+w.to.host()+";orig-ioi="+sip.Quote(w.to.operator()))
}

// operator is how we are called between operators: a domain.
func (l Leg) operator() string {
	if l.Profile.Operator != "" {
		return l.Profile.Operator
	}
	return hostOf(l.Local)
}

// vector is what has to be said again of the vector of an INVITE: its icid,
// where it was made, and who asks.
func vector(invite *sip.Message) string {
	var v strings.Builder
	for name, value := range sip.Params(";" + invite.Get("P-Charging-Vector")).All() {
		name = strings.ToLower(name)
		switch name {
		case "icid-value", "icid-generated-at", "orig-ioi":
		default:
			continue
		}
		if len(value) > 255 {
			return ""
		}
		if !icid(value) {
			value = sip.Quote(value)
		}
		if v.Len() > 0 {
			v.WriteByte(';')
		}
		v.WriteString(name + "=" + value)
	}
	if !strings.HasPrefix(v.String(), "icid-value=") {
		return ""
	}
	return v.String()
}

// icid tells whether a value may stand without quotes (RFC 3261 25.1, token).
func icid(v string) bool {
	for i := range len(v) {
		c := v[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("-.!%*_+`'~", rune(c)) {
			return false
		}
	}
	return v != ""
}

// EarlyMediaOf reads P-Early-Media of a message (RFC 5009): "sendrecv",
// "sendonly", "recvonly" or "inactive" for its first media line; "" when it
// says nothing that is known.
func EarlyMediaOf(m *sip.Message) string {
	for item := range m.List("P-Early-Media") {
		switch item = strings.ToLower(item); item {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			return item
		}
	}
	return ""
}

// Authorise says in a provisional response of leg to whether early media is
// to be heard, where the profile speaks of that and the caller has asked
// (RFC 5009 section 7). Ours is what the caller hears, so it is sendrecv or
// inactive.
func Authorise(resp, invite *sip.Message, media bool, to Leg) {
	if !to.Profile.ruled("P-Early-Media") {
		return
	}
	for item := range invite.List("P-Early-Media") {
		if strings.EqualFold(item, "supported") {
			v := "inactive"
			if media {
				v = "sendrecv"
			}
			resp.Set("P-Early-Media", v)
			return
		}
	}
}
