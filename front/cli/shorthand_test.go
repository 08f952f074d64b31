package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Azure CLI docs, "Shorthand syntax".
func TestShorthand(t *testing.T) {
	type object = map[string]any
	type list = []any
	file := filepath.Join(t.TempDir(), "codecs.json")
	if err := os.WriteFile(file, []byte("[\"PCMA\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]any{
		"PCMA":                list(nil),
		"[PCMA]":              list{"PCMA"},
		"[PCMA, PCMU ,G722]":  list{"PCMA", "PCMU", "G722"},
		"[]":                  list{},
		"{}":                  object{},
		`["PCMA",true,1]`:     list{"PCMA", true, json.Number("1")},
		"{a:b,c:[d,{e:f}]}":   object{"a": "b", "c": list{"d", object{"e": "f"}}},
		"{a:null}":            object{"a": nil},
		"{'a:b':'c,d','e':f}": object{"a:b": "c,d", "e": "f"},
		"['it'/s',x]":         list{"it's", "x"},
		"[+441134960000]":     list{"+441134960000"},
		"@" + file:            list{"PCMA"},
		"null":                nil,
		`"a"`:                 "a",
		"{url:https://x}":     object{"url": "https://x"},
		"[{name:useast,PrimaryRegionProperties:{operatorAddresses:[198.51.100.1]}}]": list{object{
			"name": "useast", "PrimaryRegionProperties": object{"operatorAddresses": list{"198.51.100.1"}},
		}},
	} {
		if text == "PCMA" {
			want = "PCMA"
		}
		got, err := shorthand(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", text, d)
		}
	}
	for text, says := range map[string]string{
		"[a": "ends where a comma or ] should stand", "{a}": "character 3 should be a colon after a", "{a:}": "character 4 should be a value",
		"[a,,b]": "a value", "{a:b,a:c}": "stands twice", "['a]": "closing quote", "[a]b": "nothing more", "[a b]c]": "nothing more",
		strings.Repeat("[", 99): "nests too deep", "@/nowhere/at/all": "no such file", "{:a}": "a name",
	} {
		if v, err := shorthand(text); err == nil || !strings.Contains(err.Error(), says) || ExitStatus(err) != ExitUsage {
			t.Errorf("%s gives %v and %v, want an error of usage that says %q", text, v, err, says)
		}
	}
}

func FuzzShorthand(f *testing.F) {
	for _, s := range []string{"[a,b]", "{a:b,c:{d:[e]}}", "['x'/y']", "{a:'b'}", "null", "[[[", "{a:[b,{c:d}],e:null}", `{"a":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.HasPrefix(s, "@") {
			return
		}
		v, err := shorthand(s)
		if err != nil {
			return
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", s, err)
		}
		again, err := shorthand(string(data)) // JSON is shorthand too
		if _, text := v.(string); err != nil && !text {
			t.Fatalf("%q became %s, which cannot be read: %v", s, data, err)
		}
		if _, text := v.(string); !text && !reflect.DeepEqual(plainJSON(again), plainJSON(v)) {
			t.Fatalf("%q became %s and then %v", s, data, again)
		}
	})
}

func TestNamesAreReadLoosely(t *testing.T) {
	v, err := shorthand("[{name:a,PrimaryRegionProperties:{operator-addresses:[b],ESRP_addresses:[c],tags:{PrimaryRegion:x}}}]")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(loosely(v, propertyNames))
	if want := `[{"name":"a","primaryRegionProperties":{"esrpAddresses":["c"],"operatorAddresses":["b"],"tags":{"PrimaryRegion":"x"}}}]`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWordsOfAz(t *testing.T) {
	for line, want := range map[string]string{
		"gateway create --tags a=b c=d -n x":                "gateway create --tags a=b --tags c=d -n x",
		"gateway create --codecs PCMA PCMU --platforms [A]": "gateway create --codecs PCMA --codecs PCMU --platforms [A]",
		"gateway update --add tags x --no-wait":             "gateway update --add tags --add x --no-wait",
		"call show --past x y":                              "call show --past x y",
		"voice-service test-line create --tags":             "voice-service test-line create --tags",
	} {
		if got := strings.Join(Spread(strings.Fields(line)), " "); got != want {
			t.Errorf("%s\n gives %s\n want  %s", line, got, want)
		}
	}
}

func TestPartsAreSetAddedAndRemoved(t *testing.T) {
	const before = `{"id":"/x","location":"westeurope","properties":{"codecs":["PCMA"],"serviceLocations":[{"name":"a"}],"status":"Complete"},"tags":{"stage":"test"}}`
	read := func() map[string]any {
		var v map[string]any
		if err := json.Unmarshal([]byte(before), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, x := range []struct {
		name             string
		set, add, remove []string
		want, says       string
	}{
		{"a tag is set", []string{"tags.owner=me"}, nil, nil, `"tags":{"owner":"me","stage":"test"}`, ""},
		{"a property is found without its prefix", []string{"e911Type=Standard"}, nil, nil, `"e911Type":"Standard"`, ""},
		{"with its prefix too", []string{"properties.onPremMcpEnabled=true"}, nil, nil, `"onPremMcpEnabled":true`, ""},
		{"an item of a list", []string{"codecs[0]=PCMU"}, nil, nil, `"codecs":["PCMU"]`, ""},
		{"deep in a list", []string{"serviceLocations[0].primaryRegionProperties={operatorAddresses:[a]}"}, nil, nil, `{"name":"a","primaryRegionProperties":{"operatorAddresses":["a"]}}`, ""},
		{"an item that is not there", []string{"codecs[3]=PCMU"}, nil, nil, "", "no such part"},
		{"no value", []string{"codecs"}, nil, nil, "", "PATH=VALUE"},
		{"no path", []string{"=x"}, nil, nil, "", "empty"},
		{"a wrong path", []string{"a..b=x"}, nil, nil, "", "no path"},
		{"added", nil, []string{"codecs", "PCMU", "G722"}, nil, `"codecs":["PCMA","PCMU","G722"]`, ""},
		{"added to what was not there", nil, []string{"emergencyDialStrings", "112"}, nil, `"emergencyDialStrings":["112"]`, ""},
		{"added to what is no list", nil, []string{"tags.stage", "x"}, nil, "", "no list"},
		{"a tag is removed", nil, nil, []string{"tags.stage"}, `"tags":{}`, ""},
		{"an item is removed", nil, nil, []string{"codecs", "0"}, `"codecs":[]`, ""},
		{"an item that is not there is removed", nil, nil, []string{"codecs", "7"}, "", "no item 7"},
		{"what is not there is removed", nil, nil, []string{"tags.none"}, "", "no such part"},
	} {
		v := read()
		err := cmpOr(setParts(v, x.set), addParts(v, x.add), removeParts(v, x.remove))
		got, _ := json.Marshal(v)
		switch {
		case x.says == "" && (err != nil || !strings.Contains(string(got), x.want)):
			t.Errorf("%s: %s and %v, want %s", x.name, got, err, x.want)
		case x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)):
			t.Errorf("%s: %v, want an error that says %q", x.name, err, x.says)
		}
	}
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
