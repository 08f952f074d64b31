package operatorconnect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CallDuration is how long a call was by the operator's own count.
type CallDuration struct {
	CallID          string    `json:"callId"`
	Direction       string    `json:"direction"`
	TenantID        string    `json:"tenantId,omitempty"`
	Caller          string    `json:"caller"`
	Callee          string    `json:"callee"`
	StartTime       time.Time `json:"startTime"`
	DurationSeconds *int64    `json:"durationSeconds"`
}

const (
	maxRecords   = 1000                // of an upload
	maxDurations = 1_000_000           // of an operator; more are refused
	oldest       = 30 * 24 * time.Hour // that is taken
	longestCall  = 604800              // seconds
	longestList  = 31 * 24 * time.Hour
)

// rejected is a record that was not taken.
type rejected struct {
	Index   int    `json:"index"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func uploadDurations(c *call) (answer, error) {
	var d struct {
		Records []CallDuration `json:"records"`
	}
	if err := c.decode(&d); err != nil {
		return answer{}, err
	}
	switch n := len(d.Records); {
	case n == 0:
		return answer{}, invalid("records", "There is no record.")
	case n > maxRecords:
		return answer{}, refuse(http.StatusRequestEntityTooLarge, "PayloadTooLarge", "records", "An upload has %d records at most.", maxRecords)
	}
	result := struct {
		Accepted int        `json:"accepted"`
		Replaced int        `json:"replaced"`
		Rejected []rejected `json:"rejected"`
	}{Rejected: []rejected{}}
	for i, r := range d.Records {
		key := r.Direction + " " + r.CallID
		_, again := c.o.durations[key]
		code, message := r.check(c.o)
		if code == "" && !again && len(c.o.durations) >= maxDurations {
			code, message = "invalid_record", "The sandbox keeps no more records."
		}
		if code != "" {
			result.Rejected = append(result.Rejected, rejected{i, code, message})
			continue
		}
		r.TenantID, r.StartTime = strings.ToLower(r.TenantID), r.StartTime.UTC()
		c.o.durations[key] = r
		result.Accepted++
		if again {
			result.Replaced++
		}
	}
	return answer{body: result}, nil
}

// check tells what is wrong with a record.
func (d CallDuration) check(o *operator) (code, message string) {
	wrong := func(format string, a ...any) (string, string) { return "invalid_record", fmt.Sprintf(format, a...) }
	switch {
	case d.CallID == "" || long(d.CallID, 256):
		return wrong("callId has from 1 to 256 characters.")
	case d.Direction != "Inbound" && d.Direction != "Outbound":
		return wrong("direction is Inbound or Outbound.")
	case d.Caller == "" || long(d.Caller, 64) || d.Callee == "" || long(d.Callee, 64):
		return wrong("caller and callee have from 1 to 64 characters.")
	case d.DurationSeconds == nil || *d.DurationSeconds < 0 || *d.DurationSeconds > longestCall:
		return wrong("durationSeconds is from 0 to %d.", longestCall)
	case d.StartTime.IsZero() || d.StartTime.After(time.Now().Add(time.Hour)):
		return wrong("startTime is when the call was answered.")
	}
	if _, err := uuid.Parse(d.TenantID); d.TenantID != "" && err != nil {
		return wrong("tenantId is no ID.")
	}
	if time.Since(d.StartTime) > oldest {
		return "too_old", "The call was more than 30 days ago."
	}
	for _, t := range o.tenants {
		if t.numbers[d.Caller] != nil || t.numbers[d.Callee] != nil {
			return "", ""
		}
	}
	return "unknown_number", "Neither number is one of this operator's."
}

func listDurations(c *call) (answer, error) {
	var limits [2]time.Time
	for i, name := range []string{"from", "to"} {
		at, err := time.Parse(time.RFC3339, c.r.URL.Query().Get(name))
		if err != nil {
			return answer{}, invalid(name, "%s is a date and time as in RFC 3339.", name)
		}
		limits[i] = at
	}
	if d := limits[1].Sub(limits[0]); d < 0 || d > longestList {
		return answer{}, invalid("to", "to is at most 31 days after from.")
	}
	key := func(d CallDuration) string {
		return d.StartTime.UTC().Format("20060102T150405.000000000") + " " + d.Direction + " " + d.CallID
	}
	var all []CallDuration
	for _, d := range c.o.durations {
		if !d.StartTime.Before(limits[0]) && d.StartTime.Before(limits[1]) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b CallDuration) int { return strings.Compare(key(a), key(b)) })
	return list(c, all, key)
}
