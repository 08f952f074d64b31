package interop

import (
	"strings"
	"testing"
)

// pidf is a location in the shape of RFC 4119 and RFC 5139, with an ELIN as
// Microsoft's location service writes it.
const pidf = `<?xml version="1.0" encoding="utf-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:john@contoso.example">
 <tuple id="t0"><status><geopriv xmlns="urn:ietf:params:xml:ns:pidf:geopriv10"><location-info>
  <civicAddress xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"><country>US</country><A1>WA</A1>%</civicAddress>
 </location-info><usage-rules/><method>LIS</method></geopriv></status></tuple>
</presence>
`

// Azure Communications Gateway docs, "Emergency calling for Microsoft Teams
// Direct Routing": the ELIN is in the body.
func TestELIN(t *testing.T) {
	invite := func(kind, body string) string {
		m := request(t, "INVITE sip:911@gw.example SIP/2.0", "1 INVITE")
		m.SetBody(kind, []byte(strings.ReplaceAll(body, "\n", "\r\n")))
		return ELIN(m)
	}
	mixed := func(location string) string {
		return "--b\nContent-Type: application/sdp\n\nv=0\n--b\nContent-Type: application/pidf+xml\nContent-ID: <a@b>\n\n" + location + "--b--\n"
	}
	with := func(element string) string { return strings.Replace(pidf, "%", element, 1) }
	for _, x := range []struct{ name, kind, body, want string }{
		{"beside a description", "multipart/mixed;boundary=b", mixed(with("<ELIN>+14255550911</ELIN>")), "+14255550911"},
		{"alone", "application/pidf+xml", with("<ELIN> 425-555-0911 </ELIN>"), "425-555-0911"},
		{"with a prefix", "application/pidf+xml", with("<ca:ELIN>+14255550911</ca:ELIN>"), "+14255550911"},
		{"none in the location", "multipart/mixed;boundary=b", mixed(with("")), ""},
		{"empty", "application/pidf+xml", with("<ELIN/>"), ""},
		{"empty, then another", "application/pidf+xml", with("<ELIN></ELIN><ELIN>1</ELIN>"), "1"},
		{"no location", "application/sdp", "v=0\n", ""},
		{"no part that is one", "multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\n\nv=0\n--b--\n", ""},
		{"no XML", "application/pidf+xml", "<ELIN", ""},
		{"cut off", "application/pidf+xml", "<a><ELIN>", ""},
		{"no boundary", "multipart/mixed", mixed(with("<ELIN>1</ELIN>")), ""},
	} {
		if got := invite(x.kind, x.body); got != x.want {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
}

func FuzzELIN(f *testing.F) {
	f.Add("application/pidf+xml", strings.Replace(pidf, "%", "<ELIN>+14255550911</ELIN>", 1))
	f.Add("multipart/mixed;boundary=b", "--b\r\nContent-Type: application/pidf+xml\r\n\r\n<!DOCTYPE a [<!ENTITY b \"c\">]><ELIN>&b;</ELIN>\r\n--b--\r\n")
	f.Fuzz(func(t *testing.T, kind, body string) {
		m := request(t, "INVITE sip:911@gw.example SIP/2.0", "1 INVITE")
		m.SetBody(strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, kind), []byte(body))
		if got := ELIN(m); len(got) > len(body) || got != strings.TrimSpace(got) {
			t.Errorf("got %q", got)
		}
	})
}
