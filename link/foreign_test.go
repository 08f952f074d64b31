package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// foreign runs a NATS server of the operator's own by the configuration that
// docs/operate.md shows.
func foreign(t testing.TB, ca *authority) (url string) {
	t.Helper()
	text, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "```nats\n")
	conf, _, found := strings.Cut(text2, "```")
	if !found {
		t.Fatal("docs/operate.md shows no configuration")
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := ca.node(t, "nats-1").Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	conf = strings.NewReplacer(
		"0.0.0.0:4222", "127.0.0.1:-1",
		"/var/lib/nats", filepath.Join(dir, "streams"),
		"/etc/nats/server.pem", write("server.pem", "CERTIFICATE", own.Certificate[0]),
		"/etc/nats/server.key", write("server.key", "PRIVATE KEY", key),
		"/etc/nats/nodes.pem", write("nodes.pem", "CERTIFICATE", ca.cert.Raw),
	).Replace(conf)
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs = true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.SetLogger(serverLog{quiet(t)}, false, false)
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return strings.Replace(s.ClientURL(), "nats://", "tls://", 1)
}

func dialAway(t testing.TB, url, node string, control bool, c *tls.Config) *Conn {
	t.Helper()
	conn, err := Dial(DialConfig{Node: node, Control: control, URLs: []string{url}, TLS: c, Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// With servers of the operator's own and the grants that are documented, all
// that a link does goes through, and an edge cannot do what is another's.
func TestServersOfOnesOwnNeedNoMoreThanIsGranted(t *testing.T) {
	ca := newAuthority(t)
	url := foreign(t, ca)
	c := theControl(t, dialAway(t, url, "control-1", true, ca.node(t, "control-1")))
	e := theEdge(t, "r1-a", t.TempDir())
	e.Answer("who", func(context.Context, json.RawMessage) (any, error) { return strings.Repeat("r1-a ", maxPayload/4), nil })
	conn := dialAway(t, url, "r1-a", false, ca.node(t, "r1-a"))
	e.Start(conn)

	publish(t, c, 1, sample(t, "lab", 100_000), "r1-a") // several pieces
	a := next(t, e)
	if a.Revision != 1 {
		t.Fatalf("revision %d came", a.Revision)
	}
	if err := e.Applied(a); err != nil {
		t.Fatal(err)
	}
	e.Report(EdgeStatus{Node: "r1-a", State: Ready, Gateway: "lab", Revision: 1})
	until(t, "control hears what the edge runs", func() bool {
		s, ok := c.Edge("r1-a")
		return ok && s.Revision == 1
	})
	var said string
	if err := c.Ask(t.Context(), "r1-a", "who", nil, &said); err != nil || len(said) < maxPayload {
		t.Errorf("an answer in pieces: %d bytes, %v", len(said), err)
	}
	spool := newHeap()
	spool.add("r1-a", 0, 500)
	uploading(t, e, spool)
	stored := keeping(t, c, 0)
	until(t, "the records have come", func() bool { return spool.left() == 0 && stored.count() == 500 })
	for _, subject := range []string{statusSubject + "r1-b", recordSubject + "r1-b", snapshotSubject + "r1-a.assigned"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := conn.js.Publish(ctx, subject, []byte("{}")); err == nil {
			t.Errorf("the edge may write %s", subject)
		}
		cancel()
	}
}
