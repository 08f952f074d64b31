package interop

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// maxParts bounds how many parts of a multipart body are looked at.
const maxParts = 8

var unsupported = &sip.ParseError{Header: "Content-Type", Msg: "unsupported media type", Status: 415}

// Describe finds the session description in a message: the body itself, or
// the application/sdp part of a multipart body, as an emergency call with a
// location has (RFC 5621). nil without an error when there is none; an error
// is told by Refuse.
func Describe(m *sip.Message) (*sdp.Session, error) {
	if len(m.Body) == 0 {
		return nil, nil
	}
	body := m.Body
	if m.Get("Content-Type") != "application/sdp" { // nearly always it is that
		var err error
		if body, err = part(m, "application/sdp"); body == nil {
			return nil, err
		}
	}
	return sdp.Parse(body)
}

// SetOffer gives out the description, and beside it the location of the caller
// when in has one and the side of out takes it: whoever answers an emergency
// call reads it (RFC 6442). The document crosses unaltered; the names that tie
// it to the message are ours.
func SetOffer(out, in *sip.Message, desc []byte, to Leg) {
	const kind = "application/pidf+xml"
	out.SetBody("application/sdp", desc)
	if !to.Profile.Location {
		return
	}
	referred := locations(in)
	for _, ref := range referred {
		out.Add("Geolocation", ref)
	}
	location, err := part(in, kind)
	if err != nil {
		location = nil // the call matters more than what cannot be read
	}
	if v := in.Get("Geolocation-Routing"); token(v) && (location != nil || referred != nil) {
		out.Set("Geolocation-Routing", v)
	}
	if location == nil {
		return
	}
	id := "location@" + hostOf(to.Local)
	boundary := "tandem"
	for n := 0; bytes.Contains(location, []byte("--"+boundary)); n++ {
		boundary = "tandem" + strconv.Itoa(n)
	}
	var b bytes.Buffer
	for _, p := range []struct {
		head string
		body []byte
	}{
		{"Content-Type: application/sdp", desc},
		{"Content-Type: " + kind + "\r\nContent-ID: <" + id + ">", location},
	} {
		b.WriteString("--" + boundary + "\r\n" + p.head + "\r\n\r\n")
		b.Write(p.body)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	out.SetBody("multipart/mixed;boundary="+boundary, b.Bytes())
	out.Add("Geolocation", "<cid:"+id+">")
}

// maxLocations is how many places that know the location are named.
const maxLocations = 4

// locations are the places where the caller's location can be asked for
// (RFC 6442 section 4.1). They name the side they come from and are of no use
// without.
func locations(in *sip.Message) []string {
	var all []string
	for item := range in.List("Geolocation") {
		a, err := sip.ParseAddress(item)
		if err != nil || len(all) == maxLocations {
			continue
		}
		switch a.URI.Scheme {
		case "https", "http", "sips", "sip", "pres":
			all = append(all, "<"+a.URI.String()+">")
		}
	}
	return all
}

// mediaType reads Content-Type. MIME has no blanks about the slash and SIP has
// (RFC 3261 25.1, SLASH).
func mediaType(m *sip.Message) (kind string, params map[string]string, err error) {
	kind, rest, _ := strings.Cut(m.Get("Content-Type"), "/")
	return mime.ParseMediaType(strings.TrimSpace(kind) + "/" + strings.TrimSpace(rest))
}

// part finds the body of that type: the whole one or a part of it. nil without
// an error when the message has none but may do without.
func part(m *sip.Message, want string) ([]byte, error) {
	kind, params, err := mediaType(m)
	switch {
	case err != nil:
		return nil, unsupported
	case kind == want:
		return m.Body, nil
	case strings.HasPrefix(kind, "multipart/"):
		return split(m.Body, params["boundary"], want)
	case strings.Contains(m.Get("Content-Disposition"), "handling=optional"):
		return nil, nil // RFC 3261 20.11
	}
	return nil, unsupported
}

func split(body []byte, boundary, want string) ([]byte, error) {
	if boundary == "" {
		return nil, unsupported
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxParts {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, unsupported
		}
		if kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind == want {
			b, err := io.ReadAll(p)
			if err != nil {
				return nil, unsupported
			}
			return b, nil
		}
	}
	return nil, nil
}
