package app

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/phone"
)

const customerNumbers = `telephoneNumber,accountName,serviceDetails_teamsDirectRouting_enabled,configuration_customSipHeader
+441134960020,contoso,true,gold-42
+441134960021,contoso,true,
+441134960030,fabrikam,true,
`

// A customer of Direct Routing, with its numbers in a file as the Number
// Management Portal exports it: its subdomain is our name on Teams' side, its
// callers are screened, its calls bear the operator's own header (Azure
// Communications Gateway docs, Microsoft Teams Direct Routing; Microsoft Teams
// docs, "Configure a Session Border Controller for multiple tenants").
func TestACustomerOfDirectRouting(t *testing.T) {
	w := build(t, func(w *world) {
		write(t, w.dir, "numbers.csv", customerNumbers)
		w.write("platforms: [OperatorConnect]", `platforms: [OperatorConnect, TeamsDirectRouting]
    customSipHeaders: {headers: [{name: X-MS-Operator-Content}]}
    emergencyDialStrings: ["999"]`,
			"gateway:\n", `accounts:
  - {name: contoso, subdomain: contoso, screening: true}
  - {name: fabrikam}
numbersFile: numbers.csv
gateway:
`)
	})
	w.core.Answer("999", phone.Behaviour{})
	w.teams.Answer("+441134960020", phone.Behaviour{})
	const header, ours = "X-MS-Operator-Content: gold-42\r\n", "contoso.1r1.lab.example"

	t.Run("a call to it", func(t *testing.T) {
		w.t = t
		f := w.dial(false, phone.CallSpec{From: "+442079460001", To: "+441134960020"})
		if f.Answered.IsZero() {
			t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
		}
		if last := f.Responses[len(f.Responses)-1]; !strings.Contains(last, header) {
			t.Errorf("the core's answer has no value of the called number:\n%s", last)
		}
		there := w.inTeams("+441134960020")
		if there.Peer != ours || !strings.Contains(there.Invite, "Contact: <sip:"+ours+":5063;transport=tls>\r\n") {
			t.Errorf("Teams was called by %s:\n%s", there.Peer, there.Invite)
		}
		if strings.Contains(there.Invite, "Operator-Content") {
			t.Error("the operator's header is shown to Teams")
		}
	})
	t.Run("a call from it", func(t *testing.T) {
		w.t = t
		f := w.dial(true, phone.CallSpec{Trunk: "contoso", From: "+441134960020", To: "+442079460001"})
		if f.Answered.IsZero() {
			t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
		}
		for _, r := range f.Responses {
			if strings.Contains(r, "Contact:") && !strings.Contains(r, "Contact: <sip:"+ours+":5063;transport=tls>\r\n") {
				t.Errorf("Contact is not the customer's:\n%s", r)
			}
		}
		if there := w.inCore("+442079460001"); !strings.Contains(there.Invite, header) {
			t.Errorf("the core is not told the value of the calling number:\n%s", there.Invite)
		}
	})
	for name, from := range map[string]string{"another customer's number": "+441134960030", "nobody's number": "+14255550199"} {
		t.Run(name+" is refused", func(t *testing.T) {
			w.t = t
			if f := w.dial(true, phone.CallSpec{Trunk: "contoso", From: from, To: "+442079460001"}); f.Status != 403 || len(f.Attempts) != 1 {
				t.Errorf("answered %d after %d attempts", f.Status, len(f.Attempts))
			}
		})
	}
	t.Run("a forwarded call bears the first caller in From and is billed to the customer", func(t *testing.T) {
		w.t = t
		f := w.dial(true, phone.CallSpec{
			Trunk: "contoso", From: "+14255550199", To: "+442079460001",
			Headers: []phone.Header{{Name: "P-Asserted-Identity", Value: "<tel:+441134960021>,<sip:john@contoso.example>"}},
		})
		if f.Answered.IsZero() {
			t.Errorf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
		}
	})
	t.Run("an asserted number of somebody else's is refused whatever From says", func(t *testing.T) {
		w.t = t
		f := w.dial(true, phone.CallSpec{
			Trunk: "contoso", From: "+441134960021", To: "+442079460001",
			Headers: []phone.Header{{Name: "P-Asserted-Identity", Value: "<tel:+14255550199>"}},
		})
		if f.Status != 403 {
			t.Errorf("answered %d", f.Status)
		}
	})
	t.Run("an emergency call goes whoever calls", func(t *testing.T) {
		w.t = t
		if f := w.dial(true, phone.CallSpec{Trunk: "contoso", From: "+14255550199", To: "999"}); f.Answered.IsZero() {
			t.Errorf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
		}
	})
	t.Run("a screening that is switched off lets every caller through, after a reload", func(t *testing.T) {
		w.t = t
		w.write("screening: true", "screening: false")
		if _, err := w.node.Reload(); err != nil {
			t.Fatal(err)
		}
		if f := w.dial(true, phone.CallSpec{Trunk: "contoso", From: "+14255550199", To: "+442079460001"}); f.Answered.IsZero() {
			t.Errorf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
		}
	})
	w.t = t
	past, err := w.ops.Past(t.Context(), record.Filter{})
	w.must(err)
	for _, c := range past {
		if c.Account != "contoso" || c.Service != "TeamsDirectRouting" {
			t.Errorf("the record of %s to %s is of %s, %s", c.From, c.To, c.Account, c.Service)
		}
	}
	for _, v := range w.teams.Violations() {
		t.Errorf("Teams complains: %+v", v)
	}
}

// dial places a call, waits for its answer or its end, and ends it.
func (w *world) dial(fromTeams bool, spec phone.CallSpec) phone.Facts {
	w.t.Helper()
	dial := w.core.Dial
	spec.Site = "a"
	if fromTeams {
		dial, spec.Site, spec.Region = w.teams.Dial, "", "1r1.lab.example"
	}
	call, err := dial(w.t.Context(), spec)
	w.must(err)
	return w.outcome(call)
}

// outcome waits for the answer of a call, or its end, and ends it.
func (w *world) outcome(call *phone.Call) phone.Facts {
	w.t.Helper()
	err := call.Wait(w.t.Context())
	f := call.Facts()
	if f.Status == 0 {
		w.must(err)
	}
	call.HangUp()
	<-call.Done()
	return f
}

func (w *world) inTeams(number string) phone.Facts { return w.inbound(w.teams.Calls(), number) }
func (w *world) inCore(number string) phone.Facts  { return w.inbound(w.core.Calls(), number) }

// inbound is the last call to a number.
func (w *world) inbound(calls []*phone.Call, number string) (last phone.Facts) {
	w.t.Helper()
	for _, c := range calls {
		if f := c.Facts(); !f.Outbound && f.To == number {
			last = f
		}
	}
	if last.To == "" {
		w.t.Fatalf("nobody has called %s", number)
	}
	return last
}
