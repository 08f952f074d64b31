package app

import (
	"context"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/zone"
)

// These answer the control socket of a control node, which is there before the
// control plane is.
type (
	edgeCertificates struct{ n *Node }
	texts            struct{ n *Node }
)

func (e edgeCertificates) List(ctx context.Context) ([]certificate.Certificate, error) {
	p := e.n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	return p.certificates.List(ctx)
}

func (e edgeCertificates) Install(ctx context.Context, node, chain string) error {
	p := e.n.plane.Load()
	if p == nil {
		return errStarting
	}
	return p.certificates.Install(ctx, node, chain)
}

func (e edgeCertificates) Retry(ctx context.Context, node string) error {
	p := e.n.plane.Load()
	if p == nil {
		return errStarting
	}
	return p.certificates.Retry(ctx, node)
}

// zone is the one that the node serves.
func (t texts) zone() (*zone.Set, error) {
	switch p := t.n.plane.Load(); {
	case p == nil:
		return nil, errStarting
	case p.zone == nil:
		return nil, fault.New(fault.NotFound, "this node serves no zone: add control.dns, or ask who serves it")
	default:
		return p.zone, nil
	}
}

func (t texts) Texts(ctx context.Context, name string) ([]zone.Text, error) {
	z, err := t.zone()
	if err != nil {
		return nil, err
	}
	return z.Texts(ctx, name)
}

func (t texts) AddText(ctx context.Context, name, value string) error {
	z, err := t.zone()
	if err != nil {
		return err
	}
	return z.AddText(ctx, name, value)
}

func (t texts) RemoveText(ctx context.Context, name, value string) error {
	z, err := t.zone()
	if err != nil {
		return err
	}
	return z.RemoveText(ctx, name, value)
}
