package publish

import (
	"cmp"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Auth is what we prove to the operator's peers, beside what addresses and
// certificates do. Exactly one of the last two says where the secret
// is.
type Auth struct {
	Username   string `yaml:"username"`
	Realm      string `yaml:"realm"`      // the only one that is answered; empty: any
	SecretFile string `yaml:"secretFile"` // its first line, readable for us alone
	SecretEnv  string `yaml:"secretEnv"`  // name of an environment variable
}

// Demand is what peers must prove.
type Demand struct {
	Username   string `yaml:"username"`
	Realm      string `yaml:"realm"` // ours
	SecretFile string `yaml:"secretFile"`
	SecretEnv  string `yaml:"secretEnv"`

	Algorithms []string `yaml:"algorithms"` // any of them will do, asked for in this order; none: SHA-256
}

// Register is a registration with every peer it is for.
type Register struct {
	AOR     string        `yaml:"aor"`     // address of record, a SIP URI
	Contact string        `yaml:"contact"` // SIP URI of ours; empty: the user of aor at the listener
	Expires time.Duration `yaml:"expires"` // 0: an hour
}

// PeerLogin is the login of one peer, in place of that of all.
type PeerLogin struct {
	Name     string    `yaml:"name"`
	Auth     *Auth     `yaml:"auth"`
	Demand   *Demand   `yaml:"demand"`
	Register *Register `yaml:"register"`
}

// logins gives the peers of the operator's core their logins. The emergency
// service is somebody else, and gets none that is not its own.
func (c *compiler) logins() {
	o := c.in.Operator
	for g, p := range c.out.Peers() {
		if g.Side != snapshot.Operator {
			continue
		}
		if g.Name != emergencyGroup {
			p.Login = PeerLogin{Auth: o.Auth, Demand: o.Demand, Register: o.Register}.snapshot()
		}
		for _, own := range o.Peers {
			if own.Name == p.Name {
				p.Login = own.snapshot()
			}
		}
	}
}

func (l PeerLogin) snapshot() (out snapshot.Login) {
	if a := l.Auth; a != nil {
		out.Prove = &snapshot.Proof{Username: a.Username, Realm: a.Realm, Secret: SecretAt(a.SecretFile, a.SecretEnv)}
	}
	if d := l.Demand; d != nil {
		out.Demand = &snapshot.Proof{Username: d.Username, Realm: d.Realm, Secret: SecretAt(d.SecretFile, d.SecretEnv), Algorithms: d.Algorithms}
	}
	if r := l.Register; r != nil {
		out.Register = &snapshot.Register{AOR: r.AOR, Contact: r.Contact, Expires: cmp.Or(r.Expires, time.Hour)}
	}
	return out
}

// SecretAt is where a secret is, in the form of a snapshot.
func SecretAt(file, env string) string {
	if file != "" {
		return "file:" + file
	}
	return "env:" + env
}
