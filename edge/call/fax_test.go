package call

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// machines are two fax machines of the core and what they have heard.
type machines struct {
	ports [2]*rtp.Port
	mu    sync.Mutex
	heard [2][][]byte // mu
}

func (w *world) faxMachines() *machines {
	w.t.Helper()
	e, err := rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{
		{Name: "fax", Bind: netip.MustParseAddr("10.1.0.1"), PortMin: 7000, PortMax: 7099},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = e.Close() })
	m := &machines{}
	for i := range m.ports {
		if m.ports[i], err = e.OpenUDPTL("fax"); err != nil {
			w.t.Fatal(err)
		}
		_ = m.ports[i].Receive(&rtp.Plan{Sink: func(p []byte, _ bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.heard[i] = append(m.heard[i], bytes.Clone(p))
		}})
	}
	return m
}

// describes is the description of a machine that wants T.38.
func (m *machines) describes(i int) string {
	at := m.ports[i].Addr()
	return "v=0\r\no=core 1 " + string(rune('7'+i)) + " IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 " + at.Addr().String() + "\r\nt=0 0\r\nm=image " + port(at) +
		" udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxDatagram:400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
}

func port(at netip.AddrPort) string { _, p, _ := strings.Cut(at.String(), ":"); return p }

// joinByTeams is a consultation transfer of a Teams user between two parties of
// the core whose calls both go through us.
func (w *world) joinByTeams() (x, y *dialog) {
	w.t.Helper()
	x, first := w.talk()
	y, second := w.talk()
	id := second.ID()
	first.requestWith("REFER", "Refer-To: <sip:user@10.0.1.2?Replaces="+
		url.QueryEscape(id.CallID+";to-tag="+id.RemoteTag+";from-tag="+id.LocalTag)+">")
	w.teams.expect("202")
	for _, list := range w.teams.answersIn(map[string]int{"NOTIFY": 2, "BYE": 1}) {
		for _, m := range list {
			w.teams.reply(m, 200, "", "")
		}
	}
	first.bye()
	synctest.Wait()
	w.core.quiet()
	return x, y
}

// T.38 passes between two parties of the core (ITU-T T.38 Annex D 2.2): through
// both calls that a Teams user has joined, as real datagrams, and back to audio.
func TestAFaxBetweenTwoPartiesOfTheCore(t *testing.T) {
	inWorld(t, func(w *world) {
		x, y := w.joinByTeams()
		m := w.faxMachines()
		x.request("INVITE", m.describes(0))
		w.core.expect("100")
		re := w.core.expect("INVITE")
		if re.Get("Call-ID") != y.ID().CallID {
			t.Fatalf("%s", re)
		}
		offered := faxOf(t, re)
		if offered.Conn.Host != "10.0.1.1" || !strings.Contains(string(re.Body), "a=T38FaxMaxDatagram:400\r\n") {
			t.Errorf("%s", re.Body)
		}
		w.core.reply(re, 200, "", m.describes(1))
		w.core.expect("ACK")
		ok := w.core.expect("200")
		x.ack("")
		synctest.Wait()
		m.ports[0].Remote(placeOfFax(faxOf(t, ok)), netip.AddrPort{})
		m.ports[1].Remote(placeOfFax(offered), netip.AddrPort{})
		w.exchange(m, 0)

		// Back to audio, asked by the other machine.
		y.request("INVITE", turn(coreAnswer, "sendrecv", 8))
		w.core.expect("100")
		back := w.core.expect("INVITE")
		if d, _ := sdp.Parse(back.Body); d == nil || d.Carried() == nil || d.Fax() != nil {
			t.Errorf("%s", back.Body)
		}
		w.core.reply(back, 200, "", turn(coreSDP, "sendrecv", 9))
		w.core.expect("ACK")
		w.core.expect("200")
		y.ack("")
		synctest.Wait()
		m.throw(t, 0, 99)
		if n := len(m.heard[1]); n != 20 {
			t.Errorf("%d datagrams have come, one after the fax", n)
		}

		// And once more: the ports are there.
		x.request("INVITE", m.describes(0))
		w.core.expect("100")
		w.core.reply(w.core.expect("INVITE"), 200, "", m.describes(1))
		w.core.expect("ACK")
		w.core.expect("200")
		x.ack("")
		synctest.Wait()
		w.exchange(m, 20)
		for _, c := range w.set.Live() {
			if c.Caller.Codec != "T38" || c.Callee.Codec != "T38" || c.Caller.Media.Fax+c.Callee.Media.Fax == 0 {
				t.Errorf("%+v\n%+v", c.Caller, c.Callee)
			}
		}
		y.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// exchange sends twenty datagrams each way.
func (w *world) exchange(m *machines, before int) {
	w.t.Helper()
	for i := range m.ports {
		for seq := range 20 {
			m.throw(w.t, i, seq)
		}
		m.mu.Lock()
		got := m.heard[1-i]
		m.mu.Unlock()
		if len(got) != before+20 || !bytes.Equal(got[before+19], datagram(19)) {
			w.t.Errorf("machine %d has got %d datagrams", 1-i, len(got)-before)
		}
	}
}

func (m *machines) throw(t *testing.T, i, seq int) {
	t.Helper()
	if err := m.ports[i].Send(datagram(seq), nil); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func datagram(seq int) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(seq)), 1, 0, 0, 0)
}

func faxOf(t *testing.T, m *sip.Message) *sdp.Media {
	t.Helper()
	d, err := sdp.Parse(m.Body)
	if err != nil || d.Fax() == nil {
		t.Fatalf("%v\n%s", err, m)
	}
	return d.Fax()
}

func placeOfFax(m *sdp.Media) netip.AddrPort { return netip.AddrPortFrom(m.Conn.IP(), m.Port) }

// A machine that answers T.38 with port 0, or refuses it, leaves both with
// their audio.
func TestAFaxThatIsNotTaken(t *testing.T) {
	for name, answer := range map[string]func(w *world, x *dialog, re *sip.Message){
		"488": func(w *world, x *dialog, re *sip.Message) {
			w.core.reply(re, 488, "", "")
			w.core.expect("ACK")
			w.core.ackFailure(x.invite, w.core.expect("488"))
		},
		"port 0": func(w *world, x *dialog, re *sip.Message) {
			w.core.reply(re, 200, "", strings.Replace(w.faxMachines().describes(1), "m=image 7", "m=image 0 udptl t38\r\na=x:", 1))
			w.core.expect("ACK")
			got := w.core.answersIn(map[string]int{"488": 1, "INVITE": 1})
			w.core.ackFailure(x.invite, got["488"][0])
			re = got["INVITE"][0] // it is brought back to audio
			if d, _ := sdp.Parse(re.Body); d == nil || d.Carried() == nil {
				w.t.Errorf("%s", re)
			}
			w.core.reply(re, 200, "", turn(coreAnswer, "sendrecv", 11))
			w.core.expect("ACK")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				x, y := w.joinByTeams()
				x.request("INVITE", w.faxMachines().describes(0))
				w.core.expect("100")
				answer(w, x, w.core.expect("INVITE"))
				time.Sleep(time.Second)
				x.bye()
				if bye := w.core.expect("BYE"); bye.Get("Call-ID") != y.ID().CallID {
					t.Errorf("%s", bye)
				} else {
					w.core.reply(bye, 200, "", "")
				}
			})
		})
	}
}

// Towards Teams, and where media are encrypted, T.38 is refused before anybody
// is asked; the call stays as it is.
func TestT38IsRefusedWhereItCannotBeCarried(t *testing.T) {
	t.Run("towards the cloud", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, teams := w.talk()
			core.request("INVITE", w.faxMachines().describes(0))
			core.f.ackFailure(core.invite, w.core.expect("488"))
			w.teams.quiet()
			core.request("INVITE", turn(coreSDP, "sendrecv", 5)) // a refresh
			w.core.expect("200")
			core.ack("")
			teams.bye()
			w.core.reply(w.core.expect("BYE"), 200, "", "")
		})
	})
	t.Run("beside audio", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, teams := w.talk()
			both := turn(coreSDP, "sendrecv", 5) + "m=image 7000 udptl t38\r\na=T38FaxVersion:0\r\n"
			core.request("INVITE", both)
			w.core.expect("100")
			re := w.teams.expect("INVITE") // there is one section more
			if !strings.Contains(string(re.Body), "m=image 0 udptl t38") {
				t.Errorf("%s", re.Body)
			}
			w.teams.reply(re, 200, "", turn(teamsSDP, "sendrecv", 2)+"m=image 0 udptl t38\r\n")
			w.teams.expect("ACK")
			ok := w.core.expect("200")
			if !strings.Contains(string(ok.Body), "m=image 0 udptl t38") || !strings.Contains(string(ok.Body), "m=audio 2") {
				t.Errorf("%s", ok.Body)
			}
			core.ack("")
			w.teams.quiet()
			teams.bye()
			w.core.reply(w.core.expect("BYE"), 200, "", "")
		})
	})
	t.Run("encrypted", func(t *testing.T) {
		l := &leg{peer: &peer.Known{}, end: sdp.End{Secret: make([]byte, sdp.SecretSize)}}
		l.peer.Group.Side = snapshot.Operator
		if mayFax(l) {
			t.Error("UDPTL in the clear beside SRTP")
		}
	})
}
