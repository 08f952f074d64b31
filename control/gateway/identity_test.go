package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// withDirectory gives a world a directory on its store.
func withDirectory(t *testing.T, s *store.Store) (*directory.Set, func(*world, *gateway.Config)) {
	t.Helper()
	d, err := directory.Open(t.Context(), directory.Config{Store: s, Tenant: directory.Tenant{ID: tenant, Name: "Lab"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d, func(_ *world, c *gateway.Config) { c.Identities = d }
}

// TestAGatewayIsAPrincipalOfTheDirectory: found by the gateway's name, with the
// ID that the resource shows (Azure Communications Gateway docs, "Connect Azure
// Communications Gateway to Operator Connect or Teams Phone Mobile", "Find the
// Application ID for your Azure Communications Gateway resource"). It is off
// while the resource has no identity, and gone with it.
func TestAGatewayIsAPrincipalOfTheDirectory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d, change := withDirectory(t, s)
		w, id := build(t, s, change), named("Lab-1")
		us := directory.Ourselves(tenant, "")
		w.rise(id)
		r, op := w.put(id, two())
		w.complete(op.ID)
		find := func() (found []directory.ServicePrincipal) {
			t.Helper()
			all, err := d.Principals(t.Context(), us)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if p.Called("lab-1") {
					found = append(found, p)
				}
			}
			return found
		}
		found := find()
		if len(found) != 1 || found[0].ID != r.Identity.PrincipalID || found[0].DisplayName != "Lab-1" || found[0].Kind != directory.ManagedIdentity || !found[0].Enabled || found[0].Resource != id.String() {
			t.Fatalf("%+v, and the resource says %+v", found, r.Identity)
		}
		appID := found[0].AppID
		_, op = w.put(id, two())
		w.complete(op.ID)
		for _, kind := range []string{"None", "SystemAssigned"} {
			if _, err := w.set.Patch(t.Context(), alice, id, gateway.Patch{Identity: &gateway.Identity{Type: kind}}, none); err != nil {
				t.Fatal(err)
			}
			if found = find(); len(found) != 1 || found[0].AppID != appID || found[0].Enabled != (kind == "SystemAssigned") {
				t.Errorf("%s: %+v", kind, found)
			}
		}
		op, err := w.set.Delete(t.Context(), alice, id, none)
		if err != nil {
			t.Fatal(err)
		}
		w.complete(op.ID)
		if found := find(); len(found) != 0 {
			t.Errorf("what is left: %+v", found)
		}
		// A later gateway of the same name is another one.
		again, op := w.put(id, two())
		w.complete(op.ID)
		if found = find(); len(found) != 1 || found[0].ID != again.Identity.PrincipalID || found[0].ID == r.Identity.PrincipalID || found[0].AppID == appID {
			t.Errorf("%+v", found)
		}
	})
}

// TestGatewaysOfBeforeGetTheirPrincipal at the start of a control node that
// keeps a directory, with the ID that they have shown all along.
func TestGatewaysOfBeforeGetTheirPrincipal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		before, id := build(t, s), named("lab-1")
		before.rise(id)
		r, op := before.put(id, two())
		before.complete(op.ID)
		before.ops.Close()
		d, change := withDirectory(t, s)
		w := build(t, s, change)
		us := directory.Ourselves(tenant, "")
		if _, err := d.Principal(t.Context(), us, r.Identity.PrincipalID); fault.Of(err) != fault.NotFound {
			t.Errorf("before: %v", err)
		}
		for range 2 {
			if err := w.set.Embody(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := d.Principal(t.Context(), us, r.Identity.PrincipalID); err != nil || p.DisplayName != "lab-1" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// TestAnIdentityThatTheDirectoryKnowsOtherwise ends the operation with a
// sentence.
func TestAnIdentityThatTheDirectoryKnowsOtherwise(t *testing.T) {
	s := storetest.New(t)
	d, change := withDirectory(t, s)
	w, id := build(t, s, change), named("lab-1")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := d.MakeManagedIdentity(t.Context(), tx, directory.Identity{Resource: id.String(), Name: "lab-1"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.rise(id)
	_, op := w.put(id, two())
	w.fails(op.ID, "identity", "delete the gateway and make it again")
	if err := w.set.Embody(t.Context()); err != nil {
		t.Error(err)
	}
}

// halting is a directory that is away after some identities.
type halting struct {
	*directory.Set
	left, made int
}

func (h *halting) MakeManagedIdentity(ctx context.Context, tx *store.Tx, id directory.Identity) (directory.ServicePrincipal, error) {
	if h.left--; h.left < 0 {
		return directory.ServicePrincipal{}, errors.New("the directory is away")
	}
	h.made++
	return h.Set.MakeManagedIdentity(ctx, tx, id)
}

// TestManyGatewaysOfBeforeGetTheirPrincipals in transactions of a hundred each;
// what was done before an error is not done again, and where nothing is to be
// done nothing is written.
func TestManyGatewaysOfBeforeGetTheirPrincipals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		before, err := assemble(s)
		if err != nil {
			t.Fatal(err)
		}
		const many = 250
		for i := range many {
			if _, _, _, err := before.set.Put(t.Context(), alice, named(fmt.Sprintf("lab-%03d", i)), two(), none); err != nil {
				t.Fatal(err)
			}
		}
		d, _ := withDirectory(t, s)
		h := &halting{Set: d, left: 150}
		w, err := assemble(s, func(_ *world, c *gateway.Config) { c.Identities = h })
		if err != nil {
			t.Fatal(err)
		}
		for i, tt := range []struct {
			fails  bool
			writes uint64
			made   int
		}{{true, 1, 150}, {false, 2, 150}, {false, 0, 0}} {
			was := s.Counters().Writes
			h.made = 0
			err := w.set.Embody(t.Context())
			if got := s.Counters().Writes - was; (err != nil) != tt.fails || got != tt.writes || h.made != tt.made {
				t.Errorf("start %d: %v, %d writes, %d identities, want %d and %d", i, err, got, h.made, tt.writes, tt.made)
			}
			h.left = many
		}
	})
}
