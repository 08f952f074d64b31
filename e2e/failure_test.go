package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
)

var updateFailures = flag.Bool("update-failures", false, "write the table of docs/failures.md anew")

// rung is one failure. A call is under way; others are placed each 1.3 s for
// two minutes, the first one at the moment of the failure. (1.3 s, so that no
// call falls on the moment of another's end.) With no prepare, all was well
// before.
type rung struct {
	name    string
	prepare func(b *bubble) // before the nodes start
	fail    func(b *bubble)
	from    func(b *bubble) *far

	// What is asked of the gateway.
	first    time.Duration // the first call is answered within
	late     int           // calls that are not answered at once
	lost     int           // calls that are not answered at all
	calm     time.Duration // from when on each call is answered at once; 0: from the first on, -1: never
	deaf     bool          // the called side of the call under way does not learn that it is over
	cut      bool          // the call under way is lost
	vague    bool          // how many calls are lost hangs on chance: OPTIONS are spread
	attempts int           // INVITEs that reach whom the failure befell; 0: not asked
}

const (
	ladderEvery = 1300 * time.Millisecond
	ladderCalls = 92
	never       = -1
)

func fromSite(b *bubble) *far  { return b.sites[0] }
func fromProxy(b *bubble) *far { return b.proxies[0] }

// pause makes far sides wait before their first response; some say 100 first.
func (b *bubble) pause(h habit, fars ...*far) {
	for _, f := range fars {
		switch {
		case h.trying:
			f.habit.Store(&h)
		case f.cloud():
			b.impostor(f, b.slow(f, h.pause))
		default:
			b.slowSite(f, h.pause)
		}
	}
}

var rungs = []rung{
	{
		name: "Proxy 1 falls silent", from: fromSite,
		fail:  func(b *bubble) { b.silence(proxyAt[0].Addr()) },
		first: 4 * time.Second, late: 8, calm: 45 * time.Second,
	},
	{
		name: "Proxy 1 refuses connections", from: fromSite,
		fail: func(b *bubble) { b.refuse(proxyAt[0].Addr()) },
	},
	{
		name: "Proxy 1 takes connections and never completes TLS", from: fromSite,
		fail:  func(b *bubble) { b.impostor(b.proxies[0], halfOpen) },
		first: 4 * time.Second, late: 8, calm: 45 * time.Second,
	},
	{
		name: "Proxy 1 shows an expired certificate", from: fromSite,
		fail: func(b *bubble) {
			f := b.proxies[0]
			f.cert = b.issue(expired(), f.name+"."+farDomain)
			b.net.Cut(f.at.Addr(), everyone)
		},
	},
	{
		name: "Proxy 1 breaks the connection in the middle of each response", from: fromSite,
		fail:     func(b *bubble) { b.impostor(b.proxies[0], b.resetter(b.proxies[0])) },
		attempts: 8,
	},
	{
		name: "Proxy 1 answers OPTIONS, and INVITE with 503 and Retry-After: 1", from: fromSite,
		fail:     func(b *bubble) { b.proxies[0].habit.Store(&habit{status: 503, header: [2]string{"Retry-After", "1"}}) },
		attempts: 8,
	},
	{
		name: "Proxy 1 answers OPTIONS, and INVITE with nothing", from: fromSite,
		fail:  func(b *bubble) { b.pause(habit{pause: never}, b.proxies[0]) },
		first: 4 * time.Second, late: 10, calm: 90 * time.Second, attempts: 10,
	},
	{
		name: "Proxy 1 answers OPTIONS, and INVITE with 100 alone", from: fromSite,
		fail:  func(b *bubble) { b.proxies[0].habit.Store(&habit{mute: true}) },
		first: 20200 * time.Millisecond, late: 22, calm: 2 * time.Minute, attempts: 22,
	},
	{
		name: "Proxy 1 takes 3 s for its first response", from: fromSite,
		fail:  func(b *bubble) { b.pause(habit{pause: 3 * time.Second}, b.proxies[0]) },
		first: 3 * time.Second, late: ladderCalls, calm: never,
	},
	{
		name: "Proxy 1 takes 8 s for its first response", from: fromSite,
		fail:  func(b *bubble) { b.pause(habit{pause: 8 * time.Second}, b.proxies[0]) },
		first: 4 * time.Second, late: 10, calm: 90 * time.Second,
	},
	{
		name: "All proxies take 8 s for their first response", from: fromSite,
		fail:  func(b *bubble) { b.pause(habit{pause: 8 * time.Second}, b.proxies[:]...) },
		first: 16 * time.Second, late: ladderCalls, calm: never,
	},
	{
		name: "Both sites take 8 s for their first response", from: fromProxy,
		fail:  func(b *bubble) { b.pause(habit{pause: 8 * time.Second}, b.sites[:]...) },
		first: 12 * time.Second, late: ladderCalls, calm: never,
	},
	{
		name: "Both sites say 100 and take 15 s to ring", from: fromProxy,
		fail:  func(b *bubble) { b.pause(habit{pause: 15 * time.Second, trying: true}, b.sites[:]...) },
		first: 15 * time.Second, late: ladderCalls, calm: never,
	},
	{
		name: "DNS falls silent", from: fromSite,
		fail: func(b *bubble) { b.silence(atDNS.Addr()) },
		late: 4, calm: never,
	},
	{
		name: "DNS is silent from before the start, for two minutes", from: fromSite,
		prepare: func(b *bubble) { b.silence(atDNS.Addr()) },
		fail:    func(*bubble) {},
		first:   never, late: ladderCalls, lost: ladderCalls, calm: never, vague: true,
	},
	{
		name: "Our certificate in region 1 has expired", from: fromSite,
		fail: func(b *bubble) {
			g := b.regions[0]
			g.cert = b.issue(expired(), g.cloudName())
			b.net.Cut(g.cloud.Addr(), everyone)
		},
		deaf: true,
	},
	{
		name: "Site a falls silent", from: fromProxy,
		fail:  func(b *bubble) { b.silence(siteAt[0].Addr()) },
		first: 4 * time.Second, late: 8, calm: 45 * time.Second, deaf: true,
	},
	{
		name: "Both sites fall silent", from: fromProxy,
		fail: func(b *bubble) {
			b.silence(siteAt[0].Addr())
			b.silence(siteAt[1].Addr())
		},
		first: never, late: ladderCalls, lost: ladderCalls, calm: never, deaf: true,
	},
	{
		name: "Region 1 loses both sites, region 2 does not", from: fromProxy,
		fail: func(b *bubble) {
			b.part(b.regions[0].core.Addr(), siteAt[0].Addr())
			b.part(b.regions[0].core.Addr(), siteAt[1].Addr())
		},
		first: 16 * time.Second, late: ladderCalls, calm: never, deaf: true,
	},
	{
		name: "Each region sees one site and one proxy, not the same; a call from the core", from: fromSite,
		fail: splitBrain,
	},
	{
		name: "Each region sees one site and one proxy, not the same; a call from Teams", from: fromProxy,
		fail: splitBrain,
	},
	{
		name: "Region 1 loses power; a call from the core", from: fromSite,
		fail:  func(b *bubble) { b.losePower(b.regions[0]) },
		first: 4 * time.Second, late: ladderCalls, calm: never, cut: true,
	},
	{
		name: "Region 1 loses power; a call from Teams", from: fromProxy,
		fail:  func(b *bubble) { b.losePower(b.regions[0]) },
		first: 10 * time.Second, late: ladderCalls, calm: never, cut: true,
	},
}

func expired() authority.Terms {
	return authority.Terms{NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(-time.Second)}
}

// splitBrain leaves region 1 site a and proxy 1, region 2 site b and proxy 2.
func splitBrain(b *bubble) {
	r1, r2 := b.regions[0], b.regions[1]
	b.part(r1.core.Addr(), siteAt[1].Addr())
	b.part(r2.core.Addr(), siteAt[0].Addr())
	b.part(r1.cloud.Addr(), proxyAt[1].Addr())
	b.part(r1.cloud.Addr(), proxyAt[2].Addr())
	b.part(r2.cloud.Addr(), proxyAt[0].Addr())
	b.part(r2.cloud.Addr(), proxyAt[2].Addr())
}

func (b *bubble) losePower(g *gateway) {
	b.silence(g.core.Addr())
	b.silence(g.cloud.Addr())
	b.must(g.engine.Close())
	g.dead = true
}

// halfOpen reads what comes and says nothing.
func halfOpen(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// measured is what came of a rung.
type measured struct {
	rings   []*ring
	invites int           // that reached whom the failure befell
	talk    bool          // a call was under way
	gap     time.Duration // the longest silence that either side of it heard
	told    time.Duration // from hanging up until the one who did was answered
	other   time.Duration // and until the other side was told; never
}

// climb runs one rung.
func (b *bubble) climb(r rung) (m measured) {
	from := r.from(b)
	var talk *ring
	if r.prepare == nil {
		talk = b.talk(from)
	}
	r.fail(b)
	befell := map[bool]*far{true: b.sites[0], false: b.proxies[0]}[from.cloud()]
	before := befell.invites.Load()
	m.rings = make([]*ring, ladderCalls)
	for i := range m.rings {
		b.running.Go(func() {
			c := from.dial(false, b.regions[:]...)
			m.rings[i] = c
			if c.answered() {
				time.Sleep(time.Second)
				from.hangUp(c)
			}
		})
		time.Sleep(ladderEvery)
	}
	m.invites = int(befell.invites.Load() - before)
	if talk != nil {
		m.talk = true
		l := b.callee(talk.to)
		m.gap = max(talk.voice.silence(), l.voice.silence())
		m.told, m.other = from.hangUp(talk)
		talk.voice.close()
		l.voice.close()
	}
	b.repair()
	b.running.Wait()
	synctest.Wait()
	return m
}

// talk sets up a call with media both ways.
func (b *bubble) talk(from *far) *ring {
	b.t.Helper()
	r := from.dial(true, b.regions[:]...)
	if !r.answered() || r.took != 0 {
		b.t.Fatalf("while all was well: %+v", r)
	}
	l := b.callee(r.to)
	l.voice.hearFrom(l.offer)
	b.running.Go(r.voice.speak)
	b.running.Go(l.voice.speak)
	time.Sleep(2 * time.Second)
	return r
}

// late are the calls that were not answered at once, lost those that were not
// answered at all, calm is when the first call was placed of those after the
// last late one.
func (m *measured) late() (late, lost int, calm time.Duration, slowest time.Duration) {
	for i, r := range m.rings {
		if r.took > 0 || !r.answered() {
			late++
			calm = time.Duration(i+1) * ladderEvery
			slowest = max(slowest, r.took)
		}
		if !r.answered() {
			lost++
		}
	}
	if late > 0 && !slices.ContainsFunc(m.rings[len(m.rings)-8:], func(r *ring) bool { return r.took == 0 && r.answered() }) {
		calm = never
	}
	return late, lost, calm, slowest
}

// judge compares a rung with what is asked of it.
func (m *measured) judge(t *testing.T, r rung) {
	t.Helper()
	late, lost, calm, _ := m.late()
	first := m.rings[0]
	switch {
	case r.first == never && first.answered():
		t.Errorf("the first call was answered after %s", first.took)
	case r.first != never && (!first.answered() || first.took > r.first):
		t.Errorf("the first call: answered %v after %s: %s", first.answered(), first.took, first.told())
	}
	if late > r.late || lost > r.lost {
		t.Errorf("%d calls were late, at most %d may be; %d were lost, at most %d may be", late, r.late, lost, r.lost)
	}
	if r.calm != never && (calm > r.calm || calm == never) {
		t.Errorf("calls are answered at once from %s on, must be from %s", calm, r.calm)
	}
	if r.attempts > 0 && m.invites > r.attempts {
		t.Errorf("%d INVITEs went to the failed peer, at most %d may", m.invites, r.attempts)
	}
	if !m.talk || r.cut {
		return
	}
	if m.gap > 20*time.Millisecond {
		t.Errorf("the call under way had a silence of %s", m.gap)
	}
	if m.told != 0 || (m.other == never) != r.deaf {
		t.Errorf("who hung up was answered after %s, the other side told after %s", m.told, m.other)
	}
}

// told is what the caller of a call was told.
func (r *ring) told() string { return strings.Join(r.heard, ", ") }

// row is the rung's line of the document.
func (m *measured) row(r rung) string {
	late, lost, calm, slowest := m.late()
	first := m.rings[0]
	answer := "answered at once"
	switch {
	case !first.answered():
		answer = fmt.Sprintf("**%d** after %s", first.status, seconds(first.took))
	case first.took > 0:
		answer = "answered after " + seconds(first.took)
	}
	after := "all at once"
	last := m.rings[len(m.rings)-1].took
	switch {
	case r.vague:
		after = "lost while it lasts"
	case lost == ladderCalls:
		after = "all lost, told after " + seconds(slowest) + turning(slowest, last)
	case late == ladderCalls:
		after = "all after " + seconds(slowest) + turning(slowest, last)
	case late > 0:
		after = fmt.Sprintf("%d after up to %s", late, seconds(slowest))
		if calm != never {
			after += ", all at once from " + seconds(calm) + " on"
		}
	}
	if r.attempts > 0 {
		after += fmt.Sprintf("; %d were tried there", m.invites)
	}
	talk := "none"
	switch {
	case !m.talk:
	case r.cut:
		talk = "lost"
	case m.other == never:
		talk = "heard on; the other side is not told of its end"
	default:
		talk = "heard on; the other side is told of its end " + cmp.Or(map[bool]string{true: "at once"}[m.other == 0], "after "+seconds(m.other))
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", r.name, answer, first.told(), after, talk)
}

// turning tells when the last calls fare better than the slowest.
func turning(slowest, last time.Duration) string {
	if last == slowest {
		return ""
	}
	return ", at the end " + seconds(last)
}

const (
	failuresDoc = "../docs/failures.md"
	tableBegins = "<!-- measured: go test ./e2e -run TestFailureLadder -update-failures -->\n"
	tableEnds   = "<!-- end -->\n"
)

// TestFailureLadder climbs all rungs, and sees to it that docs/failures.md
// tells what came of them.
func TestFailureLadder(t *testing.T) {
	rows := make([]string, len(rungs))
	for i, r := range rungs {
		t.Run(r.name, func(t *testing.T) {
			inBubble(t, r.prepare, func(b *bubble) {
				m := b.climb(r)
				m.judge(t, r)
				rows[i] = m.row(r)
				if testing.Verbose() {
					t.Log(rows[i])
				}
			})
		})
	}
	doc, err := os.ReadFile(failuresDoc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begun := strings.Cut(string(doc), tableBegins)
	table, tail, ended := strings.Cut(rest, tableEnds)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", failuresDoc, tableBegins, tableEnds)
	}
	if *updateFailures {
		title := "| What fails | The first call, placed at that moment | What its caller is told | The 92 calls of the two minutes after | A call under way |\n|---|---|---|---|---|\n"
		all := head + tableBegins + title + strings.Join(rows, "\n") + "\n" + tableEnds + tail
		if err := os.WriteFile(failuresDoc, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for _, row := range rows {
		if row != "" && !slices.Contains(lines, row) {
			t.Errorf("%s does not say:\n%s\nIf that is meant, run the test with -update-failures.", failuresDoc, row)
		}
	}
	if len(lines) != len(rungs)+2 {
		t.Errorf("%s has %d lines in its table, for %d rungs and a head of two", failuresDoc, len(lines), len(rungs))
	}
}
