package app

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

func TestANodeAsksItsOwnListenersByOPTIONS(t *testing.T) {
	cfg := load(t, "    - name: core\n", "    - {name: old, side: operator, transport: udp, bind: \"127.77.1.2:5090\"}\n    - name: core\n")
	n := start(t, cfg)
	defer n.Close()
	checks := n.checkListeners(t.Context())
	if len(checks) != len(cfg.SIP.Listeners) || len(checks) != 3 {
		t.Fatalf("%d listeners were asked", len(checks))
	}
	for _, c := range checks {
		if c.Error != "" {
			t.Errorf("%s: %s", c.Name, c.Error)
		}
	}
	n.draining.Store(true)
	for _, c := range n.checkListeners(t.Context()) {
		if c.Error != "it answers OPTIONS with 503" {
			t.Errorf("%s of a node that drains: %s", c.Name, c.Error)
		}
	}
	n.draining.Store(false)
}

func TestANodesOwnAddressIsAStrangerUnlessItAsks(t *testing.T) {
	cfg := load(t, "    - name: core\n", "    - {name: old, side: operator, transport: udp, bind: \"127.77.1.2:5090\"}\n    - name: core\n")
	n := start(t, cfg)
	defer n.Close()
	at := netip.MustParseAddrPort("127.77.1.2:5090")
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), 0)), net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(method string, patience time.Duration) int {
		t.Helper()
		text := strings.NewReplacer("METHOD", method, "BRANCH", sip.NewBranch(), "HERE", conn.LocalAddr().String()).Replace(
			"METHOD sip:x@127.77.1.2:5090 SIP/2.0\r\nVia: SIP/2.0/UDP HERE;branch=BRANCH;rport\r\nMax-Forwards: 1\r\nFrom: <sip:x@HERE>;tag=a\r\nTo: <sip:x@127.77.1.2>\r\n" +
				"Call-ID: BRANCH\r\nCSeq: 1 METHOD\r\nContact: <sip:HERE>\r\nContent-Length: 0\r\n\r\n")
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := readAnswer(conn, sip.UDP)
			if err != nil {
				return 0
			}
			if id, _ := m.CallID(); strings.Contains(text, id) && m.Status >= 200 {
				return m.Status
			}
		}
	}
	if got := ask("OPTIONS", 300*time.Millisecond); got != 0 { // nothing is to come
		t.Errorf("a stranger's OPTIONS is answered with %d", got)
	}
	n.mirror.asking.Add(1)
	const soon = 5 * time.Second
	if got := ask("OPTIONS", soon); got != 200 {
		t.Errorf("our own OPTIONS is answered with %d", got)
	}
	for _, method := range []string{"INVITE", "REGISTER", "MESSAGE"} {
		if got := ask(method, soon); got != 403 {
			t.Errorf("our own %s is answered with %d", method, got)
		}
	}
	if got := ask("BYE", soon); got != 403 {
		t.Errorf("our own BYE is answered with %d", got)
	}
	if live := n.calls.Counters().Live; live != 0 {
		t.Errorf("%d calls live", live)
	}
	n.mirror.asking.Add(-1)
	if got := ask("OPTIONS", 300*time.Millisecond); got != 0 { // nothing is to come
		t.Errorf("afterwards it is answered with %d", got)
	}
}
