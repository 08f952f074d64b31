package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

var update = flag.Bool("update", false, "write the goldens anew")

// resource reads a gateway of the testdata.
func resource(t *testing.T, name string) gateway.Gateway {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var g gateway.Gateway
	if err := dec.Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestCompile(t *testing.T) {
	no, yes := false, true
	for name, change := range map[string]func(*Input){
		"static": func(*Input) {},
		"static-udp": func(in *Input) {
			in.Operator = Operator{Transport: "udp", Port: 5070, CountryCode: "44", TrunkPrefix: "0"}
			in.Gateway.Properties.Platforms = []string{"TeamsPhoneMobile", "TeamsDirectRouting"}
		},
		"static-srv": func(in *Input) {
			in.Operator = Operator{SRV: true, SRTP: &no, Names: []string{"core.example"}}
			in.Gateway.Properties.ServiceLocations[0].PrimaryRegionProperties.OperatorAddresses = []string{"west.core.example"}
		},
		"direct-to-esrp": func(in *Input) {
			p := &in.Gateway.Properties
			p.E911Type = "DirectToEsrp"
			p.ServiceLocations[0].PrimaryRegionProperties.ESRPAddresses = []string{"198.51.100.1"}
			p.ServiceLocations[1].PrimaryRegionProperties.ESRPAddresses = []string{"esrp.example"}
			in.Operator.CountryCode = "1"
			in.Operator.Limits = Limits{Calls: 500, CallsPerSecond: 20, Duration: 4 * time.Hour} // not the emergency service's
			in.Services.Teams.Limits = Limits{Calls: 1000}
		},
		"lab": func(in *Input) {
			in.Gateway.SKU = &gateway.SKU{Name: "lab"}
			in.Gateway.Properties.ServiceLocations = in.Gateway.Properties.ServiceLocations[:1]
			in.Services.Teams = Teams{Proxies: []string{"teams.lab.example:5063", "127.0.2.2:5064"}, Sources: []netip.Prefix{netip.MustParsePrefix("127.0.2.0/24")}}
		},
		"groups": func(*Input) {},
		"silent-policy": func(in *Input) { // what the groups are for says what their numbers are
			in.Gateway = resource(t, "gateway-groups")
			in.Gateway.Properties.CallPolicy.DefaultMappings.PeerGroupToService = nil
		},
		"zoom": func(in *Input) {
			p := &in.Gateway.Properties
			p.Platforms = []string{"OperatorConnect", "TeamsDirectRouting", "Zoom"}
			p.ZoomConfig = &gateway.ZoomConfig{Region: "EMEA", TestLines: []gateway.ZoomTestLine{{PhoneNumber: "441134960077"}, {PhoneNumber: "+441134960078"}}}
			p.CustomSIPHeaders = &gateway.CustomSIPHeaders{Headers: []gateway.CustomSIPHeader{{Name: "X-MS-Operator-Content"}}}
			p.EmergencyDialStrings = []string{"999", "+44112"}
			p.Codecs = []string{"G722_2", "G722", "PCMA", "SILK_8"}
			in.Operator.CountryCode = "44"
			in.Services.Zoom = Zoom{
				Peers: []string{"zoom.lab.example:5065", "192.0.2.65"}, Sources: []netip.Prefix{netip.MustParsePrefix("127.0.6.0/24")},
				Suites: []string{"AEAD_AES_256_GCM"}, Names: []string{"zoom.lab.example"}, TLS: TLS{Min: "1.3"}, Limits: Limits{Calls: 10},
			}
			in.Accounts = accounts(t, snapshot.Account{Name: "contoso", Subdomain: "c042", AnyCaller: true})
			in.Numbers = numbers(t,
				snapshot.Number{E164: "+441134960001", Service: snapshot.TeamsDirectRouting, Account: "contoso", Header: "gold"},
				snapshot.Number{E164: "+441134960002", Service: snapshot.Zoom, Account: "contoso", ELIN: "+441134960009"},
			)
		},
		"tls": func(in *Input) {
			in.Authorities = map[string]string{"/core.pem": "PEM of the core", "/teams.pem": "PEM of Teams"}
			in.Operator.TLS = TLS{Min: "1.3", Roots: "/core.pem"}
			in.Operator.TLSByGroup = map[string]*TLS{"fixed": {
				Max: "1.2", Suites: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}, ClientCertificate: &no, Certificate: &Certificate{Chain: "/a.pem", Key: "/a.key"},
			}}
			in.Services.Teams.TLS = TLS{Roots: "/teams.pem", ClientCertificate: &yes}
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := "gateway-static"
			if name == "groups" || name == "tls" {
				base = "gateway-groups"
			}
			in := Input{
				Revision: 7,
				Gateway:  resource(t, base),
				Domains:  map[string]string{"westeurope": "1r1.tandem.example"},
				Options:  time.Minute,
				Numbers: numbers(t,
					snapshot.Number{E164: "+441134960001", Service: snapshot.OperatorConnect, Account: "contoso"},
					snapshot.Number{E164: "+441134960000", Service: snapshot.OperatorConnect, Account: "contoso"},
				),
			}
			change(&in)
			golden(t, name, in)
		})
	}
}

func accounts(t *testing.T, list ...snapshot.Account) snapshot.Accounts {
	t.Helper()
	a, err := snapshot.NewAccounts(list...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func numbers(t *testing.T, list ...snapshot.Number) snapshot.Numbers {
	t.Helper()
	n, err := snapshot.NewNumbers(list...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// golden compiles and compares with the file of that name, twice, since the
// same input gives the same bytes.
func golden(t *testing.T, name string, in Input) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden.json")
	for range 2 {
		s, err := Compile(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("%s differs (-update writes it):\n%s", path, diff)
		}
		unique(t, s)
	}
}

// unique: health and records know groups and peers by name alone.
func unique(t *testing.T, s *snapshot.Snapshot) {
	t.Helper()
	seen := map[string]bool{}
	for _, g := range s.Groups {
		if seen["group "+g.Name] {
			t.Errorf("two groups are named %s", g.Name)
		}
		seen["group "+g.Name] = true
	}
	for _, p := range s.Peers() {
		if seen[p.Name] {
			t.Errorf("two peers are named %s", p.Name)
		}
		seen[p.Name] = true
	}
}

func TestCompileRefuses(t *testing.T) {
	g := resource(t, "gateway-static")
	var problems gateway.Problems
	bad := g
	bad.Name = "x"
	if _, err := Compile(Input{Gateway: bad}); !errors.As(err, &problems) || len(problems) != 1 {
		t.Errorf("a gateway that breaks a rule: %v", err)
	}
	proxies := Services{Teams: Teams{Proxies: []string{"sip.example:0"}}}
	if _, err := Compile(Input{Gateway: g, Services: proxies}); err == nil {
		t.Error("a proxy without a port that can be called is compiled")
	}
	g.Properties.Platforms = []string{"Zoom"}
	g.Properties.ZoomConfig = &gateway.ZoomConfig{Region: "EMEA", TestLines: []gateway.ZoomTestLine{{PhoneNumber: "441134960077"}}}
	if _, err := Compile(Input{Gateway: g}); !errors.As(err, new(gateway.Problems)) || !strings.Contains(err.Error(), "Zoom's addresses are not public") {
		t.Errorf("Zoom without addresses: %v", err)
	}
}

func TestSplitProxy(t *testing.T) {
	for s, want := range map[string]struct {
		host string
		port uint16
		ok   bool
	}{
		"sip.example:5062":   {"sip.example", 5062, true},
		"sip.example":        {"sip.example", 5061, true},
		"192.0.2.1:5061":     {"192.0.2.1", 5061, true},
		"[2001:db8::1]:5061": {"2001:db8::1", 5061, true},
		"sip.example:":       {},
		"sip.example:0":      {},
		"sip.example:70000":  {},
		":5061":              {},
		"":                   {},
		"2001:db8::1":        {},
	} {
		host, port, err := SplitProxy(s)
		if host != want.host || port != want.port || (err == nil) != want.ok {
			t.Errorf("%q: %q, %d, %v", s, host, port, err)
		}
	}
}
