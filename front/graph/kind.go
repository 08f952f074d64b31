package graph

import (
	"slices"
	"strings"
)

// object is one of the directory, as Graph shows it: strings, booleans, times,
// objects, and []any of these.
type object map[string]any

// get is a property, under the name that kinds give it.
func (o object) get(name string) any { return o[name] }

// form is what a value may be.
type form string

const (
	text       form = "a string"
	guid       form = "a GUID"
	boolean    form = "true or false"
	moment     form = "a time such as 2026-01-01T00:00:00Z"
	structure  form = "an object"
	collection form = "a collection"
)

// kind is what a value is: of an object which properties it has, of a
// collection what is in it.
type kind struct {
	is         form
	name       string           // "microsoft.graph.application"
	properties map[string]*kind // of an object
	of         *kind            // of a collection

	fixed   []string // properties that nobody sets
	foreign []string // properties that Graph has and we do not

	names map[string]string // lower case -> as it is written
}

var (
	aText    = &kind{is: text, name: "Edm.String"}
	aGUID    = &kind{is: guid, name: "Edm.Guid"}
	aBoolean = &kind{is: boolean, name: "Edm.Boolean"}
	aMoment  = &kind{is: moment, name: "Edm.DateTimeOffset"}
)

// listOf is a collection.
func listOf(k *kind) *kind { return &kind{is: collection, name: "Collection(" + k.name + ")", of: k} }

// record is an object with its properties.
func record(name string, properties map[string]*kind) *kind {
	k := &kind{is: structure, name: "microsoft.graph." + name, properties: properties, names: map[string]string{}}
	for p := range properties {
		k.names[strings.ToLower(p)] = p
	}
	return k
}

// without names the properties that Graph has and we do not.
func (k *kind) without(foreign ...string) *kind {
	k.foreign = foreign
	return k
}

// fixing names the properties that nobody sets.
func (k *kind) fixing(names ...string) *kind {
	k.fixed = names
	return k
}

// property finds one by its name in any case; nil: there is none.
func (k *kind) property(name string) (string, *kind) {
	name = k.names[strings.ToLower(name)]
	return name, k.properties[name]
}

// has tells whether Graph's kind has the property, be it that we have not.
func (k *kind) has(name string) bool {
	_, of := k.property(name)
	return of != nil || slices.ContainsFunc(k.foreign, func(f string) bool { return strings.EqualFold(f, name) })
}
