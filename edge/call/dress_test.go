package call

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// directRouting gives the called number to a customer of Direct Routing, with
// a value of the operator's own header.
func directRouting(w *world) {
	numbers, err := snapshot.NewNumbers(snapshot.Number{E164: "+442079460123", Service: snapshot.TeamsDirectRouting, Account: "contoso", Header: "abc_123"})
	if err != nil {
		w.t.Fatal(err)
	}
	accounts, err := snapshot.NewAccounts(snapshot.Account{Name: "contoso", Subdomain: "c042"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.snap.Numbers, w.snap.Accounts, w.snap.Header = numbers, accounts, "X-MS-Operator-Content"
	w.snap.Regions[0].Domain = "1r1.gw.example"
	w.snap.Groups[1].Services = []snapshot.Service{snapshot.OperatorConnect, snapshot.TeamsDirectRouting}
}

// Every message towards Teams that has a Contact names the customer's
// subdomain there, and every message into the operator's network bears the
// header of the number (Azure Communications Gateway docs, Direct Routing
// interoperability, "customSipHeaders").
func TestACallOfACustomerOfDirectRouting(t *testing.T) {
	const contact, header = "<sip:c042.1r1.gw.example:5063>", "abc_123"
	t.Run("to him", func(t *testing.T) {
		inWorldOf(t, directRouting, func(w *world) {
			in, out := w.place()
			if out.Get("Contact") != contact || !strings.Contains(out.Get("From"), "@c042.1r1.gw.example") {
				t.Errorf("\n%s", out)
			}
			w.teams.reply(out, 200, "t1", teamsSDP, "P-Asserted-Identity: <tel:+442079460123>")
			if ack := w.teams.expect("ACK"); ack.Get("Contact") != contact || !ack.Has("X-MS-SBC") {
				t.Errorf("\n%s", ack)
			}
			ok := w.core.expect("200")
			if ok.Get("X-MS-Operator-Content") != header || ok.Get("P-Asserted-Identity") != "<sip:+442079460123@r1.gw.example;user=phone>" {
				t.Errorf("\n%s", ok)
			}
			core := w.core.took(in, ok)
			core.ack("")
			synctest.Wait()
			core.request("INVITE", turn(coreSDP, "sendonly", 2))
			w.core.expect("100")
			re := w.teams.expect("INVITE")
			if re.Get("Contact") != contact {
				t.Errorf("\n%s", re)
			}
			w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 2))
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			w.teams.gave(out, "t1").request("BYE", "")
			w.teams.expect("200")
			bye := w.core.expect("BYE")
			if bye.Get("X-MS-Operator-Content") != header {
				t.Errorf("\n%s", bye)
			}
			w.core.reply(bye, 200, "", "")
		})
	})
	t.Run("from him", func(t *testing.T) {
		inWorldOf(t, directRouting, func(w *world) {
			in := sip.NewRequest("INVITE", "sip:+441632960002@c042.1r1.gw.example:5063;user=phone")
			for _, h := range [][2]string{
				{"Via", "SIP/2.0/UDP " + w.teams.at.String() + ";branch=z9hG4bKdr"},
				{"From", "<sip:+442079460123@sip.pstnhub.example>;tag=ft"},
				{"To", "<sip:+441632960002@c042.1r1.gw.example>"},
				{"Call-ID", "dr-1"},
				{"CSeq", "1 INVITE"},
				{"Contact", "<sip:" + w.teams.at.String() + ">"},
			} {
				in.Add(h[0], h[1])
			}
			in.SetBody("application/sdp", []byte(teamsSDP))
			w.teams.send(in)
			w.teams.expect("100")
			out := w.core.expect("INVITE")
			if out.Get("X-MS-Operator-Content") != header {
				t.Errorf("\n%s", out)
			}
			w.core.reply(out, 180, "c1", "")
			if ringing := w.teams.expect("180"); ringing.Get("Contact") != contact {
				t.Errorf("\n%s", ringing)
			}
			w.core.reply(out, 486, "c1", "")
			w.core.expect("ACK")
			w.teams.ackFailure(in, w.teams.expect("486"))
			if said := w.records.last(t).Service; said != string(snapshot.TeamsDirectRouting) {
				t.Error(said)
			}
		})
	})
}

// Where the operator has delegated a domain of its own, customers go by that
// (Azure Communications Gateway docs, "dnsDelegations").
func TestACustomerGoesByTheOperatorsDomain(t *testing.T) {
	const contact = "<sip:c042.1r1.voice.example:5063>"
	delegated := func(w *world) {
		directRouting(w)
		w.snap.Regions[0].Delegated = []string{"1r1.voice.example"}
	}
	inWorldOf(t, delegated, func(w *world) {
		in, out := w.place()
		if out.Get("Contact") != contact || !strings.Contains(out.Get("From"), "@c042.1r1.voice.example") {
			t.Errorf("\n%s", out)
		}
		w.teams.reply(out, 200, "t1", teamsSDP)
		if ack := w.teams.expect("ACK"); ack.Get("Contact") != contact {
			t.Errorf("\n%s", ack)
		}
		w.core.took(in, w.core.expect("200")).ack("")
		w.teams.gave(out, "t1").request("BYE", "")
		w.teams.expect("200")
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// What Microsoft says about why is kept, of a refusal and of a BYE, and none
// of it of a core.
func TestMicrosoftsReasonIsRecorded(t *testing.T) {
	const guid = "9810e5a9-667c-4513-8d3a-5d83503e1c71"
	reason := func(phrase string) string { return `Reason: Q.850;cause=63;text="` + guid + ";" + phrase + `"` }
	t.Run("a refusal", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 403, "t1", "", reason("Current call site state prevents fork to this entity."))
			w.teams.expect("ACK")
			resp := w.core.expect("403")
			w.core.ackFailure(in, resp)
			c := w.records.last(t).Cause
			if c.MicrosoftCode != 10500 || c.Correlation != guid || !strings.Contains(c.Explanation, "location-based routing") {
				t.Errorf("%+v", c)
			}
			tr, _ := w.traces.Get(w.records.last(t).ID)
			if !slices.ContainsFunc(tr.Notes, func(n record.Note) bool { return strings.HasPrefix(n.Text, "Microsoft code 10500: location-based") }) {
				t.Errorf("%+v", tr.Notes)
			}
			if strings.Contains(resp.String(), guid) {
				t.Errorf("the core is told\n%s", resp)
			}
		})
	})
	t.Run("a BYE", func(t *testing.T) {
		inWorld(t, func(w *world) {
			_, teams := w.talk()
			teams.requestWith("BYE", reason("IceConnectivityChecksFailed"))
			w.teams.expect("200")
			w.core.reply(w.core.expect("BYE"), 200, "", "")
			synctest.Wait()
			if c := w.records.last(t).Cause; c.MicrosoftCode != 531004 || c.Correlation != guid {
				t.Errorf("%+v", c)
			}
		})
	})
	t.Run("not a core's", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.teams.invite("+442079460123", teamsSDP)
			w.teams.expect("100")
			w.core.reply(w.core.expect("INVITE"), 403, "c1", "", reason("No trunk config was found"))
			w.core.expect("ACK")
			w.teams.ackFailure(in, w.teams.expect("403"))
			// But that is how Microsoft's reports show what we answer.
			if c := w.records.last(t).Cause; c.MicrosoftCode != 560403 || c.Correlation != "" {
				t.Errorf("%+v", c)
			}
		})
	})
}

// Forwarding by a user of Teams, told by History-Info in plain words, reaches a
// core as Diversion, and an IMS core as History-Info by the book (RFC 7544).
func TestForwardingCrosses(t *testing.T) {
	const told = `History-Info: <sip:+14255550123@sip.pstnhub.example:5061;user=phone?Reason=SIP;cause=486;text="Busy here">;index=1,<sip:+442079460123@sip.pstnhub.example;user=phone>;index=1.1`
	for _, tc := range []struct {
		profile, header string
		want            []string
	}{
		{"", "Diversion", []string{"<sip:+14255550123@r1.gw.example;user=phone>;reason=user-busy;counter=1"}},
		{"ims", "History-Info", []string{
			"<sip:+14255550123@r1.gw.example;user=phone?Reason=SIP%3Bcause%3D486>;index=1",
			"<sip:+442079460123@10.1.0.1;user=phone;cause=486>;index=1.1;mp=1",
		}},
	} {
		t.Run(tc.header, func(t *testing.T) {
			inWorldOf(t, func(w *world) { w.snap.Groups[0].Interworking.Profile = tc.profile }, func(w *world) {
				in := w.teams.invite("+442079460123", teamsSDP, told)
				w.teams.expect("100")
				out := w.core.expect("INVITE")
				if got := slices.Collect(out.Values(tc.header)); !slices.Equal(got, tc.want) {
					t.Errorf("%q, want %q\n%s", got, tc.want, out)
				}
				w.core.reply(out, 486, "c1", "")
				w.core.expect("ACK")
				w.teams.ackFailure(in, w.teams.expect("486"))
			})
		})
	}
}
