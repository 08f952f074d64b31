package mcp

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// isc is an INVITE as an S-CSCF hands it over.
const isc = `INVITE sip:+447700900002@ims.example;user=phone SIP/2.0
Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKisc1
Route: <sip:mcp.r1.gw.example;transport=tcp;service=mcp;lr>
Route: <sip:odi-77@10.0.0.2:5060;lr>
From: <sip:+447700900001@ims.example>;tag=f1
To: <sip:+447700900002@ims.example;user=phone>
Call-ID: c1
CSeq: 1 INVITE
Max-Forwards: 66
Contact: <sip:ue@10.0.9.9>
P-Asserted-Identity: <sip:+447700900001@ims.example>
Content-Length: 0

`

func message(t testing.TB, text string) *sip.Message {
	t.Helper()
	m, err := sip.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")), sip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func reads(t testing.TB, m *sip.Message) reading {
	routes, err := m.Addresses("Route")
	if err != nil || len(routes) == 0 {
		return read(m, nil, snapOf())
	}
	return read(m, &routes[0], snapOf())
}

func snapOf() *snapshot.Snapshot {
	return &snapshot.Snapshot{
		Emergency: []string{"999", "112"},
		MCP: &snapshot.MCP{
			Names: []string{"mcp.r1.gw.example"}, URL: "https://consultation.example/ask", Routing: []string{"+44808157"},
		},
	}
}

// Azure Communications Gateway docs, "Mobile Control Point in Azure
// Communications Gateway": how direction and served user are found, and when
// nobody is asked.
func TestWhoseCallItIs(t *testing.T) {
	t.Parallel()
	const pai = "P-Asserted-Identity: <sip:+447700900001@ims.example>\n"
	served := func(v string) [2]string { return [2]string{pai, pai + "P-Served-User: " + v + "\n"} }
	for name, x := range map[string]struct {
		change [][2]string
		want   question
		silent string
	}{
		"nothing said: to the user of the Request-URI": {
			nil,
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"sescase orig": {
			[][2]string{served("<sip:+447700900009@ims.example>;sescase=orig;regstate=reg")},
			question{Originating, "+447700900009", "+447700900002"},
			"",
		},
		"sescase term, in any case": {
			[][2]string{served("<tel:+44-7700-900003>;SesCase=TERM")},
			question{Terminating, "+447700900003", "+447700900001"},
			"",
		},
		"sescase counts before the Route": {
			[][2]string{served("<sip:+447700900002@ims.example>;sescase=term"), {"service=mcp;lr>", "service=mcp;lr;orig>"}},
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"orig beside the Route's URI": {
			[][2]string{{"service=mcp;lr>", "service=mcp;lr>;orig"}},
			question{Originating, "+447700900001", "+447700900002"},
			"",
		},
		"orig within the Route's URI": {
			[][2]string{{"service=mcp;lr>", "service=mcp;lr;orig>"}},
			question{Originating, "+447700900001", "+447700900002"},
			"",
		},
		"term beside counts before orig within": {
			[][2]string{{"service=mcp;lr>", "service=mcp;lr;orig>;term"}},
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"tel URIs everywhere": {
			[][2]string{
				{"sip:+447700900002@ims.example;user=phone SIP", "tel:+44(7700)900.002;phone-context=x SIP"},
				{"P-Asserted-Identity: <sip:+447700900001@ims.example>", "P-Asserted-Identity: <tel:+447700900001>"},
			},
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"a second asserted identity has the number": {
			[][2]string{{"P-Asserted-Identity: ", "P-Asserted-Identity: <sip:alice@ims.example>, "}},
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"who shows no number is nobody": {
			[][2]string{{pai, ""}},
			question{Terminating, "+447700900002", ""},
			"",
		},
		"From is the user's word": {
			[][2]string{{pai, ""}, {"service=mcp;lr>", "service=mcp;lr;orig>"}},
			question{Originating, "", "+447700900002"},
			"no E.164 number",
		},
		"a name and no number": {
			[][2]string{{"INVITE sip:+447700900002@", "INVITE sip:bob@"}},
			question{Terminating, "", "+447700900001"},
			"no E.164 number",
		},
		"MO with any mark": {
			[][2]string{{pai, pai + "X-MS-FMC: XYZ\n"}, {"service=mcp;lr>", "service=mcp;lr;orig>"}},
			question{Direction: Originating},
			"X-MS-FMC: XYZ",
		},
		"MT that Teams delivers": {
			[][2]string{{pai, pai + "X-MS-FMC: mt\n"}},
			question{Direction: Terminating},
			"X-MS-FMC: mt",
		},
		"from a Teams client": {
			[][2]string{{pai, pai + "X-MS-FMC: APP\n"}},
			question{Direction: Terminating},
			"X-MS-FMC: APP",
		},
		"MT of a call that another subscriber began": {
			[][2]string{{pai, pai + "X-MS-FMC: MO\n"}},
			question{Terminating, "+447700900002", "+447700900001"},
			"",
		},
		"an emergency call": {
			[][2]string{{"INVITE sip:+447700900002@", "INVITE sip:999@"}},
			question{Direction: Terminating},
			"emergency",
		},
		"an emergency service's name": {
			[][2]string{{"INVITE sip:+447700900002@ims.example;user=phone", "INVITE urn:service:sos.police"}},
			question{Direction: Terminating},
			"emergency",
		},
		"a diversion": {
			[][2]string{served("<sip:+447700900009@ims.example>;sescase=orig-cdiv")},
			question{Direction: Originating},
			"diverted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := isc
			for _, c := range x.change {
				if !strings.Contains(text, c[0]) {
					t.Fatalf("%q is not there", c[0])
				}
				text = strings.Replace(text, c[0], c[1], 1)
			}
			got := reads(t, message(t, text))
			if got.question != x.want && x.silent == "" || got.Direction != x.want.Direction {
				t.Errorf("read %+v, want %+v", got.question, x.want)
			}
			if (x.silent == "") != (got.silent == "") || !strings.Contains(got.silent, x.silent) {
				t.Errorf("silent %q, want %q", got.silent, x.silent)
			}
		})
	}
}

func TestAnchoring(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"sip:+447700900002@ims.example;user=phone": "sip:+448081570000@ims.example;user=phone",
		"sip:+447700900002@ims.example":            "sip:+448081570000@ims.example;user=phone",
		"tel:+44-7700-900002;phone-context=x":      "tel:+448081570000",
	} {
		for d, value := range map[Direction]string{Originating: "MO", Terminating: "MT"} {
			m := message(t, isc)
			m.RequestURI = uri
			if err := anchor(m, d, "+448081570000"); err != nil {
				t.Fatal(err)
			}
			if m.RequestURI != want || m.Get("X-MS-FMC") != value {
				t.Errorf("%s became %s with %s: %s, want %s with %s", uri, m.RequestURI, mark, m.Get(mark), want, value)
			}
			if got := m.Get("To"); !strings.Contains(got, "+447700900002") {
				t.Errorf("To is %s: who was dialled is lost", got)
			}
		}
	}
}

func TestOnlyTheControlPointsOwn(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]bool{
		"<sip:mcp.r1.gw.example;lr>":               true,
		"<sip:MCP.R1.gw.example:5061;lr>":          true,
		"<sip:10.1.1.1;transport=tcp;service=MCP>": true,
		"<sips:mcp.elsewhere.example;service=mcp>": true,
		"<sip:r1.gw.example;lr>":                   false,
		"<sip:10.0.0.2;lr>, <sip:a;service=mcp>":   false,
		"<sip:evil.mcp.r1.gw.example;lr>":          false,
	} {
		m := message(t, isc)
		m.Del("Route")
		m.Add("Route", route)
		if got := leadsHere(m, snapOf().MCP); got != want {
			t.Errorf("Route: %s leads here: %v, want %v", route, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<sip:+447700900009@ims.example>;sescase=orig", "<sip:mcp.r1.gw.example;lr;orig>", "sip:+447700900002@h", "MT")
	f.Add("<tel:+1-2>;sescase=orig-cdiv", "<sip:m;service=mcp>;term", "tel:+44;x", "")
	f.Add("\"", "<", "urn:service:sos", "APP")
	f.Fuzz(func(t *testing.T, served, route, uri, fmc string) {
		m := sip.NewRequest("INVITE", uri)
		m.Set("P-Served-User", served)
		m.Set("Route", route)
		m.Set(mark, fmc)
		got := reads(t, m)
		if got.silent == "" && number("tel:"+got.Subscriber) != got.Subscriber {
			t.Errorf("Microsoft would be asked about %q", got.Subscriber)
		}
		if got.silent != "" || got.Subscriber == "" {
			return
		}
		if anchor(m, got.Direction, "+448081570000") == nil && number(m.RequestURI) != "+448081570000" {
			t.Errorf("%q was anchored as %q", uri, m.RequestURI)
		}
	})
}
