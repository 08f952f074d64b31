package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// linphone is a telephone without a sound card: it says a WAV file and writes
// another with what it hears.
type linphone struct {
	*program
	w   *world
	dir string
}

// linphoneConfig leaves Linphone all that it offers by itself: more codecs
// than the gateway's side knows, its own Supported, its own timers.
var linphoneConfig = template.Must(template.New("linphonerc").Parse(`
[sip]
bind_address={{.At.Addr}}
sip_port={{.At.Port}}
sip_tcp_port=0
sip_tls_port=0
guess_hostname=0
contact=sip:{{.Number}}@{{.At}}
use_ipv6={{if .At.Addr.Is6}}1{{else}}0{{end}}
default_proxy=0
register_only_when_network_is_up=0
media_encryption={{if .DTLS}}dtls{{else if .SRTP}}srtp{{else}}none{{end}}
media_encryption_mandatory={{if .SRTP}}1{{else}}0{{end}}

[rtp]
bind_address={{.At.Addr}}
audio_rtp_port=24000
audio_adaptive_jitt_comp_enabled=0

[proxy_0]
reg_proxy=<sip:{{.Proxy}};transport=udp>
reg_route=<sip:{{.Proxy}};transport=udp;lr>
reg_identity=<sip:{{.Number}}@carrier.e2e.example>
reg_expires=600
reg_sendregister=1
publish=0

[sound]
echocancellation=0
`))

// linphone starts a telephone of the number, and waits until it is registered
// with the proxy at a place.
func (w *world) linphone(number string, at, proxy netip.AddrPort, voice []int16) *linphone {
	w.t.Helper()
	need(w.t, "linphonec", "linphone-cli")
	l := &linphone{w: w, dir: filepath.Join(w.dir, "linphone")}
	// Its database goes where it is told, if there is such a folder.
	if err := os.MkdirAll(filepath.Join(l.dir, ".local", "share", "linphone"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	if err := linphoneConfig.Execute(&text, struct {
		At, Proxy netip.AddrPort
		Number    string
		SRTP      bool
		DTLS      bool
	}{at, proxy, number, w.srtp(), strings.Contains(w.operator, "dtls")}); err != nil {
		w.t.Fatal(err)
	}
	w.write("linphone/linphonerc", []byte(text.String()))
	w.write("linphone/voice.wav", wav(voice, ""))
	l.program = w.start("env", "HOME="+l.dir, "linphonec", "-c", filepath.Join(l.dir, "linphonerc"))
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("what Linphone said:\n%s", l.out)
		}
	})
	l.do("soundcard use files", "play "+filepath.Join(l.dir, "voice.wav"))
	w.until(10*time.Second, func() string {
		l.do("status register")
		if !strings.Contains(l.out.String(), "registered, identity") {
			return "Linphone is not registered"
		}
		return ""
	})
	return l
}

// do gives commands, as if typed.
func (l *linphone) do(commands ...string) {
	l.t.Helper()
	for _, c := range commands {
		if _, err := l.stdin.Write([]byte(c + "\n")); err != nil {
			l.t.Fatalf("tell Linphone: %v", err)
		}
	}
}

// said waits until Linphone has said a text.
func (l *linphone) said(text string, within time.Duration) {
	l.t.Helper()
	l.w.until(within, func() string {
		if !strings.Contains(l.out.String(), text) {
			return fmt.Sprintf("Linphone has not said %q", text)
		}
		return ""
	})
}

// record has the next call write what it hears into a file.
func (l *linphone) record(name string) {
	l.t.Helper()
	l.do("record " + filepath.Join(l.dir, name))
	l.said(name, 5*time.Second)
}

// heard is what a call, which has ended, heard.
func (l *linphone) heard(name string) (pcm []int16) {
	l.t.Helper()
	l.w.until(10*time.Second, func() string {
		data, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil {
			return err.Error()
		}
		// Linphone counts the head with the samples, once it has ended.
		const head = 44
		if len(data) < head || int(binary.LittleEndian.Uint32(data[head-4:])) != len(data) {
			return "Linphone has not ended its file"
		}
		binary.LittleEndian.PutUint32(data[head-4:], uint32(len(data)-head))
		pcm, _ = unwav(data)
		return ""
	})
	return pcm
}

// Linphone is a subscriber behind the core's proxy: it calls and is called, in
// the clear and, where the gateway's side of the core is TLS, with SRTP.
func TestLinphoneCalls(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ name, transport, keying string }{{"udp", "udp", ""}, {"tls", "tls", ""}, {"tls, with handshakes", "tls", "interworking: {keying: dtls}"}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			r := kamailioCore(t, setup{transport: x.transport, operator: x.keying})
			voice := audio.Tones(41, 20*time.Second)
			l := r.linphone(subscriber, r.at(r.operatorV6, hostPhone, 5060), r.inside(), voice)
			r.ready()

			l.record("called.wav")
			call, err := r.teams.Dial(r.ctx, phone.CallSpec{From: user, To: subscriber, Send: audio.Speech(42)})
			if err != nil {
				t.Fatal(err)
			}
			l.said("assigned id 1", 10*time.Second)
			l.do("answer")
			r.talk(4 * time.Second)
			l.do("terminate")
			l.conversed(voice, r.ended(call), "called.wav")

			l.record("calling.wav")
			l.do(fmt.Sprintf("call sip:%s@carrier.e2e.example", user))
			l.said("for call 2 (audio)", 10*time.Second)
			call = r.received()
			r.talk(4 * time.Second)
			call.HangUp()
			l.conversed(voice, r.ended(call), "calling.wav")

			for i, rec := range r.records(2) {
				if rec.Answered == nil || rec.Cause.By != record.ByCallee || len(rec.Attempts) != 1 {
					t.Errorf("call %d was ended by %q after %d attempts: %+v", 2-i, rec.Cause.By, len(rec.Attempts), rec.Cause)
				}
				if lost := rec.Caller.Media.Lost + rec.Callee.Media.Lost; lost > 0 && !stalls.lately() {
					t.Errorf("of call %d, %d packets were lost", 2-i, lost)
				}
				operator := rec.Caller
				if operator.Side != "operator" {
					operator = rec.Callee
				}
				if want := map[bool]string{true: sdes}[r.srtp()]; operator.SRTP != want || (operator.Keying != "") != (x.keying != "") {
					t.Errorf("Linphone's leg has the suite %q by %q, not %q", operator.SRTP, operator.Keying, want)
				}
			}
			r.passed("ACK", 2)
			r.passed("BYE", 2)
			r.behaved()
		})
	}
}

// conversed fails the test unless Linphone and Teams' user heard each other in
// a call, which has ended. Linphone stretches what it hears until its buffer is
// as deep as it likes it, and all that is shifted by that counts as loss: so it
// is only asked whether it heard Teams' user, and the node whether all came.
func (l *linphone) conversed(voice []int16, f phone.Facts, name string) {
	l.t.Helper()
	heard(l.t, "what Linphone said", audio.Listen(voice[:min(len(voice), len(f.Heard.PCM))], f.Heard.PCM))
	const d = 2 * audio.Rate
	said, got := f.Sent.PCM, l.heard(name)
	if r := audio.Listen(said[max(0, len(said)-d):], got[max(0, len(got)-d):]); !r.Same || r.Loss > 0.5 {
		l.t.Errorf("what Teams' user said last was not heard by Linphone: %+v", r)
	}
}

// Linphone presses keys, puts Teams' user on hold and takes it back.
func TestLinphoneHolds(t *testing.T) {
	t.Parallel()
	r := kamailioCore(t, setup{})
	l := r.linphone(subscriber, r.at(r.operatorV6, hostPhone, 5060), r.inside(), audio.Tones(43, 20*time.Second))
	r.ready()
	l.do(fmt.Sprintf("call sip:%s@carrier.e2e.example", user))
	l.said("for call 1 (audio)", 10*time.Second)
	call := r.received()
	r.talk(time.Second)
	l.do("42#")
	r.until(10*time.Second, func() string {
		if got := call.Brief().Digits; got != "42#" {
			return fmt.Sprintf("Teams' user has heard the digits %q", got)
		}
		return ""
	})
	l.do("pause")
	r.state(record.Held)
	l.said("is now paused", 10*time.Second)
	r.held(call)
	l.do("resume")
	r.takenBack(call)
	r.state(record.Talking)
	r.talk(4 * time.Second)
	l.do("terminate")
	r.ended(call)
	if rec := r.records(1)[0]; rec.Cause.By != record.ByCaller {
		t.Errorf("Linphone hung up; the record says %q", rec.Cause.By)
	}
	r.passed("INVITE", 2)
	r.behaved()
}

// Linphone refers Teams' user to another subscriber and leaves them to each other
// (RFC 3515, RFC 5589 section 6.1).
func TestLinphoneTransfers(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	const other = "+442079460002"
	r := kamailioCore(t, setup{})
	l := r.linphone(subscriber, r.at(r.operatorV6, hostPhone, 5060), r.inside(), audio.Tones(44, 20*time.Second))
	p := r.telephone(1, other)
	r.ready()
	l.do(fmt.Sprintf("call sip:%s@carrier.e2e.example", user))
	l.said("for call 1 (audio)", 10*time.Second)
	call := r.received()
	r.talk(time.Second)
	l.do(fmt.Sprintf("transfer 1 sip:%s@carrier.e2e.example", other))
	p.said("Incoming call", 10*time.Second)
	p.do("/accept")
	p.said("Call established", 10*time.Second)
	l.said("Call 1 with sip:"+user+"@carrier.e2e.example ended", 10*time.Second)
	r.talk(4 * time.Second)
	call.HangUp()
	f := r.ended(call)
	p.said("session closed", 5*time.Second)
	heardLastOf(t, p.sent(), f)
	r.passed("REFER", 1)
	if rec := r.records(1)[0]; len(rec.Transfers) != 1 {
		t.Errorf("the record has the transfers %+v", rec.Transfers)
	}
	r.behaved()
}
