package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

func TestRegistrationsAreShown(t *testing.T) {
	until := view.now.Add(29*time.Minute + 30*time.Second)
	var plainOut, out bytes.Buffer
	view.peers(&plainOut, peers())
	if strings.Contains(plainOut.String(), "REG") {
		t.Error("a column for nobody")
	}
	list := peers()
	list[2].Registration = &record.Registration{AOR: "sip:a@carrier.example", Until: &until}
	list[3].Registration = &record.Registration{AOR: "sip:b@carrier.example", Why: "it answers REGISTER with 403 Forbidden: check the name, the secret and the address of record"}
	view.peers(&out, list)
	for _, want := range []string{"REG\n", "29m30s\n", "no\n", "sip:b@carrier.example with core-b is not registered:\n  it answers REGISTER with 403"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	list[2].Registration.Why = "no answer"
	out.Reset()
	view.peers(&out, list)
	if !strings.Contains(out.String(), "is registered until "+view.when(until)+" and cannot be any longer:\n  no answer") {
		t.Error(out.String())
	}
	for _, r := range []*record.Registration{list[2].Registration, list[3].Registration} {
		if s := view.registration(*r); !strings.Contains(s, r.AOR) || !strings.Contains(s, r.Why) {
			t.Error(s)
		}
	}
}
