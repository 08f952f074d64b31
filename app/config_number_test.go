package app

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
)

const withAccounts = `accounts:
  - {name: contoso, subdomain: c042, tenant: 00000000-0000-4000-8000-00000000c042}
`

var numberMistakes = []struct{ old, new, path, line, text string }{
	{"subdomain: c042", "subdomain: c.042", "accounts[0].subdomain", "c.042", "write one label of 1 to 10"},
	{"tenant: 0", "tenant: x", "accounts[0].tenant", "tenant", "write the ID of the customer's Microsoft tenant"},
	{"accounts:\n", "accounts:\n  - {name: a b}\n", "accounts[0].name", "a b", "1 to 100 letters"},
	{"accounts:\n", "accounts:\n  - {name: contoso}\n", "accounts[1].name", "c042", "the account in line 44 already"},
	{"accounts:\n", "accounts:\n  - {name: other, subdomain: C042}\n", "accounts[1].subdomain", "c042", "the subdomain of the account in line 44 already"},
	{"subdomain: c042", "subdomian: c042", "accounts[0].subdomian", "subdomian", "did you mean subdomain?"},
	{"account: contoso}", "account: contosso}", "numbers[0].account", "contosso", "did you mean contoso?"},
	{"account: contoso}", "account: contoso, header: gold}", "numbers[0].header", "gold", "name it in gateway.properties.customSipHeaders"},
	{"account: contoso}", "account: contoso, elin: 911}", "numbers[0].elin", "911", "write + and 1 to 15 digits"},
	{"service: OperatorConnect, account: contoso}", "account: contoso}", "numbers[0].service", "+441134960010", "missing: write OperatorConnect"},
	{"accounts:\n", "numbersFile: gone.csv\naccounts:\n", "numbersFile", "gone.csv", "no such file"},
	{"services:\n", "services:\n  zoom: {peers: [\"192.0.2.1:5061\"], sources: [192.0.2.0/24]}\n", "services.zoom", "zoom", "means nothing unless Zoom is among"},
	{"services:\n", "services:\n  mobile: {consultation: \"https://a.example\", routingNumbers: [\"+44808\"]}\n", "services.mobile", "mobile:", "means nothing unless gateway.properties.integratedMcpEnabled"},
	{"services:\n", "services:\n  mobile: {consultation: \"http://a.example\", routingNumbers: [\"+44808\"]}\n", "services.mobile.consultation", "http://a", "write an https URL"},
	{"services:\n", "services:\n  mobile: {consultation: \"https://a.example\"}\n", "services.mobile.routingNumbers", "mobile:", "write how the numbers begin"},
	{"services:\n", "services:\n  mobile: {consultation: \"https://a.example\", routingNumbers: [44808]}\n", "services.mobile.routingNumbers[0]", "44808", "the beginning of numbers in E.164"},
	{"services:\n", "services:\n  mobile: {timeout: 20s}\n", "services.mobile.timeout", "20s", "from 100ms to 10s"},
	{"services:\n", "services:\n  mobile: {names: [\"a b\"]}\n", "services.mobile.names[0]", "a b", "write a host name"},
	{"platforms: [OperatorConnect]", zoomPlatform, "services.zoom.peers", "services:", "Zoom's addresses are not public"},
	{"platforms: [OperatorConnect]", zoomPlatform, "services.zoom.sources", "services:", "nobody could call"},
	{"services:\n", "services:\n  zoom: {peers: [\"192.0.2.1:0\"], sources: [192.0.2.0/24]}\n", "services.zoom.peers[0]", "192.0.2.1:0", "write host:port"},
	{"services:\n", "services:\n  zoom: {peers: [a], sources: [192.0.2.0/24], suites: [AES]}\n", "services.zoom.suites[0]", "AES", "is unknown"},
	{"services:\n", "services:\n  zoom: {peers: [a], sources: [0.0.0.0/0]}\n", "services.zoom.sources[0]", "0.0.0.0/0", "lets in everybody"},
	{"services:\n", "services:\n  zoom: {peers: [a], sources: [192.0.2.0/24], tls: {roots: empty.pem}}\n", "services.zoom.tls.roots", "empty.pem", "no certificate in PEM form"},
}

const zoomPlatform = "platforms: [OperatorConnect, Zoom]\n    zoomConfig: {region: EMEA, testLines: [{phoneNumber: \"+441134960077\"}]}"

func TestMistakesInNumbersAndAccountsAndZoom(t *testing.T) {
	dir := room(t)
	for _, m := range numberMistakes {
		t.Run(m.path+" "+m.text, func(t *testing.T) {
			text := strings.Replace(good, "numbers:\n", withAccounts+"numbers:\n", 1)
			if strings.HasPrefix(m.path, "services.zoom.") && m.old == "services:\n" {
				text = strings.Replace(text, "platforms: [OperatorConnect]", zoomPlatform, 1)
			}
			if strings.HasPrefix(m.path, "services.mobile.") {
				text = strings.Replace(text, "platforms: [OperatorConnect]", "platforms: [OperatorConnect, TeamsPhoneMobile]\n    integratedMcpEnabled: true", 1)
			}
			if !strings.Contains(text, m.old) {
				t.Fatalf("the good configuration has no %q", m.old)
			}
			text = strings.Replace(text, m.old, m.new, 1)
			_, err := LoadConfig(write(t, dir, "tandem.yaml", text))
			problems, _ := err.(Problems)
			lines := strings.Split(text, "\n")
			for _, p := range problems {
				if p.Path == m.path && strings.Contains(p.Text, m.text) && strings.Contains(lines[p.Line-1], m.line) {
					return
				}
			}
			t.Errorf("got %v", err)
		})
	}
}

// directRouting is the good configuration with a customer.
func directRouting(changes ...string) string {
	text := strings.Replace(good, "numbers:\n", withAccounts+"numbers:\n", 1)
	text = strings.Replace(text, "platforms: [OperatorConnect]", "platforms: [OperatorConnect, TeamsDirectRouting]", 1)
	text = strings.Replace(text, "{chain: good.pem, key: good.key}", "{chain: wild.pem, key: wild.key}", 1) // of the cloud listener
	return strings.NewReplacer(changes...).Replace(text)
}

func TestTheCertificateMustBearTheNamesOfCustomers(t *testing.T) {
	dir := room(t)
	ca, err := authority.New("Another")
	if err != nil {
		t.Fatal(err)
	}
	for stem, names := range map[string][]string{
		"wild":   {"1r1.lab.example", "*.1r1.lab.example"},
		"upper":  {"1r1.lab.example", "*.lab.example"}, // one label, not two (Microsoft Teams docs, "Plan Direct Routing")
		"single": {"1r1.lab.example", "c042.1r1.lab.example"},
		"none":   {"1r1.lab.example"},
	} {
		cert, err := ca.Issue(authority.Terms{}, names...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Write(dir, stem, cert); err != nil {
			t.Fatal(err)
		}
	}
	const chain = "sip.listeners[0].certificate.chain"
	for _, x := range []struct {
		name, text string
		path, want string // one problem, empty: none
		warning    bool
	}{
		{name: "a wildcard", text: directRouting()},
		{name: "each name for itself", text: directRouting("wild.", "single.")},
		{name: "no such name", text: directRouting("wild.", "none."), path: chain, want: "does not bear c042.1r1.lab.example, by which Teams knows account contoso: order one for *.1r1.lab.example"},
		{name: "a wildcard one label too high", text: directRouting("wild.", "upper."), path: chain, want: "does not bear c042.1r1.lab.example"},
		{name: "no customer yet", text: directRouting("wild.", "none.", "subdomain: c042, ", ""), path: chain, want: "does not bear *.1r1.lab.example", warning: true},
		{name: "shown to Teams instead", text: directRouting("wild.", "none.", "sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], tls: {certificate: {chain: wild.pem, key: wild.key}}}")},
		{
			name: "shown to Teams instead, without the name", text: directRouting("sources: [127.0.2.0/24]}", "sources: [127.0.2.0/24], tls: {certificate: {chain: none.pem, key: none.key}}}"),
			path: "services.teams.tls.certificate.chain", want: "does not bear c042",
		},
		{name: "no Direct Routing", text: directRouting("wild.", "none.", ", TeamsDirectRouting]", "]")},
		{
			name: "another name of ours", text: directRouting("5063\", certificate", "5063\", certificate", "advertise: \"1r1.lab.example:5063\"", "advertise: \"c042.1r1.lab.example:5063\""),
			path: "sip.listeners[0].advertise", want: "Direct Routing knows customers by names before sip.domain",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, problems := Check(write(t, dir, "tandem.yaml", x.text))
			found := x.want == ""
			for _, p := range problems {
				mine := p.Path == x.path && strings.Contains(p.Text, x.want) && x.want != ""
				found = found || mine && p.Warning == x.warning
				if !mine && strings.Contains(p.Text, "bear") {
					t.Errorf("got %s", p)
				}
			}
			if !found {
				t.Errorf("got %v", problems)
			}
		})
	}
}

func TestDefaultsThatNobodyExpectsAreWarnedOf(t *testing.T) {
	dir := room(t)
	both := strings.Replace(good, "platforms: [OperatorConnect]", "platforms: [OperatorConnect, TeamsPhoneMobile]", 1)
	c, err := LoadConfig(write(t, dir, "tandem.yaml", both))
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "nothing tells mobile numbers from fixed ones") {
		t.Errorf("got %v, %v", c, err)
	}
	told := strings.Replace(both, "service: OperatorConnect", "service: TeamsPhoneMobile", 1)
	if c, err := LoadConfig(write(t, dir, "tandem.yaml", told)); err != nil || len(c.Warnings) > 0 {
		t.Errorf("with a mobile number: %v, %v", c.Warnings, err)
	}
}

func TestAPeerGroupCannotDefaultToWhatWantsProvisionedNumbers(t *testing.T) {
	dir := room(t)
	text := strings.Replace(directRouting("wild.", "good."), "    connectivity:", `    operatorPeerGroupConfigScheme: UseOperatorPeerGroupConfig
    peerGroups: [{peerGroupName: fixed, peers: []}]
    callPolicy:
      defaultMappings:
        peerGroupToService: [{peerGroup: fixed, defaultService: TeamsDirectRouting}]
    connectivity:`, 1)
	_, problems := Check(write(t, dir, "tandem.yaml", text))
	const want = "peerGroupToService[0].defaultService: TeamsDirectRouting takes provisioned numbers only: calls of fixed to other numbers are refused"
	for _, p := range problems {
		if p.Warning && strings.HasSuffix(p.String(), want) {
			return
		}
	}
	t.Errorf("not told: %s\n%v", want, problems)
}

func TestAFileOfNumbers(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "numbers:\n", "numbersFile: numbers.csv\n"+withAccounts+"numbers:\n", 1)
	write(t, dir, "numbers.csv", "number,service,account\n+441134960011,OperatorConnect,contoso\n# Leeds\n+441134960012,OperatorConnect,\n")
	c, err := LoadConfig(write(t, dir, "tandem.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Snapshot(1)
	if err != nil || s.Numbers.Len() != 3 {
		t.Fatalf("%d numbers, %v", s.Numbers.Len(), err)
	}
	if n, ok := s.Numbers.Find("+441134960011"); !ok || n.Account != "contoso" || n.Service != snapshot.OperatorConnect {
		t.Errorf("got %+v", n)
	}
	if a, ok := s.Accounts.At("c042"); !ok || a.Name != "contoso" || a.AnyCaller {
		t.Errorf("got %+v", a)
	}
}

func TestMistakesInAFileOfNumbersBearItsNameAndLines(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "numbers:\n", "numbersFile: numbers.csv\nnumbers:\n", 1)
	file := write(t, dir, "numbers.csv", `number,service,account
+441134960010,OperatorConnect,contoso
0113,OperatorConect,contoso
+441134960011,OperatorConnect,contoso
+441134960012,Zoom,contoso
"+441134960013,OperatorConnect,contoso

+441134960011,OperatorConnect,contoso
`)
	path := write(t, dir, "tandem.yaml", text)
	_, err := LoadConfig(path)
	want := []string{
		file + `:3:1: number: "0113": write + and 1 to 15 digits, country code first`,
		file + `:3:1: service: "OperatorConect" is unknown: did you mean OperatorConnect?`,
		file + `:5:1: service: Zoom is not among gateway.properties.platforms: add it there or change it here`,
		file + `:6:1: a quotation mark is out of place`,
	}
	if problems, _ := err.(Problems); len(problems) != 6 {
		t.Fatalf("got\n%v", err)
	}
	for _, line := range append(want,
		file+`:2:1: number: +441134960010 stands in line 45 of `+path+` already: remove one`,
		file+`:8:1: number: +441134960011 stands in line 4 already: remove one`) {
		if !strings.Contains(err.Error()+"\n", line+"\n") {
			t.Errorf("not told: %s\ngot\n%v", line, err)
		}
	}
}

func TestOfManyMistakesInAFileTheFirstAreTold(t *testing.T) {
	dir := room(t)
	var b strings.Builder
	b.WriteString("number,service\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "+44113%07d,Zoom\n", i)
	}
	write(t, dir, "numbers.csv", b.String())
	_, err := LoadConfig(write(t, dir, "tandem.yaml", strings.Replace(good, "numbers:\n", "numbersFile: numbers.csv\nnumbers:\n", 1)))
	problems, _ := err.(Problems)
	if len(problems) != maxFaults+1 {
		t.Fatalf("%d mistakes", len(problems))
	}
	if last := problems[maxFaults]; last.Line != 52 || last.Text != "and 950 more mistakes from here on" {
		t.Errorf("got %s", last)
	}
}

func TestAFileOfNumbersThatChangesIsAChange(t *testing.T) {
	dir := room(t)
	path := write(t, dir, "tandem.yaml", strings.Replace(good, "numbers:\n", "numbersFile: numbers.csv\nnumbers:\n", 1))
	load := func(numbers string) *running {
		t.Helper()
		write(t, dir, "numbers.csv", "number,service\n"+numbers)
		c, err := LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.make(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := load("+441134960011,OperatorConnect\n")
	two := load("+441134960011,OperatorConnect\n+441134960013,OperatorConnect\n")
	if d := append(difference(one.cfg, two.cfg), renewed(one, two)...); len(d) != 1 || d[0].Path != "numbersFile" || d[0].Old != "2 numbers" || d[0].New != "3 numbers, others than before" {
		t.Errorf("got %+v", d)
	}
	if d := append(difference(one.cfg, one.cfg), renewed(two, load("+441134960013,OperatorConnect\n+441134960011,OperatorConnect\n"))...); len(d) > 0 {
		t.Errorf("the same numbers: %+v", d)
	}
	if filepath.Dir(one.cfg.NumbersFile) != dir {
		t.Errorf("the file is taken from %s", one.cfg.NumbersFile)
	}
}
