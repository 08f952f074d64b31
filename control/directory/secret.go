package directory

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// rounds of PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2): about 20 ms, so that a
// stolen database gives away no secret that a person thought up. Tokens live
// an hour, so an application pays it once an hour.
const rounds = 100_000

// hashers is how many secrets are hashed at once: a flood of wrong ones must
// leave the processor to others.
const hashers = 2

// nobody is compared with when there is no such application. No secret fits.
var nobody = hash(rand.Text())

// hash is a secret as it is kept: "pbkdf2-sha256$rounds$salt$key".
func hash(secret string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	return fmt.Sprintf("pbkdf2-sha256$%d$%s$%s", rounds, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(stretch(secret, salt, rounds)))
}

// matches compares a secret with a hash, in constant time.
func matches(hash, secret string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 4 || parts[0] != "pbkdf2-sha256" {
		return false
	}
	n, err := strconv.Atoi(parts[1])
	salt, err2 := base64.RawStdEncoding.DecodeString(parts[2])
	want, err3 := base64.RawStdEncoding.DecodeString(parts[3])
	if err != nil || err2 != nil || err3 != nil || n < 1 {
		return false
	}
	return subtle.ConstantTimeCompare(stretch(secret, salt, n), want) == 1
}

func stretch(secret string, salt []byte, n int) []byte {
	// HMAC fills a short key up with zeros (RFC 2104 §2): without its length, a
	// secret would fit that has zeros behind it.
	key, err := pbkdf2.Key(sha256.New, strconv.Itoa(len(secret))+":"+secret, salt, n, sha256.Size)
	if err != nil {
		panic(err) // only of parameters, and those are ours
	}
	return key
}
