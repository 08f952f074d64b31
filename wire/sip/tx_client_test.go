package sip_test

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

func TestClientTransaction(t *testing.T) {
	for _, c := range []struct {
		name      string
		transport sip.Transport
		script    func(*bubble)
	}{
		{"an unanswered INVITE over UDP is sent seven times and times out after 64*T1", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			after(time.Minute)
			b.want("0s > INVITE", "500ms > INVITE", "1.5s > INVITE", "3.5s > INVITE", "7.5s > INVITE",
				"15.5s > INVITE", "31.5s > INVITE", "32s event error: no final response in time")
		}},
		{"an unanswered INVITE over TCP is sent once and times out after 64*T1", sip.TCP, func(b *bubble) {
			b.begin("INVITE")
			after(time.Minute)
			b.want("0s > INVITE", "32s event error: no final response in time")
		}},
		{"an unanswered OPTIONS over UDP is repeated at most every T2 and times out after 64*T1", sip.UDP, func(b *bubble) {
			b.begin("OPTIONS")
			after(time.Minute)
			b.want("0s > OPTIONS", "500ms > OPTIONS", "1.5s > OPTIONS", "3.5s > OPTIONS", "7.5s > OPTIONS", "11.5s > OPTIONS",
				"15.5s > OPTIONS", "19.5s > OPTIONS", "23.5s > OPTIONS", "27.5s > OPTIONS", "31.5s > OPTIONS",
				"32s event error: no final response in time")
		}},
		{"a 100 to OPTIONS slows the repetition to T2 and timer F still ends it", sip.UDP, func(b *bubble) {
			b.begin("OPTIONS")
			b.answer("OPTIONS", 100)
			after(10 * time.Second)
			b.want("0s > OPTIONS", "0s event 100 OPTIONS", "500ms > OPTIONS", "4.5s > OPTIONS", "8.5s > OPTIONS")
			after(time.Minute)
			b.want("12.5s > OPTIONS", "16.5s > OPTIONS", "20.5s > OPTIONS", "24.5s > OPTIONS", "28.5s > OPTIONS",
				"32s event error: no final response in time")
		}},
		{"the peer's own timers are used, not everybody's", sip.UDP, func(b *bubble) {
			b.remote.Timers = sip.Timers{T1: 100 * time.Millisecond, Invite: time.Second}
			b.begin("INVITE")
			after(time.Minute)
			b.want("0s > INVITE", "100ms > INVITE", "300ms > INVITE", "700ms > INVITE", "1s event error: no final response in time")
		}},
		{"a provisional response stops the repetition of an INVITE and its timer B", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 180)
			after(5 * time.Minute)
			b.want("0s > INVITE", "0s event 180 INVITE")
			b.answer("INVITE", 200)
			b.want("5m0s event 200 INVITE")
		}},
		{"a refusal is acknowledged, and again for 64*T1 whenever it is repeated", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 486)
			b.want("0s > INVITE", "0s event 486 INVITE", "0s > ACK")
			after(31 * time.Second)
			b.answer("INVITE", 486)
			b.want("31s > ACK")
			after(2 * time.Second)
			b.answer("INVITE", 486)
			b.want("33s stray 486 INVITE")
		}},
		{"a refusal over TCP is acknowledged and leaves nothing behind", sip.TCP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 503)
			b.want("0s > INVITE", "0s event 503 INVITE", "0s > ACK")
			if n := b.stack.Counters().ClientTx; n != 0 {
				b.t.Errorf("%d client transactions linger over TCP", n)
			}
		}},
		{"every 2xx within 64*T1 comes through, of any fork and repeated, and a 486 after it does not", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 200)
			b.answer("INVITE", 200)
			b.answer("INVITE", 200, "To", "<sip:+4930@10.0.0.2>;tag=fork")
			b.answer("INVITE", 486)
			b.want("0s > INVITE", "0s event 200 INVITE", "0s event 200 INVITE", "0s event 200 INVITE")
		}},
		{"a 2xx after 64*T1 is a stray", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 200)
			after(33 * time.Second)
			b.answer("INVITE", 200)
			b.want("0s > INVITE", "0s event 200 INVITE", "33s stray 200 INVITE")
		}},
		{"a 2xx that follows a refusal is a stray, not silence", sip.UDP, func(b *bubble) {
			b.begin("INVITE")
			b.answer("INVITE", 486)
			b.answer("INVITE", 200)
			b.want("0s > INVITE", "0s event 486 INVITE", "0s > ACK", "0s stray 200 INVITE")
		}},
		{"a repeated answer to OPTIONS is absorbed for T4", sip.UDP, func(b *bubble) {
			b.begin("OPTIONS")
			b.answer("OPTIONS", 200)
			b.answer("OPTIONS", 200)
			after(6 * time.Second)
			b.answer("OPTIONS", 200)
			b.want("0s > OPTIONS", "0s event 200 OPTIONS", "6s stray 200 OPTIONS")
		}},
		{"a CANCEL waits for a provisional response", sip.UDP, func(b *bubble) {
			tx := b.begin("INVITE")
			tx.Cancel("")
			b.want("0s > INVITE")
			b.answer("INVITE", 100)
			b.want("0s event 100 INVITE", "0s > CANCEL")
			b.answer("CANCEL", 200)
			b.answer("INVITE", 487)
			b.want("0s event 487 INVITE", "0s > ACK")
		}},
		{"a CANCEL after ringing goes out at once and only once", sip.TCP, func(b *bubble) {
			tx := b.begin("INVITE")
			b.answer("INVITE", 180)
			tx.Cancel("SIP;cause=200;text=\"Call completed elsewhere\"")
			tx.Cancel("")
			b.answer("INVITE", 183)
			b.want("0s > INVITE", "0s event 180 INVITE", "0s > CANCEL", "0s event 183 INVITE")
			if got := b.last("CANCEL").Get("Reason"); got != "SIP;cause=200;text=\"Call completed elsewhere\"" {
				b.t.Errorf("Reason = %q", got)
			}
			b.answer("INVITE", 487)
			b.want("0s event 487 INVITE", "0s > ACK")
		}},
		{"a cancelled INVITE nobody ends is given up after 64*T1", sip.UDP, func(b *bubble) {
			tx := b.begin("INVITE")
			b.answer("INVITE", 180)
			after(10 * time.Second)
			tx.Cancel("")
			b.answer("CANCEL", 200)
			after(time.Minute)
			b.want("0s > INVITE", "0s event 180 INVITE", "10s > CANCEL", "42s event error: no final response in time")
		}},
		{"a 200 that crosses the CANCEL is told like any other", sip.UDP, func(b *bubble) {
			tx := b.begin("INVITE")
			b.answer("INVITE", 180)
			tx.Cancel("")
			b.answer("INVITE", 200)
			b.answer("CANCEL", 200)
			b.want("0s > INVITE", "0s event 180 INVITE", "0s > CANCEL", "0s event 200 INVITE")
		}},
		{"a CANCEL after the final response does nothing", sip.UDP, func(b *bubble) {
			tx := b.begin("INVITE")
			b.answer("INVITE", 200)
			tx.Cancel("")
			b.want("0s > INVITE", "0s event 200 INVITE")
		}},
		{"a response whose Via is not ours is not taken", sip.UDP, func(b *bubble) {
			b.begin("OPTIONS")
			via, _ := b.last("OPTIONS").Via()
			via.Host = "10.0.0.9"
			b.answer("OPTIONS", 200, "Via", via.String())
			b.want("0s > OPTIONS", "0s stray 200 OPTIONS")
		}},
		{"a response with another method in CSeq is not taken", sip.UDP, func(b *bubble) {
			b.begin("OPTIONS")
			b.answer("OPTIONS", 200, "CSeq", "1 INVITE")
			b.want("0s > OPTIONS", "0s stray 200 INVITE")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.transport, func(cfg *sip.StackConfig, b *bubble) {
				cfg.HandleStray = func(m *sip.Message, _ sip.Source) { b.note("stray %s", startOf(m)) }
			}, c.script)
		})
	}
}

func TestTheAckAndTheCancelOfAnInviteFollowItHopByHop(t *testing.T) {
	inBubble(t, sip.UDP, nil, func(b *bubble) {
		req := ours("INVITE")
		req.Add("Route", "<sip:proxy.example;lr>")
		req.Add("Route", "<sip:second.example;lr>")
		req.Set("CSeq", "41 INVITE")
		tx, err := b.stack.Request(req, b.target(), func(sip.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		invite := b.last("INVITE")
		b.answer("INVITE", 180)
		tx.Cancel("")
		cancel := b.last("CANCEL")
		b.answer("INVITE", 487)
		ack := b.last("ACK")
		for name, m := range map[string]*sip.Message{"CANCEL": cancel, "ACK": ack} {
			if m.RequestURI != invite.RequestURI {
				t.Errorf("%s goes to %s, INVITE to %s", name, m.RequestURI, invite.RequestURI)
			}
			for _, h := range []string{"Via", "From", "Call-ID"} {
				if m.Get(h) != invite.Get(h) {
					t.Errorf("%s of %s = %q, of INVITE %q", h, name, m.Get(h), invite.Get(h))
				}
			}
			if got := m.Get("CSeq"); got != "41 "+name {
				t.Errorf("CSeq = %q", got)
			}
			var routes []string
			for r := range m.Values("Route") {
				routes = append(routes, r)
			}
			if len(routes) != 2 || routes[1] != "<sip:second.example;lr>" {
				t.Errorf("Route of %s = %q", name, routes)
			}
		}
		if got, want := cancel.Get("To"), invite.Get("To"); got != want {
			t.Errorf("To of CANCEL = %q, want the one of INVITE %q", got, want)
		}
		if got, want := ack.Get("To"), "<sip:+4930@10.0.0.2>;tag=peer"; got != want {
			t.Errorf("To of ACK = %q, want the one of the response %q", got, want)
		}
	})
}
