package peer

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/wire/sip"
)

// oneGroup is a snapshot with one group of the operator's.
func oneGroup(policy snapshot.TLS, peers ...snapshot.Peer) *snapshot.Snapshot {
	return &snapshot.Snapshot{Groups: []snapshot.Group{{Name: "core", Side: snapshot.Operator, TLS: policy, Peers: peers}}}
}

func from(name, transport, address string) snapshot.Peer {
	a := netip.MustParseAddr(address)
	return snapshot.Peer{Name: name, Transport: transport, Host: address, Port: 5060, Priority: map[string]int{"": 0}, Sources: []netip.Prefix{netip.PrefixFrom(a, 32)}}
}

func TestARemovedPeerMayEndTheCallsItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(Config{})
		defer s.Close()
		stays, goes := from("stays", "UDP", "10.0.0.1"), from("goes", "UDP", "10.0.0.2")
		s.Apply(oneGroup(snapshot.TLS{}, stays, goes))
		admitted := func() []*sip.Remote {
			return s.Admit(&sip.Listener{Side: "operator", Transport: sip.UDP}, netip.MustParseAddr("10.0.0.2"))
		}
		before := admitted()
		first, second := s.Hold("goes"), s.Hold("goes")
		first()
		s.Apply(oneGroup(snapshot.TLS{}, stays))
		<-time.After(time.Hour)
		if got := admitted(); !slices.Equal(got, before) {
			t.Fatalf("admitted: %v, want the Remote that its call knows", got)
		}
		if _, ok := s.Find("goes"); ok {
			t.Error("new calls can find it")
		}
		if _, ok := s.Of(sip.Source{Remote: before[0]}); ok {
			t.Error("it can begin new calls")
		}
		s.Apply(oneGroup(snapshot.TLS{}, stays)) // it stays through further snapshots
		if len(admitted()) != 1 {
			t.Error("a second snapshot cuts it off")
		}
		second()
		<-time.After(31 * time.Second)
		if len(admitted()) != 1 {
			t.Error("cut off before the last messages of its call can have come")
		}
		<-time.After(time.Second)
		if got := admitted(); got != nil {
			t.Errorf("still admitted: %v", got)
		}
	})
}

func TestAPolicyIsReplacedWhereThePeerStands(t *testing.T) {
	a, err := authority.New("A")
	if err != nil {
		t.Fatal(err)
	}
	b, err := authority.New("B")
	if err != nil {
		t.Fatal(err)
	}
	core, plain := from("core", "TLS", "10.0.0.1"), from("plain", "UDP", "10.0.0.1")
	named := core
	named.Names = []string{"core.example"}
	s := NewSet(Config{Certificate: func(string) (*tls.Certificate, error) { return nil, nil }})
	defer s.Close()
	var remote *sip.Remote
	for _, x := range []struct {
		what     string
		peer     snapshot.Peer
		policy   snapshot.TLS
		roots    *x509.CertPool
		outdated bool
	}{
		{"the first snapshot", core, snapshot.TLS{}, nil, false},
		{"the same again", core, snapshot.TLS{}, nil, false},
		{"roots of the node's own", core, snapshot.TLS{}, a.Roots(), true},
		{"the same roots, read again", core, snapshot.TLS{}, a.Roots(), false},
		{"roots of the group's own", core, snapshot.TLS{Roots: string(b.RootPEM())}, a.Roots(), true},
		{"the node's roots, which the group does not use", core, snapshot.TLS{Roots: string(b.RootPEM())}, nil, false},
		{"a version", core, snapshot.TLS{Min: "1.3"}, nil, true},
		{"a suite", core, snapshot.TLS{Suites: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}}, nil, true},
		{"a certificate of ours", core, snapshot.TLS{Certificate: "operator.tls"}, nil, true},
		{"no certificate of theirs", core, snapshot.TLS{Anonymous: true}, nil, true},
		{"a name", named, snapshot.TLS{Anonymous: true}, nil, true},
	} {
		outdated := s.Renew(oneGroup(x.policy, x.peer, plain), Settings{Roots: x.roots})
		if got := slices.Contains(outdated, "core"); got != x.outdated || slices.Contains(outdated, "plain") {
			t.Errorf("%s: outdated are %v", x.what, outdated)
		}
		m := s.table.Load().byName["core"]
		if remote == nil {
			remote = m.remote
		}
		if m.remote != remote {
			t.Errorf("%s: the peer is another one now, and its connections are cut", x.what)
		}
	}
	p := s.table.Load().byName["core"].policy
	if !p.Anonymous || !slices.Equal(p.Names, []string{"core.example"}) {
		t.Errorf("policy: %+v", p)
	}
}

func TestRootsThatCannotBeReadTrustNobody(t *testing.T) {
	s := NewSet(Config{})
	defer s.Close()
	s.Apply(oneGroup(snapshot.TLS{Roots: "nothing"}, from("core", "TLS", "10.0.0.1")))
	if p := s.table.Load().byName["core"].policy; p.Roots == nil || !p.Roots.Equal(x509.NewCertPool()) {
		t.Error("the system's roots are trusted instead")
	}
}

func TestOnlyPeersWithTLSCanBeReconnected(t *testing.T) {
	s := NewSet(Config{})
	defer s.Close()
	s.Apply(oneGroup(snapshot.TLS{}, from("plain", "UDP", "10.0.0.1")))
	if _, err := s.Reconnect(t.Context()); fault.Of(err) != fault.Unavailable {
		t.Errorf("before the start: %v", err)
	}
	stack, err := sip.NewStack(sip.StackConfig{Admit: s.Admit})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	s.stack.Store(stack)
	for name, want := range map[string]fault.Kind{"plain": fault.Invalid, "nobody": fault.NotFound} {
		if _, err := s.Reconnect(t.Context(), name); fault.Of(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if done, err := s.Reconnect(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("all: %v, %v", done, err)
	}
}
