package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheManualsTables writes docs/headers.md out of the profiles, so that the
// manual says what is done.
func TestTheManualsTables(t *testing.T) {
	const file = "../../docs/headers.md"
	var b strings.Builder
	b.WriteString(manualHead)
	for _, p := range []*Profile{&Teams, &TeamsMobile, &DirectRouting, &Zoom, &Core, &IMS} {
		fmt.Fprintf(&b, "\n## %s\n\n", p.Name)
		fmt.Fprintf(&b, "Methods: %s. Extensions: %s.\n\n", p.Allow, p.Supported)
		b.WriteString("| header | is | in |\n|---|---|---|\n")
		for _, r := range p.Sends {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Trim(r.Header, "()"), r.Deed, r.On)
		}
		hears := slices.Clone(p.Hears)
		slices.Sort(hears)
		fmt.Fprintf(&b, "\nBelieved when it comes from there: %s.\n", strings.Join(hears, ", "))
	}
	got := b.String()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("docs/headers.md (-update writes it anew):\n%s", d)
	}
}

// String names the messages of a set, for manuals.
func (o Occasion) String() string {
	if o&^(onTrying|OnAck|OnOptions) == OnAll&^(onTrying|OnAck|OnOptions) {
		switch {
		case o&(OnAck|OnOptions) == OnAck|OnOptions:
			return "all messages"
		case o&(OnAck|OnOptions) == 0:
			return "all messages but ACK and OPTIONS"
		}
	}
	var all []string
	for _, n := range []struct {
		on   Occasion
		name string
	}{
		{OnInvite, "INVITE"},
		{OnChange, "re-INVITE, UPDATE"},
		{OnBye, "BYE"},
		{OnInside, "other requests inside a dialog"},
		{OnAck, "ACK"},
		{OnOptions, "OPTIONS and its answer"},
		{OnEarly, "18x"},
		{OnAccept, "2xx to INVITE, UPDATE"},
		{OnDone, "other 2xx"},
		{OnFailure, "refusals"},
	} {
		if o&n.on != 0 {
			all = append(all, n.name)
		}
	}
	return strings.Join(all, "; ")
}

const manualHead = `# What each far side is sent

A message is never forwarded: the message of one leg is written anew, and of the other leg's only what a rule of the profile names has a part in it. A header is

* **made**: by us, of what we know; the other side's has no part in it;
* **kept**: the other side's, as long as it has the plain form of its header (mostly one word without a dot, so that no name of a host rides in it);
* **converted**: the other side's, in the words that this side reads;
* **removed**: all others.

Via, Max-Forwards, From, To, Call-ID, CSeq, Record-Route and Route are those of the leg's own dialog (RFC 3261). Session-Expires and Min-SE are agreed upon
with each side alone (RFC 4028), and so are RSeq, RAck and Require. CANCEL and the ACK to a refusal are the transaction's own. A wish for Privacy is heard from everybody. These tables are written out of the profiles themselves. What a side wants otherwise is said
by ` + "`interworking`" + ` in tandem.yaml, and a rule that has to do with it comes or goes.
`
