package sip

import "iter"

// Params are the parameters of a header or URI as on the wire: ";a=b;c".
type Params string

// Get gives the value of a parameter, quotes removed; names match in any case.
// A parameter without "=" has the value "".
func (p Params) Get(name string) (value string, ok bool) { panic("todo") }

// All gives name and value of each parameter, in order.
func (p Params) All() iter.Seq2[string, string] { panic("todo") }

// With sets a parameter, in its place or at the end. The value is written as it stands (Quote it
// if it is text); an empty value writes the bare name.
func (p Params) With(name, value string) Params { panic("todo") }

// Without removes a parameter.
func (p Params) Without(name string) Params { panic("todo") }

// Quote makes a quoted string of s.
func Quote(s string) string { panic("todo") }
