package snapshot

// Interworking is what one peer group wants otherwise than the profile of its
// kind of far side. The zero value wants nothing otherwise: an empty word and
// a nil switch leave the profile's own.
type Interworking struct {
	Profile  string `json:"profile,omitempty"`  // "teams" (Operator Connect), "teams-mobile", "direct-routing", "zoom", "core", "ims"; empty: by the group's services and side
	Early    string `json:"early,omitempty"`    // what a caller there hears of early media: "keep", "first", "ringing", "ringback"
	Ringback string `json:"ringback,omitempty"` // country whose tones are played there, ISO 3166 alpha-2, lower case
	History  string `json:"history,omitempty"`  // how forwarding is told: "none", "diversion", "history-info"
	Reliable string `json:"reliable,omitempty"` // reliable provisional responses (RFC 3262): "off", "supported", "require"
	DTMF     string `json:"dtmf,omitempty"`     // "rfc4733", "info", "inband"
	Hold     string `json:"hold,omitempty"`     // how hold is asked for: "sendonly", "inactive", "music"
	RTCP     string `json:"rtcp,omitempty"`     // RTCP it gets: "relayed", "own", "none"

	Keying string `json:"keying,omitempty"` // where keys of SRTP come from: "sdes", "dtls", "either"

	Update   *bool `json:"update,omitempty"`   // UPDATE is spoken (RFC 3311)
	Bypass   bool  `json:"bypass,omitempty"`   // media come straight from its clients, who check the way by ICE (media bypass)
	Forks    *bool `json:"forks,omitempty"`    // a caller there may see several early dialogs
	Refer    *bool `json:"refer,omitempty"`    // REFER from there is carried out
	Replaces *bool `json:"replaces,omitempty"` // INVITE with Replaces from there is carried out
	Redirect *bool `json:"redirect,omitempty"` // 3xx from there is followed
	Fill     *bool `json:"fill,omitempty"`     // it hears comfort noise while the other side sends nothing

	Caller       string `json:"caller,omitempty"`       // which number it is told where the one shown and the one vouched for differ: "both", "shown", "asserted"
	Trusted      *bool  `json:"trusted,omitempty"`      // it is in our trust domain (RFC 3325): it is told who a withheld caller is, and believed
	TenantGroup  bool   `json:"tenantGroup,omitempty"`  // X-MS-TenantID is also told as tgrp of the caller (RFC 4904)
	TrunkContext string `json:"trunkContext,omitempty"` // trunk-context beside tgrp; empty: our own name there
	Charging     *bool  `json:"charging,omitempty"`     // P-Charging-Vector (RFC 7315) is made and ended
	Operator     string `json:"operator,omitempty"`     // our operator identifier in P-Charging-Vector, a domain; empty: our own name there
	Access       string `json:"access,omitempty"`       // value of P-Access-Network-Info towards it; empty: none
	UserToUser   *bool  `json:"userToUser,omitempty"`   // User-to-User (RFC 7433) crosses to it and from it
	ELIN         bool   `json:"elin,omitempty"`         // an emergency caller is told by the ELIN of his location
	Addresses    bool   `json:"addresses,omitempty"`    // our address stands in URIs there, not our name

	Plan NumberPlan `json:"plan,omitzero"`
}

// NumberPlan is how the peers of a group write numbers. A peer's CountryCode
// and TrunkPrefix count before those here.
type NumberPlan struct {
	CountryCode   string `json:"countryCode,omitempty"`   // "44"
	Trunk         string `json:"trunk,omitempty"`         // prefix of national numbers, "0"
	International string `json:"international,omitempty"` // prefix of international numbers; empty: "00"
	Format        string `json:"format,omitempty"`        // of numbers towards it: "plus" (E.164 with a plus), "international" (with the prefix), "national" (own country's as national numbers)
}
