package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
)

var managedNames = []string{"*.1r1.lab.example", "1r1.lab.example", "r1.lab.example"}

// signedByOperator brings chains for what the edge asks to have signed, until
// it shows one.
func signedByOperator(w *world, set *certificate.Set, terms authority.Terms) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := "nothing"
	for {
		if err := set.Order(ctx, "r1-a", managedNames); err != nil {
			last = err.Error() // as long as somebody is at it
		}
		all, err := set.List(ctx)
		if err != nil {
			return err
		}
		switch c := all[0]; c.State {
		case certificate.Shown:
			if slices.Equal(c.Names, managedNames) {
				return nil
			}
		case certificate.Waiting:
			chain, err := w.ca.Sign(terms, c.Request)
			if err != nil {
				return err
			}
			if err := set.Install(ctx, "r1-a", chain); err != nil {
				last = err.Error() // the edge has asked anew meanwhile
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("no certificate came: " + last)
		}
	}
}

// shownAt is the leaf that a listener shows to who knocks.
func shownAt(w *world, addr, name string) *tls.ConnectionState {
	w.t.Helper()
	own, err := w.own("a.core.lab.example")()
	w.must(err)
	d := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 78, 3, 1)}}, Config: &tls.Config{ServerName: name, RootCAs: w.ca.Roots(), Certificates: []tls.Certificate{*own}}}
	conn, err := d.DialContext(w.t.Context(), "tcp", addr)
	w.must(err)
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	return &state
}

// The edge starts with no certificate at all; its key is made there, what it
// asks for is signed, and calls flow. Renewal touches no call.
func TestControlSeesToTheCertificateOfAnEdge(t *testing.T) {
	var u *upper
	var s *snapshot.Snapshot
	var set *certificate.Set
	signed := make(chan error, 1)
	w := build(t, managed(&u, &s), func(w *world) {
		w.text = strings.NewReplacer(
			"certificate: {chain: cloud.pem, key: cloud.key}", "certificate: {managed: true}",
			"certificate: {chain: core.pem, key: core.key}", "certificate: {managed: true}",
		).Replace(w.text)
		w.write()
		if strings.Count(w.text, "managed: true") != 2 {
			w.t.Fatal(w.text)
		}
		var err error
		set, err = certificate.New(certificate.Config{Store: storetest.New(w.t), Edges: u, Roots: w.ca.Roots(), Log: slog.New(slog.NewTextHandler(shown{w.t}, nil))})
		w.must(err)
		w.t.Cleanup(set.Close)
		set.Start()
		go func() { signed <- signedByOperator(w, set, authority.Terms{}) }() // beside build, which waits until calls can be made
	})
	w.must(<-signed)
	status := u.edge("shows what was signed", func(e link.EdgeStatus) bool {
		return len(e.Listeners) == 2 && e.Listeners[0].Certificate != nil && e.Listeners[1].Certificate != nil
	})
	if bears := status.Listeners[0].Certificate.Bears; strings.Join(bears, " ") != strings.Join(managedNames, " ") {
		t.Errorf("it bears %v", bears)
	}
	call := w.talk(true)
	before := shownAt(w, "127.78.1.2:5061", "r1.lab.example").PeerCertificates[0]

	// It is renewed because its names change: the same road as at two thirds of
	// its life.
	managedNames = append(managedNames, "x.lab.example")
	defer func() { managedNames = managedNames[:3] }()
	w.must(signedByOperator(w, set, authority.Terms{NotAfter: time.Now().Add(24 * time.Hour)}))
	after := shownAt(w, "127.78.1.2:5061", "r1.lab.example").PeerCertificates[0]
	if after.Equal(before) || after.VerifyHostname("x.lab.example") != nil {
		t.Error("a new handshake shows the old certificate")
	}
	select {
	case <-call.Done():
		t.Error("the call has ended")
	default:
	}
	again := w.talk(false)
	again.HangUp()
	<-again.Done()
	call.HangUp()
	<-call.Done()

	// Its end is near for one that control should renew: it is said.
	if all := w.node.warnings(after.NotAfter.Add(-time.Hour)); len(all) == 0 || !strings.Contains(all[0].Text, "should have been renewed by now: see on the control node") {
		t.Errorf("%v", all)
	}
	for _, x := range w.node.warnings(time.Now()) {
		if strings.Contains(x.Text, "renew") {
			t.Errorf("too early: %v", x)
		}
	}

	// It starts again with what it has, while control is away.
	u.stop()
	w.node.Close()
	cfg, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
	w.must(err)
	w.node, err = New(cfg, slog.New(slog.DiscardHandler), "test")
	w.must(err)
	t.Cleanup(w.node.Close)
	w.ready()
	if got := shownAt(w, "127.78.1.2:5061", "r1.lab.example").PeerCertificates[0]; !got.Equal(after) {
		t.Errorf("after the start it shows %v", got.Subject)
	}
}
