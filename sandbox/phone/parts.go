package phone

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// described gives m with nothing but the description for a body: of a body with
// several parts the one that is SDP, wherever it stands (RFC 5621 section 3.1).
func described(m *sip.Message) *sip.Message {
	kind, params, err := mime.ParseMediaType(m.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return m
	}
	parts := multipart.NewReader(bytes.NewReader(m.Body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err != nil {
			return m // whose body will not be understood
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if kind != "application/sdp" {
			continue
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return m
		}
		m = m.Clone()
		m.SetBody("application/sdp", body)
		return m
	}
}
