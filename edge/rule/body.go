package rule

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// description finds the session description in a body, and where it stands.
func description(m *sip.Message) (desc []byte, at int) {
	if len(m.Body) == 0 {
		return nil, 0
	}
	kind, params, err := mime.ParseMediaType(m.Get("Content-Type"))
	switch {
	case err != nil:
		return nil, 0
	case kind == "application/sdp":
		return m.Body, 0
	case !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "":
		return nil, 0
	}
	r := multipart.NewReader(bytes.NewReader(m.Body), params["boundary"])
	for range 8 {
		p, err := r.NextRawPart()
		if err != nil {
			return nil, 0
		}
		if kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind != "application/sdp" {
			continue
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, 0
		}
		return b, bytes.Index(m.Body, b)
	}
	return nil, 0
}

// attribute changes the a= lines of that name in the first audio section.
func (a *action) attribute(m *sip.Message, value string) error {
	desc, at := description(m)
	if len(desc) == 0 || at < 0 {
		return nil // there is nothing to change
	}
	lines := strings.SplitAfter(string(desc), "\n")
	from, to := section(lines)
	if from == to {
		return nil
	}
	out := append([]string{}, lines[:from]...)
	for _, line := range lines[from:to] {
		name, old, isAttr := readAttribute(line)
		if !isAttr || !strings.EqualFold(name, a.target.sdp) || a.op == "add" {
			out = append(out, line)
			continue
		}
		if a.op == "replace" {
			v, err := a.change(old, value)
			if err != nil {
				return err
			}
			out = append(out, writeAttribute(name, v))
		}
	}
	if a.op == "set" || a.op == "add" {
		if n := len(out); !strings.HasSuffix(out[n-1], "\n") {
			out[n-1] += "\r\n"
		}
		out = append(out, writeAttribute(a.target.sdp, value))
	}
	out = append(out, lines[to:]...)
	body := append([]byte{}, m.Body[:at]...)
	body = append(body, strings.Join(out, "")...)
	m.Body = append(body, m.Body[at+len(desc):]...)
	return nil
}

// section is the range of the lines of the first audio section, less what is
// empty at its end.
func section(lines []string) (from, to int) {
	for from < len(lines) && !strings.HasPrefix(lines[from], "m=audio") {
		from++
	}
	if from == len(lines) {
		return 0, 0
	}
	for to = from + 1; to < len(lines) && !strings.HasPrefix(lines[to], "m=") && strings.TrimSpace(lines[to]) != ""; to++ {
	}
	return from, to
}

func readAttribute(line string) (name, value string, ok bool) {
	line, ok = strings.CutPrefix(strings.TrimRight(line, "\r\n"), "a=")
	name, value, _ = strings.Cut(line, ":")
	return name, value, ok
}

func writeAttribute(name, value string) string {
	if value == "" {
		return "a=" + name + "\r\n"
	}
	return "a=" + name + ":" + value + "\r\n"
}
