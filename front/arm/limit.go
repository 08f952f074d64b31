package arm

import (
	"net/http"

	"github.com/tandemgw/tandem/front/door"
)

// class is what a request counts as.
type class string

const (
	reads   class = "reads"
	writes  class = "writes"
	deletes class = "deletes"
)

// bucketKey is whose requests count together.
type bucketKey struct {
	class                   class
	principal, subscription string
}

// Rate is a bucket.
type Rate = door.Rate

// Limits are how many requests one principal may make of one subscription. The
// zero Limits are those of Azure Resource Manager's buckets, which are 200 to
// 250 at once and 10 to 25 a second.
type Limits struct {
	Reads, Writes, Deletes Rate
}

// of is the rate of a class.
func (l Limits) of(c class) Rate {
	switch c {
	case reads:
		return l.Reads
	case deletes:
		return l.Deletes
	}
	return l.Writes
}

// classOf is what a method counts as.
func classOf(method string) class {
	switch method {
	case http.MethodGet, http.MethodHead:
		return reads
	case http.MethodDelete:
		return deletes
	}
	return writes
}
