package trace

import "bytes"

var inline = []byte("inline:")

// blank hides SRTP keys: every octet after "inline:" (RFC 4568 section 6.1,
// key||salt in base64) becomes an asterisk, so that lengths stay true. The
// message itself is not touched.
func blank(raw []byte) []byte {
	var copied bool
	for i := 0; ; {
		n := indexFold(raw[i:], inline)
		if n < 0 {
			return raw
		}
		if !copied {
			raw, copied = bytes.Clone(raw), true
		}
		for i += n + len(inline); i < len(raw) && !endsKey(raw[i]); i++ {
			raw[i] = '*'
		}
	}
}

// endsKey: the lifetime, the next key or the next line follow.
func endsKey(b byte) bool { return b <= ' ' || b == '|' || b == ';' }

// indexFold is bytes.Index without regard to case; lower is in lower case.
func indexFold(b, lower []byte) int {
	for i := 0; i+len(lower) <= len(b); i++ {
		n := bytes.IndexAny(b[i:], "iI")
		if n < 0 {
			return -1
		}
		i += n
		if i+len(lower) <= len(b) && bytes.EqualFold(b[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}
