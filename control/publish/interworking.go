package publish

import "github.com/tandemgw/tandem/link/snapshot"

// Interworking is what a kind of far side wants otherwise than is usual for
// it. What is left out is as usual.
type Interworking struct {
	Profile  string `yaml:"profile"`  // "teams", "teams-mobile", "direct-routing"; "zoom"; "core", "ims"
	Early    string `yaml:"early"`    // "keep", "first", "ringing", "ringback"
	Ringback string `yaml:"ringback"` // country of the tones, "gb"
	History  string `yaml:"history"`  // "none", "diversion", "history-info"
	Reliable string `yaml:"reliable"` // "off", "supported", "require"
	DTMF     string `yaml:"dtmf"`     // "rfc4733", "info", "inband"
	Hold     string `yaml:"hold"`     // "sendonly", "inactive", "music"
	RTCP     string `yaml:"rtcp"`     // "relayed", "own", "none"

	Keying string `yaml:"keying"` // "sdes", "dtls", "either"

	Update   *bool `yaml:"update"`
	Bypass   bool  `yaml:"bypass"`
	Forks    *bool `yaml:"forks"`
	Refer    *bool `yaml:"refer"`
	Replaces *bool `yaml:"replaces"`
	Redirect *bool `yaml:"redirect"`
	Fill     *bool `yaml:"fill"`

	Caller       string `yaml:"caller"` // "both", "shown", "asserted"
	Trusted      *bool  `yaml:"trusted"`
	TenantGroup  bool   `yaml:"tenantGroup"`
	TrunkContext string `yaml:"trunkContext"` // of tgrp: a domain
	Charging     *bool  `yaml:"charging"`
	Operator     string `yaml:"operator"` // our domain in P-Charging-Vector
	Access       string `yaml:"access"`   // value of P-Access-Network-Info
	UserToUser   *bool  `yaml:"userToUser"`
	ELIN         bool   `yaml:"elin"`
	Addresses    bool   `yaml:"addresses"`

	Numbers NumberPlan `yaml:"numbers"`
}

// NumberPlan is how a side writes numbers.
type NumberPlan struct {
	CountryCode         string `yaml:"countryCode"`         // "44"
	TrunkPrefix         string `yaml:"trunkPrefix"`         // "0"
	InternationalPrefix string `yaml:"internationalPrefix"` // "00" unless set
	Format              string `yaml:"format"`              // of what it is sent: "plus", "digits", "international", "national"
}

// The words of Interworking.
var (
	EarlyWords    = []string{"keep", "first", "ringing", "ringback"}
	HistoryWords  = []string{"none", "diversion", "history-info"}
	ReliableWords = []string{"off", "supported", "require"}
	DTMFWords     = []string{"rfc4733", "info", "inband"}
	HoldWords     = []string{"sendonly", "inactive", "music"}
	RTCPWords     = []string{"relayed", "own", "none"}
	KeyingWords   = []string{"sdes", "dtls", "either"}
	CallerWords   = []string{"both", "shown", "asserted"}
	FormatWords   = []string{"plus", "digits", "international", "national"}
)

// interworking gives each group what its side wants. The emergency service is
// somebody else's: it has what is usual.
func (c *compiler) interworking() {
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		switch {
		case g.Name == teamsGroup:
			c.suit(g, c.in.Services.Teams.Interworking)
		case g.Name == zoomGroup:
			c.suit(g, c.in.Services.Zoom.Interworking)
		case g.Name != emergencyGroup:
			of := c.in.Operator.Interworking
			if own := c.in.Operator.InterworkingByGroup[g.Name]; own != nil {
				of = *own
			}
			c.suit(g, of)
		}
	}
}

func (c *compiler) suit(g *snapshot.Group, i Interworking) {
	g.Interworking = snapshot.Interworking{
		Profile: i.Profile, Early: i.Early, Ringback: i.Ringback, History: i.History, Reliable: i.Reliable, DTMF: i.DTMF, Hold: i.Hold, RTCP: i.RTCP, Keying: i.Keying,
		Update: i.Update, Bypass: i.Bypass, Forks: i.Forks, Refer: i.Refer, Replaces: i.Replaces, Redirect: i.Redirect, Fill: i.Fill,
		Caller: i.Caller, Trusted: i.Trusted, TenantGroup: i.TenantGroup, TrunkContext: i.TrunkContext, Charging: i.Charging, Operator: i.Operator,
		Access: i.Access, UserToUser: i.UserToUser, ELIN: i.ELIN, Addresses: i.Addresses,
		Plan: snapshot.NumberPlan{
			CountryCode: i.Numbers.CountryCode, Trunk: i.Numbers.TrunkPrefix,
			International: i.Numbers.InternationalPrefix, Format: i.Numbers.Format,
		},
	}
	if i.Numbers.CountryCode == "" {
		return
	}
	for k := range g.Peers { // what the group says counts, not what all groups have
		g.Peers[k].CountryCode, g.Peers[k].TrunkPrefix = "", ""
	}
}
