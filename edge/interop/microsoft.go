package interop

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Diagnosis is what the cloud said about a call that failed, and what that
// means.
type Diagnosis struct {
	Code        int    // Microsoft response code, 560403; 0: none was given or recognised
	Correlation string // GUID by which Microsoft's support finds the call
	Phrase      string // in Microsoft's words
	Explanation string // in ours, with what to do
}

// String is one sentence for the trace, "" when nothing is understood.
func (d Diagnosis) String() string {
	switch {
	case d.Code == 0:
		return d.Explanation
	case d.Explanation == "":
		return fmt.Sprintf("Microsoft code %d", d.Code)
	}
	return fmt.Sprintf("Microsoft code %d: %s", d.Code, d.Explanation)
}

// Diagnose reads why the cloud refused or ended a call. Its Reason has the
// text "<GUID>;<phrase>", its phrases stand for codes that its own reports
// show (Microsoft Teams docs, "Microsoft and SIP response codes"); where a
// code itself is told it counts. It reports false when the message says
// nothing beyond SIP.
func Diagnose(m *sip.Message) (Diagnosis, bool) {
	var d Diagnosis
	for _, r := range m.Reasons() {
		d.read(r.Text)
	}
	for _, name := range [...]string{"ms-diagnostics", "ms-diagnostics-public"} {
		for v := range m.Values(name) {
			code, params, _ := strings.Cut(v, ";")
			if n, ok := responseCode(strings.TrimSpace(code)); ok && d.Code == 0 {
				d.Code = n
			}
			reason, _ := sip.Params(";" + params).Get("reason")
			d.read(reason)
		}
	}
	if d == (Diagnosis{}) {
		return d, false
	}
	d.explain(m.Status)
	return d, true
}

// maxPhrase bounds what is kept of a far side's words.
const maxPhrase = 200

// read takes what one text tells, where nothing was told before.
func (d *Diagnosis) read(text string) {
	head, rest, _ := strings.Cut(text, ";")
	if isGUID(strings.TrimSpace(head)) {
		if d.Correlation == "" {
			d.Correlation = strings.ToLower(strings.TrimSpace(head))
		}
		text = rest
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	if d.Phrase == "" {
		d.Phrase = strings.ToValidUTF8(text[:min(len(text), maxPhrase)], "")
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, ok := responseCode(word); ok && d.Code == 0 {
			d.Code = n
		}
	}
}

// responseCode tells whether digits are a Microsoft response code: one that is
// known, or one of the form 5XYZZZ.
func responseCode(digits string) (int, bool) {
	if len(digits) < 4 || len(digits) > 6 || !allDigits(digits) {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, false
	}
	for _, k := range known {
		if k.code == n {
			return n, true
		}
	}
	return n, len(digits) == 6 && digits[0] == '5'
}

// explain puts code and phrase into words of ours.
func (d *Diagnosis) explain(status int) {
	phrase := strings.ToLower(d.Phrase)
	for _, k := range known {
		switch {
		case d.Code == 0 && k.phrase != "" && strings.Contains(phrase, k.phrase) && (status == 0 || k.status == 0 || k.status == status):
			d.Code = k.code
		case d.Code != k.code, k.phrase != "" && !strings.Contains(phrase, k.phrase):
			continue
		}
		d.Explanation = k.text
		return
	}
	for _, k := range known { // the code without any of its phrases
		if d.Code == k.code && d.Code != 0 {
			d.Explanation = k.text
			return
		}
	}
	d.Explanation = structure(d.Code)
}

// structure explains a code of which no more is known than how codes are
// made: 5, the module, the source in it, and three digits that are often the
// SIP status (Microsoft Teams docs, "Microsoft and SIP response codes").
func structure(code int) string {
	if code < 500000 || code > 599999 {
		return ""
	}
	status := ""
	if s := code % 1000; s >= 300 && s < 700 {
		status = fmt.Sprintf(" with %d %s", s, sip.StatusText(s))
	}
	if code/10000%10 == 6 {
		return "the gateway itself gave the final response" + status + ": look for it in the gateway's records"
	}
	return "Microsoft's phone system decided this" + status + ", not the gateway"
}

// isGUID tells whether s has the form 8-4-4-4-12 of hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case (c < 'a' || c > 'f') && (s[i] < '0' || s[i] > '9'):
			return false
		}
	}
	return true
}

// known are the published codes. phrase tells apart what shares a code, and
// finds the code where only the phrase was told; it is in lower case. The
// more particular of two stands first.
var known = []struct {
	code   int
	status int    // SIP status it comes with; 0: any
	phrase string // part of Microsoft's phrase
	text   string
}{
	{10199, 403, "private calling is disabled", "the user's Teams calling policy does not let him make or take calls: turn on private calls in it"},
	{10500, 403, "call site state prevents", "location-based routing forbids this call from or to where the user is: check the sites and the trunk in the location-based routing of the tenant"},
	{10553, 403, "required recorder", "the user must be recorded and the recording bot could not be invited: check the compliance recording policy and its bot"},
	{510532, 403, "trunk config", "no trunk of any tenant has the name in our Contact: check the gateway's domain, the customer's subdomain, and that both are verified in Teams"},
	{510534, 403, "blocked calling number", "the tenant blocks the caller's number: see its inbound call blocking settings"},
	{510559, 403, "no viable path", "no voice route of the user matches the number: check the number as dialled and the tenant's voice routes"},
	{510560, 403, "enterprise voice", "the called user has no telephone service: assign a Phone System licence and enable Enterprise Voice"},
	{510562, 403, "not allowed to make outbound pstn", "the user may not call the telephone network: check his licence and his voice routing policy"},
	{510563, 403, "only allowed to make domestic", "the user may call his own country only: see his outbound calling restrictions"},
	{10202, 404, "replacement call was not found", "the call that was to be replaced is over: an INVITE with Replaces or a transfer came too late or twice"},
	{511404, 404, "user info by number", "no user or resource account has the called number: compare the number as sent, in E.164, with the number assigned in Teams"},
	{1106, 408, "acknowledgement was not received", "the called user answered and our ACK did not reach Microsoft: check the TLS connections to the proxy that Record-Route names"},
	{500001, 408, "failover timer expired", "the gateway gave no answer in time (FailoverTimeSeconds, 10 s): the core answered late; raise the timer to 20 s where calls take long to set up"},
	{531000, 410, "sdpparsingfailure", "Microsoft could not read our session description: look at the offer in the call's trace"},
	{531004, 410, "iceconnectivitychecksfailed", "no media path came about between Microsoft and us: check that firewalls let UDP of the media ranges pass both ways"},
	{531005, 410, "mediaconnectivityfailure", "the media path broke during the call: check the network between Microsoft and us"},
	{510412, 412, "wrong callee mri", "the called number cannot be read: send it in E.164 with a plus"},
	{540415, 415, "unsupported media type", "Microsoft found no offer, or a body that it does not take: the INVITE must carry a session description, and a location only beside one"},
	{540400, 400, "bad request", "Microsoft could not read our message: look at it in the call's trace"},
	{540422, 422, "session interval", "the session interval asked for is too short for Microsoft"},
	{10037, 480, "no callee endpoints", "the called user is signed in nowhere, or our name serves another Microsoft service as well: let the user sign in again"},
	{10140, 480, "call to bot is rejected", "the bot that was called is not set up: check its resource account"},
	{10191, 480, "routing to voicemail is disabled", "the user's calling policy forbids voicemail, and nobody answered"},
	{10321, 486, "bot rejects", "the bot that was called is busy"},
	{531000, 488, "srtpencryptionrequired", "the offer had no SRTP: media towards Microsoft must be encrypted"},
	{531000, 488, "remote participant did not offer required srtp", "the offer had no SRTP: media towards Microsoft must be encrypted"},
	{531000, 488, "cannotsupportanymedia", "none of the codecs offered is known to Teams: offer G.722, G.711, SILK or G.729"},
	{531000, 488, "no media acceptable", "none of the codecs offered is known to Teams: offer G.722, G.711, SILK or G.729"},
	{531000, 0, "", "Microsoft could not agree to our session description: look at codecs, SRTP and syntax of the offer"},
	{531027, 488, "no ice candidates", "the trunk is set to media bypass and our offer had no ICE candidate: turn media bypass off for the trunk, or on for the peer"},
	{531052, 488, "blackhole", "the description had the address 0.0.0.0, which Microsoft does not take for hold"},
	{510482, 500, "loop detected", "the call was forwarded in a circle"},
	{510544, 500, "emergency user", "Teams found no trunk for an emergency call: review the tenant's emergency call routing policies"},
	{510544, 500, "no trunk config", "Teams found no trunk for the call: check the tenant's voice routes"},
	{10320, 503, "bot is unreachable", "the bot that was called did not answer in time"},
	{549002, 504, "not connected", "Microsoft has no connection to us: check that the gateway listens and that the firewall lets Microsoft's ranges in"},
	{549002, 504, "request/response line", "Microsoft could not read the first line of our message"},
	{549018, 504, "request/response line", "Microsoft could not read the first line of our message"},
	{569002, 504, "wrong_usage", "our certificate is not meant for this use, or bears another name: it must bear the name in Contact and come from a public authority"},
	{569002, 504, "0x80096004", "our certificate's signature did not hold: check that the chain is whole and in order"},
	{569002, 504, "tls decryption failed", "the TLS connection was no longer usable: it was kept too long; let it be made anew (tandem peer reconnect)"},
	{569002, 504, "actively refused", "nothing listens where Microsoft connects to: check the trunk's port and the gateway's listener"},
	{569002, 504, "did not properly respond", "the connection from Microsoft to us times out: check the firewall and the trunk's port"},
	{569002, 504, "", "Microsoft could not connect to us by TLS: check address, port, firewall and certificate"},
	{569003, 504, "0x80090326", "Microsoft did not accept our certificate: it must be signed by a public authority, whole in its chain, and not expired"},
	{569008, 504, "cert_expired", "our certificate has expired: renew it, then close the old TLS connections (tandem peer reconnect)"},
	{569009, 504, "untrusted_root", "our certificate's authority is not one that Microsoft trusts, or the wrong one of our certificates was shown"},
	{569015, 504, "no such host is known", "our name cannot be found in the DNS"},
	{569016, 504, "no data of the requested type", "our name is in the DNS but has no address: add an A record"},
	{569018, 504, "request/response line", "Microsoft could not read the first line of our message"},
	{560402, 402, "payment required", "a carrier beyond the core demands payment: see the numbers it happens to"},
	{560403, 403, "", "the gateway answered 403: see its record of the call"},
	{560408, 408, "", "the gateway answered 408: nobody answered beyond the core"},
	{560420, 420, "", "the gateway answered 420: an extension was required, mostly Replaces"},
	{560484, 484, "", "the gateway answered 484: the number is incomplete or of a form that the core does not know"},
	{560503, 503, "", "the gateway answered 503: it, or all of the core, was overloaded or away"},
	{0, 408, "establishment timeout", "media was not established within 90 s: check the path of media between Microsoft and us"},
	{0, 486, "call was declined", "the called user declined the call"},
}
