package ua

import (
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// LeastSession is the shortest session interval there is (RFC 4028 section 4).
const LeastSession = 90 * time.Second

// SessionTimer is a Session-Expires header (RFC 4028 section 4): after how long
// a session ends that nobody refreshes, and whose task that is. Zero: no header.
type SessionTimer struct {
	Interval  time.Duration
	Refresher string // "uac" or "uas" of the request that bears it or is answered by it; "": left open
}

// SessionTimerOf reads the Session-Expires of a message. The error is a
// *sip.ParseError.
func SessionTimerOf(m *sip.Message) (SessionTimer, error) {
	value := m.Get("Session-Expires")
	if value == "" && !m.Has("Session-Expires") {
		return SessionTimer{}, nil
	}
	seconds, params := cutParams(value)
	interval, ok := seconds32(seconds)
	if !ok || interval == 0 {
		return SessionTimer{}, &sip.ParseError{Header: "Session-Expires", Msg: "not a number of seconds", Status: 400}
	}
	t := SessionTimer{Interval: interval}
	switch who, _ := params.Get("refresher"); strings.ToLower(who) {
	case "uac":
		t.Refresher = "uac"
	case "uas":
		t.Refresher = "uas"
	}
	return t, nil
}

// String is the value of the header.
func (t SessionTimer) String() string {
	s := strconv.FormatInt(int64(t.Interval/time.Second), 10)
	if t.Refresher != "" {
		s += ";refresher=" + t.Refresher
	}
	return s
}

// LeastSessionOf is the shortest interval that a message allows, by its Min-SE
// or for want of one (RFC 4028 section 5). One that cannot be read is none.
func LeastSessionOf(m *sip.Message) time.Duration {
	seconds, _ := cutParams(m.Get("Min-SE"))
	least, _ := seconds32(seconds)
	return max(least, LeastSession)
}

func cutParams(value string) (string, sip.Params) {
	if i := strings.IndexByte(value, ';'); i >= 0 {
		return strings.TrimSpace(value[:i]), sip.Params(value[i:])
	}
	return strings.TrimSpace(value), ""
}

// seconds32 reads delta-seconds, which are at most 2^32-1 (RFC 3261 20.19).
func seconds32(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return time.Duration(n) * time.Second, err == nil
}
