package interop

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// maxParts bounds how many parts of a multipart body are looked at.
const maxParts = 8

// Describe finds the session description in a message: the body itself, or
// the application/sdp part of a multipart body, as an emergency call with a
// location has (RFC 5621). nil without an error when there is none; an error
// is told by Refuse.
func Describe(m *sip.Message) (*sdp.Session, error) {
	if len(m.Body) == 0 {
		return nil, nil
	}
	if m.Get("Content-Type") == "application/sdp" { // nearly always; saves the reading of it
		return sdp.Parse(m.Body)
	}
	kind, params, err := mime.ParseMediaType(m.Get("Content-Type"))
	if err != nil {
		return nil, unsupported
	}
	switch {
	case kind == "application/sdp":
		return sdp.Parse(m.Body)
	case strings.HasPrefix(kind, "multipart/"):
		body, err := part(m.Body, params["boundary"])
		if err != nil || body == nil {
			return nil, err
		}
		return sdp.Parse(body)
	case strings.Contains(m.Get("Content-Disposition"), "handling=optional"):
		return nil, nil // RFC 3261 20.11: may be ignored
	}
	return nil, unsupported
}

var unsupported = &sip.ParseError{Header: "Content-Type", Msg: "unsupported media type", Status: 415}

// part finds the application/sdp part.
func part(body []byte, boundary string) ([]byte, error) {
	if boundary == "" {
		return nil, unsupported
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxParts {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, unsupported
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if kind == "application/sdp" {
			return io.ReadAll(p)
		}
	}
	return nil, nil
}
