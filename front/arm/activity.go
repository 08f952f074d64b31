package arm

import (
	"net/http"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// activityFilter is what of the activity log is wanted.
type activityFilter struct {
	span        subscription.Span
	correlation string
}

// activity is the audit trail as Azure's activity log, so that `az monitor
// activity-log list` reads it. Who may not read a resource does not see what
// was done to it.
func (a *api) activity(q *request) (answer, error) {
	filter, err := readActivityFilter(q.query.Get("$filter"), q.vars["subscription"])
	if err != nil {
		return answer{}, err
	}
	text := q.query.Get("$filter")
	q.query["$filter"] = ""
	page, err := q.page()
	if err != nil {
		return answer{}, err
	}
	q.query["$filter"] = text
	filter.span.After, filter.span.Limit = page.after, page.limit
	entries, err := a.Subscriptions.Trail(q.Context(), filter.span)
	if err != nil {
		return answer{}, err
	}
	value, next := []map[string]any{}, ""
	for _, e := range entries {
		if q.access.May(e.Resource, "Microsoft.Insights/eventtypes/values/read") && (filter.correlation == "" || filter.correlation == e.Request.Correlation) {
			value = append(value, shapeEvent(e, q.vars["subscription"]))
		}
		next = e.ID
	}
	if len(entries) < page.limit {
		next = ""
	}
	return ok(a.pageOf(q, value, next))
}

func shapeEvent(e subscription.Entry, sub string) map[string]any {
	word := func(s string) map[string]string { return map[string]string{"value": s, "localizedValue": s} }
	level := "Informational"
	if e.Outcome != "Succeeded" {
		level = "Warning"
	}
	group := ""
	if parts := strings.Split(e.Resource, "/"); len(parts) > 4 && strings.EqualFold(parts[3], "resourceGroups") {
		group = parts[4]
	}
	return map[string]any{
		"id": e.Resource + "/events/" + e.ID, "eventDataId": e.ID, "eventTimestamp": moment(e.At), "submissionTimestamp": moment(e.At), "caller": e.Request.Principal.Object,
		"correlationId": e.Request.Correlation, "operationId": e.Request.ID, "httpRequest": map[string]string{"clientRequestId": e.Request.Client},
		"claims": map[string]string{"name": e.Request.Principal.Name, "oid": e.Request.Principal.Object}, "category": word("Administrative"), "eventName": word("EndRequest"), "level": level,
		"operationName": word(e.Action), "resourceProviderName": word(strings.Split(e.Action, "/")[0]), "resourceId": e.Resource, "resourceGroupName": group,
		"status": word(e.Outcome), "subStatus": word(""), "subscriptionId": sub,
	}
}

// readActivityFilter reads conditions joined by "and" (Azure Monitor docs,
// "Activity Logs - List").
func readActivityFilter(s, sub string) (f activityFilter, err error) {
	f.span.Scope, f.span.Since = subscription.Path(sub), time.Now().AddDate(0, 0, -90)
	wrong := fail(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s': join eventTimestamp ge|le '<time>', resourceGroupName eq '<name>', resourceUri eq '<id>', correlationId eq '<id>' with 'and'.", door.Printable(s))
	words, good := filterWords(s)
	if !good || s != "" && len(words)%4 != 3 {
		return f, wrong
	}
	for i := 0; i < len(words); i += 4 {
		if i > 0 && !strings.EqualFold(words[i-1].text, "and") {
			return f, wrong
		}
		if !f.condition(strings.ToLower(words[i].text+" "+words[i+1].text), words[i+2].text, sub) {
			return f, wrong
		}
	}
	return f, nil
}

// condition takes one condition in, if it is known.
func (f *activityFilter) condition(what, value, sub string) bool {
	switch what {
	case "eventtimestamp ge", "eventtimestamp le":
		t, good := eventTime(value)
		if !good {
			return false
		}
		if what == "eventtimestamp ge" {
			f.span.Since = t
		} else {
			f.span.Until = t
		}
	case "resourcegroupname eq":
		f.span.Scope = subscription.GroupPath(sub, value)
	case "resourceuri eq", "resourceid eq":
		if !strings.HasPrefix(strings.ToLower(value), strings.ToLower(subscription.Path(sub))+"/") {
			return false
		}
		f.span.Scope = value
	case "correlationid eq":
		f.correlation = value
	case "eventchannels eq", "levels eq": // all there is is of one kind
	default:
		return false
	}
	return true
}

// eventTime reads a time; azure-cli leaves the zone out and means UTC.
func eventTime(s string) (t time.Time, good bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return t, false
}
