package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/wire/sdp"
)

// good is a configuration without fault; tests change one line of it.
const good = `node:
  name: r1-a
  region: westeurope
  data: data
  metrics: 127.0.0.1:9464
sip:
  domain: 1r1.lab.example
  listeners:
    - {name: cloud, side: cloud, transport: tls, bind: "127.0.1.1:5063", advertise: "1r1.lab.example:5063", certificate: {chain: good.pem, key: good.key}}
    - name: core
      side: operator
      transport: tls
      bind: 127.0.1.2:5061
      advertise: r1.lab.example:5061
      certificate: {chain: good.pem, key: good.key}
  roots: root.pem
  dns: ["127.0.0.1:5300"]
media:
  interfaces:
    - {side: operator, bind: 127.0.1.2, ports: 20000-24999}
    - {side: cloud, bind: 127.0.1.1, ports: 25000-29999}
services:
  teams: {proxies: ["sip.lab.example:5061"], sources: [127.0.2.0/24]}
operator:
  names: [core.lab.example]
  countryCode: 44
  trunkPrefix: 0
gateway:
  name: lab
  location: westeurope
  sku: {name: lab}
  properties:
    serviceLocations:
      - name: westeurope
        primaryRegionProperties:
          operatorAddresses: [127.0.3.1]
          allowedSignalingSourceAddressPrefixes: [127.0.3.0/24]
          allowedMediaSourceAddressPrefixes: [127.0.3.0/24]
    connectivity: PublicAddress
    codecs: [PCMA]
    e911Type: Standard
    platforms: [OperatorConnect]
numbers:
  - {number: +441134960010, service: OperatorConnect, account: contoso}
`

// room makes a folder with certificates, good and otherwise.
func room(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"1r1.lab.example", "r1.lab.example"}
	for stem, x := range map[string]struct {
		terms authority.Terms
		names []string
	}{
		"good":    {authority.Terms{}, names},
		"other":   {authority.Terms{}, []string{"somebody.example"}},
		"ended":   {authority.Terms{NotBefore: time.Now().AddDate(0, 0, -9), NotAfter: time.Now().AddDate(0, 0, -2)}, names},
		"future":  {authority.Terms{NotBefore: time.Now().AddDate(0, 0, 2), NotAfter: time.Now().AddDate(0, 0, 60)}, names},
		"ending":  {authority.Terms{NotAfter: time.Now().AddDate(0, 0, 9)}, names},
		"orphan":  {authority.Terms{LeafOnly: true}, names},
		"exposed": {authority.Terms{}, names},
	} {
		cert, err := ca.Issue(x.terms, x.names...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Write(dir, stem, cert); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"exposed.key": 0o644} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "empty.pem", "nothing\n")
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write(t, dir, "jumbled.pem", read("good.pem")+read("other.pem"))
	selfSigned(t, dir, "client", x509.ExtKeyUsageClientAuth, time.Now().AddDate(0, 0, 60))
	selfSigned(t, dir, "own", x509.ExtKeyUsageServerAuth, time.Now().AddDate(0, 0, 60))
	selfSigned(t, dir, "old", x509.ExtKeyUsageServerAuth, time.Now().AddDate(0, 0, -1))
	write(t, dir, "roots.pem", read("root.pem")+read("old.pem"))
	return dir
}

// selfSigned writes a certificate that is its own authority.
func selfSigned(t *testing.T, dir, stem string, usage x509.ExtKeyUsage, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: stem}, DNSNames: []string{"r1.lab.example"},
		NotBefore: time.Now().AddDate(0, 0, -9), NotAfter: end, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, stem+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, stem+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGoodConfigurationLoads(t *testing.T) {
	dir := room(t)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", good))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("unwise: %v", c.Warnings)
	}
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"defaults stay where the file is silent", c.Node.Drain, 30 * time.Second},
		{"names of files are taken from the file's folder", c.SIP.Roots, filepath.Join(dir, "root.pem")},
		{"data too", c.Node.Socket(), filepath.Join(dir, "data", "control.sock")},
		{"ports are a range", c.Media.Interfaces[1].Ports, PortRange{25000, 29999}},
		{"a number keeps its plus", c.Numbers[0].Number, "+441134960010"},
		{"a number is text where text is wanted", c.Operator.CountryCode, "44"},
	} {
		if x.got != x.want {
			t.Errorf("%s: got %v, want %v", x.what, x.got, x.want)
		}
	}
	s, err := c.Snapshot(7)
	if err != nil {
		t.Fatal(err)
	}
	if s.Revision != 7 || len(s.Groups) != 2 || s.Regions[0].Domain != "1r1.lab.example" || s.Numbers.Len() != 1 {
		t.Errorf("snapshot: %+v", s)
	}
	for _, g := range s.Groups {
		if len(g.Suites) == 0 {
			t.Errorf("%s: no SRTP suite", g.Name)
		}
		for _, suite := range g.Suites {
			if !slices.Contains(sdp.Suites(), suite) {
				t.Errorf("%s: %s is published, and no media speaks it", g.Name, suite)
			}
		}
	}
}

// Each row is a mistake, the line of the file that is blamed for it (as it
// reads after the change) and the words that say what to do.
var mistakes = []struct {
	old, new string
	path     string
	line     string // part of the blamed line
	text     string
}{
	// what stands there
	{"  region: westeurope\n", "  regoin: westeurope\n", "node.regoin", "regoin", "did you mean region?"},
	{"node:\n", "node:\n  colour: red\n", "node.colour", "colour", "unknown key: known here are data, drain, log"},
	{"  data: data\n", "  data: data\n  data: other\n", "node.data", "data: other", "stands twice, first in line 4"},
	{"  data: data\n", "  data: [data]\n", "node.data", "data: [data]", "a list: write a single value"},
	{"  name: r1-a\n", "  name: r1-a\n  drain: 30\n", "node.drain", "drain: 30", `"30": write a duration such as 30s`},
	{"  name: r1-a\n", "  name:\n", "node.name", "name:", "has no value"},
	{"sip:\n  domain: 1r1.lab.example\n", "sip:\n  domain: {a: b}\n", "sip.domain", "domain:", "a section: write a single value"},
	{"  dns: [\"127.0.0.1:5300\"]", "  dns: \"127.0.0.1:5300\"", "sip.dns", "dns:", "write a list"},
	{"  dns: [\"127.0.0.1:5300\"]", "  dns: [dns.example]", "sip.dns[0]", "dns:", "write an IP address and a port"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  srtp: ja\n", "operator.srtp", "srtp: ja", "write true or false"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  port: 70000\n", "operator.port", "port: 70000", "0 to 65535"},
	{"ports: 20000-24999", "ports: many", "media.interfaces[0].ports", "many", "write a range of ports"},
	{"    codecs: [PCMA]\n", "    codecs: [PCMA]\n    status: Complete\n", "gateway.properties.status", "status: Complete", "set by the gateway itself"},
	{"  domain: 1r1.lab.example\n", "  domain: \"1r1\n", "", "", "not YAML"},
	{"node:\n", "x: *y\nnode:\n", "", "", "not YAML: unknown anchor 'y' referenced"},
	{"numbers:\n", "---\nnumbers:\n", "", "---", "second document"},

	// the node
	{"name: r1-a\n", "name: r1 a\n", "node.name", "r1 a", "name the node with letters"},
	{"region: westeurope\n", "region: westeurop\n", "node.region", "region: westeurop", "did you mean westeurope?"},
	{"data: data\n", "data: /tmp/" + strings.Repeat("x", 100) + "\n", "node.data", "data:", "shorter by"},
	{"data: data\n", "data: good.pem\n", "node.data", "data:", "is a file"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  limits: {calls: -1}\n", "operator.limits.calls", "limits: {calls", "0 for any number"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  limits: {callsPerSecond: -1}\n", "operator.limits.callsPerSecond", "limits: {calls", "0 for any number"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  limits: {duration: 5s}\n", "operator.limits.duration", "limits: {dur", "from 1m0s to"},
	{"sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], limits: {duration: 1s}}", "services.teams.limits.duration", "limits: {dur", "from 1m0s to"},
	{"data: data\n", "drain: 2h\n", "node.drain", "drain", "from 0s to 1h0m0s"},
	{"data: data\n", "log: {level: verbose}\n", "node.log.level", "level", "write debug or info"},

	// vouching
	{"numbers:\n", "stir: {sign: {key: good.key, certificate: \"http://x.example/c.pem\", origid: 123e4567-e89b-12d3-a456-426655440000}}\nnumbers:\n", "stir.sign.certificate", "stir:", "write the https URL"},
	{"numbers:\n", "stir: {sign: {key: good.key, certificate: \"https://x.example/c.pem\", origid: us}}\nnumbers:\n", "stir.sign.origid", "stir:", "write a UUID"},
	{"numbers:\n", "stir: {sign: {key: gone.key, certificate: \"https://x.example/c.pem\", origid: 123e4567-e89b-12d3-a456-426655440000}}\nnumbers:\n", "stir.sign.key", "stir:", "no such file"},
	{"numbers:\n", "stir: {sign: {key: good.key, certificate: \"https://x.example/c.pem\", origid: 123e4567-e89b-12d3-a456-426655440000, to: [teams]}}\nnumbers:\n", "stir.sign.to[0]", "stir:", "write operator or cloud"},
	{"numbers:\n", "stir: {verify: {refuse: true}}\nnumbers:\n", "stir.verify.roots", "stir:", "missing: name the PEM file"},
	{"numbers:\n", "stir: {verify: {roots: root.pem, patience: 1m}}\nnumbers:\n", "stir.verify.patience", "stir:", "from 100ms to 5s"},

	// rules
	{"numbers:\n", "rules: [{name: a, direction: in, when: usr == 1, do: [{remove: header.X-A}]}]\nnumbers:\n", "rules[0].when", "rules:", "column 1: undeclared reference to 'usr'"},
	{"numbers:\n", "rules:\n  - {name: a, direction: in, do: [{remove: header.X-A}]}\n  - {name: b, direction: in, do: [{remove: header.Via}]}\nnumbers:\n", "rules[1].do[0]", "name: b", "the call hangs on it"},
	{"numbers:\n", "rules:\n  - {name: a, direction: in, do: [{remove: header.X-A}]}\n  - {name: a, direction: out, do: [{remove: header.X-A}]}\nnumbers:\n", "rules[1].name", "direction: out", "could not tell them apart"},
	{"numbers:\n", "rules: [{name: a, groups: [operatr], direction: in, do: [{remove: header.X-A}]}]\nnumbers:\n", "rules[0].groups[0]", "rules:", "did you mean operator?"},
	{"numbers:\n", "rules: [{name: a, direction: in, do: [{remove: header.X-A, add: header.Y-A}]}]\nnumbers:\n", "rules[0].do[0]", "rules:", "write an action for each"},
	{"numbers:\n", "rules: [{name: a, direction: in, do: [{reject: 200}]}]\nnumbers:\n", "rules[0].do[0].status", "rules:", "400 to 699"},

	// signalling
	{"domain: 1r1.lab.example\n", "domain: 192.0.2.1\n", "sip.domain", "domain", "the cloud refuses an address in Contact"},
	{"      side: operator\n", "      side: core\n", "sip.listeners[1].side", "side: core", "write operator or cloud"},
	{"      transport: tls\n", "      transport: tsl\n", "sip.listeners[1].transport", "tsl", "did you mean tls?"},
	{"sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], transport: tcp}", "services.teams.transport", "transport: tcp", "write tls or udp"},
	{"sources: [127.0.2.0/24]}", "sources: [192.0.2.0/24], transport: udp}", "services.teams.transport", "transport: udp", "on loopback only"},
	{"side: cloud, transport: tls", "side: cloud, transport: udp", "sip.listeners[0].transport", "name: cloud", "speak TLS only"},
	{"side: cloud, transport: tls", "side: cloud, transport: tcp", "sip.listeners[0].transport", "name: cloud", "speak TLS only"},
	{"      side: operator\n", "      side: cloud\n", "sip.listeners", "listeners:", "no listener has side operator"},
	{"    - name: core\n", "    - name: cloud\n", "sip.listeners[1].name", "- name: cloud", "listener in line 9 already"},
	{"bind: 127.0.1.2:5061", "bind: 127.0.1.1:5063", "sip.listeners[1].bind", "bind: 127.0.1.1:5063", "taken by the listener in line 9"},
	{"bind: 127.0.1.2:5061", "bind: 0.0.0.0:5063", "sip.listeners[1].bind", "bind: 0.0.0.0:5063", "taken by the listener in line 9"},
	{"bind: 127.0.1.2:5061", "bind: core.example:5061", "sip.listeners[1].bind", "bind: core", "write an IP address and a port"},
	{"      bind: 127.0.1.2:5061\n      advertise: r1.lab.example:5061\n", "      bind: 0.0.0.0:5061\n", "sip.listeners[1].advertise", "- name: core", "write the one, or the name"},
	{"advertise: \"1r1.lab.example:5063\"", "advertise: \"192.0.2.1:5063\"", "sip.listeners[0].advertise", "name: cloud", "write a host name"},
	{"advertise: r1.lab.example:5061", "advertise: r1.lab.example:0", "sip.listeners[1].advertise", "advertise: r1", "write a host name or an IP address"},
	{"  roots: root.pem", "  roots: gone.pem", "sip.roots", "gone.pem", "no such file"},
	{"  roots: root.pem", "  roots: empty.pem", "sip.roots", "empty.pem", "no certificate in PEM form"},
	{"  roots: root.pem", "  options: 10ms", "sip.options", "10ms", "from 1s to 10m0s"},
	{"  roots: root.pem", "  progress: 2m", "sip.progress", "2m", "from 1s to 1m0s"},
	{"  roots: root.pem", "  rate: 0", "sip.rate", "0", "from 1 to 1000000"},

	// certificates
	{"      certificate: {chain: good.pem, key: good.key}\n", "", "sip.listeners[1].certificate", "- name: core", "transport tls needs {chain: …, key: …}"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: good.pem}\n", "sip.listeners[1].certificate.key", "certificate: {chain: good.pem}", "name the PEM file of the private key"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: good.pem, key: other.key}\n", "sip.listeners[1].certificate.key", "other.key", "does not belong"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: other.pem, key: other.key}\n", "sip.listeners[1].certificate.chain", "other.pem", "does not bear r1.lab.example"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: ended.pem, key: ended.key}\n", "sip.listeners[1].certificate.chain", "ended.pem", "ended on"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: future.pem, key: future.key}\n", "sip.listeners[1].certificate.chain", "future.pem", "begins on"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: gone.pem, key: gone.key}\n", "sip.listeners[1].certificate.key", "gone.key", "no such file"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: jumbled.pem, key: good.key}\n", "sip.listeners[1].certificate.chain", "jumbled.pem", "certificate 3, somebody.example, did not sign the one before it"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {chain: client.pem, key: client.key}\n", "sip.listeners[1].certificate.chain", "client.pem", "not for servers"},
	{"      transport: tls\n", "      transport: udp\n", "sip.listeners[1].certificate", "certificate:", "means nothing with transport udp"},
	{"      certificate: {chain: good.pem, key: good.key}\n", "      certificate: {managed: true}\n", "sip.listeners[1].certificate.managed", "managed: true", "no link to control"},

	// TLS
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {min: 1.1}\n", "operator.tls.min", "1.1", "did you mean 1.2?"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {min: 1.3, max: 1.2}\n", "operator.tls.max", "max", "older than min"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {suites: []}\n", "operator.tls.suites", "suites", "leaves nothing to encrypt with"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265]}\n", "operator.tls.suites[0]", "suites", "did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {min: 1.3, suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}\n", "operator.tls.suites", "suites", "which min rules out"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {roots: gone.pem}\n", "operator.tls.roots", "gone.pem", "no such file"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {certificate: {chain: good.pem, key: other.key}}\n", "operator.tls.certificate.key", "other.key", "does not belong"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tlsByGroup: {fixed: {min: 1.3}}\n", "operator.tlsByGroup.fixed", "fixed", "write this in operator.tls"},
	{"sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], tls: {roots: empty.pem}}", "services.teams.tls.roots", "empty.pem", "no certificate in PEM form"},

	// interworking
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {profile: ism}\n", "operator.interworking.profile", "ism", "did you mean ims?"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {profile: teams}\n", "operator.interworking.profile", "teams", "write core or ims"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {early: ringbak}\n", "operator.interworking.early", "ringbak", "did you mean ringback?"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {ringback: zz}\n", "operator.interworking.ringback", "zz", "unknown"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {history: both}\n", "operator.interworking.history", "both", "none or diversion or history-info"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {trunkContext: core.example}\n", "operator.interworking.trunkContext", "core.example", "without tenantGroup"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {operator: \"core example\"}\n", "operator.interworking.operator", "\"core example", "write a domain"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {access: \"a b\"}\n", "operator.interworking.access", "\"a b", "such as GSTN"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {numbers: {trunkPrefix: 0}}\n", "operator.interworking.numbers.trunkPrefix", "0}}", "without countryCode"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {numbers: {countryCode: 0044}}\n", "operator.interworking.numbers.countryCode", "0044", "without plus"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {numbers: {internationalPrefix: +}}\n", "operator.interworking.numbers.internationalPrefix", "+}", "write digits"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworking: {numbers: {format: nationale}}\n", "operator.interworking.numbers.format", "nationale", "did you mean national?"},
	{"trunkPrefix: 0\n", "trunkPrefix: 0\n  interworkingByGroup: {fixed: {}}\n", "operator.interworkingByGroup.fixed", "fixed", "write this in operator.interworking"},
	{"sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], interworking: {profile: ims}}", "services.teams.interworking.profile", "ims", "write teams or teams-mobile or direct-routing"},

	// media
	{"    - {side: operator, bind: 127.0.1.2, ports: 20000-24999}\n", "", "media.interfaces", "interfaces:", "no interface has side operator"},
	{"{side: operator, bind: 127.0.1.2, ports: 20000-24999}", "{side: operator, bind: 0.0.0.0, ports: 20000-24999}", "media.interfaces[0].advertise", "0.0.0.0", "the far side is to send to"},
	{"{side: operator, bind: 127.0.1.2, ports: 20000-24999}", "{side: operator, bind: 127.0.1.2, ports: 20000-24999}\n    - {side: operator, bind: 127.0.1.3, ports: 20000-24999}", "media.interfaces[1].side", "127.0.1.3", "has an interface already, in line 20"},
	{"ports: 20000-24999", "ports: 24999-20000", "media.interfaces[0].ports", "24999-20000", "runs backwards"},
	{"ports: 20000-24999", "ports: 20001-25000", "media.interfaces[0].ports", "20001-25000", "begin with an even port"},
	{"ports: 20000-24999", "ports: 20-29", "media.interfaces[0].ports", "20-29", "below 1024"},
	{"bind: 127.0.1.1, ports: 25000-29999", "bind: 127.0.1.2, ports: 24000-29999", "media.interfaces[1].ports", "24000-29999", "interface in line 20"},
	{"media:\n", "media:\n  threads: 1000\n", "media.threads", "1000", "to 256"},
	{"media:\n", "media:\n  quarantine: 2m\n", "media.quarantine", "2m", "from 0s to 1m0s"},

	// the far sides
	{"sources: [127.0.2.0/24]", "sources: []", "services.teams.sources", "sources: []", "lets in nobody"},
	{"sources: [127.0.2.0/24]", "sources: [0.0.0.0/0]", "services.teams.sources[0]", "0.0.0.0/0", "lets in everybody"},
	{"sources: [127.0.2.0/24]", "sources: [127.0.2.1/24]", "services.teams.sources[0]", "127.0.2.1/24", "write 127.0.2.0/24"},
	{"proxies: [\"sip.lab.example:5061\"]", "proxies: [\"sip.lab.example:sip\"]", "services.teams.proxies[0]", "example:sip", "write host:port"},
	{"operator:\n", "operator:\n  transport: tsl\n", "operator.transport", "tsl", "did you mean tls?"},
	{"operator:\n", "operator:\n  transport: udp\n", "sip.listeners", "listeners:", "no listener with side operator has transport udp"},
	{"countryCode: 44", "countryCode: +44", "operator.countryCode", "+44", "without plus"},
	{"  countryCode: 44\n", "", "operator.trunkPrefix", "trunkPrefix", "without countryCode"},
	{"operator:\n", "operator:\n  suites: []\n", "operator.suites", "suites", "leaves nothing to encrypt with"},
	{"operator:\n", "operator:\n  suites: [AES_CM_128_HMAC_SHA1_08]\n", "operator.suites[0]", "suites", "did you mean AES_CM_128_HMAC_SHA1_80?"},
	{"operator:\n", "operator:\n  suites: [AEAD_AES_128_GCM, AEAD_AES_128_GCM]\n", "operator.suites[1]", "suites", "is there already"},
	{"operator:\n", "operator:\n  srv: true\n", "gateway.properties.serviceLocations[0].primaryRegionProperties.operatorAddresses[0]", "operatorAddresses", "has no SRV records"},

	// the gateway: the resource's own rules, on the lines of the file
	{"operatorAddresses: [127.0.3.1]", "operatorAddresses: [127.0.3.1/24]", "gateway.properties.serviceLocations[0].primaryRegionProperties.operatorAddresses[0]", "127.0.3.1/24", "is a range"},
	{"  sku: {name: lab}\n", "  sku: {name: standard}\n", "gateway.properties.serviceLocations", "serviceLocations:", "a standard deployment has two"},
	{"          allowedSignalingSourceAddressPrefixes: [127.0.3.0/24]\n", "", "gateway.properties.serviceLocations[0].primaryRegionProperties.allowedSignalingSourceAddressPrefixes", "primaryRegionProperties:", "nobody could call"},
	{"          allowedMediaSourceAddressPrefixes: [127.0.3.0/24]\n", "          allowedMediaSourceAddressPrefixes: []\n", "gateway.properties.serviceLocations[0].primaryRegionProperties.allowedMediaSourceAddressPrefixes", "Media", "nobody could be heard"},
	{"    codecs: [PCMA]\n", "    codecs: [PCMA, PCMUU]\n", "gateway.properties.codecs[1]", "PCMUU", "did you mean PCMU?"},
	{"    e911Type: Standard\n", "", "gateway.properties.e911Type", "  properties:", "write Standard or DirectToEsrp"},

	// numbers
	{"number: +441134960010", "number: 01134960010", "numbers[0].number", "01134960010", "write + and 1 to 15 digits"},
	{"service: OperatorConnect, account", "service: TeamsPhoneMobile, account", "numbers[0].service", "TeamsPhoneMobile", "not among gateway.properties.platforms"},
	{"numbers:\n", "numbers:\n  - {number: +441134960010, service: OperatorConnect}\n", "numbers[1].number", "contoso", "stands in line 44 already"},
}

func TestEveryMistakeIsFoundInItsLine(t *testing.T) {
	dir := room(t)
	for _, m := range mistakes {
		t.Run(m.path+" "+m.text, func(t *testing.T) {
			if !strings.Contains(good, m.old) {
				t.Fatalf("the good configuration has no %q", m.old)
			}
			// The operator's listener comes last, so replace the last one.
			i := strings.LastIndex(good, m.old)
			text := good[:i] + m.new + good[i+len(m.old):]
			_, err := LoadConfig(write(t, dir, "tandem.yaml", text))
			problems, ok := err.(Problems)
			if !ok || len(problems) != 1 {
				t.Fatalf("want one problem, got %d:\n%v", len(problems), err)
			}
			p := problems[0]
			if p.Path != m.path || !strings.Contains(p.Text, m.text) {
				t.Errorf("got %s", p)
			}
			lines := strings.Split(text, "\n")
			if p.Line < 1 || p.Line > len(lines) || !strings.Contains(lines[p.Line-1], m.line) {
				t.Errorf("blamed line %d, want the one with %q", p.Line, m.line)
			}
			if m.line != "" && (p.Column < 1 || p.Column > len(lines[p.Line-1])+1) {
				t.Errorf("column %d is not in the line", p.Column)
			}
		})
	}
}

func TestWarningsDoNotStopANode(t *testing.T) {
	dir := room(t)
	for _, m := range []struct{ old, new, path, text string }{
		{"chain: good.pem, key: good.key", "chain: exposed.pem, key: exposed.key", "sip.listeners[1].certificate.key", "chmod 600"},
		{"chain: good.pem, key: good.key", "chain: ending.pem, key: ending.key", "sip.listeners[1].certificate.chain", "renew it soon"},
		{"chain: good.pem, key: good.key", "chain: orphan.pem, key: orphan.key", "sip.listeners[1].certificate.chain", "append the intermediates"},
		{`advertise: "1r1.lab.example:5063"`, `advertise: "r1.lab.example:5063"`, "sip.listeners[0].advertise", "write the same name"},
		{"chain: good.pem, key: good.key", "chain: own.pem, key: own.key", "sip.listeners[1].certificate.chain", "is self-signed"},
		{"roots: root.pem", "roots: roots.pem", "sip.roots", "the authority old ended on"},
		{"metrics: 127.0.0.1:9464", "metrics: 0.0.0.0:9464", "node.metrics", "asks for no password"},
		{"bind: 127.0.1.2:5061", "bind: 127.0.1.2:0", "sip.listeners[1].bind", "no far side can know"},
		{"ports: 20000-24999", "ports: 20000-20009", "media.interfaces[0].ports", "carry 5 calls"},
		{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {clientCertificate: false}\n", "operator.tls.clientCertificate", "is taken for the peer"},
		{"trunkPrefix: 0\n", "trunkPrefix: 0\n  tls: {roots: roots.pem}\n", "operator.tls.roots", "the authority old ended on"},
		{"sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], interworking: {keying: dtls}}", "services.teams.interworking.keying", "write sdes or either"},
		{"  names: [core.lab.example]\n", "", "gateway.properties.serviceLocations[0].primaryRegionProperties.operatorAddresses[0]", "write it in operator.names"},
	} {
		t.Run(m.text, func(t *testing.T) {
			i := strings.LastIndex(good, m.old)
			c, err := LoadConfig(write(t, dir, "tandem.yaml", good[:i]+m.new+good[i+len(m.old):]))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) != 1 || c.Warnings[0].Path != m.path || !strings.Contains(c.Warnings[0].String(), m.text) {
				t.Errorf("got %v", c.Warnings)
			}
		})
	}
}

func TestARegionsListThatLocksOutAnAddressOfTheOperatorIsWarnedOf(t *testing.T) {
	dir := room(t)
	const old = `      - name: westeurope
        primaryRegionProperties:
          operatorAddresses: [127.0.3.1]
          allowedSignalingSourceAddressPrefixes: [127.0.3.0/24]
          allowedMediaSourceAddressPrefixes: [127.0.3.0/24]
`
	text := strings.Replace(good, "  sku: {name: lab}\n", "", 1)
	text = strings.Replace(text, old, old+strings.NewReplacer("westeurope", "northeurope", "127.0.3", "127.0.4").Replace(old), 1)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	const path = "gateway.properties.serviceLocations[%].primaryRegionProperties.allowedSignalingSourceAddressPrefixes"
	for i, want := range []string{
		"127.0.4.1, the operator's own address in northeurope, is locked out of westeurope: add a range that holds it",
		"127.0.3.1, the operator's own address in westeurope, is locked out of northeurope: add a range that holds it",
	} {
		if len(c.Warnings) != 2 || c.Warnings[i].Path != strings.Replace(path, "%", strconv.Itoa(i), 1) || c.Warnings[i].Text != want {
			t.Fatalf("got %v", c.Warnings)
		}
	}
	fixed := strings.ReplaceAll(text, "SourceAddressPrefixes: [127.0.3.0/24]", "SourceAddressPrefixes: [127.0.3.0/24, 127.0.4.1]")
	fixed = strings.ReplaceAll(fixed, "SourceAddressPrefixes: [127.0.4.0/24]", "SourceAddressPrefixes: [127.0.4.0/24, 127.0.3.1]")
	if c, err = LoadConfig(write(t, dir, "tandem.yaml", fixed)); err != nil || len(c.Warnings) > 0 {
		t.Errorf("each list holds both sites: %v, %v", c.Warnings, err)
	}
}

func TestAllMistakesAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	dir := room(t)
	path := write(t, dir, "tandem.yaml", `node: {name: "", region: westeurop}
sip:
  domian: r1.example
  listeners: []
media: {interfaces: []}
gateway:
  name: x
  properties: {serviceLocations: [{name: westeurope}], codecs: [PCMX], platforms: [AiVoiceServices]}
`)
	_, problems := Check(path)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.String(), path+":"))
	}
	const properties = `gateway.properties.`
	const region = properties + `serviceLocations[0].primaryRegionProperties.`
	want := []string{
		`1:14: node.name: "": name the node with letters, digits, dots and hyphens`,
		`1:26: node.region: "westeurop" is unknown: did you mean westeurope?`,
		`3:3: sip.domian: unknown key: did you mean domain?`,
		`4:3: sip.listeners: no listener has side operator: the gateway stands between two networks and needs one on each`,
		`4:3: sip.listeners: no listener has side cloud: the gateway stands between two networks and needs one on each`,
		`5:9: media.interfaces: no interface has side operator: media needs one on each side`,
		`5:9: media.interfaces: no interface has side cloud: media needs one on each side`,
		`6:1: gateway.location: "": name the management region, for example westeurope`,
		`7:9: gateway.name: "x": write 3 to 24 letters, digits and hyphens`,
		`8:3: ` + properties + `connectivity: missing: write PublicAddress`,
		`8:3: ` + properties + `e911Type: missing: write Standard or DirectToEsrp`,
		`8:35: ` + region + `operatorAddresses: missing: give at least one address of the operator's peers for this region`,
		`8:35: ` + region + `allowedSignalingSourceAddressPrefixes: missing: nobody could call, since only listed sources are let in; write the ranges that the operator's signalling comes from`,
		`8:35: ` + region + `allowedMediaSourceAddressPrefixes: missing: nobody could be heard, since only listed sources are let in; write the ranges that the operator's media comes from`,
		`8:65: ` + properties + `codecs[0]: "PCMX" is unknown: did you mean PCMA?`,
		`8:84: ` + properties + `platforms[0]: AiVoiceServices is not carried out by this gateway: remove it`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCloudListenersAdvertiseTheNameOfTheNode(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, `bind: "127.0.1.1:5063", advertise: "1r1.lab.example:5063"`, `bind: "0.0.0.0:5063"`, 1)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.SIP.Listeners[0].Advertise; got != "1r1.lab.example:5063" {
		t.Errorf("got %q", got)
	}
}

func TestMediaPortsSpareTheListeners(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "      transport: tls\n      bind: 127.0.1.2:5061\n", "      transport: udp\n      bind: 127.0.1.2:20060\n", 1)
	text = strings.Replace(text, "      certificate: {chain: good.pem, key: good.key}\n", "", 1)
	text = strings.Replace(text, "operator:\n", "operator:\n  transport: udp\n", 1)
	path := write(t, dir, "tandem.yaml", text)
	if _, err := LoadConfig(path); err == nil || !strings.HasPrefix(err.Error(), path+":19:48: media.interfaces[0].ports: holds port 20060 of the listener in line 10") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestSRVRecordsNeedNames(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "operator:\n", "operator:\n  srv: true\n  port: 5061\n", 1)
	text = strings.Replace(text, "operatorAddresses: [127.0.3.1]", "operatorAddresses: [core.lab.example]", 1)
	path := write(t, dir, "tandem.yaml", text)
	if _, err := LoadConfig(path); err == nil || err.Error() != path+":26:9: operator.port: SRV records tell the port: remove port or srv" {
		t.Errorf("got %v", err)
	}
	c, err := LoadConfig(write(t, dir, "tandem.yaml", strings.Replace(text, "  port: 5061\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Snapshot(1); err != nil || s.Groups[0].Peers[0].Port != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	_, err := LoadConfig(filepath.Join(t.TempDir(), "tandem.yaml"))
	if err == nil || !strings.Contains(err.Error(), "tandem.yaml: cannot be read") {
		t.Errorf("got %v", err)
	}
}

// example writes the example file with the certificates that it names.
func example(t *testing.T, change func(string) string) (path string) {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../tandem.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.New("Example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "certificates"), 0o700); err != nil {
		t.Fatal(err)
	}
	for stem, name := range map[string]string{"cloud": "1r1.tandem.example", "core": "r1.tandem.example", "us": "us.tandem.example", "api": "api.telecom.example", "vault": "*.vault.telecom.example", "node": "r1-a"} {
		cert, err := ca.Issue(authority.Terms{}, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Write(filepath.Join(dir, "certificates"), stem, cert); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"roots", "core-roots", "microsoft-roots", "sti-roots", "web-roots", "nodes", "acme-roots"} {
		write(t, dir, "certificates/"+name+".pem", string(ca.RootPEM()))
	}
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets/transfer"), []byte("c2VjcmV0IG9mIDMyIG9jdGV0cywgYXQgbGVhc3QgMTY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carrier", "core", "onboarding", "acme"} {
		if err := os.Chmod(write(t, dir, "secrets/"+name, "secret of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sounds"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "sounds/hold.wav", "RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x02\x00\x00\x00\x01\x00")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "secrets/shaken.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	write(t, dir, "numbers.csv", "number,service,account,header,elin\n+441134960012,TeamsPhoneMobile,contoso,,\n")
	return write(t, dir, "tandem.yaml", change(string(text)))
}

func TestExampleLoads(t *testing.T) {
	_, problems := Check(example(t, func(s string) string { return s }))
	if len(problems) > 0 {
		t.Error(problems)
	}
}

// What stands commented out must be right as well: people take the sign away
// and expect it to work.
func TestExampleLoadsWithItsAlternatives(t *testing.T) {
	const control = "# A control node" // from here on the example is of another kind of node
	for name, cut := range map[string]func(string) string{
		"standalone": func(s string) string { return s[:strings.Index(s, "\n"+control)] },
		"control":    func(s string) string { return "node: {name: r1-a}\n" + s[strings.Index(s, "\n"+control):] },
	} {
		t.Run(name, func(t *testing.T) { loadsWithAlternatives(t, cut) })
	}
}

func loadsWithAlternatives(t *testing.T, cut func(string) string) {
	comment := regexp.MustCompile(`(?m)^( *)# ((?:- |  )*[{a-zA-Z0-9]+: .*|(?:- |  )*[a-zA-Z0-9]+:(?: +#.*)?|  +- .*)$`)
	clash := map[string]bool{"srv": true, "transport": true, "port": true, "srtp": true, "aRecordsAndPorts": true, "srvRecord": true, "zoomConfig": true, "zoom": true, "advertise": true, "urls": true}
	var taken []string
	_, problems := Check(example(t, func(s string) string {
		return comment.ReplaceAllStringFunc(cut(s), func(line string) string {
			m := comment.FindStringSubmatch(line)
			key, _, _ := strings.Cut(strings.TrimLeft(m[2], " -"), ":")
			if clash[key] {
				return line
			}
			taken = append(taken, key)
			return m[1] + m[2]
		})
	}))
	if len(taken) < 20 {
		t.Errorf("only %v were commented out", taken)
	}
	if len(problems) > 0 {
		t.Error(problems)
	}
}

func TestExampleShowsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../tandem.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[Config](), nil) {
		if !regexp.MustCompile(`(?m)(^|[ {#])` + key + `:`).Match(text) {
			t.Errorf("tandem.example.yaml has no %s", key)
		}
	}
}

// keysOf lists the keys that a type reads.
func keysOf(t reflect.Type, keys []string) []string {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		return keysOf(t.Elem(), keys)
	case t.Kind() != reflect.Struct || scalars[t].parse != nil:
		return keys
	}
	for i := range t.NumField() {
		if key := keyOf(t.Field(i), "yaml"); key != "" {
			keys = keysOf(t.Field(i).Type, append(keys, key))
		}
	}
	return keys
}

func TestAliasesCannotMultiplyAFile(t *testing.T) {
	hundred := func(of string) string { return "[" + strings.Repeat(of+",", 99) + of + "]" }
	text := "gateway: {properties: {peerGroups: [&g {peers: [&p {ipsAndPorts: [&i {ipAddress: 10.0.0.1, port: 1}, " +
		strings.Trim(hundred("*i"), "[]") + "]}, " + strings.Trim(hundred("*p"), "[]") + "]}, " + strings.Trim(hundred("*g"), "[]") + "]}}\n"
	r := newReader()
	r.read([]byte(text), defaultConfig())
	if len(r.problems) != 1 || !strings.Contains(r.problems[0].Text, "aliases multiply") || r.aliased > 100*maxAliased {
		t.Errorf("%d problems, %d nodes", len(r.problems), r.aliased)
	}
}

func TestAliasesOfWholeValuesAreRead(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "certificate: {chain: good.pem, key: good.key}}", "certificate: &c {chain: good.pem, key: good.key}}", 1)
	text = strings.Replace(text, "certificate: {chain: good.pem, key: good.key}\n", "certificate: *c\n", 1)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.SIP.Listeners[0].Certificate, c.SIP.Listeners[1].Certificate; *a != *b || a == b {
		t.Errorf("got %v and %v", a, b)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(good)
	f.Add("a: &a [*a]\nnode: {name: *a}\nnumbers: *a")
	f.Add("node: &n {log: *n}")
	f.Add("- 1\n- 2")
	f.Add("? [a]\n: b\n? {c: d}\n: e")
	f.Add("gateway: {tags: {1: 2, null: 3}, properties: {peerGroups: [{peers: [{}]}]}}")
	for _, m := range mistakes {
		f.Add(strings.Replace(good, m.old, m.new, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, k := defaultConfig(), &configCheck{reader: newReader(), now: time.Unix(1e9, 0)}
		k.Config = c
		k.read([]byte(text), c)
		for i := range c.SIP.Listeners {
			c.SIP.Listeners[i].Certificate = nil // no files for strangers
		}
		c.SIP.Roots, c.Node.Data = "", "data"
		k.all()
		for _, p := range k.problems {
			if p.Line < 1 || p.Column < 1 || p.Text == "" {
				t.Errorf("problem without a place or a text: %+v", p)
			}
		}
		if k.problems.Errors() == nil {
			if _, err := c.Snapshot(1); err != nil {
				t.Errorf("no problem was found, but: %v", err)
			}
		}
	})
}

func TestCheckKnowsPeerGroups(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "    connectivity:", `    operatorPeerGroupConfigScheme: UseOperatorPeerGroupConfig
    peerGroups:
      - peerGroupName: fixed
        signalingProtocol: UDP
        mediaProtocol: SRTP
        peers:
          - {peerName: a, peerType: IP, ipsAndPorts: [{ipAddress: 127.0.3.1, port: 5060}]}
          - {peerName: b, peerType: IP, ipsAndPorts: [{ipAddress: 127.0.3.2, port: 5060}]}
    callPolicy:
      defaultMappings: {serviceToPeerGroup: [{service: OperatorConnect, defaultPeerGroup: fixd}]}
      peerGroupRoutings: [{peerGroupName: fixed, routings: [{peerName: a, serviceLocation: westeurope, priority: 0}]}]
    connectivity:`, 1)
	text = strings.Replace(text, "operator:\n", "operator:\n  transport: udp\n  srv: true\n", 1)
	_, problems := Check(write(t, dir, "tandem.yaml", text))
	for _, want := range []string{
		"operator.transport: the peer groups of the gateway say this themselves",
		"warning: gateway.properties.peerGroups[0].peers[1].peerName: b may call but is never called",
		"operator.srv: the peer groups of the gateway say this themselves",
		"defaultPeerGroup: \"fixd\" is not a peer group: did you mean fixed?",
		"peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes: missing: nobody could call",
		"warning: gateway.properties.peerGroups[0].mediaProtocol: over UDP the keys of SRTP can be read",
	} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	// A handshake's keys cannot be read there.
	_, problems = Check(write(t, dir, "tandem.yaml", strings.Replace(text, "operator:\n", "operator:\n  interworkingByGroup: {fixed: {keying: dtls}}\n", 1)))
	if strings.Contains(problems.Error(), "can be read") {
		t.Error("told of keys that are not there")
	}
	if t.Failed() {
		t.Log("\n" + problems.Error())
	}
}
