package e2e

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
)

var updateFailures = flag.Bool("update-failures", false, "write the table of docs/failures.md anew")

// rung is one failure. The calls are placed each 1.3 s for two minutes, so
// that no call falls on the moment of another's end; the first one is placed
// at the moment of the failure.
type rung struct {
	name    string
	prepare func(b *bubble) // before the nodes start
	fail    func(b *bubble)
	from    func(b *bubble) *far
	to      string // which way the calls go, for the table

	// What is asked of the gateway.
	first    time.Duration // until the first call's answer
	affected int           // calls that are not answered at once
	lost     int           // calls that are not answered at all
	calm     time.Duration // a call dialled later than this is answered at once
	talk     string        // what a call in progress goes through
}

const (
	ladderEvery = 1300 * time.Millisecond
	ladderSpan  = 2 * time.Minute
)

func fromSite(b *bubble) *far  { return b.sites[0] }
func fromTeams(b *bubble) *far { return b.proxies[0] }

var rungs = []rung{
	{
		name: "Proxy 1 falls silent", from: fromSite,
		fail: func(b *bubble) { b.silence(proxyAt[0].Addr()) },
	},
	{
		name: "Proxy 1 answers INVITE with 503 and Retry-After: 1", from: fromSite,
		fail: func(b *bubble) { b.proxies[0].habit.Store(&habit{status: 503, header: [2]string{"Retry-After", "1"}}) },
	},
	{
		name: "Proxy 1 refuses connections", from: fromSite,
		fail: func(b *bubble) { b.refuse(proxyAt[0].Addr()) },
	},
	{
		name: "Proxy 1 accepts connections and never completes TLS", from: fromSite,
		fail: func(b *bubble) { b.impostor(b.proxies[0], halfOpen) },
	},
	{
		name: "Proxy 1's certificate has expired", from: fromSite,
		fail: func(b *bubble) {
			f := b.proxies[0]
			f.cert = b.issue(authority.Terms{NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now()}, f.name+"."+farDomain)
			b.net.Cut(f.at.Addr(), everyone)
		},
	},
	{
		name: "Proxy 1 resets each connection in the middle of its response", from: fromSite,
		fail: func(b *bubble) { b.impostor(b.proxies[0], b.resetter(b.proxies[0])) },
	},
	{
		name: "Proxy 1 answers OPTIONS, and INVITE with nothing", from: fromSite,
		fail: func(b *bubble) { b.proxies[0].habit.Store(&habit{mute: true}) },
	},
	{
		name: "Proxy 1 answers OPTIONS, and INVITE with 503", from: fromSite,
		fail: func(b *bubble) { b.proxies[0].habit.Store(&habit{status: 503}) },
	},
	{
		name: "Proxy 1 takes 3 s for its first response", from: fromSite,
		fail: func(b *bubble) { b.proxies[0].habit.Store(&habit{pause: 3 * time.Second}) },
	},
	{
		name: "Proxy 1 takes 8 s for its first response", from: fromSite,
		fail: func(b *bubble) { b.proxies[0].habit.Store(&habit{pause: 8 * time.Second}) },
	},
	{
		name: "All proxies take 8 s for their first response", from: fromSite,
		fail: func(b *bubble) {
			for _, f := range b.proxies {
				f.habit.Store(&habit{pause: 8 * time.Second})
			}
		},
	},
	{
		name: "Both sites take 8 s for their first response", from: fromTeams,
		fail: func(b *bubble) {
			for _, f := range b.sites {
				f.habit.Store(&habit{pause: 8 * time.Second})
			}
		},
	},
	{
		name: "Both sites say 100 and take 15 s to ring", from: fromTeams,
		fail: func(b *bubble) {
			for _, f := range b.sites {
				f.habit.Store(&habit{pause: 15 * time.Second, trying: true})
			}
		},
	},
	{
		name: "DNS falls silent", from: fromSite,
		fail: func(b *bubble) { b.silence(atDNS.Addr()) },
	},
	{
		name: "DNS is silent from before the start", from: fromSite,
		prepare: func(b *bubble) { b.silence(atDNS.Addr()) },
		fail:    func(*bubble) {},
	},
	{
		name: "Our certificate in region 1 has expired", from: fromSite,
		fail: func(b *bubble) {
			g := b.regions[0]
			g.cert = b.issue(authority.Terms{NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now()}, g.cloudName())
			b.net.Cut(g.cloud.Addr(), everyone)
		},
	},
	{
		name: "Site a falls silent", from: fromTeams,
		fail: func(b *bubble) { b.silence(siteAt[0].Addr()) },
	},
	{
		name: "Both sites fall silent", from: fromTeams,
		fail: func(b *bubble) {
			b.silence(siteAt[0].Addr())
			b.silence(siteAt[1].Addr())
		},
	},
	{
		name: "Region 1 loses both sites, region 2 does not", from: fromTeams,
		fail: func(b *bubble) {
			b.part(b.regions[0].core.Addr(), siteAt[0].Addr())
			b.part(b.regions[0].core.Addr(), siteAt[1].Addr())
		},
	},
	{
		name: "Region 1 sees site a and proxy 1 alone, region 2 the others (calls from the core)", from: fromSite,
		fail: splitBrain,
	},
	{
		name: "Region 1 sees site a and proxy 1 alone, region 2 the others (calls from Teams)", from: func(b *bubble) *far { return b.proxies[1] },
		fail: splitBrain,
	},
	{
		name: "Region 1 loses power (calls from the core)", from: fromSite,
		fail: func(b *bubble) { b.losePower(0) },
	},
	{
		name: "Region 1 loses power (calls from Teams)", from: fromTeams,
		fail: func(b *bubble) { b.losePower(0) },
	},
}

func splitBrain(b *bubble) {
	r1, r2 := b.regions[0], b.regions[1]
	b.part(r1.core.Addr(), siteAt[1].Addr())
	b.part(r2.core.Addr(), siteAt[0].Addr())
	b.part(r1.cloud.Addr(), proxyAt[1].Addr())
	b.part(r1.cloud.Addr(), proxyAt[2].Addr())
	b.part(r2.cloud.Addr(), proxyAt[0].Addr())
}

func (b *bubble) losePower(region int) {
	g := b.regions[region]
	b.silence(g.core.Addr())
	b.silence(g.cloud.Addr())
}

func halfOpen(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// ladder is what was measured on one rung.
type ladder struct {
	calls       []*ring
	at          []time.Duration // when they were dialled
	calm        time.Duration   // the first call after the last one that was not answered at once
	affected    int
	lost        int
	longest     time.Duration
	told, other time.Duration // hanging up the call in progress
	gap         [2]time.Duration
	ended       string // why the call in progress ended by itself, "" when it did not
}

func TestFailureLadder(t *testing.T) {
	doc, err := os.ReadFile("../docs/failures.md")
	if err != nil && !*updateFailures {
		t.Fatal(err)
	}
	_ = doc
	for _, r := range rungs {
		t.Run(r.name, func(t *testing.T) {
			inBubble(t, r.prepare, func(b *bubble) { b.climb(r) })
		})
	}
}

func (b *bubble) climb(r rung) {
	from := r.from(b)
	talk := from.dial(true, b.regions[:]...)
	if talk.answered() {
		l := b.callee(talk.to)
		l.voice.hearFrom(l.offer)
		go talk.voice.speak()
		go l.voice.speak()
		time.Sleep(2 * time.Second)
	}
	r.fail(b)
	began := time.Now()
	var m ladder
	m.calls = make([]*ring, int(ladderSpan/ladderEvery))
	for i := range m.calls {
		b.running.Go(func() {
			c := from.dial(false, b.regions[:]...)
			m.calls[i] = c
			if c.answered() {
				time.Sleep(time.Second)
				from.hangUp(c)
			}
		})
		time.Sleep(ladderEvery)
	}
	_ = began
	if talk.answered() {
		l := b.callee(talk.to)
		s0, g0 := talk.voice.silence()
		s1, g1 := l.voice.silence()
		m.told, m.other = from.hangUp(talk)
		b.t.Logf("talk: caller silent %v gap %v, callee silent %v gap %v, told %v other %v record %+v", s0, g0, s1, g1, m.told, m.other, b.regions[0].records.of(talk.to).Cause)
		talk.voice.close()
		l.voice.close()
	}
	b.repair()
	b.running.Wait()
	synctest.Wait()
	for i, c := range m.calls {
		at := time.Duration(i) * ladderEvery
		if c.took > 0 || !c.answered() {
			b.t.Logf("call %d at %v: took %v status %d %s: %s", i, at, c.took, c.status, c.reason, strings.Join(c.heard, ", "))
		}
	}
	fmt.Println()
}
