package app

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// A core by 3GPP that writes national numbers: what it is sent, what it sends,
// and what a reload makes of it.
func TestACoreThatWantsItOtherwise(t *testing.T) {
	w := build(t, func(w *world) {
		w.write("  names: [a.core.lab.example]\n", `  names: [a.core.lab.example]
  interworking:
    profile: ims
    tenantGroup: true
    trunkContext: core.lab.example
    operator: core.lab.example
    access: GSTN
    numbers: {countryCode: "44", trunkPrefix: "0", format: national}
`)
	})
	w.core.Answer("02079460001", phone.Behaviour{})
	const told = `<sip:+442079460005@sip.pstn.lab.example:5061;user=phone?Reason=SIP;cause=486;text="Busy here">;index=1,<sip:+442079460001@sip.pstn.lab.example;user=phone>;index=1.1`
	forwarded := phone.CallSpec{From: "+14255550101", To: "+442079460001", Params: ";cause=486", Headers: []phone.Header{{Name: "History-Info", Value: told}}}
	if f := w.dial(true, forwarded); f.Answered.IsZero() {
		t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	invite := w.inCore("02079460001").Invite
	for _, want := range []string{
		"INVITE sip:02079460001@", ";cause=486 SIP/2.0\r\n", "\r\nFrom: ", "<sip:0014255550101@r1.lab.example;user=phone>",
		";tgrp=00000000-0000-4000-8000-000000000001;trunk-context=core.lab.example@", "\r\nP-Charging-Vector: icid-value=", `;orig-ioi="core.lab.example"`,
		"\r\nP-Access-Network-Info: GSTN\r\n", "\r\nP-Early-Media: supported\r\n",
		"\r\nHistory-Info: <sip:02079460005@r1.lab.example;user=phone?Reason=SIP%3Bcause%3D486>;index=1\r\n",
	} {
		if !strings.Contains(invite, want) {
			t.Errorf("the core's INVITE has no %q:\n%s", want, invite)
		}
	}

	// The other way: national numbers become E.164, and its vector comes back.
	const vector = `icid-value="abc=1";orig-ioi=home.core.lab.example`
	f := w.dial(false, phone.CallSpec{From: "+442079460001", To: "0014255550101", Headers: []phone.Header{
		{Name: "P-Charging-Vector", Value: vector}, {Name: "P-Asserted-Identity", Value: "<tel:02079460009>"},
	}})
	if f.Answered.IsZero() {
		t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	if last := f.Responses[len(f.Responses)-1]; !strings.Contains(last, "\r\nP-Charging-Vector: "+vector+`;term-ioi="core.lab.example"`) {
		t.Errorf("the core's 200:\n%s", last)
	}
	if invite := w.inTeams("+14255550101").Invite; !strings.Contains(invite, "<sip:+442079460009@1r1.lab.example;user=phone>") || strings.Contains(invite, "P-Charging") {
		t.Errorf("Teams' INVITE:\n%s", invite)
	}

	w.write("profile: ims", "profile: core\n    history: none", "format: national", "format: digits")
	if _, err := w.ops.Reload(t.Context(), ops.ReloadRequest{}); err != nil {
		t.Fatal(err)
	}
	w.core.Answer("442079460001", phone.Behaviour{})
	if f := w.dial(true, forwarded); f.Answered.IsZero() {
		t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	invite = w.inCore("442079460001").Invite
	for _, foreign := range []string{"History-Info", "Diversion", "P-Charging-Vector", "P-Early-Media", "cause="} {
		if strings.Contains(invite, foreign) {
			t.Errorf("the core's INVITE has %s:\n%s", foreign, invite)
		}
	}
	for _, v := range w.teams.Violations() {
		t.Errorf("Teams complains: %+v", v)
	}
}

// Why Microsoft has refused a call stands in its record, in our words.
func TestMicrosoftsReasonIsKept(t *testing.T) {
	const guid = "9810e5a9-667c-4513-8d3a-5d83503e1c71"
	w := build(t)
	w.teams.Answer("+14255550102", phone.Behaviour{Status: 480, Reason: `Q.850;cause=20;text="` + guid + `;No callee endpoints were found."`})
	if f := w.dial(false, phone.CallSpec{From: "+442079460001", To: "+14255550102"}); f.Status != 480 {
		t.Fatalf("%d %s %s", f.Status, f.Reason, f.Error)
	}
	var c record.Cause
	w.until(func() string {
		past, err := w.ops.Past(t.Context(), record.Filter{Number: "+14255550102"})
		w.must(err)
		if len(past) == 0 || past[0].Ended == nil {
			return "the end of the call is not recorded"
		}
		c = past[0].Cause
		return ""
	})
	if c.MicrosoftCode != 10037 || c.Correlation != guid || !strings.Contains(c.Explanation, "signed in nowhere") || c.Q850 != 20 {
		t.Errorf("%+v", c)
	}
}
