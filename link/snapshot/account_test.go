package snapshot

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAccounts(t *testing.T) {
	a, err := NewAccounts(Account{Name: "fabrikam", Subdomain: "fab"}, Account{Name: "contoso", Subdomain: "C042", AnyCaller: true}, Account{Name: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"contoso": "C042", "fabrikam": "fab", "plain": "", "Contoso": "-", "": "-", "z": "-"} {
		if got, ok := a.Find(name); ok != (want != "-") || ok && (got.Name != name || got.Subdomain != want) {
			t.Errorf("%q: got %+v, %v", name, got, ok)
		}
	}
	for label, want := range map[string]string{"c042": "contoso", "C042": "contoso", "fab": "fabrikam", "": "", "fa": "", "plain": ""} {
		if got, ok := a.At(label); got.Name != want || ok != (want != "") {
			t.Errorf("at %q: got %+v, %v", label, got, ok)
		}
	}
	if _, ok := (Accounts{}).At("c042"); ok {
		t.Error("found in nothing")
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var read Accounts
	if err := json.Unmarshal(data, &read); err != nil || !read.Equal(a) || read.Len() != 3 {
		t.Errorf("%s became %+v: %v", data, read, err)
	}
	if x, ok := read.At("c042"); !ok || !x.AnyCaller {
		t.Error("what was read cannot be found")
	}
}

func TestAccountsThatCannotBeToldApart(t *testing.T) {
	for want, list := range map[string][]Account{
		`account "a" stands twice`:                                {{Name: "a"}, {Name: "b"}, {Name: "a"}},
		`accounts "a" and "b" have the same subdomain "contoso"`:  {{Name: "b", Subdomain: "contoso"}, {Name: "a", Subdomain: "Contoso"}},
		`accounts "a" and "c" have the same subdomain "fabrikam"`: {{Name: "c", Subdomain: "fabrikam"}, {Name: "b"}, {Name: "a", Subdomain: "fabrikam"}},
	} {
		if _, err := NewAccounts(list...); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	var a Accounts
	if err := json.Unmarshal([]byte(`[{"name":"a"},{"name":"a"}]`), &a); err == nil || !strings.HasPrefix(err.Error(), "read accounts: ") {
		t.Errorf("a damaged file is read: %v", err)
	}
}
