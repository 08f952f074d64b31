package gateway

import (
	"fmt"
	"reflect"
	"strings"
)

// What is far above anything that a gateway needs. Rules compare elements with
// each other, and do so while others wait for the store.
const (
	mostInList = 1000 // elements of one list
	mostInAll  = 5000 // of all lists together
	longest    = 2048 // bytes of one text
)

// measure tells what of a value is too big to be judged at all, the first of
// it; nil when nothing is. v is made of structs, lists, maps and texts.
func measure(path string, v any) Problems {
	m := meter{}
	m.measure(path, reflect.ValueOf(v))
	if m.problem == nil {
		return nil
	}
	return Problems{*m.problem}
}

type meter struct {
	all     int
	problem *Problem
}

func (m *meter) measure(path string, v reflect.Value) {
	if m.problem != nil {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			m.measure(path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			m.measure(strings.TrimPrefix(path+"."+name, "."), v.Field(i))
		}
	case reflect.Slice:
		m.count(path, v.Len())
		for i := range v.Len() {
			m.measure(at(path, i), v.Index(i))
		}
	case reflect.Map:
		m.count(path, v.Len())
		for name, value := range v.Seq2() {
			m.measure(path, name)
			m.measure(path, value)
		}
	case reflect.String:
		if v.Len() > longest {
			m.tooBig(path, "%d bytes: write at most %d", v.Len(), longest)
		}
	}
}

func (m *meter) count(path string, n int) {
	switch m.all += n; {
	case n > mostInList:
		m.tooBig(path, "%d elements: write at most %d", n, mostInList)
	case m.all > mostInAll:
		m.tooBig(path, "the lists up to here have %d elements together: write at most %d", m.all, mostInAll)
	}
}

func (m *meter) tooBig(path, format string, args ...any) {
	if m.problem == nil {
		m.problem = &Problem{path, OutOfRange, fmt.Sprintf(format, args...)}
	}
}
