package vault

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// Ask adds a private endpoint connection that waits for the vault's owner. To
// ask again after a refusal is to ask under another name, or to have the owner
// remove the first.
func (s *Set) Ask(ctx context.Context, by subscription.Principal, id ID, c Connection) (Connection, error) {
	c.State, c.Asked = Pending, now()
	if err := c.check(); err != nil {
		return c, err
	}
	return s.alterConnections(ctx, by, id, c.Name, func(list []Connection, i int) ([]Connection, error) {
		switch {
		case i >= 0:
			return nil, fault.New(fault.Conflict, "There is already a private endpoint connection '"+c.Name+"'.")
		case len(list) >= maxConnections:
			return nil, fault.New(fault.Exhausted, "The vault has as many private endpoint connections as it can have: remove those that were rejected.")
		}
		return append(list, c), nil
	})
}

// Decide says what the vault's owner thinks of a connection.
func (s *Set) Decide(ctx context.Context, by subscription.Principal, id ID, c Connection) (Connection, error) {
	if err := c.check(); err != nil {
		return c, err
	}
	return s.alterConnections(ctx, by, id, c.Name, func(list []Connection, i int) ([]Connection, error) {
		if i < 0 {
			return nil, noConnection(c.Name)
		}
		if c.State == Pending && list[i].State != Pending {
			return nil, fault.New(fault.Invalid, "A connection that was decided cannot wait again: approve, reject or remove it.")
		}
		list[i].State, list[i].Description = c.State, c.Description
		if c.State != Pending {
			list[i].Decided = now()
		}
		return list, nil
	})
}

// Disconnect removes a connection.
func (s *Set) Disconnect(ctx context.Context, by subscription.Principal, id ID, name string) error {
	_, err := s.alterConnections(ctx, by, id, name, func(list []Connection, i int) ([]Connection, error) {
		if i < 0 {
			return nil, noConnection(name)
		}
		return slices.Delete(list, i, i+1), nil
	})
	return err
}

func noConnection(name string) error {
	return fault.New(fault.NotFound, "There is no private endpoint connection '"+strings.ToValidUTF8(name, "")+"'.")
}

// alterConnections changes the list by f, which is told where the connection
// of the name is, or -1; it gives that connection as it is then.
func (s *Set) alterConnections(ctx context.Context, by subscription.Principal, id ID, name string, f func([]Connection, int) ([]Connection, error)) (c Connection, err error) {
	named := func(c Connection) bool { return strings.EqualFold(c.Name, name) }
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.find(ctx, tx, id)
		if err != nil {
			return err
		}
		list, err := f(slices.Clone(v.Connections), slices.IndexFunc(v.Connections, named))
		if err != nil {
			return err
		}
		v.Connections = list
		if i := slices.IndexFunc(list, named); i >= 0 {
			c = list[i]
		}
		return s.change(ctx, tx, by, v, "vaults/privateEndpointConnections/write")
	})
	return c, err
}

// Prefix reads an address or a range of addresses, as rules write them.
func Prefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, invalid("'%.60s' is not an address nor a range of addresses: write 192.0.2.10 or 192.0.2.0/24.", s)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}
