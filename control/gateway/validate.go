package gateway

import "strings"

// Problem is one rule broken.
type Problem struct {
	Path    string // "properties.serviceLocations[1].primaryRegionProperties.operatorAddresses[0]"
	Code    string // for programs: "InvalidAddress"
	Message string // for people: what to do
}

// String is the path and the message.
func (p Problem) String() string { return p.Path + ": " + p.Message }

// Problems are all the rules a resource breaks, in the order of its properties.
type Problems []Problem

// Error is every problem, a line each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Validate checks a resource whose defaults are filled in (see Default) and
// returns every problem it has; nil when it is good.
func Validate(g Gateway) Problems { panic("todo") }

// Default returns the resource with the API's defaults where it is silent.
func Default(g Gateway) Gateway { panic("todo") }
