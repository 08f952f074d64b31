package gateway_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// A domain is served for one gateway. The name of the newcomer sorts first,
// which once was enough to take the domain of a running one.
func TestADelegatedDomainOfAnotherGatewayIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := build(t, s)
		with := func(domains ...string) gateway.Draft {
			doc := two()
			d := &gateway.DNSDelegations{}
			for _, name := range domains {
				d.Delegations = append(d.Delegations, gateway.DNSDelegation{Domain: name})
			}
			doc.Properties.DNSDelegations = d
			return doc
		}
		first, later := named("m-1"), named("a-1")
		w.put(first, with("voice.telecom.example"))
		w.put(first, with("voice.telecom.example", "lab.telecom.example")) // its own is no other's
		for _, c := range []struct {
			domains []string
			bad     []string
		}{
			{[]string{"voice.telecom.example"}, []string{"properties.dnsDelegations.delegations[0].domain"}},
			{[]string{"other.example", "Deeper.VOICE.telecom.example"}, []string{"properties.dnsDelegations.delegations[1].domain"}},
			{[]string{"telecom.example"}, []string{"properties.dnsDelegations.delegations[0].domain", "properties.dnsDelegations.delegations[0].domain"}},
			{[]string{"myvoice.telecom.example"}, nil}, // a neighbour
		} {
			_, _, _, err := w.set.Put(w.Context(), alice, later, with(c.domains...), none)
			var problems gateway.Problems
			errors.As(err, &problems)
			var bad []string
			for _, p := range problems {
				bad = append(bad, p.Path)
				contains(t, p.Message, "gateway m-1 has ")
			}
			if !slices.Equal(bad, c.bad) || (err != nil) != (c.bad != nil) {
				t.Errorf("%q: %v", c.domains, err)
			}
		}
		// Where two of them have one since nobody asked, each can still be changed.
		w.put(later, with("other.example"))
		err := s.Write(w.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(w.Context(), "UPDATE gateway SET doc = REPLACE(doc, 'other.example', 'voice.telecom.example')")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.put(first, with("voice.telecom.example"))
	})
}
