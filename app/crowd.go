package app

import "github.com/tandemgw/tandem/base/crowd"

// How many connections the API keeps at once.
const (
	maxOfSource = 256
	maxOfAll    = 4096
)

var apiCrowd = crowd.Limits{OfSource: maxOfSource, OfAll: maxOfAll}
