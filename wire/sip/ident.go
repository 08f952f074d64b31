package sip

import "crypto/rand"

// branchCookie begins every branch of RFC 3261 (8.1.1.7).
const branchCookie = "z9hG4bK"

// NewTag makes a From or To tag (RFC 3261 19.3) of 80 random bits.
func NewTag() string { return random("", 16) }

// NewBranch makes a Via branch of 100 random bits behind the magic cookie.
func NewBranch() string { return random(branchCookie, 20) }

// NewCallID makes a Call-ID of 130 random bits; it names no host, so that
// nothing of us leaks.
func NewCallID() string { return random("", 26) }

// random appends n letters and digits of 5 random bits each to prefix. Lower
// case alone, since some peers fold tags.
func random(prefix string, n int) string {
	var b [40]byte
	copy(b[:], prefix)
	id := b[len(prefix) : len(prefix)+n]
	rand.Read(id) // never fails: it ends the process instead
	for i := range id {
		id[i] = "abcdefghijklmnopqrstuvwxyz234567"[id[i]&31]
	}
	return string(b[:len(prefix)+n])
}
