package app

import (
	"context"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/rotation"
	"github.com/tandemgw/tandem/front/ops"
)

// openSecrets sees to the client secrets of registrations, in the same
// directory and vaults that onboarding makes them in.
func (p *plane) openSecrets(s onboard.Systems) error {
	p.tenant, p.connect = ops.Tenant{Directory: s.Directory, Vaults: s.Vaults}, s.OperatorConnect
	if s.Vaults == nil || s.Directory == nil {
		return nil // nothing to keep secrets in, or nobody to make them
	}
	at, err := p.signInPlace()
	if err != nil {
		return err
	}
	// Every registration may ask for a token for Graph, whatever it may do with it.
	at.Scope = strings.TrimRight(s.Directory.URL, "/") + "/.default"
	p.rotations = rotation.New(rotation.Config{Store: p.store, Directory: s.Directory, Vaults: s.Vaults, Prove: rotation.BySignIn(at), Log: p.n.log})
	p.n.onStop(p.rotations.Close)
	return nil
}

var errNoVaults = fault.New(fault.NotFound, "there are no vaults: neither control.vaults nor control.onboard.vaults names any")

// secrets answer the control socket, which is there before the control plane
// is.
func (n *Node) secrets() (ops.Secrets, error) {
	p := n.plane.Load()
	switch {
	case p == nil:
		return nil, errStarting
	case p.rotations == nil:
		return nil, errNoVaults
	}
	return p.rotations, nil
}

// tenant answers the control socket.
func (n *Node) tenant() (ops.Tenant, error) {
	p := n.plane.Load()
	if p == nil {
		return ops.Tenant{}, errStarting
	}
	return p.tenant, nil
}

// rotateKey makes another key in the key file and wraps all data keys under it.
func (n *Node) rotateKey(ctx context.Context, step ops.KeyStep) (int, error) {
	p := n.plane.Load()
	switch {
	case p == nil:
		return 0, errStarting
	case p.vaults == nil:
		return 0, errNoVaults
	case p.keyFile == nil && step != ops.KeyRewrap:
		return 0, fault.New(fault.Conflict, "the key is in a key management service: rotate it there, then wrap all anew (--rewrap)")
	case step == ops.KeyBoth && p.cfg.Store != "":
		return 0, fault.New(fault.Conflict, "control nodes that share a database have a copy of the key file each: make the key here (--make), bring vault.key to the others, then wrap all anew (--rewrap)")
	}
	if step != ops.KeyRewrap {
		if err := p.keyFile.Rotate(); err != nil {
			return 0, err
		}
		n.log.Info("the vaults have another key")
	}
	if step == ops.KeyMake {
		return 0, nil
	}
	count, err := p.vaults.Rewrap(ctx)
	if err != nil {
		n.log.Error("wrap data keys anew", "done", count, obs.KeyError, err)
		return count, err
	}
	n.log.Info("all data keys are wrapped anew", "vaults", count)
	return count, nil
}

// secretTrouble is what a control node has to say of secrets that near their
// end.
func (n *Node) secretTrouble(at time.Time) (all []ops.Warning) {
	p := n.plane.Load()
	if p == nil || p.rotations == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(n.life, lookTime)
	defer cancel()
	list, err := p.rotations.Trouble(ctx, at)
	if err != nil {
		n.log.Warn("read the secrets that are rotated", obs.KeyError, err)
	}
	for _, t := range list {
		all = append(all, ops.Warning{About: t.Name, Cause: t.Cause, Text: t.Text})
	}
	return all
}
