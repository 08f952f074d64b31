package ua

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

func withHeader(name, value string) *sip.Message {
	m := sip.NewRequest("INVITE", "sip:x")
	if name != "" {
		m.Add(name, value)
	}
	return m
}

func TestSessionTimerOf(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		want        SessionTimer
		bad         bool
	}{
		{name: "", want: SessionTimer{}},
		{name: "Session-Expires", value: "3600", want: SessionTimer{Interval: time.Hour}},
		{name: "x", value: "1800;refresher=uac", want: SessionTimer{30 * time.Minute, "uac"}},
		{name: "SESSION-EXPIRES", value: "90 ; REFRESHER=UAS ; other=1", want: SessionTimer{90 * time.Second, "uas"}},
		{name: "Session-Expires", value: "1800;refresher=me", want: SessionTimer{Interval: 30 * time.Minute}},
		{name: "Session-Expires", value: "4294967295", want: SessionTimer{Interval: 4294967295 * time.Second}},
		{name: "Session-Expires", value: "4294967296", bad: true},
		{name: "Session-Expires", value: "-1", bad: true},
		{name: "Session-Expires", value: "0", bad: true},
		{name: "Session-Expires", value: "", bad: true},
		{name: "Session-Expires", value: "soon", bad: true},
		{name: "Session-Expires", value: ";refresher=uac", bad: true},
	} {
		got, err := SessionTimerOf(withHeader(tc.name, tc.value))
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("%s: %q is %+v, %v", tc.name, tc.value, got, err)
		}
	}
}

func TestLeastSessionOf(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"300": 5 * time.Minute, "300;x=y": 5 * time.Minute, "10": LeastSession, "": LeastSession, "nonsense": LeastSession,
	} {
		if got := LeastSessionOf(withHeader("Min-SE", value)); got != want {
			t.Errorf("%q is %v", value, got)
		}
	}
}

func FuzzSessionTimer(f *testing.F) {
	for _, s := range []string{"3600", "1800;refresher=uac", "90 ;refresher=UAS", ";", "1;refresher", "99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := SessionTimerOf(withHeader("Session-Expires", value))
		if err != nil {
			return
		}
		again, err := SessionTimerOf(withHeader("Session-Expires", got.String()))
		if got.Interval <= 0 || err != nil || again != got {
			t.Errorf("%q is %+v, and written and read again %+v, %v", value, got, again, err)
		}
	})
}
