package snapshot

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a group wants survives JSON, every field of it, and what it does not
// want takes no room there.
func TestInterworkingSurvivesJSON(t *testing.T) {
	var full Interworking
	fill(t, reflect.ValueOf(&full).Elem())
	for _, i := range []Interworking{full, {}} {
		g := Group{Name: "core", Interworking: i}
		data, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		var back Group
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(g, back); d != "" {
			t.Errorf("%s\n%s", d, data)
		}
		var keys map[string]any
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
		if _, said := keys["interworking"]; said != (i != Interworking{}) {
			t.Errorf("%s", data)
		}
	}
}

// fill sets every field to something.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x" + v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Struct:
			fill(t, f)
		default:
			t.Fatalf("%s is %s", v.Type().Field(i).Name, f.Kind())
		}
	}
}
