package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// Whoever is on no allow-list gets nothing, so that he cannot tell that
// somebody is there; but he is counted.
func TestStranger(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{})
		w.teamsReady()
		before := w.metric("tandem_strangers_total")
		s := w.sipp("uac", netip.AddrPortFrom(w.v4(hostStranger), 5060), "-m", "1", "-max_invite_retrans", "2", "-max_reconnect", "0")
		if code := s.wait(20 * time.Second); code == 0 {
			t.Error("a stranger's call was taken")
		}
		if n := s.saw(""); n != 0 {
			t.Errorf("a stranger got %d messages", n)
		}
		if n := w.metric("tandem_strangers_total") - before; n < 1 {
			t.Errorf("a stranger who called was counted %v times", n)
		}
		w.records(0)
		if n := len(w.teams.Calls()); n != 0 {
			t.Errorf("Teams got %d calls of a stranger", n)
		}
		w.behaved()
	})
}

// metric reads a figure as Prometheus would.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	resp, err := http.Get("http://" + w.facts().Metrics.String() + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return n
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// A proxy whose certificate is not what it must be gets no call and places
// none, and its health says what was found and what was wanted.
func TestCertificates(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, x := range []struct {
		name  string
		pair  func(w *world) string
		wants []string // in the one sentence
	}{
		{
			"another name",
			func(w *world) string { return w.keyPair(w.authority, authority.Terms{}, "sip.elsewhere.example") },
			[]string{"sip.elsewhere.example", "wanted is " + proxyName},
		},
		{
			"another authority",
			func(w *world) string {
				other, err := authority.New("Somebody Else")
				if err != nil {
					w.t.Fatal(err)
				}
				return w.keyPair(other, authority.Terms{}, proxyName)
			},
			[]string{proxyName, "Somebody Else", "root"},
		},
		{
			"out of date",
			func(w *world) string {
				then := time.Now().Add(-48 * time.Hour)
				return w.keyPair(w.authority, authority.Terms{NotBefore: then, NotAfter: then.Add(24 * time.Hour)}, proxyName)
			},
			[]string{proxyName, "expired on"},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := build(t, setup{realCloud: true})
			l := w.teamsLine("PCMA/8000/1")
			l.pair = x.pair(w)
			teams := w.baresip(l)
			w.until(15*time.Second, func() string {
				p := w.peer(teamsPeer)
				if p.State != "down" {
					return "the proxy is " + p.State
				}
				for _, want := range x.wants {
					if !strings.Contains(p.Why, want) {
						return fmt.Sprintf("the health does not say %q: %s", want, p.Why)
					}
				}
				return ""
			})
			if why := w.peer(teamsPeer).Why; strings.Contains(why, "\n") {
				t.Errorf("the health is no sentence: %q", why)
			} else {
				t.Log(why)
			}
			teams.dial(w.subscriberAtGateway())
			w.until(10*time.Second, func() string {
				if w.metric(`tandem_sip_refused_total{cause="tls"}`) < 1 {
					return "no connection from the proxy was refused"
				}
				return ""
			})
			w.records(0)
		})
	}
}

// peer is the health of one peer.
func (w *world) peer(name string) record.PeerHealth {
	w.t.Helper()
	peers, err := w.node.Peers(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range peers {
		if p.Peer == name {
			return p
		}
	}
	w.t.Fatalf("the node knows no peer %s", name)
	return record.PeerHealth{}
}

// What the other tests call heard must be able to fail: another voice is not
// the one that was sent, nor is one's own.
func TestOtherVoices(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	p := build(t, setup{realCloud: true}).phones("PCMA/8000/1")
	p.call(false)
	p.talk(3 * time.Second)
	p.core.do("/hangup")
	p.records(1)
	p.overheard()
	unheard(t, "another voice", audio.Listen(audio.Speech(23), p.core.heard()))
	unheard(t, "its own voice", audio.Listen(p.core.sent(), p.core.heard()))
	unheard(t, "another melody", audio.Listen(audio.Tones(24, 10*time.Second), p.teams.heard()))
}

// Nothing may be heard when the two ends of SRTP have different keys.
func TestOtherKeys(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	w := build(t, setup{realCloud: true})
	w.meddle(w.proxy(0), w.proxy(1))
	teams := w.teamsLine("PCMA/8000/1")
	teams.at = netip.AddrPortFrom(w.proxy(1).Addr(), w.proxy(1).Port()-1)
	p := w.phonesOf(teams, w.coreLine("PCMA/8000/1"))
	p.call(false)
	w.until(10*time.Second, func() string {
		live, err := w.node.Live(w.ctx)
		if err != nil || len(live) != 1 || live[0].Callee.Media.Dropped < 100 {
			return fmt.Sprintf("the node has not dropped media of another key: %+v, %v", live, err)
		}
		return ""
	})
	p.core.do("/hangup")
	p.records(1)
	for _, b := range []*baresip{p.teams, p.core} {
		if _, n := b.packets(); n != 0 {
			t.Errorf("%d packets of another key arrived", n)
		}
	}
	unheard(t, "what Teams' telephone said", audio.Listen(p.teams.sent(), p.core.heard()))
	unheard(t, "what the core's telephone said", audio.Listen(p.core.sent(), p.teams.heard()))
}

// unheard fails the test when somebody heard what he cannot have.
func unheard(t *testing.T, what string, r audio.Report) {
	t.Helper()
	if r.Same {
		t.Errorf("%s was heard: %+v", what, r)
	}
}

// meddle stands between the node and a proxy, and changes every key of SRTP
// on its way.
func (w *world) meddle(at, proxy netip.AddrPort) {
	w.t.Helper()
	cert := w.issue(proxyName)
	l, err := tls.Listen("tcp", at.String(), &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		w.t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.between(near, proxy) })
		}
	})
	w.t.Cleanup(func() {
		_ = l.Close()
		all.Wait() // the connections end with the node and the proxy
	})
}

// between carries one connection.
func (w *world) between(near net.Conn, proxy netip.AddrPort) {
	defer near.Close()
	far, err := tls.Dial("tcp", proxy.String(), &tls.Config{RootCAs: w.authority.Roots(), ServerName: proxyName})
	if err != nil {
		return // the node will try again
	}
	defer far.Close()
	ends := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			changeKeys(way[1], way[0])
			ends <- struct{}{}
		}()
	}
	<-ends
}

// changeKeys copies lines and changes the first character of each key.
func changeKeys(dst io.Writer, src io.Reader) {
	lines := bufio.NewReader(src)
	for {
		line, err := lines.ReadBytes('\n')
		if before, key, ok := strings.Cut(string(line), "inline:"); ok && key != "" {
			other := byte('A')
			if key[0] == other {
				other = 'B'
			}
			line[len(before)+len("inline:")] = other
		}
		if _, werr := dst.Write(line); err != nil || werr != nil {
			return
		}
	}
}
