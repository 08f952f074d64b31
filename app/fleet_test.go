package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// above starts a control node where a world's edge looks for one.
func above(t *testing.T, w *world) *Node {
	t.Helper()
	dir := t.TempDir()
	for stem, name := range map[string]string{"api": "api.lab.example", "own": "control-a"} {
		cert, err := w.ca.Issue(authority.Terms{}, name, "127.78.4.1")
		w.must(err)
		_, err = w.ca.Write(dir, stem, cert)
		w.must(err)
	}
	write(t, dir, "secret", "a long enough secret\n")
	text := strings.NewReplacer("127.0.0.1:8443", "127.78.9.2:8443", "127.0.0.1:5300", "127.78.9.2:5300").Replace(goodControl)
	write(t, dir, "tandem.yaml", text+"link: {listen: \"127.78.4.1:4222\", ca: root.pem, certificate: {chain: own.pem, key: own.key}}\n")
	cfg, err := LoadConfig(filepath.Join(dir, "tandem.yaml"))
	w.must(err)
	n, err := New(cfg, slog.New(slog.DiscardHandler), "test")
	w.must(err)
	t.Cleanup(n.Close)
	return n
}

func TestAControlNodeShowsItsEdgesAsOne(t *testing.T) {
	var u *upper
	var s *snapshot.Snapshot
	var control *Node
	w := build(t, managed(&u, &s), func(w *world) {
		u.stop()
		control = above(t, w)
		u.at, u.Control = netip.AddrPort{}, control.plane.Load().link
		u.publish(1, s)
	})
	all := ops.Dial(control.cfg.Node.Socket())
	call := w.talk(true)
	live, err := all.Live(t.Context())
	w.must(err)
	if len(live) != 1 || live[0].Node != "r1-a" || live[0].State != record.Talking {
		t.Fatalf("live calls are %+v", live)
	}
	trace, err := all.Trace(t.Context(), live[0].ID)
	w.must(err)
	var mine, theirs bytes.Buffer
	w.must(all.Pcap(t.Context(), live[0].ID, &theirs))
	w.must(w.ops.Pcap(t.Context(), live[0].ID, &mine))
	if len(trace.Packets) == 0 || trace.Call.Node != "r1-a" || !bytes.Equal(mine.Bytes(), theirs.Bytes()) {
		t.Errorf("trace of %d packets; captures of %d and %d bytes", len(trace.Packets), mine.Len(), theirs.Len())
	}
	list, err := all.PeerList(t.Context())
	w.must(err)
	if len(list.Peers) != 4 || !slices.ContainsFunc(list.Peers, func(p record.PeerHealth) bool { return p.Peer == "r1-a/microsoft-teams-1" && p.State == "up" }) {
		t.Errorf("peers are %+v", list.Peers)
	}
	if len(list.Certificates) != 2 || !strings.HasPrefix(list.Certificates[0].Name, "r1-a/sip.listeners[") {
		t.Errorf("certificates are %+v", list.Certificates)
	}
	edges, err := all.Edges(t.Context())
	w.must(err)
	if len(edges) != 1 || edges[0].Node != "r1-a" || edges[0].Revision != 1 || !edges[0].Live {
		t.Errorf("edges are %+v", edges)
	}
	if err := all.ForgetEdge(t.Context(), "r1-a"); err == nil {
		t.Error("a live edge is forgotten")
	}
	if _, err := all.Hangup(t.Context(), live[0].ID); err != nil {
		t.Error(err)
	}
	<-call.Done()
	w.until(func() string {
		past, err := all.Past(t.Context(), record.Filter{})
		w.must(err)
		if len(past) != 1 || past[0].Ended == nil || past[0].Cause.By != record.ByOperator {
			return fmt.Sprintf("the call is not on record at the control node: %+v, %+v", past, w.node.health().Link)
		}
		return ""
	})
	if _, err := all.Hangup(t.Context(), live[0].ID); err == nil {
		t.Error("a call was ended twice")
	}
}
