package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
)

const goodControl = `node: {name: control-a, data: data}
control:
  api: {listen: "127.0.0.1:8443", name: api.lab.example, certificate: {chain: api.pem, key: api.key}}
  suffix: gw.lab.example
  dns: {listen: "127.0.0.1:5300", nameServers: [ns1.lab.example], contact: hostmaster@lab.example, secondaries: ["127.0.0.2:53"]}
  tenant: {id: 7f8d5c6e-0000-4000-8000-000000000001, name: Telecom}
  subscriptions: [{id: 7f8d5c6e-0000-4000-8000-000000000002, name: voice}]
  login:
    clients:
      - id: 7f8d5c6e-0000-4000-8000-000000000003
        name: onboarding
        secretFile: secret
        roles: [{role: Owner, scope: /subscriptions/7f8d5c6e-0000-4000-8000-000000000002}]
  locations:
    - {name: westeurope, displayName: West Europe, uses: [management, service], edges: [r1-a]}
    - {name: northeurope, uses: [service], edges: [r2-a]}
`

func TestControlNodeConfiguration(t *testing.T) {
	dir := t.TempDir()
	ca, err := authority.New("Test Root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "api.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "api", cert); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a long enough secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(text string) (*Config, []string) {
		file := filepath.Join(dir, "tandem.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := Check(file)
		var wrong []string
		for _, p := range problems {
			if !p.Warning {
				wrong = append(wrong, p.Path+": "+p.Text)
			}
		}
		return c, wrong
	}
	c, wrong := check(goodControl)
	if wrong != nil {
		t.Fatalf("a good file has problems: %q", wrong)
	}
	if c.edge() || c.Control.API.RetryAfter != time.Second || c.Control.API.host() != "api.lab.example:8443" {
		t.Errorf("edge %v, retry after %s, host %s", c.edge(), c.Control.API.RetryAfter, c.Control.API.host())
	}
	if !strings.HasPrefix(c.Control.Login.Clients[0].SecretFile, dir) {
		t.Error("the secret's file is not taken from the folder of the file:", c.Control.Login.Clients[0].SecretFile)
	}
	for _, x := range []struct{ old, new, path, says string }{
		{"name: api.lab.example", "name: other.lab.example", "control.api.certificate.chain", "does not bear other.lab.example"},
		{`listen: "127.0.0.1:8443", `, "", "control.api.listen", "missing"},
		{"suffix: gw.lab.example", "suffix: example", "control.suffix", "domain name"},
		{"suffix: gw.lab.example", "suffix: gateways.of.the.telecom.example", "control.suffix", "choose one of at most 24"},
		{"suffix: gw.lab.example", "store: mysql://x\n  suffix: gw.lab.example", "control.store", "postgres://"},
		{"nameServers: [ns1.lab.example], ", "", "control.dns.nameServers", "missing"},
		{"hostmaster@lab.example", "hostmaster", "control.dns.contact", "mail address"},
		{"127.0.0.2:53", "127.0.0.2:0", "control.dns.secondaries[0]", "port"},
		{"{id: 7f8d5c6e-0000-4000-8000-000000000001,", "{id: telecom,", "control.tenant.id", "UUID"},
		{"name: voice}]", "name: voice}, {id: 7F8D5C6E-0000-4000-8000-000000000002}]", "control.subscriptions[1].id", "already"},
		{"secretFile: secret", "secretFile: nowhere", "control.login.clients[0].secretFile", "nowhere"},
		{"role: Owner", "role: owner", "control.login.clients[0].roles[0].role", "did you mean Owner?"},
		{"scope: /subscriptions/7f8d5c6e-0000-4000-8000-000000000002", "scope: /subscriptions/7f8d5c6e-0000-4000-8000-00000000000a", "control.login.clients[0].roles[0].scope", "not among control.subscriptions"},
		{"  tenant:", "  directory: {outside: {issuer: \"https://login.example\"}}\n  tenant:", "control.login.clients[0].secretFile", "means nothing"},
		{"uses: [management, service]", "uses: [service]", "control.locations", "no location has use management"},
		{"contact: hostmaster@lab.example", "contact: hostmaster@lab.example, transferKey: {name: t.lab.example, secretFile: secret}", "control.dns.transferKey.secretFile", "not base64"},
		{"contact: hostmaster@lab.example", "contact: hostmaster@lab.example, transferKey: {name: t.lab.example, secretFile: gone}", "control.dns.transferKey.secretFile", "gone"},
		{"contact: hostmaster@lab.example", "contact: hostmaster@lab.example, transferKey: {name: \"t t\"}", "control.dns.transferKey.name", "name of the key"},
		{"  tenant:", "  certificates: {acme: {directory: \"http://ca.example\", agreed: true}}\n  tenant:", "control.certificates.acme.directory", "https URL"},
		{"  tenant:", "  certificates: {acme: {directory: \"https://ca.example\"}}\n  tenant:", "control.certificates.acme.agreed", "terms of service"},
		{"  tenant:", "  certificates: {acme: {directory: \"https://ca.example\", agreed: true, contact: me}}\n  tenant:", "control.certificates.acme.contact", "mail address"},
		{"  tenant:", "  certificates: {acme: {directory: \"https://ca.example\", agreed: true, secretFile: secret}}\n  tenant:", "control.certificates.acme.secretFile", "without keyId"},
		{"  tenant:", "  certificates: {acme: {directory: \"https://ca.example\", agreed: true, keyId: x, secretFile: gone}}\n  tenant:", "control.certificates.acme.secretFile", "gone"},
		{"  dns:", "  certificates: {acme: {directory: \"https://ca.example\", agreed: true}}\n  #", "control.certificates.acme", "add control.dns"},
		{"  tenant:", "  certificates: {roots: gone.pem}\n  tenant:", "control.certificates.roots", "gone.pem"},
		{"api.pem, key: api.key}", "api.pem, key: api.key, managed: true}", "control.api.certificate.managed", "no others"},
		{"  tenant:", "  directory: {domain: telecom}\n  tenant:", "control.directory.domain", "domain name"},
		{"  tenant:", "  directory: {tenants: [{id: 7F8D5C6E-0000-4000-8000-000000000001, name: x}]}\n  tenant:", "control.directory.tenants[0].id", "already"},
		{"  tenant:", "  directory: {tenants: [{id: 7f8d5c6e-0000-4000-8000-000000000009}]}\n  tenant:", "control.directory.tenants[0].name", "missing"},
		{"  tenant:", "  directory: {applications: [{id: reader, name: x}]}\n  tenant:", "control.directory.applications[0].id", "UUID"},
		{"  tenant:", "  directory: {applications: [{id: 7f8d5c6e-0000-4000-8000-000000000009}]}\n  tenant:", "control.directory.applications[0].name", "missing"},
		{"  tenant:", "  directory: {applications: [{id: 7f8d5c6e-0000-4000-8000-000000000009, name: x, issuer: \"https://a.example\"}]}\n  tenant:", "control.directory.applications[0].subject", "belong together"},
		{"  tenant:", "  directory: {applications: [{id: 7f8d5c6e-0000-4000-8000-000000000009, name: x, issuer: a.example, subject: y}]}\n  tenant:", "control.directory.applications[0].issuer", "https URL"},
		{"secretFile: secret\n", "secretFile: secret\n        directoryRoles: [Global Admin]\n", "control.login.clients[0].directoryRoles[0]", "write Global Administrator or Application Administrator"},
		{"edges: [r2-a]", "edges: [r1-a]", "control.locations[1].edges[0]", "already"},
		{"name: westeurope", "name: West Europe", "control.locations[0].name", "lower case"},
		{"edges: [r2-a]", "edges: [r2-a], store: postgres://db/calls", "control.locations[1].store", "use management"},
		{"edges: [r1-a]", "edges: [r1-a], store: calls.db", "control.locations[0].store", "postgres://"},
		{"uses: [service]", "uses: [edge]", "control.locations[1].uses[0]", "unknown"},
	} {
		if !strings.Contains(goodControl, x.old) {
			t.Fatalf("the good file has no %q", x.old)
		}
		_, wrong := check(strings.Replace(goodControl, x.old, x.new, 1))
		if !slices.ContainsFunc(wrong, func(p string) bool { return strings.HasPrefix(p, x.path+": ") && strings.Contains(p, x.says) }) {
			t.Errorf("%q gives %q, want one of %s that says %q", x.new, wrong, x.path, x.says)
		}
	}
}
