package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// sdes is the one suite of SRTP that baresip and every Teams have in common.
const sdes = "AES_CM_128_HMAC_SHA1_80"

// phones are two baresips, one on each side of the gateway.
type phones struct {
	*world
	teams, core *baresip
}

// phones starts both and waits until the node holds them for alive. They speak
// codec and nothing else.
func (w *world) phones(codec string) phones {
	w.t.Helper()
	return w.phonesOf(w.teamsLine(codec), w.coreLine(codec))
}

func (w *world) phonesOf(teams, core line) phones {
	w.t.Helper()
	p := phones{w, w.baresip(teams), w.baresip(core)}
	w.peerUp(teamsPeer, "site-0")
	return p
}

// teamsLine is a telephone in the place of a Teams proxy: TLS with certificates
// on both ends, SRTP or nothing.
func (w *world) teamsLine(codec string) line {
	return line{
		name:    "teams",
		at:      netip.AddrPortFrom(w.proxy(0).Addr(), w.proxy(0).Port()-1),
		account: "<sip:" + user + "@" + proxyName + ";transport=tls>;mediaenc=srtp-mand;audio_codecs=" + codec,
		voice:   slices.Repeat(audio.Speech(21), 4), // baresip hangs up at the end of its file
		pair:    w.keyPair(w.authority, authority.Terms{}, proxyName),
	}
}

// coreLine is a telephone in the operator's core.
func (w *world) coreLine(codec string) line {
	l := line{
		name:    "core",
		at:      w.site(0),
		account: "<sip:" + subscriber + "@" + siteName + ";transport=" + w.transport + ">;audio_codecs=" + codec,
		voice:   audio.Tones(22, 25*time.Second),
	}
	if w.srtp() {
		l.at = netip.AddrPortFrom(l.at.Addr(), l.at.Port()-1)
		l.account += ";mediaenc=srtp-mand"
		l.pair = w.keyPair(w.authority, authority.Terms{}, siteName)
	}
	return l
}

// Both ways over each transport, with each codec.
func TestBaresipCalls(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, x := range []struct {
		transport, codec string
		fromTeams        bool
	}{
		{"udp", "PCMA/8000/1", true},
		{"tcp", "PCMU/8000/1", true},
		{"udp", "PCMU/8000/1", false},
		{"tcp", "PCMA/8000/1", false},
		{"tls", "PCMA/8000/1", true},
		{"tls", "G722/16000/1", false},
	} {
		name, ender := "core calls Teams", record.ByCallee
		if x.fromTeams {
			name, ender = "Teams calls core", record.ByCaller
		}
		t.Run(name+" over "+x.transport, func(t *testing.T) {
			t.Parallel()
			p := build(t, setup{transport: x.transport, codecs: "PCMA, PCMU, G722", realCloud: true}).phones(x.codec)
			p.call(x.fromTeams)
			p.talk(4 * time.Second)
			p.teams.do("/hangup")
			r := p.records(1)[0]
			p.overheard()
			p.agrees(r, x.fromTeams, x.codec[:4])
			if r.Cause.By != ender {
				t.Errorf("Teams' telephone hung up; the record says %q", r.Cause.By)
			}
		})
	}
}

// A telephone puts the other on hold and takes it back: afterwards media flows
// both ways again.
func TestBaresipHolds(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, fromTeams := range []bool{true, false} {
		name := map[bool]string{true: "Teams", false: "core"}[fromTeams]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := build(t, setup{realCloud: true}).phones("PCMA/8000/1")
			p.call(true)
			p.talk(time.Second)
			holder := p.core
			if fromTeams {
				holder = p.teams
			}
			holder.do("/hold")
			p.state(record.Held)
			holder.saidTimes("stream: update 'audio'", 2, 10*time.Second) // it has the answer to its INVITE
			holder.do("/resume")
			p.state(record.Talking)
			p.talk(3 * time.Second)
			p.core.do("/hangup")
			r := p.records(1)[0]
			// This baresip writes down nothing of what it receives after a
			// re-INVITE, wherever that comes from; so it is asked to count.
			for _, way := range []struct {
				name     string
				from, to *baresip
			}{{"Teams to the core", p.teams, p.core}, {"the core to Teams", p.core, p.teams}} {
				sent, _ := way.from.packets()
				_, received := way.to.packets()
				if received < sent*9/10 && !stalls.lately() || received < 100 { // 50 were before the hold
					t.Errorf("of %d packets from %s %d arrived", sent, way.name, received)
				}
			}
			if r.Cause.By != record.ByCallee {
				t.Errorf("the core's telephone hung up; the record says %q", r.Cause.By)
			}
		})
	}
}

// state waits until the one live call is in a state.
func (w *world) state(want string) {
	w.t.Helper()
	w.until(10*time.Second, func() string {
		live, err := w.node.Live(w.ctx)
		if err != nil || len(live) != 1 {
			return fmt.Sprintf("the node has %d live calls: %v", len(live), err)
		}
		if live[0].State != want {
			return fmt.Sprintf("the call is %s, not %s", live[0].State, want)
		}
		return ""
	})
}

// call has one telephone dial the other.
func (p phones) call(fromTeams bool) {
	p.t.Helper()
	if fromTeams {
		p.teams.dial(p.subscriberAtGateway())
	} else {
		p.core.dial(p.userAtGateway())
	}
	for _, b := range []*baresip{p.teams, p.core} {
		b.said("Call established", 10*time.Second)
	}
}

// subscriberAtGateway is what a proxy dials to reach the subscriber.
func (w *world) subscriberAtGateway() string {
	return fmt.Sprintf("sip:%s@%s:%d", subscriber, gatewayName, w.gatewayCloud().Port())
}

// userAtGateway is what a core dials to reach Teams' user.
func (w *world) userAtGateway() string {
	host := w.gatewayCore().Addr().String()
	if w.srtp() {
		host = coreSide
	}
	return fmt.Sprintf("sip:%s@%s:%d", user, host, w.gatewayCore().Port())
}

// talk waits until the node has passed on media for so long.
func (w *world) talk(long time.Duration) {
	w.t.Helper()
	packets := uint64(long / (20 * time.Millisecond))
	w.until(2*long+5*time.Second, func() string {
		live, err := w.node.Live(w.ctx)
		if err != nil || len(live) != 1 {
			return fmt.Sprintf("the node has %d live calls: %v", len(live), err)
		}
		if a, b := live[0].Caller.Media, live[0].Callee.Media; min(a.Packets, b.Packets) < packets {
			return fmt.Sprintf("the node has passed on %d and %d packets of %d", a.Packets, b.Packets, packets)
		}
		return ""
	})
}

// overheard fails the test unless each telephone heard what the other said.
func (p phones) overheard() {
	p.t.Helper()
	heard(p.t, "what Teams' telephone said", audio.Listen(p.teams.sent(), p.core.heard()))
	heard(p.t, "what the core's telephone said", audio.Listen(p.core.sent(), p.teams.heard()))
}

// A telephone presses keys, which arrive as telephone events and not as sound.
func TestBaresipPressesKeys(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	p := build(t, setup{realCloud: true}).phones("PCMA/8000/1")
	p.call(true)
	for _, way := range [][2]*baresip{{p.teams, p.core}, {p.core, p.teams}} {
		for _, key := range "17#" {
			way[0].press(key)
			way[1].said(fmt.Sprintf("received event: '%c' (end=1)", key), 10*time.Second)
		}
	}
	p.teams.do("/hangup")
	p.records(1)
}

// Nobody answers: the called side declines, or the caller gives up.
func TestBaresipDoesNotTalk(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, fromTeams := range []bool{true, false} {
		t.Run(map[bool]string{true: "Teams calls core", false: "core calls Teams"}[fromTeams], func(t *testing.T) {
			t.Parallel()
			w := build(t, setup{realCloud: true})
			teams, core := w.teamsLine("PCMA/8000/1"), w.coreLine("PCMA/8000/1")
			teams.manual, core.manual = true, true
			p := w.phonesOf(teams, core)
			caller, called, target := p.core, p.teams, p.userAtGateway()
			if fromTeams {
				caller, called, target = p.teams, p.core, p.subscriberAtGateway()
			}

			caller.dial(target)
			caller.said("180 Ringing", 10*time.Second)
			called.do("/hangup")
			caller.said("session closed: 486", 10*time.Second)
			w.records(1)

			caller.dial(target)
			called.saidTimes("Incoming call", 2, 10*time.Second)
			caller.do("/hangup")
			for _, r := range w.records(2) {
				if r.Answered != nil || r.Failed() {
					t.Errorf("the record of a call that was not answered has %+v", r.Cause)
				}
			}
		})
	}
}

// An operator's command ends a call for both telephones.
func TestHangUpByCommand(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	p := build(t, setup{realCloud: true}).phones("PCMA/8000/1")
	p.call(true)
	live, err := p.node.Live(p.ctx)
	if err != nil || len(live) != 1 {
		t.Fatalf("the node has %d live calls: %v", len(live), err)
	}
	if _, err := p.node.Hangup(p.ctx, live[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*baresip{p.teams, p.core} {
		b.said("session closed", 5*time.Second)
	}
	if r := p.records(1)[0]; r.Cause.By != record.ByOperator {
		t.Errorf("an operator's command ended the call; the record has %+v", r.Cause)
	}
}

// Teams has SRTP always; a call of a proxy without it is none of Teams.
func TestNoSRTPFromTeams(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	w := build(t, setup{realCloud: true})
	teams := w.teamsLine("PCMA/8000/1")
	teams.account = strings.Replace(teams.account, ";mediaenc=srtp-mand", "", 1)
	p := w.phonesOf(teams, w.coreLine("PCMA/8000/1"))
	p.teams.dial(p.subscriberAtGateway())
	p.teams.said("session closed: 488", 10*time.Second)
	if r := p.records(1)[0]; r.Answered != nil || len(r.Attempts) != 0 {
		t.Errorf("a call without SRTP went on: %+v", r)
	}
}

// agrees checks the record against what the telephones were made to speak.
func (p phones) agrees(r record.Call, fromTeams bool, codec string) {
	p.t.Helper()
	cloud, operator := r.Callee, r.Caller
	if fromTeams {
		cloud, operator = r.Caller, r.Callee
	}
	inCore := ""
	if p.srtp() {
		inCore = sdes
	}
	if cloud.Codec != codec || cloud.SRTP != sdes || operator.Codec != codec || operator.SRTP != inCore {
		p.t.Errorf("the record has %q by %q towards Teams and %q by %q towards the core; it was %s, by %q and %q",
			cloud.Codec, cloud.SRTP, operator.Codec, operator.SRTP, codec, sdes, inCore)
	}
	// A few are lost at the start: those of the called side come before its
	// answer has told their keys, and a clear one from an address that was not
	// announced (see AlsoFrom) is believed only with its successor.
	if cloud.Media.Dropped > 10 || operator.Media.Dropped > 10 {
		p.t.Errorf("the record has %d packets from Teams and %d from the core dropped", cloud.Media.Dropped, operator.Media.Dropped)
	}
}

// keyPair writes a certificate and its key into one file, as baresip wants
// them.
func (w *world) keyPair(by *authority.Authority, terms authority.Terms, names ...string) string {
	w.t.Helper()
	w.programs++
	dir := filepath.Join(w.dir, fmt.Sprintf("pair-%d", w.programs))
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	cert, err := by.Issue(terms, names...)
	if err != nil {
		w.t.Fatal(err)
	}
	files, err := by.Write(dir, "sip", cert)
	if err != nil {
		w.t.Fatal(err)
	}
	var pair []byte
	for _, f := range []string{files.Chain, files.Key} {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		pair = append(pair, b...)
	}
	file := filepath.Join(dir, "pair.pem")
	if err := os.WriteFile(file, pair, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}
