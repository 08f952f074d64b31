package record

import (
	"strings"
	"time"
)

// WholeID is the length of a call's ID.
const WholeID = 26

// BegunWithin is when the calls have begun whose IDs begin as said: an ID begins
// with 48 bits of milliseconds since 1970, in Crockford's base 32. It is not ok
// for what no ID begins with.
func BegunWithin(prefix string) (from, until time.Time, ok bool) {
	const alphabet, most = "0123456789abcdefghjkmnpqrstvwxyz", 9 // characters that are of time alone
	if len(prefix) > WholeID {
		return from, until, false
	}
	var v int64
	n := 0
	for ; n < len(prefix); n++ {
		i := strings.IndexByte(alphabet, prefix[n])
		if i < 0 {
			return from, until, false
		}
		if n < most {
			v = v<<5 | int64(i)
		}
	}
	shift := 48 - 5*min(n, most)
	return time.UnixMilli(v << shift), time.UnixMilli((v + 1) << shift), n > 0
}
