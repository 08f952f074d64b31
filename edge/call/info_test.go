package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// RFC 2976 2.2, RFC 6086 4.2.2: digits are taken, an empty body is a sign of
// life, what is unknown is refused by what it is.
func TestInfo(t *testing.T) {
	inWorldOf(t, wants(func(i *snapshot.Interworking) { i.DTMF = "info" }), func(w *world) {
		core, teams := w.talk()
		for _, tc := range []struct {
			status, kind, body string
			header             string
		}{
			{"200", "", "", ""},
			{"200", relayed, "Signal=5\r\nDuration=250\r\n", ""},
			{"200", relayed, "Signal= #\r\n", ""},
			{"200", bare, "11", ""},
			{"200", "Application/DTMF-Relay; charset=utf-8", "signal=a", ""},
			{"400", relayed, "Signal=99\r\n", ""},
			{"400", bare, "x", ""},
			{"415", "application/media_control+xml", "<x/>", ""},
			{"469", relayed, "Signal=5\r\n", "Info-Package: dtmf"},
		} {
			m := core.NewRequest("INFO")
			m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
			if tc.kind != "" {
				m.SetBody(tc.kind, []byte(tc.body))
			}
			if name, value, ok := strings.Cut(tc.header, ": "); ok {
				m.Set(name, value)
			}
			w.core.send(m)
			no := w.core.expect(tc.status)
			if tc.status == "415" && no.Get("Accept") == "" || tc.status == "469" && !no.Has("Recv-Info") {
				t.Errorf("refused with\n%s", no)
			}
		}
		teams.request("INFO", "")
		if no := w.teams.expect("405"); no.HasToken("Allow", "INFO") {
			t.Errorf("refused with\n%s", no)
		}
		w.over()
	})
	inWorldOf(t, wantsReliable, func(w *world) { // digits come as events here
		core, _ := w.talk()
		core.request("INFO", "")
		if no := w.core.expect("405"); no.HasToken("Allow", "INFO") {
			t.Errorf("refused with\n%s", no)
		}
		w.over()
	})
}

// What a leg has pressed goes out in the form that the other one takes.
func TestDigitsCross(t *testing.T) {
	m := newMachine(t, nil)
	m.talk()
	profile := interop.Core
	profile.DTMF, profile.Info = interop.DTMFInfo, true
	m.s.caller().dress.Profile = &profile

	if got := m.told(digit{relay.Callee, '7', 200 * time.Millisecond}); got != "INFO to caller" {
		t.Errorf("a digit of the callee: %s", got)
	}
	for _, r := range m.clients {
		if r.Method == "INFO" && string(r.Body) != "Signal=7\r\nDuration=200\r\n" {
			t.Errorf("sent as\n%s", r)
		}
	}
	if got := m.told(digit{relay.Caller, '7', 200 * time.Millisecond}); got != "" {
		t.Errorf("the relay turns it into what the callee takes, and so do we: %s", got)
	}
	info := m.dialog(relay.Caller).NewRequest("INFO")
	info.Add("Via", "SIP/2.0/UDP h;branch=z9hG4bKinfo")
	info.SetBody(relayed, []byte("Signal=*\r\nDuration=90\r\n"))
	m.last++
	m.servers[m.last] = &serverSide{msg: info}
	var sent []sendDigit
	for _, e := range m.s.step(m.now, requested{leg: relay.Caller, tx: m.last, msg: info}) {
		if d, ok := e.(sendDigit); ok {
			sent = append(sent, d)
		}
		m.do(e)
	}
	if len(sent) != 1 || sent[0] != (sendDigit{relay.Callee, '*', 90 * time.Millisecond}) {
		t.Errorf("the callee gets %v", sent)
	}
	m.windUp()
}

// A digit that is pressed in the core, by INFO, is heard in the cloud as
// telephone-event, and the other way round (RFC 4733).
func TestDigitsByInfoAndAsEvents(t *testing.T) {
	inWorldOf(t, func(w *world) {
		wants(func(i *snapshot.Interworking) { i.DTMF = "info" })(w)
		w.snap.Groups[1].Peers[0].SRTP = false
	}, func(w *world) {
		heard := w.ear("10.2.0.1", 49168)
		in, out := w.place()
		desc := strings.Replace(strings.Replace(teamsSDP, "RTP/SAVP", "RTP/AVP", 1), "10.2.0.77", "10.2.0.1", 1)
		desc = desc[:strings.Index(desc, "a=crypto")] + desc[strings.Index(desc, "a=rtpmap:8"):]
		w.teams.reply(out, 200, "t1", desc)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		if strings.Contains(string(ok.Body), "telephone-event") {
			t.Errorf("the core would press every digit twice:\n%s", ok.Body)
		}
		core := w.core.took(in, ok)
		core.ack("")
		synctest.Wait()
		m := core.NewRequest("INFO")
		m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
		m.SetBody(relayed, []byte("Signal=5\r\nDuration=100\r\n"))
		w.core.send(m)
		w.core.expect("200")
		time.Sleep(time.Second)
		if n := heard(); n < 5 {
			t.Errorf("%d packets of the event", n)
		}
		w.over()
	})
}

func FuzzDigit(f *testing.F) {
	f.Add(relayed, []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add(relayed, []byte("signal = *\nduration=99999999"))
	f.Add(bare, []byte("11"))
	f.Add(bare, []byte(" # "))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		d, lasts, ok := digitOf(kind, body)
		if ok && (!strings.ContainsRune("0123456789*#ABCD", rune(d)) || lasts <= 0 || lasts > lastingDigit) {
			t.Errorf("%q is %q for %v", body, d, lasts)
		}
	})
}

// A side whose events come by the thousand does not make us send the other one
// a thousand requests.
func TestAFloodOfDigitsIsNoFloodOfRequests(t *testing.T) {
	m := newMachine(t, nil)
	m.talk()
	profile := interop.Core
	profile.DTMF, profile.Info = interop.DTMFInfo, true
	m.s.caller().dress.Profile = &profile
	sent := 0
	for range 3000 { // in three seconds
		m.now = m.now.Add(time.Millisecond)
		if m.told(digit{relay.Callee, '7', time.Millisecond}) != "" {
			sent++
		}
	}
	if sent < maxDigits || sent > 4*maxDigits {
		t.Errorf("%d INFOs in three seconds", sent)
	}
	m.windUp()
}
