package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Reload reads the configuration's file again and puts it in force without
// touching a call. A file with a mistake, or with a change that a running
// process cannot make, is refused whole: the error is *ops.Rejected, and all
// stays as it is. Every change is logged.
func (n *Node) Reload() (ops.Reload, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if n.draining.Load() || n.life.Err() != nil {
		return ops.Reload{}, fault.New(fault.Conflict, "the node is draining: start it again with the new configuration")
	}
	now := n.running.Load()
	next, done, err := n.plan(now, now.cfg.File)
	if err == nil && len(done.Restart) > 0 {
		err = &ops.Rejected{Problems: done.Restart}
	}
	if err != nil {
		n.refused(err)
		return ops.Reload{}, err
	}
	n.last.Store(&ops.LastReload{At: time.Now(), Good: true})
	for _, w := range done.Warnings {
		n.log.Warn(w)
	}
	if len(done.Changes) == 0 {
		n.log.Info("configuration read again: nothing has changed", obs.KeyRevision, done.Revision)
		return done, nil
	}
	done.Renewing = n.enforce(now, next)
	done.Revision = next.snapshot.Revision
	for _, c := range done.Changes {
		n.log.Info("configuration changed", "path", c.Path, "old", c.Old, "new", c.New)
	}
	if err := n.republish(); err != nil {
		return ops.Reload{}, err
	}
	n.log.Info("configuration is in force", obs.KeyRevision, done.Revision, obs.KeyCount, len(done.Changes))
	return done, nil
}

// Compare tells what a file would change, and changes nothing. Names in it are
// taken from the folder of the node's own file, whose place it is to take.
func (n *Node) Compare(file string) (ops.Reload, error) {
	_, done, err := n.plan(n.running.Load(), file)
	return done, err
}

// reload answers the control socket.
func (n *Node) reload(_ context.Context, req ops.ReloadRequest) (ops.Reload, error) {
	switch {
	case !n.ready.Load():
		return ops.Reload{}, errStarting
	case req.DryRun && req.File == "":
		return n.Compare(n.running.Load().cfg.File)
	case req.DryRun:
		return n.Compare(req.File)
	}
	return n.Reload()
}

func (n *Node) refused(err error) {
	problems := []string{err.Error()}
	if bad, ok := errors.AsType[*ops.Rejected](err); ok {
		problems = bad.Problems
	}
	n.last.Store(&ops.LastReload{At: time.Now(), Why: problems[0]})
	for _, p := range problems {
		n.log.Error("configuration rejected, the one before stays in force", obs.KeyError, p)
	}
}

// plan reads a file and says what it would change. Nothing is in force yet.
func (n *Node) plan(now *running, file string) (*running, ops.Reload, error) {
	done := ops.Reload{File: file, Revision: now.snapshot.Revision}
	cfg, problems := check(file, filepath.Dir(now.cfg.File))
	if errs := problems.only(false); len(errs) > 0 {
		return nil, done, &ops.Rejected{Problems: errs.lines()}
	}
	cfg.LogLevel = now.cfg.LogLevel
	next, err := cfg.make(now.snapshot.Revision+1, now)
	if err != nil {
		return nil, done, &ops.Rejected{Problems: []string{err.Error()}}
	}
	done.Warnings = problems.only(true).lines()
	done.Changes = append(difference(now.cfg, cfg), renewed(now, next)...)
	for _, c := range done.Changes {
		if fixed.MatchString(c.Path) && !changeable.MatchString(c.Path) {
			done.Restart = append(done.Restart, fmt.Sprintf("restart needed for %s: %s", c.Path, transition(c)))
		}
	}
	return next, done, nil
}

// A running process keeps its name, its data and its sockets; sip.domain is in
// what its listeners advertise.
var (
	fixed      = regexp.MustCompile(`^(node\.(name|region|data|metrics|log\.format)|sip\.(domain|listeners|progress)|media|stir|link|control)\b`)
	changeable = regexp.MustCompile(`^sip\.listeners\[[^\]]*\]\.certificate\b`)
)

// transition is a change in words.
func transition(c ops.Change) string {
	switch {
	case c.Old == "":
		return "add " + c.New
	case c.New == "":
		return "remove " + c.Old
	}
	return c.Old + " → " + c.New
}

// lines are problems without the word that marks a warning: a list tells.
func (ps Problems) lines() []string {
	var out []string
	for _, p := range ps {
		out = append(out, strings.Replace(p.String(), ": warning: ", ": ", 1))
	}
	return out
}

// enforce puts a configuration in force. Calls in progress keep the snapshot
// they began with; connections stay, but those made by rules that hold no more
// are made anew, which is under way when it returns.
func (n *Node) enforce(now, next *running) (renewing []string) {
	n.running.Store(next) // certificates, routing and the time to drain
	if !n.cfg.edge() {
		n.enforceLevel(next)
		return nil
	}
	renewing = n.peers.Renew(next.snapshot, next.settings())
	n.mcp.Forget()
	for _, side := range sides {
		n.engine.Allow(string(side), next.snapshot.MediaSources(side, n.cfg.Node.Region))
	}
	n.enforceLevel(next)
	for _, name := range n.shown(now, next) {
		if !slices.Contains(renewing, name) {
			renewing = append(renewing, name)
		}
	}
	n.renew(renewing)
	return renewing
}

func (n *Node) enforceLevel(next *running) {
	if v := next.cfg.LogLevel; v != nil {
		level, _ := obs.ParseLevel(next.cfg.Node.Log.Level) // it has been checked
		v.Set(level)
	}
}

// shown are the TLS peers to which we show another certificate than before.
func (n *Node) shown(now, next *running) (peers []string) {
	changed := func(name string) bool {
		a, b := now.certificates[name], next.certificates[name]
		return a != nil && b != nil && !sameCertificate(a, b)
	}
	for g, p := range next.snapshot.Peers() {
		if p.Transport == "TLS" && (changed(g.TLS.Certificate) || g.TLS.Certificate == "" && n.onListener(g.Side, changed)) {
			peers = append(peers, p.Name)
		}
	}
	return peers
}

// onListener tells whether f holds for the certificate of a listener of a side.
func (n *Node) onListener(side snapshot.Side, f func(string) bool) bool {
	return slices.ContainsFunc(n.cfg.SIP.Listeners, func(l ListenerConfig) bool { return l.Side == side && f(ofListener(l.Name)) })
}

// renew makes the TLS connections of peers anew, behind the caller's back: a
// peer may take its time to answer.
func (n *Node) renew(peers []string) {
	if len(peers) == 0 {
		return
	}
	n.behind.Go(func() {
		done, err := n.peers.Reconnect(n.life, peers...)
		if err != nil {
			n.log.Warn("make connections anew", obs.KeyError, err)
		}
		for _, r := range done {
			if r.Why != "" {
				n.log.Warn("a connection could not be made anew; the old one is kept", obs.KeyPeer, r.Peer, obs.KeyCause, r.Why)
				continue
			}
			n.log.Info("connection is made anew", obs.KeyPeer, r.Peer, obs.KeyRemote, r.Address)
		}
	})
}
