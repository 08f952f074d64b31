package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// kamailio starts one with a configuration of testdata. Each define is a token
// of that, NAME=value.
func (w *world) kamailio(config string, defines ...string) *program {
	w.t.Helper()
	need(w.t, "kamailio", "kamailio")
	file, err := filepath.Abs(filepath.Join("testdata", config))
	if err != nil {
		w.t.Fatal(err)
	}
	args := []string{
		"-DD", "-E", "-f", file, "-m", "32", "-M", "8",
		"-Y", w.dir, "-P", filepath.Join(w.dir, "kamailio.pid"), "-w", w.dir,
	}
	for _, d := range defines {
		args = append(args, "-A", d)
	}
	k := w.start("kamailio", args...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("Kamailio:\n%s", k.out)
		}
	})
	return k
}

// routed is a core whose proxy stays in the path of its calls, with two
// telephones of one number behind it, which ring until they are told.
type routed struct {
	*world
	proxy  *program
	phones [2]*baresip
}

// kamailioTLS is in a package of its own.
const kamailioTLS = "/usr/lib/*/kamailio/modules/tls.so"

// kamailioCore builds a world whose core is Kamailio, without telephones yet.
func kamailioCore(t *testing.T, s setup) routed {
	t.Helper()
	s.handsets = true
	w := build(t, s)
	r := routed{world: w, proxy: w.startKamailio()}
	if w.teams != nil {
		w.teams.Answer(user, phone.Behaviour{Ring: 100 * time.Millisecond, Send: audio.Speech(31)})
	}
	return r
}

// ready waits until the node and the far sides hold each other for alive.
func (r routed) ready() {
	r.t.Helper()
	r.peerUp("site-0")
	r.teamsReady()
}

// behindKamailio adds two telephones, baresips, and waits until they are
// registered and the node is ready.
func behindKamailio(t *testing.T, s setup) routed {
	t.Helper()
	needBaresip(t)
	r := kamailioCore(t, s)
	for i := range r.phones {
		r.phones[i] = r.telephone(i, subscriber)
	}
	r.ready()
	return r
}

// telephone starts one of a number behind the proxy and waits until it is
// registered.
func (r routed) telephone(i int, number string) *baresip {
	r.t.Helper()
	l := line{
		name: fmt.Sprintf("phone-%d", i), at: r.at(r.operatorV6, byte(hostPhone+i), 5060), manual: true, register: true,
		account: fmt.Sprintf(`<sip:%s@carrier.e2e.example>;outbound="sip:%s;transport=udp";audio_codecs=PCMA/8000/1,PCMU/8000/1`, number, r.inside()),
		voice:   audio.Tones(uint64(33+i), 25*time.Second),
	}
	if r.srtp() {
		l.account += ";mediaenc=srtp-mand"
	}
	b := r.baresip(l)
	b.said("200 OK", 10*time.Second)
	return b
}

// inside is where telephones find the proxy.
func (w *world) inside() netip.AddrPort { return w.at(w.operatorV6, hostSite, 5060) }

func (w *world) startKamailio() *program {
	w.t.Helper()
	defines := []string{
		"LISTEN=udp:" + w.inside().String(),
		fmt.Sprintf("GATEWAY=%q", fmt.Sprintf("sip:%s;transport=%s", w.gatewayCore(), w.transport)),
	}
	if w.transport != "udp" {
		defines = append(defines, "LISTEN_GATEWAY="+w.transport+":"+w.site(0).String())
	}
	if w.srtp() {
		need(w.t, kamailioTLS, "kamailio-tls-modules")
		pair := w.keyPair(w.authority, authority.Terms{ClientAuth: true}, siteName)
		defines = append(defines, fmt.Sprintf("CERTIFICATE=%q", pair), fmt.Sprintf("ROOTS=%q", filepath.Join(w.dir, "root.pem")))
	}
	if w.consultation != nil {
		defines = append(defines, `MCP="sip:mcp.r1.e2e.example;transport=tcp;service=mcp;lr"`, fmt.Sprintf(`ODI="sip:odi-1@%s;lr"`, w.site(0)))
	}
	return w.kamailio("kamailio_core.cfg", defines...)
}

// passed fails the test unless the proxy passed on so many requests of a
// method in dialogs, each by the route set and none without. An ACK is sent
// again with each repeated answer.
func (r routed) passed(method string, n int) {
	r.t.Helper()
	r.until(5*time.Second, func() string {
		if got := strings.Count(r.proxy.out.String(), "e2e: routed "+method); got < n || got > n && method != "ACK" {
			return fmt.Sprintf("the proxy has passed on %d %s of %d", got, method, n)
		}
		return ""
	})
	if strings.Contains(r.proxy.out.String(), "e2e: unrouted") {
		r.t.Error("a request inside of a call did not follow the route set")
	}
}

// ring has Teams' user call the number behind the proxy, and waits until both
// telephones ring.
func (r routed) ring() *phone.Call {
	r.t.Helper()
	call, err := r.teams.Dial(r.ctx, phone.CallSpec{From: user, To: subscriber, Send: audio.Speech(32)})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range r.phones {
		p.said("Incoming call", 10*time.Second)
	}
	return call
}

// dial has a telephone call Teams' user.
func (r routed) dial(p *baresip) *phone.Call {
	r.t.Helper()
	p.dial(fmt.Sprintf("sip:%s@carrier.e2e.example", user))
	p.said("Call established", 10*time.Second)
	return r.received()
}

// overheard fails the test unless Teams' user and a telephone heard each other
// in a call, which has ended.
func (r routed) overheard(f phone.Facts, p *baresip) {
	r.t.Helper()
	heard(r.t, "what Teams' user said", audio.Listen(f.Sent.PCM, p.heard()))
	heard(r.t, "what the telephone said", audio.Listen(p.sent(), f.Heard.PCM))
}

// A call of Teams rings both telephones behind the proxy, one takes it and the
// other is told so; a call of the other goes to Teams' user. Either side hangs
// up once. All that follows the first INVITE goes by the proxy (RFC 3261
// 12.2.1.1, 16.12).
func TestCallsBehindKamailio(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			behindKamailio(t, setup{transport: transport}).bothWays()
		})
	}
}

// The same with either kind of address on each side.
func TestCallsBehindKamailioOnIPv6(t *testing.T) {
	// One after the other: there is only one ::1, and so the ports are the same.
	for _, s := range []struct {
		name string
		setup
	}{
		{"core on IPv6, Teams on IPv4", setup{operatorV6: true}},
		{"core on IPv4, Teams on IPv6", setup{cloudV6: true}},
		{"both on IPv6", setup{operatorV6: true, cloudV6: true}},
	} {
		t.Run(s.name, func(t *testing.T) { behindKamailio(t, s.setup).bothWays() })
	}
}

func (r routed) bothWays() {
	r.t.Helper()
	loser, winner := r.phones[0], r.phones[1]
	call := r.ring()
	winner.do("/accept")
	winner.said("Call established", 10*time.Second)
	loser.said("session closed", 10*time.Second)
	r.talk(3 * time.Second)
	call.HangUp()
	r.overheard(r.ended(call), winner)
	r.passed("ACK", 1)
	r.passed("BYE", 1)

	call = r.dial(loser)
	r.talk(3 * time.Second)
	loser.do("/hangup")
	r.overheard(r.ended(call), loser)
	r.passed("ACK", 2)
	r.passed("BYE", 2)
	for _, rec := range r.records(2) {
		if rec.Answered == nil || rec.Cause.By != record.ByCaller || len(rec.Attempts) != 1 {
			r.t.Errorf("a call was ended by %q after %d attempts: %+v", rec.Cause.By, len(rec.Attempts), rec.Cause)
		}
	}
	r.behaved()
}

// Nobody around the gateway is of our making: a baresip in the place of Teams, a
// Kamailio, and a baresip behind it.
func TestStrangersOnBothSides(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	r := kamailioCore(t, setup{realCloud: true})
	p := phones{r.world, r.baresip(r.teamsLine("PCMA/8000/1")), r.telephone(0, subscriber)}
	r.peerUp(teamsPeer, "site-0")
	p.teams.dial(r.subscriberAtGateway())
	p.core.said("Incoming call", 10*time.Second)
	p.core.do("/accept")
	p.teams.said("Call established", 10*time.Second)
	r.talk(3 * time.Second)
	p.core.do("/hangup")
	p.agrees(r.records(1)[0], true, "PCMA")
	p.overheard()
	r.passed("BYE", 1)

	p.core.dial(fmt.Sprintf("sip:%s@carrier.e2e.example", user))
	p.core.saidTimes("Call established", 2, 10*time.Second)
	r.talk(time.Second)
	p.teams.do("/hangup")
	r.records(2)
	r.passed("BYE", 2)
}

// Teams' user gives up while both telephones ring.
func TestGivingUpBehindKamailio(t *testing.T) {
	t.Parallel()
	r := behindKamailio(t, setup{})
	call := r.ring()
	call.HangUp()
	if f := r.ended(call); f.Status != 487 {
		t.Errorf("Teams' user gave up and was told %d", f.Status)
	}
	for _, p := range r.phones {
		p.said("session closed", 5*time.Second)
	}
	if rec := r.records(1)[0]; rec.Answered != nil || rec.Failed() || rec.Cause.By != record.ByCaller {
		t.Errorf("the caller gave up; the record has %+v", rec.Cause)
	}
	r.passed("BYE", 0)
	r.behaved()
}

// Teams' user puts a telephone behind the proxy on hold, and it puts Teams'
// user on hold.
func TestHoldBehindKamailio(t *testing.T) {
	t.Parallel()
	r := behindKamailio(t, setup{})
	p := r.phones[0]
	call := r.ring()
	p.do("/accept")
	p.said("Call established", 10*time.Second)
	r.talk(time.Second)
	for _, act := range []struct {
		name string
		do   func() error
		want string
	}{
		{"hold", func() error { return call.Hold(r.ctx) }, record.Held},
		{"resume", func() error { return call.Resume(r.ctx) }, record.Talking},
	} {
		if err := act.do(); err != nil {
			t.Fatalf("Teams' %s: %v", act.name, err)
		}
		r.state(act.want)
	}
	r.passed("INVITE", 2)
	p.do("/hold")
	r.state(record.Held)
	p.saidTimes("stream: update 'audio'", 2, 10*time.Second) // it has the answer to its INVITE
	r.held(call)
	p.do("/resume")
	r.takenBack(call)
	r.state(record.Talking)
	r.passed("INVITE", 4)
	r.talk(3 * time.Second)
	p.do("/hangup")
	heardLastOf(t, p.sent(), r.ended(call))
	r.records(1)
	r.passed("BYE", 1)
	r.behaved()
}
