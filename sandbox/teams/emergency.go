package teams

import (
	"strings"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// Emergency is a user's call to an emergency number, with the place where he is
// (RFC 6442; Microsoft Teams docs, Plan for emergency calling): the location is
// a part of the body beside the description. ELIN may be empty.
func Emergency(from, number, elin string) phone.CallSpec {
	location := strings.ReplaceAll(strings.TrimSpace(pidf), "\n", "\r\n")
	if elin != "" {
		location = strings.Replace(location, "</PC>", "</PC><ELIN>"+elin+"</ELIN>", 1)
	}
	return phone.CallSpec{
		From: from, To: number,
		Headers: []phone.Header{{Name: "Priority", Value: "emergency"}, {Name: "Geolocation", Value: "<cid:loc1@contoso.example>"}},
		Parts:   []phone.Part{{Type: "application/pidf+xml", ID: "loc1@contoso.example", Text: location}},
	}
}

// The names of the fields are as Microsoft published them; the form is RFC 4119's
// and RFC 5139's.
const pidf = `
<?xml version="1.0" encoding="utf-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:john@contoso.example">
 <tuple id="t0"><status>
  <geopriv xmlns="urn:ietf:params:xml:ns:pidf:geopriv10">
   <location-info>
    <civicAddress xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr">
     <country>US</country><A1>WA</A1><A3>Redmond</A3><RD>Example</RD><STS>Ave</STS><HNO>10</HNO><LOC>Floor 2</LOC><PC>98052</PC>
    </civicAddress>
   </location-info>
   <usage-rules/><method>LIS</method>
  </geopriv>
 </status></tuple>
</presence>
`
