package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// static is a good gateway in the default scheme.
func static() Gateway {
	region := func(name, address string) ServiceLocation {
		return ServiceLocation{Name: name, PrimaryRegionProperties: PrimaryRegionProperties{
			OperatorAddresses:                     []string{address},
			AllowedSignalingSourceAddressPrefixes: []string{"10.1.0.0/24", "192.0.2.1"},
			AllowedMediaSourceAddressPrefixes:     []string{"10.1.1.0/24", "2001:db8::/48"},
		}}
	}
	return Gateway{Name: "lab-1", Location: "westeurope", Properties: Properties{
		ServiceLocations: []ServiceLocation{region("westeurope", "10.1.0.10"), region("northeurope", "core.example")},
		Connectivity:     "PublicAddress",
		Codecs:           []string{"PCMA", "G722"},
		E911Type:         "Standard",
		Platforms:        []string{"OperatorConnect", "TeamsPhoneMobile"},
	}}
}

// grouped is a good gateway with peer groups.
func grouped() Gateway {
	g := static()
	p := &g.Properties
	p.OperatorPeerGroupConfigScheme = PeerGroupScheme
	p.PeerGroups = []PeerGroup{
		{PeerGroupName: "fixed", Peers: []Peer{
			{PeerName: "a", PeerType: "IP", IPsAndPorts: []IPAndPort{{"10.1.0.10", 5061}, {"10.1.0.11", 5061}}},
			{PeerName: "b", PeerType: "ARecord", ARecordsAndPorts: []ARecordAndPort{{"b.core.example", 5061}}},
		}},
		{PeerGroupName: "mobile", SignalingProtocol: "UDP", MediaProtocol: "RTP", Codecs: []string{"PCMA"}, Peers: []Peer{
			{PeerName: "ims", PeerType: "SRV", SRVRecord: "_sip._udp.ims.example"},
		}},
	}
	p.CallPolicy = &CallPolicy{
		DefaultMappings: DefaultMappings{
			PeerGroupToService: []PeerGroupToService{{"fixed", "OperatorConnect"}, {"mobile", "TeamsPhoneMobile"}},
			ServiceToPeerGroup: []ServiceToPeerGroup{{"OperatorConnect", "fixed"}, {"TeamsPhoneMobile", "mobile"}},
		},
		PeerGroupRoutings: []PeerGroupRouting{
			{"fixed", []Routing{{"a", "westeurope", 0}, {"a", "northeurope", 1}, {"b", "westeurope", 1}, {"b", "northeurope", 0}}},
			{"mobile", []Routing{{"ims", "westeurope", 0}, {"ims", "northeurope", 100}}},
		},
	}
	return g
}

func TestGoodGateways(t *testing.T) {
	for name, g := range map[string]Gateway{"static": static(), "grouped": grouped()} {
		if p := Validate(g); p != nil {
			t.Errorf("%s:\n%v", name, p)
		}
	}
}

func TestRules(t *testing.T) {
	first := func(g *Gateway) *PrimaryRegionProperties {
		return &g.Properties.ServiceLocations[0].PrimaryRegionProperties
	}
	const region = "properties.serviceLocations[0].primaryRegionProperties."
	for _, x := range []struct {
		base   func() Gateway
		change func(*Gateway)
		want   string // path: code: part of the message; one line each
	}{
		{static, func(g *Gateway) { g.Name = "my_gateway" }, "name: InvalidFormat: 3 to 24 letters"},
		{static, func(g *Gateway) { g.Name = "ab" }, "name: InvalidFormat: 3 to 24"},
		{static, func(g *Gateway) { g.Location = "" }, "location: InvalidFormat: management region"},
		{static, func(g *Gateway) { g.SKU = &SKU{Name: "Premium"} }, "sku.name: InvalidValue: write standard or lab"},
		{static, func(g *Gateway) { g.SKU = &SKU{Name: "lab"} }, "properties.serviceLocations: OutOfRange: a lab deployment has exactly one"},
		{static, func(g *Gateway) { g.Properties.ServiceLocations = g.Properties.ServiceLocations[:1] }, ""}, // before 2023-07-13-preview a lab deployment said so by its one region
		{static, func(g *Gateway) {
			g.Properties.ServiceLocations[0].Name, g.Properties.ServiceLocations[1].Name = "West Europe", "westeurope"
		}, "properties.serviceLocations[1].name: Duplicate: westeurope stands in this list already"},
		{static, func(g *Gateway) {
			g.SKU, g.Properties.ServiceLocations = &SKU{Name: "standard"}, g.Properties.ServiceLocations[:1]
		}, "properties.serviceLocations: OutOfRange: a standard deployment has two"},
		{static, func(g *Gateway) {
			g.SKU = &SKU{Name: "lab"}
			g.Properties.ServiceLocations = g.Properties.ServiceLocations[:1]
		}, ""},
		{static, func(g *Gateway) { g.Tags = many(51) }, "tags: OutOfRange: at most 50"},
		{static, func(g *Gateway) { g.Properties.ServiceLocations[1].Name = "WestEurope" }, "properties.serviceLocations[1].name: Duplicate: stands in this list already, as number 1"},
		{static, func(g *Gateway) { g.Properties.ServiceLocations[1].Name = "" }, "properties.serviceLocations[1].name: InvalidFormat: name the service region"},

		{static, func(g *Gateway) { first(g).OperatorAddresses = nil }, region + "operatorAddresses: Required: at least one address"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"10.0.0.1", "10.0.0.1"} }, region + "operatorAddresses[1]: Duplicate: "},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"10.0.0.0/24"} }, region + "operatorAddresses[0]: InvalidFormat: is a range"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"10.0.0.256"} }, region + "operatorAddresses[0]: InvalidFormat: write an IP address or a host name"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"10.0.0.1:5061"} }, region + "operatorAddresses[0]: InvalidFormat: without port"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"-core.example"} }, region + "operatorAddresses[0]: InvalidFormat: "},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"0.0.0.0"} }, region + "operatorAddresses[0]: InvalidValue: nobody's address"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"239.1.1.1"} }, region + "operatorAddresses[0]: InvalidValue: nobody's address"},
		{static, func(g *Gateway) { first(g).OperatorAddresses = []string{"2001:db8::1", "127.0.0.1", "core.example."} }, ""},
		{static, func(g *Gateway) { first(g).AllowedSignalingSourceAddressPrefixes = nil }, ""},
		{static, func(g *Gateway) { first(g).AllowedSignalingSourceAddressPrefixes = []string{"10.0.0.1/24"} }, region + "allowedSignalingSourceAddressPrefixes[0]: InvalidFormat: write 10.0.0.0/24 for the range or 10.0.0.1 for the one address"},
		{static, func(g *Gateway) { first(g).AllowedSignalingSourceAddressPrefixes = []string{"10.0.0/24"} }, region + "allowedSignalingSourceAddressPrefixes[0]: InvalidFormat: "},
		{static, func(g *Gateway) { first(g).AllowedMediaSourceAddressPrefixes = []string{"0.0.0.0/0"} }, region + "allowedMediaSourceAddressPrefixes[0]: InvalidValue: lets in everybody"},
		{static, func(g *Gateway) { first(g).AllowedMediaSourceAddressPrefixes = []string{"::"} }, region + "allowedMediaSourceAddressPrefixes[0]: InvalidValue: nobody's"},
		{static, func(g *Gateway) {
			first(g).AllowedMediaSourceAddressPrefixes = []string{"10.1.1.0/24", "10.1.1.0/24"}
		}, region + "allowedMediaSourceAddressPrefixes[1]: Duplicate: "},
		{static, func(g *Gateway) { first(g).ESRPAddresses = []string{"198.51.100.1"} }, region + "esrpAddresses: Contradiction: only with e911Type DirectToEsrp"},
		{
			static,
			func(g *Gateway) {
				g.Properties.E911Type = "DirectToEsrp"
				first(g).ESRPAddresses = []string{"198.51.100.1"}
			},
			"properties.serviceLocations[1].primaryRegionProperties.esrpAddresses: Required: in every region",
		},

		{static, func(g *Gateway) { g.Properties.Connectivity = "Private" }, "properties.connectivity: InvalidValue: write PublicAddress"},
		{static, func(g *Gateway) { g.Properties.Codecs = nil }, "properties.codecs: Required: at least one of PCMA"},
		{static, func(g *Gateway) { g.Properties.Codecs = []string{"PCMA", "g722"} }, "properties.codecs[1]: InvalidValue: did you mean G722?"},
		{static, func(g *Gateway) { g.Properties.Codecs = []string{"PCMA", "AMR-WB"} }, "properties.codecs[1]: InvalidValue: write PCMA, PCMU, G722, G722_2, SILK_8 or SILK_16"},
		{static, func(g *Gateway) { g.Properties.Codecs = []string{"PCMA", "PCMU", "PCMA"} }, "properties.codecs[2]: Duplicate: as number 1: remove one"},
		{static, func(g *Gateway) { g.Properties.E911Type = "" }, "properties.e911Type: Required: write Standard or DirectToEsrp"},
		{static, func(g *Gateway) { g.Properties.E911Type = "DirectToESRPs" }, "properties.e911Type: InvalidValue: did you mean DirectToEsrp?"},
		{static, func(g *Gateway) { g.Properties.Platforms = nil }, "properties.platforms: Required: "},
		{static, func(g *Gateway) { g.Properties.Platforms = []string{"OperatorConnect", "OperatorConnct"} }, "properties.platforms[1]: InvalidValue: did you mean OperatorConnect?"},
		{static, func(g *Gateway) { g.Properties.Platforms = []string{"OperatorConnect", "AiVoiceServices"} }, "properties.platforms[1]: Unsupported: remove it"},
		{static, func(g *Gateway) { g.Properties.EmergencyDialStrings = []string{"911", "nine"} }, "properties.emergencyDialStrings[1]: InvalidFormat: as they are dialled"},
		{static, func(g *Gateway) { g.Properties.EmergencyDialStrings = []string{"911", "911"} }, "properties.emergencyDialStrings[1]: Duplicate: "},
		{static, func(g *Gateway) { g.Properties.EmergencyDialStrings = []string{} }, ""},
		{static, func(g *Gateway) { g.Properties.EmergencyDialStrings = []string{"+44999"} }, ""},

		{
			static,
			func(g *Gateway) { g.Properties.OnPremMCPEnabled, g.Properties.IntegratedMCPEnabled = true, true },
			"properties.integratedMcpEnabled: Contradiction: set onPremMcpEnabled or integratedMcpEnabled to false",
		},
		{
			static,
			func(g *Gateway) {
				g.Properties.Platforms = []string{"OperatorConnect"}
				g.Properties.IntegratedMCPEnabled, g.Properties.TeamsVoicemailPilotNumber = true, "+441134960000"
			},
			"properties.integratedMcpEnabled: Contradiction: only Teams Phone Mobile\nproperties.teamsVoicemailPilotNumber: Contradiction: only Teams Phone Mobile",
		},
		{static, func(g *Gateway) { g.Properties.TeamsVoicemailPilotNumber = "voicemail" }, "properties.teamsVoicemailPilotNumber: InvalidFormat: "},
		{static, func(g *Gateway) { g.Properties.SignalingProtocolForMCP = "UDP" }, "properties.signalingProtocolForMcp: InvalidValue: write TLS or TCP"},
		{static, func(g *Gateway) { g.Properties.AutoGeneratedDomainNameLabelScope = "TenantReuses" }, "properties.autoGeneratedDomainNameLabelScope: InvalidValue: did you mean TenantReuse?"},
		{static, func(g *Gateway) { g.Properties.APIBridge = &APIBridge{} }, ""},
		{
			static,
			func(g *Gateway) {
				g.Properties.APIBridge = &APIBridge{ConfigureAPIBridge: "on", AllowedAddressPrefixes: []string{"x"}}
			},
			"properties.apiBridge.configureApiBridge: InvalidValue: write enabled or disabled\nproperties.apiBridge.allowedAddressPrefixes[0]: InvalidFormat: ",
		},
		{static, func(g *Gateway) {
			g.Properties.DNSDelegations = &DNSDelegations{[]DNSDelegation{{Domain: "voice.example"}, {Domain: strings.Repeat("a", 35) + ".example"}, {Domain: "voice.example"}}}
		}, "properties.dnsDelegations.delegations[1].domain: InvalidFormat: at most 34\nproperties.dnsDelegations.delegations[2].domain: Duplicate: "},
		{static, func(g *Gateway) {
			g.Properties.CustomSIPHeaders = &CustomSIPHeaders{[]CustomSIPHeader{{"X-Operator"}}}
		}, ""},
		{static, func(g *Gateway) {
			g.Properties.CustomSIPHeaders = &CustomSIPHeaders{[]CustomSIPHeader{{"X:Operator"}, {"contact"}}}
		}, "properties.customSipHeaders.headers: OutOfRange: one custom header\nproperties.customSipHeaders.headers[0].name: InvalidFormat: at most 32\nproperties.customSipHeaders.headers[1].name: Contradiction: begins with X-"},
		{static, func(g *Gateway) {
			g.Properties.Platforms = []string{"TeamsPhoneMobile"}
			g.Properties.CustomSIPHeaders = &CustomSIPHeaders{[]CustomSIPHeader{{"X-Operator"}}}
		}, "properties.customSipHeaders.headers: Contradiction: bear no custom header"},
		{static, func(g *Gateway) { g.Properties.Platforms = []string{"Zoom"} }, "properties.zoomConfig: Required: its region and its test lines"},
		{static, func(g *Gateway) { g.Properties.ZoomConfig = &ZoomConfig{"EMEA", []ZoomTestLine{{"+441134960000"}}} }, "properties.zoomConfig: Contradiction: add Zoom to platforms"},
		{static, func(g *Gateway) {
			g.Properties.Platforms = []string{"Zoom"}
			g.Properties.ZoomConfig = &ZoomConfig{"Europe", nil}
		}, "properties.zoomConfig.region: InvalidValue: write NorthAmerica\nproperties.zoomConfig.testLines: Required: "},
		{static, func(g *Gateway) {
			g.Properties.Platforms = []string{"Zoom"}
			g.Properties.ZoomConfig = &ZoomConfig{"EMEA", []ZoomTestLine{{"+441134960000"}, {"x"}, {"+441134960000"}}}
		}, "properties.zoomConfig.testLines[1].phoneNumber: InvalidFormat: \nproperties.zoomConfig.testLines[2].phoneNumber: Duplicate: "},
		{static, func(g *Gateway) {
			g.Properties.AIVoiceServices = &AIVoiceServices{CallProtection: &CallProtection{Enabled: true}}
		}, "properties.aiVoiceServices.callProtection.enabled: Unsupported: set it to false"},

		// peer groups
		{static, func(g *Gateway) { g.Properties.OperatorPeerGroupConfigScheme = "UseOperatorPeerGroupsConfig" }, "properties.operatorPeerGroupConfigScheme: InvalidValue: did you mean UseOperatorPeerGroupConfig?"},
		{
			static,
			func(g *Gateway) { g.Properties.OperatorPeerGroupConfigScheme = PeerGroupScheme },
			"properties.peerGroups: Required: at least one peer group\nproperties.callPolicy: Required: which services they are for",
		},
		{
			grouped,
			func(g *Gateway) { g.Properties.OperatorPeerGroupConfigScheme = "" },
			"properties.peerGroups: Contradiction: set it or remove them\nproperties.callPolicy: Contradiction: set it or remove it",
		},
		{grouped, func(g *Gateway) { first(g).OperatorAddresses = nil }, ""},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[0].PeerGroupName = "fixed-lines-1" }, "properties.peerGroups[0].peerGroupName: InvalidFormat: 1 to 10 letters" +
			"\nproperties.callPolicy.defaultMappings.peerGroupToService[0].peerGroup: Unknown: there is fixed-lines-1, mobile" +
			"\nproperties.callPolicy.defaultMappings.serviceToPeerGroup[0].defaultPeerGroup: Unknown: " +
			"\nproperties.callPolicy.peerGroupRoutings[0].peerGroupName: Unknown: " +
			"\nproperties.callPolicy.peerGroupRoutings: Required: peer group fixed-lines-1 has no routings"},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[0].SignalingProtocol = "SCTP" }, "properties.peerGroups[0].signalingProtocol: InvalidValue: "},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[0].MediaProtocol = "SRTCP" }, "properties.peerGroups[0].mediaProtocol: InvalidValue: did you mean SRTP?"},
		{
			grouped,
			func(g *Gateway) { g.Properties.PeerGroups[0].Codecs = []string{"SILK_8", "PCMA", "PCMA", "G727"} },
			"properties.peerGroups[0].codecs[0]: Contradiction: not among the gateway's codecs, and cannot be transcoded\nproperties.peerGroups[0].codecs[2]: Duplicate: \nproperties.peerGroups[0].codecs[3]: InvalidValue: did you mean G722?",
		},
		{
			grouped,
			func(g *Gateway) { g.Properties.PeerGroups[0].Codecs = []string{"G722_2", "AMR", "OPUS", "G729"} }, "",
		},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[0].Peers[1].PeerName = "A" }, "properties.peerGroups[0].peers[1].peerName: Duplicate: " +
			"\nproperties.callPolicy.peerGroupRoutings[0].routings[2].peerName: Unknown: \nproperties.callPolicy.peerGroupRoutings[0].routings[3].peerName: Unknown: "},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[0].Peers[0].PeerType = "AAAA" }, "properties.peerGroups[0].peers[0].peerType: InvalidValue: write IP, ARecord or SRV"},
		{
			grouped,
			func(g *Gateway) { g.Properties.PeerGroups[0].Peers[0].PeerType = "SRV" },
			"properties.peerGroups[0].peers[0].ipsAndPorts: Contradiction: belongs to peerType IP\nproperties.peerGroups[0].peers[0].srvRecord: Required: peerType SRV needs it",
		},
		{
			grouped,
			func(g *Gateway) { g.Properties.PeerGroups[0].Peers[0].IPsAndPorts[1] = IPAndPort{"core.example", 0} },
			"properties.peerGroups[0].peers[0].ipsAndPorts[1].ipAddress: InvalidFormat: use peerType ARecord\nproperties.peerGroups[0].peers[0].ipsAndPorts[1].port: OutOfRange: 1 to 65535",
		},
		{
			grouped,
			func(g *Gateway) {
				g.Properties.PeerGroups[0].Peers[1].ARecordsAndPorts[0] = ARecordAndPort{"10.1.1.1", 65536}
			},
			"properties.peerGroups[0].peers[1].aRecordsAndPorts[0].aRecord: InvalidFormat: host name\nproperties.peerGroups[0].peers[1].aRecordsAndPorts[0].port: OutOfRange: ",
		},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[1].Peers[0].SRVRecord = "_sips._tcp.ims.example" }, "properties.peerGroups[1].peers[0].srvRecord: Contradiction: begin it with _sip._udp."},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[1].Peers[0].SRVRecord = "ims.example" }, ""},
		{grouped, func(g *Gateway) { g.Properties.PeerGroups[1].Peers = nil }, "properties.peerGroups[1].peers: Required: at least one peer" +
			"\nproperties.callPolicy.peerGroupRoutings[1].routings[0].peerName: Unknown: there is none\nproperties.callPolicy.peerGroupRoutings[1].routings[1].peerName: Unknown: "},

		// call policy
		{grouped, func(g *Gateway) {
			m := &g.Properties.CallPolicy.DefaultMappings
			m.PeerGroupToService = append(m.PeerGroupToService, PeerGroupToService{"fixed", "Zoom"})
		}, "properties.callPolicy.defaultMappings.peerGroupToService[2].peerGroup: Duplicate: \nproperties.callPolicy.defaultMappings.peerGroupToService[2].defaultService: Contradiction: not among the gateway's services"},
		{
			grouped,
			func(g *Gateway) {
				g.Properties.CallPolicy.DefaultMappings.ServiceToPeerGroup = []ServiceToPeerGroup{{"OperatorConnect", "mobil"}}
			},
			"properties.callPolicy.defaultMappings.serviceToPeerGroup[0].defaultPeerGroup: Unknown: did you mean mobile?\nproperties.callPolicy.defaultMappings.serviceToPeerGroup: Required: calls of TeamsPhoneMobile",
		},
		{
			grouped,
			func(g *Gateway) {
				m := &g.Properties.CallPolicy.DefaultMappings
				m.ServiceToPeerGroup = append(m.ServiceToPeerGroup, ServiceToPeerGroup{"OperatorConnect", "fixed"}, ServiceToPeerGroup{"", ""})
			},
			"properties.callPolicy.defaultMappings.serviceToPeerGroup[2].service: Duplicate: " +
				"\nproperties.callPolicy.defaultMappings.serviceToPeerGroup[3].service: Required: \nproperties.callPolicy.defaultMappings.serviceToPeerGroup[3].defaultPeerGroup: Required: name a peer group",
		},
		{
			grouped,
			func(g *Gateway) {
				g.Properties.CallPolicy.PeerGroupRoutings[0].Routings = []Routing{{"a", "uksouth", 0}, {"a", "westeurope", 101}, {"a", "westeurope", -1}}
			},
			"properties.callPolicy.peerGroupRoutings[0].routings[0].serviceLocation: Unknown: there is westeurope, northeurope" +
				"\nproperties.callPolicy.peerGroupRoutings[0].routings[1].priority: OutOfRange: 0, for first, to 100" +
				"\nproperties.callPolicy.peerGroupRoutings[0].routings[2]: Duplicate: a has a priority from westeurope already" +
				"\nproperties.callPolicy.peerGroupRoutings[0].routings[2].priority: OutOfRange: ",
		},
		{grouped, func(g *Gateway) { g.Properties.Platforms = append(g.Properties.Platforms, "AiVoiceServices") }, "properties.platforms[2]: Unsupported: "},
		{grouped, func(g *Gateway) { g.Properties.CallPolicy.PeerGroupRoutings[0].Routings = nil }, "properties.callPolicy.peerGroupRoutings[0].routings: Required: each peer of fixed"},
		{grouped, func(g *Gateway) {
			r := &g.Properties.CallPolicy.PeerGroupRoutings
			*r = append(*r, (*r)[0])
		}, "properties.callPolicy.peerGroupRoutings[2].peerGroupName: Duplicate: "},
	} {
		g := x.base()
		x.change(&g)
		got := Validate(g)
		var want []string
		if x.want != "" {
			want = strings.Split(x.want, "\n")
		}
		if !slices.EqualFunc(got, want, matches) {
			t.Errorf("got\n%v\nwant\n%s\n", got, x.want)
		}
	}
}

// matches compares a problem with "path: code: part of the message".
func matches(p Problem, want string) bool {
	f := strings.SplitN(want, ": ", 3)
	return p.Path == f[0] && p.Code == f[1] && strings.Contains(p.Message, f[2])
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

func TestProblemsReadAsLines(t *testing.T) {
	p := Problems{{"name", Required, "write one"}, {"location", Required, "write one too"}}
	if got, want := p.Error(), "name: write one\nlocation: write one too"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestDefaultLeavesItsArgumentAlone(t *testing.T) {
	g := grouped()
	d := Default(g)
	if g.SKU != nil || g.Properties.PeerGroups[0].SignalingProtocol != "" {
		t.Error("changed")
	}
	p := d.Properties
	if d.SKU.Name != "standard" || !slices.Equal(p.EmergencyDialStrings, []string{"911", "933"}) || p.PeerGroups[0].SignalingProtocol != "TLS" ||
		p.PeerGroups[0].MediaProtocol != "SRTP" || p.PeerGroups[1].SignalingProtocol != "UDP" || p.AutoGeneratedDomainNameLabelScope != "TenantReuse" ||
		p.SignalingProtocolForMCP != "TLS" || Default(static()).Properties.OperatorPeerGroupConfigScheme != StaticScheme {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(d, Default(d)); diff != "" {
		t.Error("not the same twice", diff)
	}
}

// testdata/full.json has every property that the type knows.
func TestJSONKeepsEveryProperty(t *testing.T) {
	data, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var g Gateway
	if err := dec.Decode(&g); err != nil {
		t.Fatal(err)
	}
	if path := empty("", reflect.ValueOf(g)); path != "" {
		t.Errorf("testdata/full.json has no %s", path)
	}
	out, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// empty finds a part of a value that is not set.
func empty(path string, v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.Int { // priority 0 is a value
		return path
	}
	switch v.Kind() {
	case reflect.Pointer:
		return empty(path, v.Elem())
	case reflect.Slice:
		return empty(path+"[0]", v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if p := empty(path+"."+v.Type().Field(i).Name, v.Field(i)); p != "" {
				return p
			}
		}
	}
	return ""
}

func TestAnEmptyListStaysOne(t *testing.T) {
	g := static()
	g.Properties.ServiceLocations[0].PrimaryRegionProperties.AllowedMediaSourceAddressPrefixes = []string{}
	g.Properties.APIBridge = &APIBridge{}
	data, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"allowedMediaSourceAddressPrefixes":[]`, `"apiBridge":{}`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}

// One resource, two formats, the same names: but what the gateway itself sets
// is nobody's to configure.
func TestYAMLHasTheNamesOfJSON(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(t2 reflect.Type) {
		switch t2.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(t2.Elem())
		case reflect.Struct:
			for i := range t2.NumField() {
				f := t2.Field(i)
				j, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				y, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				if y != j && y != "-" {
					t.Errorf("%s.%s: %s in JSON, %s in YAML", t2, f.Name, j, y)
				}
				if y != "-" {
					walk(f.Type)
				}
			}
		}
	}
	walk(reflect.TypeFor[Gateway]())
	out, err := yaml.Marshal(grouped())
	if err != nil {
		t.Fatal(err)
	}
	var read Gateway
	if err := yaml.Unmarshal(out, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(grouped(), read); diff != "" {
		t.Error(diff)
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{
		"listners": "listeners", "Listeners": "listeners", "lsiteners": "listeners", "listen-ers": "listeners",
		"bnid": "bind", "": "", "tree": "", "x": "", "region": "region", "regions": "region",
		strings.Repeat("listeners", 20): "",
	} {
		if got := Suggest(word, []string{"listeners", "bind", "region"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, x := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"PCMA", "PCMU", 1}} {
		if got := distance(x.a, x.b); got != x.want {
			t.Errorf("%s and %s: %d", x.a, x.b, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abc]{0,8}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if d := distance(a, b); d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("%s and %s: %d", a, b, d)
		}
	})
}

// Whatever arrives as JSON is judged, not stumbled over, and every complaint
// says where and what.
func FuzzValidate(f *testing.F) {
	for _, g := range []Gateway{static(), grouped(), {}} {
		data, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"properties":{"callPolicy":{"peerGroupRoutings":[{"routings":[{}]}]},"peerGroups":[{"peers":[{"srvRecord":"_"}]}],"operatorPeerGroupConfigScheme":"UseOperatorPeerGroupConfig"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var g Gateway
		if json.Unmarshal(data, &g) != nil {
			return
		}
		for _, p := range Validate(g) {
			if p.Path == "" || p.Code == "" || p.Message == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
