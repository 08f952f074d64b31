package sip

// class is what a byte may be part of (RFC 3261 25.1, widened where noted).
type class uint8

const (
	clsToken   class = 1 << iota
	clsUser          // user and password of a URI, "%" included
	clsHost          // host name, IPv4 address
	clsParam         // parameter of a URI, "%" included
	clsWord          // Call-ID
	clsDisplay       // display name without quotes
	clsValue         // value of a header's parameter without quotes
	clsHex
)

var classes = func() (t [256]class) {
	add := func(c class, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const mark = "-_.!~*'()"
	add(clsToken|clsUser|clsHost|clsParam|clsWord|clsDisplay|clsValue, alnum)
	add(clsHex, "0123456789abcdefABCDEF")
	add(clsToken, "-.!%*_+`'~")
	// "#" ought to be escaped, but #31# and the like are dialled every day.
	add(clsUser, mark+"%&=+$,;?/:#")
	// "_" is no host name, yet internal zones are full of it.
	add(clsHost, "-._")
	add(clsParam, mark+"%[]/:&+$")
	add(clsWord, "-.!%*_+`'~()<>:\\\"/[]?{}@")
	// A host (IPv6 reference) may be a parameter's value; "/", "@" and the
	// rest are what ";received", ";text" and vendors put there without quotes.
	add(clsValue, "-.!%*_+`'~[]:/@&=$()?{}|#^")
	for c := 0x21; c < 0x100; c++ {
		// Display names come from directories: all but what opens or ends
		// something else, or could be taken for another address.
		if c != 0x7f {
			t[c] |= clsDisplay
		}
		if c >= 0x80 {
			t[c] |= clsValue
		}
	}
	for _, c := range "\"<>,;\\@:" {
		t[c] &^= clsDisplay
	}
	return t
}()

func (c class) has(b byte) bool { return classes[b]&c != 0 }

// span counts the leading bytes of s that are of class c.
func (c class) span(s string) int {
	for i := range len(s) {
		if classes[s[i]]&c == 0 {
			return i
		}
	}
	return len(s)
}

// all reports whether s is of class c alone and not empty.
func (c class) all(s string) bool { return s != "" && c.span(s) == len(s) }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isControl(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// sameFold compares ASCII strings, case aside. strings.EqualFold would also
// fold Unicode (K and the Kelvin sign), which no SIP name means.
func sameFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func trimLeft(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRight(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trim(s string) string { return trimRight(trimLeft(s)) }

// hasControl reports whether s holds a byte below 0x20 or 0x7f, eight at a
// time: x-0x20 borrows into the high bit of exactly the lowest byte below
// 0x20, and x^0x7f is 0 where the byte is 0x7f.
func hasControl(s string) bool {
	const low, ones, high = 0x2020202020202020, 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := x ^ 0x7f7f7f7f7f7f7f7f
		if ((x-low)&^x|(del-ones)&^del)&high != 0 {
			return true
		}
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// parseDigits reads a decimal number of at most max; n is the count of its
// digits, ok is false without digits or above max.
func parseDigits(s string, max uint32) (v uint32, n int, ok bool) {
	var w uint64
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		if w <= uint64(max) {
			w = w*10 + uint64(s[n]-'0')
		}
		n++
	}
	return uint32(w), n, n > 0 && w <= uint64(max)
}

// clean replaces control characters by blanks, so that nothing written from
// values can end a line.
func clean(s string) string {
	i := 0
	for i < len(s) && !isControl(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if isControl(b[i]) {
			b[i] = ' '
		}
	}
	return string(b)
}
