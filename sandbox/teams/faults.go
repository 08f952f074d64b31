package teams

// The documents that the rules are from.
const (
	planning   = "Microsoft Teams docs, Plan Direct Routing"
	protocols  = "Microsoft Teams docs, Direct Routing: SIP protocol"
	connecting = "Microsoft Teams docs, Connect your Session Border Controller to Direct Routing"
	trouble    = "Microsoft support, Teams Direct Routing: issues that affect outbound and inbound calls"
	transfers  = "Microsoft support, Teams Direct Routing: issues with call transfers"
	options    = "Microsoft support, Teams Direct Routing: SBC connectivity issues (SIP OPTIONS)"
	traces     = "published traces: Allow of Microsoft.PSTNHub.SIPProxy has no other methods"
	gateway    = "Azure Communications Gateway docs, interoperability with Microsoft Teams"
)

// Sources says where the rules of Teams stand; those of every far side are in
// package phone.
var Sources = map[string]string{
	"allow":           transfers,
	"called-e164":     protocols,
	"caller-e164":     protocols,
	"contact-fqdn":    planning,
	"contact-ip":      planning,
	"contact-missing": options,
	"contact-user":    options,
	"crypto":          "RFC 4568 section 5.1.2",
	"echo":            gateway,
	"hold":            protocols + ": only inactive is understood; " + trouble + " (531052)",
	"late-offer":      protocols,
	"loose-route":     "RFC 3261 section 12.2.1.1",
	"m-line":          protocols,
	"method":          traces,
	"payload":         "RFC 3264 section 5.1; " + trouble + " (488)",
	"profile":         "RFC 3264 section 6",
	"record-route":    "RFC 3261 section 12.1.1",
	"redirect":        protocols,
	"refer-answer":    transfers,
	"refer-early-bye": transfers,
	"refer-from":      transfers,
	"refer-notify":    transfers,
	"refer-stray":     transfers,
	"refer-uri":       transfers + ": Request-URI is Refer-To as it was",
	"referred-by":     transfers + ": Referred-By as it was",
	"remote-target":   "RFC 3261 section 12.2.1.1",
	"replaced":        protocols + ": the SBC supports Replaces",
	"replaces":        protocols + ": Replaces from the SBC is rejected since April 2022",
	"replaces-left":   "RFC 3891 section 3",
	"request-uri":     connecting,
	"require":         traces,
	"sdp":             "RFC 8866",
	"sdp-changed":     protocols + ": nothing changes between 183 and 200",
	"sips":            planning + ": SIPS is not supported",
	"srtp":            protocols + "; " + trouble + " (SrtpEncryptionRequired)",
	"tenant":          planning + "; " + trouble + " (510532)",
	"user-phone":      protocols,
	"x-ms-sbc":        gateway,
}
