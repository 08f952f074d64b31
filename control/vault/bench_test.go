package vault_test

import (
	"testing"

	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/vault"
)

func BenchmarkGet(b *testing.B) {
	w := newWorld(b, storetest.New(b))
	w.vault("voice")
	w.put("voice", "s", canary)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Secret(b.Context(), as(owner), vault.Ref{Vault: "voice", Name: "s"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	w := newWorld(b, storetest.New(b))
	w.vault("voice")
	for b.Loop() {
		w.put("voice", "s", canary)
	}
}
