package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

var (
	day  = time.Date(2026, 11, 20, 20, 44, 5, 123e6, time.UTC)
	view = look{width: 80, now: day.Add(3*time.Minute + 12*time.Second), zone: time.UTC}
)

func after(d time.Duration) *time.Time {
	t := day.Add(d)
	return &t
}

func talking() record.LiveCall {
	return record.LiveCall{State: record.Talking, Call: record.Call{
		ID: "01kac3w2mf5t8r4q0znx6b7dhj", Node: "r1-a", Region: "westeurope", Revision: 7, Service: "OperatorConnect",
		From: "+442079460123", To: "+442079460999", Began: day, Answered: after(4100 * time.Millisecond),
		Caller: record.Leg{
			Side: "cloud", Peer: "teams", Transport: "TLS", Address: "52.114.1.1:5061", CallID: "8d1e0b7a55b14f1f9d35a2a6f0c1d7e2@52.114.1.1",
			Codec: "PCMA", SRTP: "AES_CM_128_HMAC_SHA1_80",
			Media: record.Media{Packets: 9400, Octets: 1504000, Lost: 12, Jitter: 2345 * time.Microsecond, Remote: "52.114.9.9:50012", Received: true},
		},
		Callee: record.Leg{
			Side: "operator", Peer: "core-b", Transport: "UDP", Address: "198.51.100.8:5060", CallID: "w3k5",
			Codec: "PCMA", Media: record.Media{Silent: 12 * time.Second, Dropped: 4},
		},
		Attempts: []record.Attempt{
			{Peer: "core-a", Region: "westeurope", Target: "UDP 198.51.100.7:5060", Why: "first of group core", At: day.Add(3 * time.Millisecond), Error: "no answer within 4 s"},
			{Peer: "core-b", Region: "westeurope", Target: "UDP 198.51.100.8:5060", Why: "next of group core", At: day.Add(4003 * time.Millisecond), Status: 200},
		},
	}}
}

func rated() record.LiveCall {
	c := talking()
	c.Transcoding = "caller speaks PCMA, callee G722"
	c.Callee.Media = record.Media{Packets: 9000, Octets: 1440000, Lost: 500, Jitter: 12 * time.Millisecond, Received: true, Mute: 25 * time.Second}
	c.Caller.Media.Quality = &record.Quality{
		From: &record.Score{MOS: 4.38, R: 92.1, Loss: 0.0013, Burst: 1}, To: &record.Score{MOS: 3.02, R: 58.9, Loss: 0.11}, RoundTrip: 48200 * time.Microsecond,
	}
	for _, v := range []float64{4.4, 4.39, 4.1} {
		c.Caller.Media.Whiles = append(c.Caller.Media.Whiles, record.Quality{From: &record.Score{MOS: v}})
	}
	c.Callee.Media.Quality = &record.Quality{From: &record.Score{MOS: 3.94, R: 77, Loss: 0.053, Burst: 3.2, WideMOS: 2.51, WideR: 63.6}}
	c.Callee.Media.Whiles = []record.Quality{{From: &record.Score{MOS: 4.4}}, {}, {From: &record.Score{MOS: 3.5}}}
	return c
}

func past() []record.Call {
	normal := talking().Call
	normal.Ended, normal.Cause = after(2*time.Hour), record.Cause{By: record.ByCaller, Q850: 16}
	busy := talking().Call
	busy.ID, busy.Began, busy.Answered = "01kac3w0aaaaaaaaaaaaaaaaaa", day.Add(-time.Minute), nil
	busy.Ended, busy.Cause = after(-50*time.Second), record.Cause{By: record.ByCallee, Status: 486, Q850: 17}
	failed := busy
	failed.ID, failed.Began = "01ka0000bbbbbbbbbbbbbbbbbb", day.Add(-30*time.Hour)
	failed.Callee = record.Leg{}
	failed.Cause = record.Cause{By: record.ByGateway, Status: 503, Text: "No peer of group core answers. Both core-a and core-b have been down since 20:12; look at `tandem peer list`."}
	lost := normal
	lost.ID, lost.Cause = "01ka0000cccccccccccccccccc", record.Cause{By: record.ByNodeLost, Text: "the node stopped"}
	cut := normal
	cut.ID, cut.Cause = "01ka0000dddddddddddddddddd", record.Cause{By: record.ByGateway, Text: "no media for 60 s"}
	return []record.Call{normal, busy, failed, lost, cut}
}

func message(start string, more ...string) string {
	return start + "\r\nVia: SIP/2.0/TLS x\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
}

func trace() record.Trace {
	offer := message("INVITE sip:+442079460999@r1.example SIP/2.0", "CSeq: 1 INVITE", "Content-Type: application/sdp") + "v=0\r\n"
	t := record.Trace{Call: past()[0], Missing: 2}
	at := day
	add := func(ms int, out bool, leg, peer, raw string) {
		at = at.Add(time.Duration(ms) * time.Millisecond)
		p := record.Packet{At: at, Out: out, Peer: peer, Leg: leg, Transport: "TLS", Remote: "52.114.1.1:5061", Raw: raw}
		if leg == "callee" {
			p.Transport, p.Remote = "UDP", "198.51.100.7:5060"
			if peer == "core-b" {
				p.Remote = "198.51.100.8:5060"
			}
		}
		t.Packets = append(t.Packets, p)
	}
	note := func(text string) { t.Notes = append(t.Notes, record.Note{At: at.Add(time.Microsecond), Text: text}) }

	add(0, false, "caller", "teams", offer)
	note("route: +442079460999 is provisioned for OperatorConnect, so group core serves it: core-a (priority 0 from westeurope), then core-b (priority 10)")
	add(1, true, "caller", "teams", message("SIP/2.0 100 Trying", "CSeq: 1 INVITE"))
	add(2, true, "callee", "core-a", offer)
	note("core-a did not answer within 4 s: trying core-b")
	add(4000, true, "callee", "core-b", offer)
	add(31, false, "callee", "core-b", message("SIP/2.0 180 Ringing", "CSeq: 1 INVITE"))
	add(1, true, "caller", "teams", message("SIP/2.0 180 Ringing", "CSeq: 1 INVITE"))
	add(2100, false, "callee", "core-b", message("SIP/2.0 200 OK", "CSeq: 1 INVITE")+"v=0\r\n")
	add(1, true, "callee", "core-b", message("ACK sip:x SIP/2.0", "CSeq: 1 ACK"))
	add(0, true, "caller", "teams", message("SIP/2.0 200 OK", "CSeq: 1 INVITE")+"v=0\r\n")
	add(40, false, "caller", "teams", message("ACK sip:x SIP/2.0", "CSeq: 1 ACK"))
	add(7190000, false, "caller", "teams", message("BYE sip:x SIP/2.0", "CSeq: 2 BYE", "Reason: Q.850;cause=16;text=\"f6d5a4c2;Call Controller normal clearing, and more\""))
	add(1, true, "caller", "teams", message("SIP/2.0 200 OK", "CSeq: 2 BYE"))
	add(1, true, "callee", "core-b", message("BYE sip:x SIP/2.0", "CSeq: 2 BYE"))
	add(30, false, "callee", "core-b", message("SIP/2.0 481 Call/Transaction Does Not Exist", "CSeq: 2 BYE"))
	return t
}

func peers() []record.PeerHealth {
	return []record.PeerHealth{
		{Peer: "sip", Group: "teams", Side: "cloud", Transport: "TLS", Target: "sip.pstnhub.microsoft.com:5061", State: "up", Since: day.Add(-3 * time.Hour), RTT: "12ms", Sent: 182, Answered: 182, Received: 180, Calls: 14, CertEnds: after(71 * 24 * time.Hour)},
		{Peer: "sip2", Group: "teams", Side: "cloud", Transport: "TLS", Target: "sip2.pstnhub.microsoft.com:5061", State: "suspended", Since: day, RTT: "31ms", Sent: 182, Answered: 170, Received: 180, CertEnds: after(12 * 24 * time.Hour), Why: "5 of the last 5 calls met 503"},
		{Peer: "core-a", Group: "core", Side: "operator", Transport: "UDP", Target: "198.51.100.7:5060", State: "down", Since: day.Add(150 * time.Second), Sent: 12, Answered: 10, Why: "No answer to OPTIONS within 4 s: the far side is off, a firewall drops UDP 5060, or our address is not on its allow-list."},
		{Peer: "core-b", Group: "core", Side: "operator", Transport: "UDP", Target: "198.51.100.8:5060", State: "unknown"},
	}
}

func TestRenderings(t *testing.T) {
	colored := view
	colored.color = true
	wide := view
	wide.width = 100
	refused := record.LiveCall{Call: past()[2]}
	short := record.Trace{Call: record.Call{ID: "x"}, Notes: []record.Note{{At: day, Text: "refused: the source is not allowed"}}}
	tests := map[string]func(io.Writer){
		"list_live": func(w io.Writer) {
			ringing := talking()
			ringing.ID, ringing.State, ringing.Callee.Peer = "01kac3w2mf5tzzzzzzzzzzzzzz", record.Ringing, ""
			view.liveCalls(w, []record.LiveCall{talking(), ringing})
		},
		"list_past": func(w io.Writer) { view.pastCalls(w, past()) },
		"list_nodes": func(w io.Writer) {
			calls := past()
			calls[0].Node = "r2-a"
			view.pastCalls(w, calls)
		},
		"show_live":    func(w io.Writer) { view.call(w, talking()) },
		"show_quality": func(w io.Writer) { view.call(w, rated()) },
		"show_transferred": func(w io.Writer) {
			c := talking()
			c.Transfers = []record.Transfer{
				{At: day.Add(9 * time.Second), By: "caller", How: "REFER", To: "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:11111111-1111-4111-8111-111111111111", Status: 486},
				{At: day.Add(30 * time.Second), By: "callee", How: "Replaces", To: "core-b", Status: 200, Left: record.Leg{Peer: "core-a"}},
			}
			view.call(w, c)
		},
		"show_refused": func(w io.Writer) { view.call(w, refused) },
		"show_microsoft": func(w io.Writer) {
			c := refused
			c.Cause = record.Cause{
				By: record.ByCallee, Status: 403, Q850: 63, Text: "microsoft-teams-1 answered 403 Forbidden",
				MicrosoftCode: 10500, Correlation: "9810e5a9-667c-4513-8d3a-5d83503e1c71",
				Explanation: "location-based routing forbids this call from or to where the user is: check the sites and the trunk",
			}
			view.call(w, c)
		},
		"ladder":         func(w io.Writer) { view.ladder(w, trace()) },
		"ladder_color":   func(w io.Writer) { colored.ladder(w, trace()) },
		"ladder_wide":    func(w io.Writer) { wide.ladder(w, trace()) },
		"ladder_refused": func(w io.Writer) { view.ladder(w, short) },
		"ladder_empty":   func(w io.Writer) { view.ladder(w, record.Trace{}) },
		"messages":       func(w io.Writer) { view.messages(w, trace()) },
		"peers":          func(w io.Writer) { view.peerList(w, peerList()) },
		"peers_color":    func(w io.Writer) { colored.peerList(w, peerList()) },
		"peers_long": func(w io.Writer) {
			long := peers()[:2]
			for i := range long {
				long[i].Peer, long[i].Group = fmt.Sprintf("microsoft-teams-%d", i+1), "microsoft-teams"
			}
			long[1].Why = ""
			view.peers(w, append(long, record.PeerHealth{Peer: "operator-westeurope-1", Group: "operator-core", Side: "operator", State: "unknown"}))
		},
		"peer_up": func(w io.Writer) {
			p := peers()[0]
			p.CertRoot = "DigiCert Global Root G2"
			p.TLS = &record.TLS{
				Version: "TLS 1.2", Suite: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Names: []string{"sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"},
				Issuer: "Microsoft Azure RSA TLS Issuing CA 03", RootEnds: time.Date(2038, 1, 15, 12, 0, 0, 0, time.UTC), Address: "52.114.1.1:5061", Seen: day,
			}
			view.peer(w, p, peerList().Warnings)
		},
		"peer_suspended": func(w io.Writer) { view.peer(w, peers()[1], peerList().Warnings) },
		"peer_down":      func(w io.Writer) { view.peer(w, peers()[2], nil) },
		"reload":         func(w io.Writer) { view.reloaded(w, changed()) },
		"reload_nothing": func(w io.Writer) { view.reloaded(w, ops.Reload{Revision: 8}) },
		"diff":           func(w io.Writer) { view.compared(w, changed()) },
		"explain":        func(w io.Writer) { view.explanation(w, explained()) },
		"explain_refused": func(w io.Writer) {
			view.explanation(w, record.Explanation{Peer: "core-a", Group: "fixed", Profile: "core", To: "112", Emergency: true, Status: 404, Why: "emergency calls from the operator's network end there", Answer: message("SIP/2.0 404 Not Found")})
		},
		"reconnect": func(w io.Writer) { _ = view.reconnected(w, reconnections()) },
	}
	for name, render := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			render(&b)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				os.WriteFile(file, b.Bytes(), 0o644)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("run with -update if this is right:\n%s", diff)
			}
			for line := range strings.Lines(b.String()) {
				if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
					t.Errorf("blanks at the end of %q", line)
				}
				limit := 80
				if name == "ladder_wide" {
					limit = 100
				}
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit && !strings.Contains(name, "color") && name != "messages" {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestNothingFromTheNetworkWritesOnTheTerminal(t *testing.T) {
	evil := "x\x1b[2J\a\u202e\x80"
	c := talking()
	c.From, c.To, c.Service, c.Cause.Text, c.Transcoding = evil, evil, evil, evil, evil
	c.Ended = after(time.Hour)
	c.Attempts = []record.Attempt{{Peer: evil, Target: evil, Why: evil, Error: evil}}
	for _, g := range []*record.Leg{&c.Caller, &c.Callee} {
		*g = record.Leg{Peer: evil, CallID: evil, Transport: evil, Address: evil, Codec: evil}
		g.Media.Remote = evil
	}
	raw := message("SIP/2.0 486 "+evil, "CSeq: 1 "+evil, "Reason: "+evil, "X: "+evil)
	tr := record.Trace{Call: c.Call, Notes: []record.Note{{At: day, Text: evil}}}
	for _, leg := range []string{"caller", "callee", ""} {
		for _, r := range []string{raw, message(evil + " sip:x SIP/2.0"), evil, ""} {
			tr.Packets = append(tr.Packets, record.Packet{At: day, Leg: leg, Peer: evil + leg, Transport: evil, Remote: evil, Raw: r})
		}
	}
	p := record.PeerHealth{Peer: evil, Group: evil, Target: evil, Why: evil, State: "down"}
	var b bytes.Buffer
	view.liveCalls(&b, []record.LiveCall{c})
	view.pastCalls(&b, []record.Call{c.Call})
	view.call(&b, c)
	view.ladder(&b, tr)
	view.messages(&b, tr)
	view.peers(&b, []record.PeerHealth{p})
	Report(&b, errors.New(evil))
	if i := strings.IndexAny(b.String(), "\x1b\a\u202e"); i >= 0 || !utf8.Valid(b.Bytes()) {
		t.Errorf("a control character came through: %q", b.String()[max(0, i-40):i+10])
	}
}

func TestPeopleMayWriteTimesInManyWays(t *testing.T) {
	l := look{now: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC), zone: time.FixedZone("CET", 3600)}
	tests := map[string]string{
		"2h":                   "2026-11-21T18:00:00Z",
		"90s":                  "2026-11-21T19:58:30Z",
		"3d":                   "2026-11-18T20:00:00Z",
		"20:30":                "2026-11-21T19:30:00Z",
		"20:30:15":             "2026-11-21T19:30:15Z",
		"2026-11-20":           "2026-11-19T23:00:00Z",
		"2026-11-20 08:00":     "2026-11-20T07:00:00Z",
		"2026-11-20T08:00:00Z": "2026-11-20T08:00:00Z",
	}
	for in, want := range tests {
		var got time.Time
		if err := l.parseTime(in, &got); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s = %v, %v; want %s", in, got.UTC(), err, want)
		}
	}
	var got time.Time
	for _, in := range []string{"yesterday", "-2h", "-1d", "25:00", "d"} {
		if err := l.parseTime(in, &got); ExitStatus(err) != ExitUsage {
			t.Errorf("%s: %v", in, err)
		}
	}
	if err := l.parseTime("", &got); err != nil || !got.IsZero() {
		t.Error("nothing said is nothing set")
	}
}

func TestLasting(t *testing.T) {
	tests := map[time.Duration]string{
		-time.Second: "0.0s", 412 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 59999 * time.Millisecond: "59s",
		252 * time.Second: "4m12s", 3*time.Hour + 5*time.Minute: "3h05m", 47 * time.Hour: "47h00m", 71 * 24 * time.Hour: "71d",
	}
	for in, want := range tests {
		if got := lasting(in); got != want {
			t.Errorf("lasting(%v) = %s, want %s", in, got, want)
		}
	}
}

// edge plays the node.
type edge struct{ live []record.LiveCall }

func (e edge) Live() []record.LiveCall         { return e.live }
func (e edge) Hangup(string) error             { return nil }
func (e edge) Health() []record.PeerHealth     { return peers() }
func (e edge) Certificates() []ops.Certificate { return peerList().Certificates }
func (e edge) Warnings() []ops.Warning         { return peerList().Warnings }

func (e edge) Reconnect(_ context.Context, names ...string) ([]record.Reconnection, error) {
	switch {
	case len(names) == 0:
		return nil, nil
	case names[0] == "nobody":
		return nil, fault.New(fault.NotFound, "there is no peer nobody")
	}
	return reconnections(), nil
}

func reconnections() []record.Reconnection {
	return []record.Reconnection{
		{Peer: "sip", Address: "52.114.1.1:5061"},
		{Peer: "sip", Address: "52.114.1.1:40001", Inbound: true},
		{Peer: "sip2", Address: "52.114.1.2:5061", Why: "sip2.pstnhub.microsoft.com:5061 (52.114.1.2:5061): connection refused: nothing listens on this port"},
	}
}

func reload(_ context.Context, req ops.ReloadRequest) (ops.Reload, error) {
	if strings.HasSuffix(req.File, "bad.yaml") {
		return ops.Reload{}, &ops.Rejected{Problems: []string{"tandem.yaml:3:1: sip.domian: unknown key: did you mean domain?", "tandem.yaml:9:5: sip.options: 1h: write a duration from 1s to 10m0s"}}
	}
	return changed(), nil
}

func changed() ops.Reload {
	return ops.Reload{
		Revision: 8,
		Changes: []ops.Change{
			{Path: "sip.options", Old: "1m0s", New: "30s"},
			{Path: "numbers[+441134960011]", New: "{number: +441134960011, service: OperatorConnect, account: contoso}"},
			{Path: "gateway.properties.emergencyDialStrings", Old: "[911]"},
			{Path: "gateway.properties.serviceLocations[westeurope].primaryRegionProperties.operatorAddresses", Old: "[10.1.0.10]", New: "[10.1.0.10, 10.1.0.11]"},
		},
		Warnings: []string{"tandem.yaml:12:3: node.metrics: 0.0.0.0:9464 can be reached from outside and asks for no password: bind a private address"},
		Renewing: []string{"sip"},
		Restart:  []string{"restart needed for node.name: r1-a → r1-b"},
	}
}

// peerList is peers with certificates of ours and warnings.
func peerList() ops.PeerList {
	list := ops.PeerList{Peers: peers()}
	list.Certificates = []ops.Certificate{
		{Name: "sip.listeners[cloud]", Bears: []string{"1r1.tandem.example", "*.1r1.tandem.example"}, Issuer: "Issuing CA", Root: "DigiCert Global Root G2", Ends: *after(5 * 24 * time.Hour)},
		{Name: "operator.tls", Bears: []string{"r1.tandem.example"}, Issuer: "Issuing CA", Ends: *after(200 * 24 * time.Hour)},
	}
	list.Warnings = []ops.Warning{
		{About: "sip.listeners[cloud]", Cause: "ends 7", Text: "our certificate of sip.listeners[cloud] ends in 4 days, on 2026-11-25: renew it and run tandem reload"},
		{About: "sip2", Cause: "ends 14", Text: "the certificate of peer sip2 ends in 11 days, on 2026-12-02: have the peer renew it"},
	}
	return list
}

func (e edge) List(_ context.Context, f record.Filter) ([]record.Call, error) {
	var found []record.Call
	for _, c := range past() {
		if strings.HasPrefix(c.ID, f.ID) && (!f.Failed || c.Failed()) {
			found = append(found, c)
		}
	}
	return found[:min(f.Limit, len(found))], nil
}

func (e edge) Explain(from string, invite []byte) (record.Explanation, error) {
	switch {
	case from == "nobody":
		return record.Explanation{}, fault.New(fault.NotFound, "there is no peer nobody")
	case !strings.HasPrefix(string(invite), "INVITE "):
		return record.Explanation{}, fault.New(fault.Invalid, "no INVITE")
	case from == "barred":
		return record.Explanation{Peer: from, Notes: []string{}, Status: 403, Why: "barred", Answer: message("SIP/2.0 403 Forbidden")}, nil
	}
	return explained(), nil
}

func explained() record.Explanation {
	return record.Explanation{
		Peer: "core-a", Group: "fixed", Profile: "core", From: "+441632960123", To: "+442079460999", Service: "OperatorConnect",
		Notes: []string{
			"rule outside-line changed the INVITE",
			"route: +442079460999 is provisioned for OperatorConnect, so group microsoft-teams serves it, in the order of its proxies",
		},
		Targets: []record.ExplainedTarget{
			{Peer: "microsoft-teams-1", Group: "microsoft-teams", Profile: "teams", Why: "local region, priority 0", Down: true},
			{Peer: "microsoft-teams-2", Group: "microsoft-teams", Profile: "teams", Why: "local region, priority 1"},
		},
		Message: message("INVITE sip:+442079460999@sip.pstnhub.microsoft.com SIP/2.0", "X-\x1b: 1"),
	}
}

type traces struct{}

func (traces) Get(id string) (record.Trace, bool) { return trace(), id == talking().ID }

func (traces) Pcap(w io.Writer, id string) (bool, error) {
	io.WriteString(w, "capture")
	return id == talking().ID, nil
}

// run runs one command line against a node and gives what a shell sees.
func run(t *testing.T, line ...string) (stdout, stderr string, status int) {
	t.Helper()
	root := &cobra.Command{Use: "tandem", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(NewCall(), NewPeer(), NewEdge(), NewCertificate(), NewZone(), NewReload(), NewConfigDiff(), NewOnboard(), NewOperation(), NewUser(), NewApp(), NewAudit())
	var out, errs strings.Builder
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(line)
	status = Report(&errs, root.ExecuteContext(t.Context()))
	return out.String(), errs.String(), status
}

func serve(t *testing.T, e edge) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	h := ops.Handler(ops.Config{Calls: e, Records: e, Traces: traces{}, Peers: e, Explain: e, Reload: reload, Log: slog.New(slog.DiscardHandler)})
	s, err := ops.Listen(socket, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("TANDEM_SOCKET", socket)
}

func TestCommands(t *testing.T) {
	serve(t, edge{live: []record.LiveCall{talking()}})
	pcap, invite := filepath.Join(t.TempDir(), "call.pcap"), filepath.Join(t.TempDir(), "invite.txt")
	if err := os.WriteFile(invite, []byte("INVITE sip:x SIP/2.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		line           string
		status         int
		stdout, stderr string // parts of them; "" means empty
	}{
		{"call list", 0, "01kac3w2mf5t  talking", ""},
		{"call list --json", 0, `"state": "talking"`, ""},
		{"call list --past", 0, "486 busy", ""},
		{"call list --failed", 0, "node lost", ""},
		{"call list --limit 2", 0, "486 busy", "The newest 2; there may be more"},
		{"call list --past --json --limit 1", 0, `"id": "01kac3w2mf5t8r4q0znx6b7dhj"`, ""},
		{"call list --since never", 2, "", `"never" is no time`},
		{"call list --limit 0", 2, "", "limit"},
		{"call show 01KAC3W2", 0, "core-a", ""},
		{"call show 01kac3w2 --json", 0, `"state": "talking"`, ""},
		{"call show 01kac3w", 1, "", "several calls begin with 01kac3w"},
		{"call show 99", 3, "", "no call with the ID 99"},
		{"call show", 2, "", "accepts 1 arg"},
		{"call show a b", 2, "", "accepts 1 arg"},
		{"call trace 01kac3w2", 0, "───>│", ""},
		{"call trace 01kac3w2 --raw", 0, "  BYE sip:x SIP/2.0", ""},
		{"call trace 01kac3w2 --json", 0, `"packets": [`, ""},
		{"call trace 01ka0000b", 3, "", "no longer in memory"},
		{"call trace 01kac3w2 --pcap " + pcap, 0, "", "Written: " + pcap},
		{"call trace 01kac3w2 --pcap -", 0, "capture", ""},
		{"call trace 01ka0000b --pcap " + pcap + "2", 3, "", "no longer in memory"},
		{"call hangup 01kac3w2", 0, "Hung up 01kac3w2mf5t8r4q0znx6b7dhj", ""},
		{"call hangup 01kac3w0", 1, "", "over already"},
		{"call hang", 2, "", "unknown command"},
		{"call", 2, "", "One of explain, hangup, list, show, trace"},
		{"call explain --file " + invite + " --from core-a", 0, "INVITE sip:+442079460999@", ""},
		{"call explain --file " + invite + " --from core-a --json", 0, `"profile": "core"`, ""},
		{"call explain --file " + invite + " --from barred", 1, "refused with 403: barred", "would be refused"},
		{"call explain --file " + invite + " --from nobody", 3, "", "there is no peer nobody"},
		{"call explain --file /nowhere/i.txt --from core-a", 2, "", "no such file"},
		{"call explain --from core-a", 2, "", "required flag"},
		{"call list --bogus", 2, "", "unknown flag"},
		{"call list --limit x", 2, "", "invalid argument"},
		{"peer list", 0, "sip2.pstnhub", ""},
		{"peer list --json", 0, `"certificateEnds"`, ""},
		{"peer list", 0, "OUR CERTIFICATE", ""},
		{"peer show sip2", 0, "! the certificate of peer sip2 ends", ""},
		{"peer show sip2 --json", 0, `"certificateEnds"`, ""},
		{"peer show nobody", 3, "", "there is no peer nobody"},
		{"peer reconnect", 0, "", "No TLS connection was open"},
		{"peer reconnect nobody", 3, "", "there is no peer nobody"},
		{"peer reconnect sip sip2", 1, "made anew", "1 connection could not be made anew"},
		{"reload", 0, "Revision 8 is in force: 4 changes", ""},
		{"reload --json", 0, `"revision": 8`, ""},
		{"diff next.yaml", 0, "4 differences from revision 8", ""},
		{"diff next.yaml --json", 0, `"restart"`, ""},
		{"diff bad.yaml", 1, "did you mean domain?", "2 problems found: it would be rejected"},
		{"call list --socket /nowhere/s", 4, "", "no node is running here: /nowhere/s does not exist; start one with"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			stdout, stderr, status := run(t, strings.Fields(tt.line)...)
			if status != tt.status || !holds(stdout, tt.stdout) || !holds(stderr, tt.stderr) {
				t.Errorf("status %d, want %d\n%s\n%s", status, tt.status, stdout, stderr)
			}
		})
	}
	if b, err := os.ReadFile(pcap); err != nil || string(b) != "capture" {
		t.Error(string(b), err)
	}
	if _, err := os.Stat(pcap + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was made for a capture there is not")
	}
}

func holds(s, part string) bool {
	if part == "" {
		return s == ""
	}
	return strings.Contains(s, part)
}

func TestWithoutCallsASentence(t *testing.T) {
	serve(t, edge{})
	if stdout, stderr, status := run(t, "call", "list"); status != 0 || stdout != "" || !strings.Contains(stderr, "No calls at the moment") {
		t.Error(stdout, stderr, status)
	}
	if stdout, _, _ := run(t, "call", "list", "--json"); strings.TrimSpace(stdout) != "[]" {
		t.Errorf("json = %s", stdout)
	}
}

func TestExitStatusOfEveryKind(t *testing.T) {
	want := map[fault.Kind]int{
		fault.Internal: ExitFailure, fault.Invalid: ExitUsage, fault.Denied: ExitFailure, fault.NotFound: ExitNotFound,
		fault.Conflict: ExitFailure, fault.Exhausted: ExitFailure, fault.Unavailable: ExitFailure,
	}
	for _, k := range fault.Kinds() {
		if got := ExitStatus(fmt.Errorf("x: %w", fault.New(k, "y"))); got != want[k] {
			t.Errorf("%v = %d, want %d", k, got, want[k])
		}
	}
	if ExitStatus(nil) != ExitOK || ExitStatus(fmt.Errorf("x: %w", ops.ErrNoNode)) != ExitNoNode {
		t.Error("nil or no node")
	}
	var b strings.Builder
	if Report(&b, context.Canceled) != ExitFailure || b.String() != "" {
		t.Errorf("an interruption says %q", b.String())
	}
}

func FuzzLadder(f *testing.F) {
	for _, p := range trace().Packets {
		f.Add(p.Raw, "teams", "a note")
	}
	f.Fuzz(func(t *testing.T, raw, peer, note string) {
		tr := record.Trace{Call: record.Call{ID: "x", From: peer}, Notes: []record.Note{{At: day, Text: note}}}
		for i, leg := range []string{"caller", "callee"} {
			tr.Packets = append(tr.Packets, record.Packet{At: day, Out: i == 0, Leg: leg, Peer: peer, Remote: peer, Raw: raw})
		}
		var b strings.Builder
		view.ladder(&b, tr)
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.IndexFunc(line, unprintable) >= 0 {
				t.Fatalf("a control character came through: %q", line)
			}
			if strings.Contains(line, "│") && utf8.RuneCountInString(line) > 80 && !strings.ContainsRune(raw+peer+note, '│') {
				t.Fatalf("%d columns: %s", utf8.RuneCountInString(line), line)
			}
		}
	})
}
