package app

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/zoom"
)

// Zoom beside Teams on one node: calls of the numbers that are provisioned for
// it, both ways, and of its test lines, and of no others (Azure Communications
// Gateway docs, "Overview of interoperability of Azure Communications Gateway
// with Zoom Phone Cloud Peering").
func TestZoomInTheWorld(t *testing.T) {
	var far *zoom.System
	w := build(t, func(w *world) {
		var err error
		far, err = zoom.Start(t.Context(), zoom.Config{
			Domain: "zoom.lab.example", DNS: w.dns, Zones: []zoom.Zone{{Name: "sip-a", Bind: netip.MustParseAddrPort("127.78.6.1:5061")}},
			Certificate: w.own("*.zoom.lab.example"), Roots: w.ca.Roots(), Media: netip.MustParseAddr("127.78.6.9"), Ports: [2]uint16{20000, 20999},
			Gateways: []zoom.Gateway{{FQDN: "1r1.lab.example", Port: 5063}}, Options: time.Second,
			Hidden: []string{"core.lab.example", "127.78.3.", "pstn.lab.example"},
		})
		w.must(err)
		t.Cleanup(func() { _ = far.Close() })
		w.write("platforms: [OperatorConnect]", `platforms: [OperatorConnect, Zoom]
    zoomConfig: {region: EMEA, testLines: [{phoneNumber: "+441134960077"}]}
    customSipHeaders: {headers: [{name: X-MS-Operator-Content}]}`,
			"services:\n", "services:\n  zoom: {peers: [\"sip-a.zoom.lab.example:5061\"], sources: [127.78.6.0/24]}\n",
			"gateway:\n", "numbers:\n  - {number: \"+441134960009\", service: Zoom, account: zoomers, header: brass}\ngateway:\n")
	})
	for _, n := range []string{"+441134960009", "+441134960077"} {
		far.Answer(n, phone.Behaviour{Ring: time.Second / 10})
	}
	const header = "X-MS-Operator-Content: brass\r\n"
	fromZoom := func(from, to string) phone.Facts {
		t.Helper()
		c, err := far.Dial(t.Context(), phone.CallSpec{From: from, To: to})
		w.must(err)
		return w.outcome(c)
	}

	for _, to := range []string{"+441134960009", "+441134960077"} {
		f := w.dial(false, phone.CallSpec{From: "+442079460001", To: to})
		if f.Answered.IsZero() {
			t.Errorf("the core's call to %s is not answered: %d %s %s", to, f.Status, f.Reason, f.Error)
		}
		if last := f.Responses[len(f.Responses)-1]; strings.Contains(last, header) != (to == "+441134960009") {
			t.Errorf("the header of the called number:\n%s", last)
		}
	}
	if f := w.dial(false, phone.CallSpec{From: "+442079460001", To: "+14255550101"}); f.Answered.IsZero() {
		t.Errorf("a call to Teams is not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	if f := fromZoom("+441134960009", "+442079460001"); f.Answered.IsZero() || !strings.Contains(w.inCore("+442079460001").Invite, header) {
		t.Errorf("Zoom's call: %d %s %s\n%s", f.Status, f.Reason, f.Error, w.inCore("+442079460001").Invite)
	}
	if f := fromZoom("+441134960077", "+442079460001"); f.Answered.IsZero() {
		t.Errorf("the test line's call is not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	for _, from := range []string{"+14255550101", "+441134960078"} {
		if f := fromZoom(from, "+442079460001"); f.Status != 403 {
			t.Errorf("a call from %s, which Zoom does not have, got %d", from, f.Status)
		}
	}
	for _, v := range far.Violations() {
		t.Errorf("Zoom complains: %+v", v)
	}
}
