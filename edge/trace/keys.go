package trace

import "bytes"

var (
	inline   = []byte("inline:")
	response = []byte(`response="`)
)

// blank hides SRTP keys, every octet after "inline:" (RFC 4568 section 6.1,
// key||salt in base64), and the proofs of digest authentication, out of which
// a weak secret could be guessed. Each octet becomes an asterisk, so that
// lengths stay true. The message itself is not touched.
func blank(raw []byte) []byte {
	return hide(hide(raw, raw, inline, endsKey), raw, response, endsProof)
}

// hide blanks what follows each begin; raw is copied unless it differs from
// original already.
func hide(raw, original, begin []byte, ends func(byte) bool) []byte {
	copied := len(raw) > 0 && &raw[0] != &original[0]
	for i := 0; ; {
		n := indexFold(raw[i:], begin)
		if n < 0 {
			return raw
		}
		if !copied {
			raw, copied = bytes.Clone(raw), true
		}
		for i += n + len(begin); i < len(raw) && !ends(raw[i]); i++ {
			raw[i] = '*'
		}
	}
}

// endsKey: the lifetime, the next key or the next line follow.
func endsKey(b byte) bool { return b <= ' ' || b == '|' || b == ';' }

// endsProof: a digest is one word in quotes.
func endsProof(b byte) bool { return b <= ' ' || b == '"' }

// indexFold is bytes.Index without regard to case; lower is in lower case and
// begins with a letter.
func indexFold(b, lower []byte) int {
	first := string([]byte{lower[0], lower[0] - 'a' + 'A'})
	for i := 0; i+len(lower) <= len(b); i++ {
		n := bytes.IndexAny(b[i:], first)
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
