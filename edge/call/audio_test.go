package call

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// mouth is the media of a far side: what it says and hears.
type mouth struct {
	w     *world
	port  *rtp.Port
	out   *rtp.Keys
	seq   uint16
	stamp uint32
	heard []rtp.Packet
	rtcp  int
}

// mouthOf opens the media of a far side, which has sent mine and was sent ours.
func (w *world) mouthOf(mine, ours string) *mouth {
	w.t.Helper()
	parse := func(text string) *sdp.Session {
		s, err := sdp.Parse([]byte(text))
		if err != nil {
			w.t.Fatal(err)
		}
		return s
	}
	sent := parse(mine)
	side, err := sdp.Agree(sent, parse(ours))
	if err != nil {
		w.t.Fatal(err)
	}
	at := netip.AddrPortFrom(sent.Carried().Conn.IP(), sent.Carried().Port)
	e, err := rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{{Name: "far", Bind: at.Addr(), PortMin: at.Port(), PortMax: at.Port() + 1}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = e.Close() })
	m := &mouth{w: w}
	if m.port, err = e.Open("far"); err != nil {
		w.t.Fatal(err)
	}
	m.port.Remote(side.RTP, side.RTCP)
	keys := func(k *sdp.Keys) *rtp.Keys {
		if k == nil {
			return nil
		}
		return &rtp.Keys{Suite: k.Suite, Master: k.Master, MKI: k.MKI}
	}
	m.out = keys(side.Out)
	err = m.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: keys(side.In), Sink: func(pkt []byte, rtcp bool) {
		stage.Lock()
		defer stage.Unlock()
		if rtcp {
			m.rtcp++
		} else if p, ok := rtp.Read(append([]byte(nil), pkt...)); ok {
			m.heard = append(m.heard, p)
		}
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// say sends one packet of 20 ms and lets its time pass.
func (m *mouth) say(pt uint8, payload []byte) {
	m.w.t.Helper()
	m.seq++
	b := []byte{0x80, pt, byte(m.seq >> 8), byte(m.seq)}
	b = binary.BigEndian.AppendUint32(b, m.stamp)
	b = append(b, 0, 0, 0, 7)
	if err := m.port.Send(append(b, payload...), m.out); err != nil {
		m.w.t.Fatal(err)
	}
	m.stamp += 160
	pass(20 * time.Millisecond)
}

func (m *mouth) talk(d time.Duration) {
	for range d / (20 * time.Millisecond) {
		m.say(8, make([]byte, 160))
	}
	synctest.Wait()
}

// converse makes a call with media on both legs.
func (w *world) converse() (core, teams *mouth, in *dialog) {
	w.t.Helper()
	invite, out := w.place()
	w.teams.reply(out, 200, "t1", teamsSDP)
	w.teams.expect("ACK")
	ok := w.core.expect("200")
	in = w.core.took(invite, ok)
	in.ack("")
	synctest.Wait()
	return w.mouthOf(coreSDP, string(ok.Body)), w.mouthOf(teamsSDP, string(out.Body)), in
}

// leave ends the call from the core's side and gives its record.
func (w *world) leave(core *dialog) record.Call {
	w.t.Helper()
	core.bye()
	w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	synctest.Wait()
	return w.records.last(w.t)
}

// ITU-T G.107; one-way audio is told with the side that was silent.
func TestTheRecordTellsHowACallSounded(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams, in := w.converse()
		core.talk(65 * time.Second)
		if len(teams.heard) != 65*50 || core.rtcp == 0 || teams.rtcp == 0 {
			t.Errorf("Teams heard %d packets; %d and %d reports", len(teams.heard), core.rtcp, teams.rtcp)
		}
		r := w.leave(in)
		caller, callee := r.Caller.Media, r.Callee.Media
		if q := caller.Quality; q == nil || q.From == nil || q.From.MOS < 4.3 || len(caller.Whiles) != 2 || caller.Mute != 0 {
			t.Errorf("the caller: %+v", caller)
		}
		if callee.Received || callee.Mute < time.Minute {
			t.Errorf("the callee: %+v", callee)
		}
		c := w.set.Counters().Sound
		if c["operator"].Legs != 1 || c["operator"].Buckets != [7]uint64{} || c["cloud"].Mute != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestACallWithoutMediaEndsWhenThatIsWanted(t *testing.T) {
	mute := func(w *world) { w.cfg.Limits.Mute = 30 * time.Second }
	t.Run("a side is silent", func(t *testing.T) {
		inWorldOf(t, mute, func(w *world) {
			core, _, _ := w.converse()
			began := time.Now()
			core.talk(20 * time.Second)
			w.core.reply(w.core.expect("BYE"), 200, "", "")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			if d := time.Since(began); d < 30*time.Second || d > 50*time.Second {
				t.Errorf("after %v", d)
			}
			if c := w.records.last(t).Cause; c.By != "gateway" || !strings.Contains(c.Text, "neither media nor RTCP came from the callee") {
				t.Errorf("%+v", c)
			}
		})
	})
	t.Run("never on hold", func(t *testing.T) {
		inWorldOf(t, mute, func(w *world) {
			_, _, in := w.converse()
			in.request("INVITE", turn(coreSDP, "inactive", 2))
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "inactive", 1))
			w.teams.expect("ACK")
			w.core.expect("200")
			in.ack("")
			pass(5 * time.Minute)
			if got := w.state(); got != record.Held {
				t.Errorf("state %s", got)
			}
			w.leave(in)
		})
	})
	t.Run("not by itself", func(t *testing.T) {
		inWorld(t, func(w *world) {
			_, _, in := w.converse()
			pass(5 * time.Minute)
			w.leave(in)
		})
	})
}

// Microsoft Teams docs, "Direct Routing - Media protocols": Teams is kept
// supplied with media while the core says nothing.
func TestTeamsHearsNoiseWhileTheCoreIsSilent(t *testing.T) {
	inWorldOf(t, func(w *world) { w.snap.Groups[1].Interworking.Fill = nil }, func(w *world) {
		core, teams, in := w.converse()
		core.talk(time.Second)
		before := len(teams.heard)
		pass(10 * time.Second)
		noise := len(teams.heard) - before
		if noise < 300 || noise > 420 || len(core.heard) != 0 {
			t.Errorf("%d packets of noise to Teams, %d to the core", noise, len(core.heard))
		}
		core.stamp += 80000
		core.talk(time.Second)
		if got := len(teams.heard) - before - noise; got < 50 || got > 51 {
			t.Errorf("%d packets while the core talks", got)
		}
		w.leave(in)
	})
}

// RFC 4733 on one leg, tones or SIP INFO on the other.
func TestDigitsInTheFormThatALegTakes(t *testing.T) {
	press := func(m *mouth, digit byte) {
		code, _ := codec.EventOf(digit)
		m.stamp += 8000
		for i := range 7 {
			e := codec.Event{Code: code, Volume: 10, Duration: uint16(160 * min(i+1, 5)), End: i >= 4}
			m.say(101, e.Append(nil))
			m.stamp -= 160 // one time stamp
		}
		m.stamp += 7 * 160
		m.talk(200 * time.Millisecond)
	}
	t.Run("INFO", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.snap.Groups[0].Interworking.DTMF = "info" }, func(w *world) {
			_, teams, in := w.converse()
			teams.talk(100 * time.Millisecond)
			press(teams, '7')
			info := w.core.expect("INFO")
			if !strings.Contains(string(info.Body), "Signal=7\r\n") {
				t.Errorf("%s", info.Body)
			}
			w.core.reply(info, 200, "", "")
			w.leave(in)
		})
	})
	t.Run("tones", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.snap.Groups[0].Interworking.DTMF = "inband" }, func(w *world) {
			core, teams, in := w.converse()
			tone := make([]int16, 1600)
			codec.NewDTMF('4', 8000, time.Second).Read(tone[:1000])
			core.talk(200 * time.Millisecond)
			for b := codec.ALaw.Encode(nil, tone); len(b) > 0; b = b[160:] {
				core.say(8, b[:160])
			}
			core.talk(200 * time.Millisecond)
			ends := 0
			for _, p := range teams.heard {
				if e, err := codec.ParseEvent(p.Payload); p.PT == 101 && err == nil && e.End && e.Digit() == '4' {
					ends++
				}
			}
			if ends != 3 {
				t.Errorf("%d ends of the event", ends)
			}
			w.leave(in)
		})
	})
	t.Run("INFO to events", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.snap.Groups[0].Interworking.DTMF = "info" }, func(w *world) {
			_, teams, in := w.converse()
			in.inform("INFO", "application/dtmf-relay", "Signal=9\r\nDuration=120\r\n")
			w.core.expect("200")
			pass(time.Second)
			synctest.Wait()
			digits := map[byte]bool{}
			for _, p := range teams.heard {
				if e, err := codec.ParseEvent(p.Payload); p.PT == 101 && err == nil {
					digits[e.Digit()] = true
				}
			}
			if len(digits) != 1 || !digits['9'] {
				t.Errorf("%v", digits)
			}
			w.leave(in)
		})
	})
}

// inform sends a request with a body of a kind.
func (d *dialog) inform(method, kind, body string) {
	m := d.NewRequest(method)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.SetBody(kind, []byte(body))
	d.f.send(m)
}

// stage orders what the far sides hear and what the test looks at.
var stage sync.Mutex

// pass lets time pass, and all that happens in it happen.
func pass(d time.Duration) {
	stage.Lock() // what was looked at before comes before what is heard then
	until := time.Now().Add(d)
	stage.Unlock()
	time.Sleep(time.Until(until))
	synctest.Wait()
}
