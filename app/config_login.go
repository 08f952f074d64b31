package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// secretFiles are the names of the files with secrets.
func (c *Config) secretFiles() (files []*string) {
	add := func(a *publish.Auth, d *publish.Demand) {
		if a != nil {
			files = append(files, &a.SecretFile)
		}
		if d != nil {
			files = append(files, &d.SecretFile)
		}
	}
	add(c.Operator.Auth, c.Operator.Demand)
	for _, p := range c.Operator.Peers {
		add(p.Auth, p.Demand)
	}
	return files
}

// logins checks how the operator's peers and we show each other who we are.
func (k *configCheck) logins() {
	o := k.Operator
	k.login("operator", publish.PeerLogin{Auth: o.Auth, Demand: o.Demand, Register: o.Register})
	for i, p := range o.Peers {
		path := fmt.Sprintf("operator.peers[%d]", i)
		if p.Name == "" {
			k.bad(path+".name", "missing: write the name of the peer, as `tandem peer list` shows it")
		} else if slices.ContainsFunc(o.Peers[:i], func(x publish.PeerLogin) bool { return x.Name == p.Name }) {
			k.bad(path+".name", "%s stands in the list already: remove one", p.Name)
		}
		k.login(path, p)
	}
}

func (k *configCheck) login(path string, l publish.PeerLogin) {
	if a := l.Auth; a != nil {
		k.secret(path+".auth", a.Username, a.SecretFile, a.SecretEnv)
	}
	if d := l.Demand; d != nil {
		k.secret(path+".demand", d.Username, d.SecretFile, d.SecretEnv)
		for i, a := range d.Algorithms {
			k.oneOf(fmt.Sprintf("%s.demand.algorithms[%d]", path, i), a, ua.Algorithms()...)
		}
		if d.Realm == "" {
			k.bad(path+".demand.realm", "missing: write the realm that the secret is for, best a domain name of yours")
		}
	}
	if r := l.Register; r != nil {
		k.register(path+".register", *r)
	}
}

func (k *configCheck) secret(path, username, file, env string) {
	if username == "" {
		k.bad(path+".username", "missing: write the name that goes with the secret")
	}
	if (file == "") == (env == "") {
		k.bad(path+".secretFile", "write where the secret is, either secretFile or secretEnv")
		return
	}
	key := ".secretFile"
	if file == "" {
		key = ".secretEnv"
	}
	if _, err := peer.ReadSecret(publish.SecretAt(file, env)); err != nil {
		k.bad(path+key, "%s", err)
	}
}

func (k *configCheck) register(path string, r publish.Register) {
	if u, err := sip.ParseURI(r.AOR); err != nil || u.Scheme != "sip" || u.User == "" || u.Headers != "" {
		k.bad(path+".aor", "%q: write the address of record that the carrier gave you, such as sip:+441134960000@carrier.example", r.AOR)
	}
	if r.Contact != "" {
		if u, err := sip.ParseURI(r.Contact); err != nil || u.Scheme != "sip" || u.Headers != "" {
			k.bad(path+".contact", "%q: write a SIP URI, such as sip:trunk@192.0.2.1:5060, or remove the key", r.Contact)
		}
	}
	if r.Expires != 0 {
		k.within(path+".expires", r.Expires, time.Minute, 24*time.Hour)
	}
}

// loginPeers checks, against the compiled snapshot, that the peers with logins
// of their own exist.
func (k *configCheck) loginPeers(s *snapshot.Snapshot) {
	var names []string
	for g, p := range s.Peers() {
		if g.Side == snapshot.Operator {
			names = append(names, p.Name)
		}
	}
	for i, p := range k.Operator.Peers {
		k.oneOf(fmt.Sprintf("operator.peers[%d].name", i), p.Name, names...)
	}
}
