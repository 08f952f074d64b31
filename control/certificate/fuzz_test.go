package certificate

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/edge/identity"
)

// What an operator brings, an authority sends or an edge asks for can be
// anything: it is refused with a sentence, or it is what was wanted.
func FuzzJudge(f *testing.F) {
	keeper, err := identity.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	request, err := keeper.Request(regional())
	if err != nil {
		f.Fatal(err)
	}
	ca := newAuthority(f)
	f.Add(ca.sign(f, request))
	f.Add(ca.sign(f, request) + pemOf(ca.cert.Raw))
	f.Add(request)
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	c := Certificate{Node: "r1-a", Names: regional(), Request: request}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := judge(text, c, ca.pool(), time.Now())
		if err == nil && (len(list) == 0 || !sameKey(list[0].PublicKey, list[0].PublicKey)) {
			t.Fatalf("taken: %v", list)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("refused without a word")
		}
		if checkRequest(text, regional()) == nil && text != request {
			// Only another way to write the same request can be as good.
			r, err := parseRequest(text)
			if err != nil || len(r.DNSNames) != len(regional()) {
				t.Fatalf("signed: %v, %v", r, err)
			}
		}
	})
}
