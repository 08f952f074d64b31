package interop

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Forward is one forwarding a call has been through: who forwarded it, and
// why. It is what Diversion (RFC 5806) and History-Info (RFC 7044) have in
// common, and what one is made into the other by (RFC 7544).
type Forward struct {
	Number  string // who forwarded, E.164 where it can be; "" unknown or withheld
	Cause   int    // why, in the words of RFC 4458
	Times   int    // how often, 1 or more: what lies between is not known
	Private bool   // not to be told beyond the trust domain
}

const (
	// maxForwards is how often a call may have been forwarded before it comes
	// to us. ISUP gives up at five (ITU-T Q.732.2); some networks count more.
	maxForwards = 10
	// maxReturns is how often a number may have forwarded the call that comes
	// to it again: a secretary hands a call back once, a loop does for ever.
	maxReturns = 2
)

// Causes of RFC 4458, with those of RFC 7544 section 6 for the words of
// RFC 5806. 404 is what stands for all that nobody knows.
var forwardReasons = map[int]string{
	404: "unknown", 302: "unconditional", 486: "user-busy", 408: "no-answer",
	480: "deflection", 487: "deflection", 503: "unavailable",
}

var forwardCauses = map[string]int{
	"unknown": 404, "unconditional": 302, "user-busy": 486, "no-answer": 408,
	"deflection": 480, "unavailable": 503, "time-of-day": 404, "do-not-disturb": 404,
	"follow-me": 404, "out-of-service": 404, "away": 404,
}

// forwardCause is the nearest cause of RFC 4458; 0 when there is none in v.
func forwardCause(v int) int {
	switch {
	case forwardReasons[v] != "":
		return v
	case v == 600, v == 496: // 496 stands for busy in a vendor's examples
		return 486
	case v == 181, v == 301, v == 305:
		return 302
	case v >= 300 && v < 700:
		return 404
	}
	return 0
}

// forwards reads the way a call has come, oldest first. Of both headers
// History-Info counts, since it says more (RFC 7544 section 4).
func forwards(m *sip.Message, from Leg) []Forward {
	var all []Forward
	if from.Profile.hears("History-Info") {
		all = history(m, from.Plan)
	}
	if all == nil && from.Profile.hears("Diversion") {
		all = diversions(m, from.Plan)
	}
	if hidden := historyHidden(m); hidden {
		for i := range all {
			all[i].Private = true
		}
	}
	return all
}

// historyHidden: these wishes of the caller's cover all entries
// (RFC 7044 10.1.1).
func historyHidden(m *sip.Message) bool {
	return slices.ContainsFunc(privacyWords(m), func(p string) bool {
		return p == "history" || p == "header" || p == "session"
	})
}

// diversions reads Diversion: the latest stands first (RFC 5806 section 4).
func diversions(m *sip.Message, plan Plan) []Forward {
	var all []Forward
	for item := range m.List("Diversion") {
		a, err := sip.ParseAddress(item)
		if err != nil {
			continue
		}
		all = append(all, diversion(a, plan))
	}
	slices.Reverse(all)
	return all
}

func diversion(a sip.Address, plan Plan) Forward {
	f := Forward{Number: forwarder(a.URI, plan), Times: 1}
	reason, _ := a.Params.Get("reason")
	if f.Cause = forwardCauses[strings.ToLower(reason)]; f.Cause == 0 {
		f.Cause = 404
	}
	if counter, _ := a.Params.Get("counter"); allDigits(counter) && len(counter) < 4 {
		n, _ := strconv.Atoi(counter) // three digits
		f.Times = max(n, 1)
	}
	privacy, _ := a.Params.Get("privacy")
	f.Private = privacy != "" && !strings.EqualFold(privacy, "off")
	return f
}

// forwarder is the number of who forwarded, or of the target of an entry.
func forwarder(u sip.URI, plan Plan) string {
	n, ok := plan.number(u)
	if strings.HasSuffix(strings.ToLower(u.Host), ".invalid") || !ok && !dialled(n) {
		return "" // a name would tell the other side's users, not a number
	}
	return n
}

// entry is one entry of History-Info as far as forwarding goes.
type entry struct {
	number  string
	index   string
	from    string // mp or rc: index of the entry whose target was mapped to this one
	reason  int    // of its Reason: why the target was left
	cause   int    // of its URI: why the call came to the target (RFC 4458)
	private bool
}

// history reads the forwardings in History-Info, oldest first. An entry whose
// target was left for a reason has forwarded; one that was merely looked up
// (a contact, a gateway) has not.
func history(m *sip.Message, plan Plan) []Forward {
	list := entries(m, plan)
	if len(list) < 2 {
		return nil
	}
	// The last entry is where the call goes now, so nothing has come of it yet.
	// One that bears a reason is written by older 3GPP rules, which put it to
	// the new target.
	into := list[len(list)-1].reason != 0
	var all []Forward
	for i, to := range list[1:] {
		by := origin(list[:i+1], to)
		cause := to.cause
		switch {
		case cause != 0:
		case into:
			cause = to.reason
		default:
			cause = by.reason
		}
		if cause != 0 {
			all = append(all, Forward{Number: by.number, Cause: cause, Times: 1, Private: by.private})
		}
	}
	return all
}

// origin is the entry that to was made of, the one before unless it says.
func origin(before []entry, to entry) entry {
	for _, e := range before {
		if to.from != "" && e.index == to.from {
			return e
		}
	}
	return before[len(before)-1]
}

func entries(m *sip.Message, plan Plan) []entry {
	var list []entry
	for item := range m.List("History-Info") {
		if e, ok := readEntry(item, plan); ok {
			list = append(list, e)
		}
		if len(list) > 4*maxForwards {
			break // more than is ever looked at
		}
	}
	return list
}

// readEntry reads one entry. The headers of its URI come escaped, as they
// have to be, and from Teams in plain words too, quotes and blanks included
// (Microsoft Teams docs, "Configure SIP trunk: forward call history").
func readEntry(item string, plan Plan) (entry, bool) {
	open, end := strings.IndexByte(item, '<'), strings.LastIndexByte(item, '>')
	if open < 0 || end < open {
		return entry{}, false
	}
	uri, headers, _ := strings.Cut(item[open+1:end], "?")
	u, err := sip.ParseURI(uri)
	if err != nil {
		return entry{}, false
	}
	e := entry{number: forwarder(u, plan)}
	e.cause = causeParam(u)
	for header := range strings.SplitSeq(headers, "&") {
		name, value, _ := strings.Cut(header, "=")
		value = sip.Unescape(value)
		switch strings.ToLower(name) {
		case "reason":
			e.reason = entryReason(value)
		case "privacy":
			e.private = !strings.EqualFold(strings.TrimSpace(value), "none")
		}
	}
	params := sip.Params(strings.TrimSpace(item[end+1:]))
	e.index, _ = params.Get("index")
	for _, name := range [...]string{"mp", "rc"} {
		if v, ok := params.Get(name); ok {
			e.from = v
			break
		}
	}
	return e, true
}

// entryReason reads the Reason of an entry without insisting on its grammar:
// the text may stand there without quotes.
func entryReason(value string) int {
	protocol, rest, _ := strings.Cut(value, ";")
	if !strings.EqualFold(strings.TrimSpace(protocol), "SIP") {
		return 0
	}
	for param := range strings.SplitSeq(rest, ";") {
		name, v, _ := strings.Cut(param, "=")
		if v = strings.TrimSpace(v); strings.EqualFold(strings.TrimSpace(name), "cause") && len(v) == 3 && allDigits(v) {
			n, _ := strconv.Atoi(v) // three digits
			return forwardCause(n)
		}
	}
	return 0
}

// causeParam is the cause parameter of a URI (RFC 4458): why the call comes
// to it; 0 when it says nothing that is known.
func causeParam(u sip.URI) int {
	v, _ := u.Params.Get("cause")
	if len(v) != 3 || !allDigits(v) {
		return 0
	}
	n, _ := strconv.Atoi(v) // three digits
	if forwardReasons[n] == "" {
		return 0
	}
	return n
}

// times is how often a call was forwarded.
func times(list []Forward) int {
	n := 0
	for _, f := range list {
		n += f.Times
	}
	return n
}

// checkForwards refuses a call that runs in circles.
func checkForwards(id Identity) error {
	returns := 0
	for _, f := range id.Forwards {
		if f.Number == id.Called {
			returns++
		}
	}
	switch {
	case returns > maxReturns:
		return &sip.ParseError{Header: "History-Info", Msg: "forwarded in a loop", Status: 482}
	case times(id.Forwards) > maxForwards:
		return &sip.ParseError{Header: "History-Info", Msg: "forwarded too often", Status: 483}
	}
	return nil
}

// Forwarded is the identity of the call after by, a number, has forwarded it
// for a cause of RFC 4458.
func (id Identity) Forwarded(by string, cause int) Identity {
	if cause = forwardCause(cause); cause == 0 {
		cause = 404
	}
	id.Forwards = append(slices.Clone(id.Forwards), Forward{Number: by, Cause: cause, Times: 1})
	id.Cause = cause
	return id
}

// diversionHeaders are the values of Diversion towards l, latest first.
func (l Leg) diversionHeaders(list []Forward) []string {
	var values []string
	for _, f := range slices.Backward(list) {
		v := "<" + l.forwarder(f) + ">;reason=" + forwardReasons[f.Cause] + ";counter=" + strconv.Itoa(f.Times)
		if f.Private {
			v += ";privacy=full"
		}
		values = append(values, v)
	}
	return values
}

// historyHeaders are the entries of History-Info towards l, oldest first, the
// last of them the called number (RFC 7544 section 5). What was forwarded
// several times by hands unknown gets as many entries.
func (l Leg) historyHeaders(id Identity) []string {
	var values []string
	index, parent, cause := "1", "", 0
	add := func(uri string, f *Forward) {
		if cause != 0 {
			uri += ";cause=" + strconv.Itoa(cause)
		}
		if f != nil {
			uri += "?Reason=SIP%3Bcause%3D" + strconv.Itoa(f.Cause)
			if f.Private {
				uri += "&Privacy=history"
			}
			cause = f.Cause
		}
		v := "<" + uri + ">;index=" + index
		if parent != "" {
			v += ";mp=" + parent
		}
		values = append(values, v)
		index, parent = index+".1", index
	}
	for _, f := range id.Forwards {
		for range f.Times - 1 {
			add(unknown, &Forward{Cause: 404})
		}
		add(l.forwarder(f), &f)
	}
	add(l.uri(id.Called, hostOf(l.Remote)), nil)
	return values
}

const (
	anonymousURI = "sip:anonymous@anonymous.invalid" // RFC 3323 4.1.1.3, RFC 7044 10.1.2
	unknown      = "sip:unknown@unknown.invalid"     // RFC 7544 section 5
)

// forwarder is the URI by which l is told who forwarded.
func (l Leg) forwarder(f Forward) string {
	switch {
	case f.Private && !l.Profile.Trusted:
		return anonymousURI
	case f.Number == "":
		return unknown
	}
	return l.uri(f.Number, hostOf(l.Local))
}
