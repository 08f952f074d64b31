package publish

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
)

// carried is a link that remembers, as the real one does, what each node was
// told, and refuses to go back.
type carried struct {
	nodes map[string]link.Publication
	told  int   // how often a node was told something new
	fail  error // of the next call
}

func (c *carried) tell(node string, p link.Publication) error {
	if err := c.fail; err != nil {
		c.fail = nil
		return err
	}
	had := c.nodes[node]
	switch {
	case had.Revision == p.Revision && had.Gateway == p.Gateway:
		return nil
	case had.Revision >= p.Revision:
		return fmt.Errorf("publish: %w", fault.New(fault.Conflict, "newer"))
	}
	c.nodes[node] = p
	c.told++
	return nil
}

func (c *carried) Publish(_ context.Context, p link.Publication) error {
	for _, n := range p.Nodes {
		if err := c.tell(n, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *carried) Withdraw(_ context.Context, revision uint64, nodes ...string) error {
	for _, n := range nodes {
		if err := c.tell(n, link.Publication{Revision: revision}); err != nil {
			return err
		}
	}
	return nil
}

func (c *carried) Newest() (newest uint64) {
	for _, p := range c.nodes {
		newest = max(newest, p.Revision)
	}
	return newest
}

// standing is "node:gateway@revision" of every node.
func (c *carried) standing(nodes ...string) string {
	var list []string
	for _, n := range nodes {
		p := c.nodes[n]
		_, name, _ := strings.Cut(p.Gateway, "communicationsGateways/")
		list = append(list, fmt.Sprintf("%s:%s@%d", n, name, p.Revision))
	}
	return strings.Join(list, " ")
}

type publishing struct {
	*testing.T
	store *store.Store
	link  *carried
	in    Input
	set   *Set
}

func newPublishing(t *testing.T, s *store.Store) *publishing {
	p := &publishing{T: t, store: s, link: &carried{nodes: map[string]link.Publication{}}}
	p.set = NewSet(Config{Store: s, Link: p.link, Input: func() (Input, error) { return p.in, nil }})
	return p
}

func (p *publishing) publication(name string, nodes ...string) gateway.Publication {
	g := resource(p.T, "gateway-static")
	return gateway.Publication{ID: gateway.ID{Subscription: "s", Group: "g", Name: name}, Gateway: g, Nodes: nodes}
}

func (p *publishing) publish(x gateway.Publication, want uint64) {
	p.Helper()
	if got, err := p.set.Publish(p.Context(), x); err != nil || got != want {
		p.Fatalf("revision %d, not %d: %v", got, want, err)
	}
}

func (p *publishing) stands(want string, nodes ...string) {
	p.Helper()
	if got := p.link.standing(nodes...); got != want {
		p.Fatalf("stands %s, not %s", got, want)
	}
}

func TestRevisionsGrowAndTheSameIsPublishedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := newPublishing(t, s)
		p.publish(p.publication("a", "r1", "r2"), 1)
		p.publish(p.publication("a", "r2", "r1"), 1)
		p.publish(p.publication("b", "r3"), 2)
		p.stands("r1:a@1 r2:a@1 r3:b@2", "r1", "r2", "r3")
		if p.link.told != 3 {
			t.Errorf("told %d times", p.link.told)
		}
		x := p.publication("a", "r1", "r2")
		x.Gateway.Properties.Codecs = []string{"PCMU"}
		p.publish(x, 3)

		// r2 leaves: it is told so, before its gateway's others get another.
		x.Nodes = []string{"r1"}
		p.publish(x, 5)
		p.stands("r1:a@5 r2:@4", "r1", "r2")
		p.publish(p.publication("b", "r2", "r3"), 6)
		p.stands("r2:b@6 r3:b@6", "r2", "r3")
	})
}

func TestWithdrawn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := newPublishing(t, s)
		x := p.publication("a", "r1", "r2")
		p.publish(x, 1)
		for range 2 {
			if err := p.set.Withdraw(t.Context(), x.ID, x.Nodes); err != nil {
				t.Fatal(err)
			}
			p.stands("r1:@2 r2:@3", "r1", "r2")
		}
		p.publish(x, 4)
	})
}

// A crash between the store and the link loses nothing: the next attempt, or
// the next start, carries what is stored.
func TestWhatIsStoredIsCarriedLater(t *testing.T) {
	p := newPublishing(t, storetest.New(t))
	crash := errors.New("crash")
	x := p.publication("a", "r1", "r2")
	p.link.fail = crash
	if _, err := p.set.Publish(t.Context(), x); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	p.stands("r1:@0", "r1")
	p.publish(x, 1)
	p.stands("r1:a@1 r2:a@1", "r1", "r2")

	x.Nodes = x.Nodes[:1]
	p.link.fail = crash // of the withdrawal from r2
	if _, err := p.set.Publish(t.Context(), x); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	p.stands("r2:a@1", "r2")
	if err := p.set.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.stands("r1:a@3 r2:@2", "r1", "r2")
}

func TestAgainAfterARestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := newPublishing(t, s)
		p.publish(p.publication("a", "r1"), 1)
		before := p.link.nodes["r1"].Snapshot
		again := func(want string) {
			t.Helper()
			if err := p.set.Again(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.stands(want, "r1")
		}
		told := p.link.told
		again("r1:a@1")
		if p.link.told != told {
			t.Error("the edge was told what it knows")
		}
		p.link.nodes = map[string]link.Publication{} // the link has lost everything
		again("r1:a@1")
		if after := p.link.nodes["r1"].Snapshot; len(after.Groups) != len(before.Groups) || after.Groups[0].Peers[0].Host != before.Groups[0].Peers[0].Host {
			t.Errorf("it is another: %+v", after)
		}
	})
}

// What is read at a start and replaced before it is carried is left to its
// successor.
func TestAgainLeavesTheNewerAlone(t *testing.T) {
	p := newPublishing(t, storetest.New(t))
	x := p.publication("a", "r1")
	p.publish(x, 1)
	var old []*published
	err := p.store.Read(t.Context(), func(tx *store.Tx) (err error) {
		old, err = all(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Gateway.Properties.Codecs = []string{"PCMU"}
	p.publish(x, 2)
	if err := p.set.again(t.Context(), old[0]); err != nil {
		t.Fatal(err)
	}
	p.stands("r1:a@2", "r1")
	if err := p.set.Withdraw(t.Context(), x.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.set.again(t.Context(), old[0]); err != nil {
		t.Fatal(err)
	}
	p.stands("r1:@3", "r1")
}

// A store that was restored from a backup knows less than the edges: what it
// publishes is newer than all they have.
func TestARestoredStoreGoesOn(t *testing.T) {
	p := newPublishing(t, storetest.New(t))
	x := p.publication("a", "r1")
	p.publish(x, 1)
	p.link.nodes["r1"] = link.Publication{Gateway: "lost", Revision: 70}
	if err := p.set.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.stands("r1:a@71", "r1")
	p.link.nodes["r1"] = link.Publication{Gateway: "lost", Revision: 80}
	p.publish(x, 81)
	p.link.nodes["r2"] = link.Publication{Gateway: "lost", Revision: 90}
	if err := p.set.Withdraw(t.Context(), x.ID, nil); err != nil {
		t.Fatal(err)
	}
	p.stands("r1:@91", "r1")
}

// The deployment's part of the snapshot counts, its numbers; test lines are
// beside them, and go before.
func TestNumbersArePublished(t *testing.T) {
	p := newPublishing(t, storetest.New(t))
	p.in.Numbers = numbers(t, snapshot.Number{E164: "+441134960001", Service: snapshot.OperatorConnect})
	x := p.publication("a", "r1")
	x.Lines = map[string]string{"+441134960002": "TeamsPhoneMobile"}
	p.publish(x, 1)
	got := p.link.nodes["r1"].Snapshot
	if got.Numbers.Len() != 1 || len(got.Policy.TestLines) != 1 || got.Policy.TestLines["+441134960002"] != snapshot.TeamsPhoneMobile {
		t.Errorf("%d numbers, lines %v", got.Numbers.Len(), got.Policy.TestLines)
	}
	p.in.Numbers = numbers(t, snapshot.Number{E164: "+441134960009", Service: snapshot.OperatorConnect})
	p.publish(x, 2)
}

func TestWhatIsNotFitIsNotPublished(t *testing.T) {
	p := newPublishing(t, storetest.New(t))
	x := p.publication("a", "r1")
	x.Gateway.Properties.Codecs = nil
	if _, err := p.set.Publish(t.Context(), x); !errors.As(err, new(gateway.Problems)) {
		t.Error(err)
	}
	x = p.publication("a", "r1")
	x.Still = func(context.Context, *store.Tx) error { return errors.New("it has changed") }
	if _, err := p.set.Publish(t.Context(), x); err == nil {
		t.Error("it has changed, and was published")
	}
	if len(p.link.nodes) != 0 {
		t.Error(p.link.nodes)
	}
}
