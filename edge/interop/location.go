package interop

import (
	"bytes"
	"encoding/xml"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// ELIN is the number that stands for the location of an emergency caller, the
// emergency location identification number, as the location in m has it: "" when
// there is none. Its form is whatever the customer's administrator wrote
// (Microsoft Teams docs, "Manage emergency call routing"; Azure Communications
// Gateway docs, "Emergency calling for Microsoft Teams Direct Routing").
func ELIN(m *sip.Message) string {
	if len(m.Body) == 0 || m.Get("Content-Type") == "application/sdp" {
		return "" // nearly every call
	}
	location, err := part(m, "application/pidf+xml")
	if err != nil || location == nil {
		return ""
	}
	dec := xml.NewDecoder(bytes.NewReader(location))
	for {
		t, err := dec.Token()
		if err != nil {
			return "" // the end, or no XML: a call goes without its ELIN rather than not at all
		}
		if start, ok := t.(xml.StartElement); !ok || start.Name.Local != "ELIN" {
			continue
		}
		if t, err = dec.Token(); err != nil {
			return ""
		}
		if text, ok := t.(xml.CharData); ok {
			return strings.TrimSpace(string(text))
		}
	}
}

// By is the identity of an emergency caller who is shown by the number of his
// location, for whoever answers to find him and to call him back by: it is not
// withheld, whatever he asked for.
func (id Identity) By(elin string) Identity {
	id.Calling, id.CallingOK, id.Asserted = elin, true, elin
	id.Anonymous, id.Privacy = false, nil
	return id
}
