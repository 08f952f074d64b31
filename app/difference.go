package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/front/ops"
)

// difference lists what differs between two configurations, by the path of
// each key. Elements of lists that have a name are compared with their
// namesake, so that a new one in front does not make all of them new.
func difference(from, to *Config) []ops.Change {
	var d differ
	d.fields("", reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem())
	return d
}

type differ []ops.Change

func (d *differ) add(path, from, to string) {
	*d = append(*d, ops.Change{Path: path, Old: from, New: to})
}

func (d *differ) value(path string, from, to reflect.Value) {
	switch kind := from.Kind(); {
	case reflect.DeepEqual(from.Interface(), to.Interface()):
	case scalars[from.Type()].parse != nil:
		d.add(path, show(from), show(to))
	case kind == reflect.Pointer && !from.IsNil() && !to.IsNil():
		d.value(path, from.Elem(), to.Elem())
	case kind == reflect.Struct:
		d.fields(path, from, to)
	case kind == reflect.Map:
		d.entries(path, from, to)
	case kind == reflect.Slice && named(from) && named(to):
		d.elements(path, from, to)
	default:
		d.add(path, show(from), show(to))
	}
}

func (d *differ) fields(path string, from, to reflect.Value) {
	for i := range from.NumField() {
		if key := keyOf(from.Type().Field(i), "yaml"); key != "" {
			d.value(join(path, key), from.Field(i), to.Field(i))
		}
	}
}

func (d *differ) entries(path string, from, to reflect.Value) {
	keys := map[string]bool{}
	for _, m := range []reflect.Value{from, to} {
		for _, k := range m.MapKeys() {
			keys[k.String()] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		k := reflect.ValueOf(key)
		d.pair(join(path, key), from.MapIndex(k), to.MapIndex(k))
	}
}

// pair compares what may be missing on one side.
func (d *differ) pair(path string, from, to reflect.Value) {
	switch {
	case !from.IsValid():
		d.add(path, "", show(to))
	case !to.IsValid():
		d.add(path, show(from), "")
	default:
		d.value(path, from, to)
	}
}

// named tells whether a list is of sections that begin with a name, and has
// none of them twice.
func named(list reflect.Value) bool {
	if list.Type().Elem().Kind() != reflect.Struct || list.Type().Elem().NumField() == 0 || list.Type().Elem().Field(0).Type.Kind() != reflect.String {
		return false
	}
	names := namesOf(list)
	slices.Sort(names)
	return len(slices.Compact(slices.Clone(names))) == len(names)
}

func namesOf(list reflect.Value) []string {
	var names []string
	for i := range list.Len() {
		names = append(names, list.Index(i).Field(0).String())
	}
	return names
}

func (d *differ) elements(path string, from, to reflect.Value) {
	before, after := places(from), places(to)
	var kept [2][]string
	for _, name := range namesOf(from) {
		if _, stays := after[name]; stays {
			kept[0] = append(kept[0], name)
		}
		d.pair(path+"["+name+"]", before[name], after[name])
	}
	for _, name := range namesOf(to) {
		if _, stayed := before[name]; stayed {
			kept[1] = append(kept[1], name)
			continue
		}
		d.pair(path+"["+name+"]", reflect.Value{}, after[name])
	}
	if !slices.Equal(kept[0], kept[1]) {
		d.add(path, "in the order "+strings.Join(kept[0], ", "), "in the order "+strings.Join(kept[1], ", "))
	}
}

func places(list reflect.Value) map[string]reflect.Value {
	m := map[string]reflect.Value{}
	for i, name := range namesOf(list) {
		m[name] = list.Index(i)
	}
	return m
}

// show writes a value the way the file would, without what is left out.
func show(v reflect.Value) string {
	switch kind := v.Kind(); {
	case scalars[v.Type()].parse != nil:
		if s, ok := v.Interface().(fmt.Stringer); ok && !v.IsZero() {
			return s.String()
		}
		return ""
	case kind == reflect.Pointer && v.IsNil():
		return ""
	case kind == reflect.Pointer:
		return show(v.Elem())
	case kind == reflect.Struct:
		var keys []string
		for i := range v.NumField() {
			if key := keyOf(v.Type().Field(i), "yaml"); key != "" && !v.Field(i).IsZero() {
				keys = append(keys, key+": "+show(v.Field(i)))
			}
		}
		return "{" + strings.Join(keys, ", ") + "}"
	case kind == reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, show(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case kind == reflect.Map:
		var keys []string
		for _, k := range v.MapKeys() {
			keys = append(keys, k.String()+": "+show(v.MapIndex(k)))
		}
		slices.Sort(keys)
		return "{" + strings.Join(keys, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}

// String is the range as the file has it.
func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.Min, p.Max) }

// renewed lists what differs in the files that two configurations name.
func renewed(from, to *running) []ops.Change {
	var d differ
	for _, name := range slices.Sorted(maps.Keys(to.certificates)) {
		if old := from.certificates[name]; old != nil && !sameCertificate(old, to.certificates[name]) {
			d.add(name+".certificate", describe(old.Leaf), describe(to.certificates[name].Leaf))
		}
	}
	for _, where := range slices.Sorted(maps.Keys(to.trusted)) {
		if before, known := from.trusted[where]; known {
			d.authorities(where, before, to.trusted[where])
		}
	}
	if a, b := from.cfg, to.cfg; a.NumbersFile == b.NumbersFile && a.NumbersFile != "" && reflect.DeepEqual(a.Numbers, b.Numbers) && !a.provisioned.Equal(b.provisioned) {
		d.add("numbersFile", fmt.Sprintf("%d numbers", a.provisioned.Len()), fmt.Sprintf("%d numbers, others than before", b.provisioned.Len()))
	}
	return d
}

func sameCertificate(a, b *tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal[[]byte])
}

// describe tells one certificate from its renewal.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("%s, serial %x, until %s", bearing(c), c.SerialNumber, day(c.NotAfter))
}

func (d *differ) authorities(path string, from, to []*x509.Certificate) {
	for _, c := range from {
		if !slices.ContainsFunc(to, c.Equal) {
			d.add(path, c.Subject.CommonName, "")
		}
	}
	for _, c := range to {
		if !slices.ContainsFunc(from, c.Equal) {
			d.add(path, "", c.Subject.CommonName)
		}
	}
}
