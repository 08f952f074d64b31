package app

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/publish"
	keys "github.com/tandemgw/tandem/edge/identity"
	"github.com/tandemgw/tandem/link"
)

// managedListeners are the names of the certificates of listeners that control
// sees to. They are one certificate, with all names.
func (c *Config) managedListeners() (names []string) {
	for _, l := range c.SIP.Listeners {
		if l.Certificate != nil && l.Certificate.Managed {
			names = append(names, ofListener(l.Name))
		}
	}
	return names
}

// managedListener checks the section of such a listener.
func (k *configCheck) managedListener(path string, c publish.Certificate) {
	if c.Chain != "" || c.Key != "" {
		k.bad(path, "managed, and with files: remove either")
	}
	if !k.Config.managed() {
		k.bad(path+".managed", "this node has no link to control, which would have it signed: write {chain: …, key: …}")
	}
}

// openKeeper takes what is kept of the certificate that control sees to. There
// may be none yet: handshakes fail until it comes.
func (r *running) openKeeper(old *running) (err error) {
	names := r.cfg.managedListeners()
	if len(names) == 0 {
		return nil
	}
	if old != nil && old.keeper != nil {
		r.keeper = old.keeper
	} else if r.keeper, err = keys.Open(filepath.Join(r.cfg.Node.Data, "certificate")); err != nil {
		return err
	}
	r.showKept()
	return nil
}

// showKept has the listeners show what is kept.
func (r *running) showKept() {
	if c := r.keeper.Certificate(); c != nil {
		for _, name := range r.cfg.managedListeners() {
			r.certificates[name] = c
		}
	}
}

// wantCertificate answers what control wants our listeners to show: what they
// show, and a request to be signed when that is not it.
func (n *Node) wantCertificate(_ context.Context, q link.CertificateWanted) (any, error) {
	now := n.running.Load()
	state := link.CertificateState{Managed: now.keeper != nil, Current: n.managedCertificate()}
	if !state.Managed || !q.Renew && now.keeper.Bears(q.Names, time.Now()) {
		return state, nil
	}
	csr, err := now.keeper.Request(q.Names)
	if err != nil {
		return nil, err
	}
	state.Request = &link.SigningRequest{Name: "certificate", Names: q.Names, CSR: csr}
	return state, nil
}

// managedCertificate describes what is kept; nil when there is nothing.
func (n *Node) managedCertificate() *link.Certificate {
	now := n.running.Load()
	for _, id := range now.identities {
		if id.managed {
			return id.describe()
		}
	}
	return nil
}

// installCertificate takes a chain that has been signed, and has it shown from
// the next handshake on. Connections of calls stay; those that we have made
// ourselves are made anew, since the far side looks at ours there.
func (n *Node) installCertificate(_ context.Context, chain string) (any, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	now := n.running.Load()
	if now.keeper == nil {
		return nil, fault.New(fault.Conflict, "the listeners of node "+n.cfg.Node.Name+" have certificates from files")
	}
	if _, err := now.keeper.Install(chain, time.Now()); err != nil {
		return nil, err
	}
	next := *now
	next.certificates, next.identities = maps.Clone(now.certificates), nil
	next.showKept()
	next.identify()
	n.enforce(now, &next)
	shown := n.managedCertificate()
	n.log.Info("a new certificate is shown", "names", shown.Bears, "ends", shown.Ends, obs.KeyListener, strings.Join(next.cfg.managedListeners(), ", "))
	return shown, nil
}

// late tells whether half of the time is over in which control renews a
// certificate, which is the last third of its life.
func (id identity) late(at time.Time) bool {
	life := id.leaf.NotAfter.Sub(id.leaf.NotBefore)
	return id.leaf.NotAfter.Sub(at) < life/6
}
