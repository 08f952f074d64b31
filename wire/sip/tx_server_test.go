package sip_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// user is the user of the stack under test: it keeps the last transaction it
// was handed.
type user struct {
	b  *bubble
	tx *sip.ServerTx
}

func (u *user) handle(tx *sip.ServerTx) {
	u.b.note("request %s", tx.Request().Method)
	u.tx = tx
	tx.OnCancel(func(m *sip.Message) { u.b.note("cancelled %s", m.Get("Reason")) })
	tx.OnEnd(func(err error) { u.b.note("end %v", err) })
}

// reply answers the request of the last transaction.
func (u *user) reply(req *sip.Message, status int) error {
	err := u.tx.Respond(sip.NewResponse(req, status, ""))
	synctest.Wait()
	return err
}

// ackTo builds what the peer acknowledges a response with; branch is that of
// the INVITE for a non-2xx.
func ackTo(b *bubble, branch string) string {
	ack := b.request("ACK", branch)
	ack.Set("To", b.last("INVITE").Get("To"))
	return string(ack.Append(nil))
}

func TestServerTransaction(t *testing.T) {
	const branch = "z9hG4bKone"
	for _, c := range []struct {
		name      string
		transport sip.Transport
		script    func(*bubble, *user)
	}{
		{"an INVITE the user is slow with is answered 100 after 200 ms", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			after(time.Second)
			b.want("0s request INVITE", "200ms > 100 INVITE")
			u.reply(req, 200)
			b.want("1s > 200 INVITE", "1s end <nil>")
		}},
		{"a user that is quick needs no 100", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 180)
			after(time.Second)
			b.want("0s request INVITE", "0s > 180 INVITE")
			u.reply(req, 200)
		}},
		{"a repeated INVITE is answered with the last provisional response", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			b.ask("INVITE", branch)
			u.reply(req, 180)
			b.ask("INVITE", branch)
			b.want("0s request INVITE", "0s > 180 INVITE", "0s > 180 INVITE")
			u.reply(req, 200)
		}},
		{"a refusal over UDP is repeated until its ACK, which the user never sees", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 486)
			after(2 * time.Second)
			b.say(ackTo(b, branch))
			b.want("0s request INVITE", "0s > 486 INVITE", "500ms > 486 INVITE", "1.5s > 486 INVITE", "2s end <nil>")
			b.ask("INVITE", branch)
			b.say(ackTo(b, branch))
			after(4 * time.Second)
			b.say(ackTo(b, branch))
			b.want()
		}},
		{"a refusal nobody acknowledges ends with ErrNoAck after 64*T1", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 486)
			after(time.Minute)
			b.want("0s request INVITE", "0s > 486 INVITE", "500ms > 486 INVITE", "1.5s > 486 INVITE", "3.5s > 486 INVITE",
				"7.5s > 486 INVITE", "11.5s > 486 INVITE", "15.5s > 486 INVITE", "19.5s > 486 INVITE", "23.5s > 486 INVITE",
				"27.5s > 486 INVITE", "31.5s > 486 INVITE", "32s end no ACK to the final response")
		}},
		{"a refusal over TCP is sent once", sip.TCP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 486)
			after(time.Minute)
			b.want("0s request INVITE", "0s > 486 INVITE", "32s end no ACK to the final response")
		}},
		{"an ACK over TCP ends the transaction at once", sip.TCP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 486)
			b.say(ackTo(b, branch))
			b.want("0s request INVITE", "0s > 486 INVITE", "0s end <nil>")
			if n := b.stack.Counters().ServerTx; n != 0 {
				b.t.Errorf("%d server transactions linger", n)
			}
		}},
		{"a 200 is not repeated by the stack, absorbs the INVITE for 64*T1 and passes the user's repetitions", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 200)
			b.ask("INVITE", branch)
			after(31 * time.Second)
			b.ask("INVITE", branch)
			u.reply(req, 200)
			b.want("0s request INVITE", "0s > 200 INVITE", "0s end <nil>", "31s > 200 INVITE")
			after(2 * time.Second)
			if err := u.reply(req, 200); !errors.Is(err, sip.ErrState) {
				b.t.Errorf("a 200 after 64*T1: %v", err)
			}
		}},
		{"the ACK to a 2xx goes to the user, also from peers that take the INVITE's branch for it", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 200)
			b.say(ackTo(b, "z9hG4bKack"))
			b.say(ackTo(b, branch))
			b.want("0s request INVITE", "0s > 200 INVITE", "0s end <nil>", "0s ack", "0s ack")
		}},
		{"a second final response is refused", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 200)
			for _, status := range []int{180, 486} {
				if err := u.reply(req, status); !errors.Is(err, sip.ErrState) {
					b.t.Errorf("%d after 200: %v", status, err)
				}
			}
			b.want("0s request INVITE", "0s > 200 INVITE", "0s end <nil>")
		}},
		{"a CANCEL is answered, the user told once, and its repetition answered alike", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 180)
			b.ask("CANCEL", branch, "Reason", "SIP;cause=487")
			b.ask("CANCEL", branch)
			b.want("0s request INVITE", "0s > 180 INVITE", "0s > 200 CANCEL", "0s cancelled SIP;cause=487", "0s > 200 CANCEL")
			if got, want := b.last("CANCEL").Get("To"), b.last("INVITE").Get("To"); got != want {
				b.t.Errorf("To of the 200 to CANCEL = %q, of the 180 to INVITE %q", got, want)
			}
			u.reply(req, 487)
			b.say(ackTo(b, branch))
			b.want("0s > 487 INVITE", "0s end <nil>")
		}},
		{"a CANCEL after the final response is answered and changes nothing", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			u.reply(req, 200)
			b.ask("CANCEL", branch)
			b.want("0s request INVITE", "0s > 200 INVITE", "0s end <nil>", "0s > 200 CANCEL")
		}},
		{"a CANCEL that fits no INVITE is answered 481", sip.UDP, func(b *bubble, _ *user) {
			b.ask("CANCEL", branch)
			b.want("0s > 481 CANCEL")
		}},
		{"an answer to OPTIONS is repeated for 64*T1 when the request is", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("OPTIONS", branch)
			u.reply(req, 200)
			b.ask("OPTIONS", branch)
			after(31 * time.Second)
			b.ask("OPTIONS", branch)
			b.want("0s request OPTIONS", "0s > 200 OPTIONS", "0s end <nil>", "0s > 200 OPTIONS", "31s > 200 OPTIONS")
			after(2 * time.Second)
			b.ask("OPTIONS", branch)
			b.want("33s request OPTIONS")
			u.reply(req, 200)
		}},
		{"an answer to OPTIONS over TCP leaves nothing behind", sip.TCP, func(b *bubble, u *user) {
			req := b.ask("OPTIONS", branch)
			u.reply(req, 200)
			if n := b.stack.Counters().ServerTx; n != 0 {
				b.t.Errorf("%d server transactions linger", n)
			}
			b.want("0s request OPTIONS", "0s > 200 OPTIONS", "0s end <nil>")
		}},
		{"an OPTIONS left alone is answered 100 when timer E is at T2 and forgotten when timer F is over", sip.UDP, func(b *bubble, _ *user) {
			b.ask("OPTIONS", branch)
			after(time.Minute)
			b.want("0s request OPTIONS", "3.5s > 100 OPTIONS", "32s end request was left unanswered")
		}},
		{"a 408 to OPTIONS is not sent, nor a 180", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("OPTIONS", branch)
			if err := u.reply(req, 180); !errors.Is(err, sip.ErrState) {
				b.t.Errorf("180 to OPTIONS: %v", err)
			}
			if err := u.reply(req, 408); err != nil {
				b.t.Errorf("408 to OPTIONS: %v", err)
			}
			b.want("0s request OPTIONS", "0s end <nil>")
		}},
		{"the same request by another path is answered 482 while the first is worked on", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", branch)
			b.ask("INVITE", "z9hG4bKtwo", "Call-ID", req.Get("Call-ID"))
			b.want("0s request INVITE", "0s > 482 INVITE")
			u.reply(req, 503)
			b.say(ackTo(b, branch))
			b.ask("INVITE", "z9hG4bKthree", "Call-ID", req.Get("Call-ID"))
			b.want("0s > 503 INVITE", "0s end <nil>", "0s request INVITE")
			u.reply(req, 200)
		}},
		{"a peer of RFC 2543 is understood without the cookie", sip.UDP, func(b *bubble, u *user) {
			req := b.ask("INVITE", "1")
			first := u.tx
			b.ask("INVITE", "1", "Call-ID", "another")
			b.ask("INVITE", "1", "Call-ID", "another")
			b.want("0s request INVITE", "0s request INVITE")
			u.reply(u.tx.Request(), 486)
			ack := b.request("ACK", "1", "Call-ID", "another", "To", b.last("INVITE").Get("To"))
			b.say(string(ack.Append(nil)))
			b.want("0s > 486 INVITE", "0s end <nil>")
			b.ask("CANCEL", "1", "Call-ID", "c-1")
			b.want("0s > 200 CANCEL", "0s cancelled ")
			u.tx = first
			u.reply(req, 487)
		}},
		{"a request without From is answered 400", sip.UDP, func(b *bubble, _ *user) {
			m := b.request("OPTIONS", branch)
			m.Del("From")
			b.say(string(m.Append(nil)))
			b.want("0s > 400 OPTIONS")
		}},
		{"a response without Via, an ACK without From and plain noise get nothing", sip.UDP, func(b *bubble, _ *user) {
			b.say("SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n")
			m := b.request("ACK", branch)
			m.Del("From")
			b.say(string(m.Append(nil)))
			b.say("\x16\x03\x01\x00\xf1\x01\x00")
			b.say("GET / HTTP/1.1\r\n\r\n")
			b.want()
			if n := b.stack.Counters().Drops["malformed"]; n != 4 {
				b.t.Errorf("%d counted as malformed, want 4", n)
			}
		}},
		{"a panic in the handler is answered 500 and the stack goes on", sip.UDP, func(b *bubble, u *user) {
			b.ask("INFO", branch)
			b.want("0s > 500 INFO")
			req := b.ask("OPTIONS", "z9hG4bKtwo")
			u.reply(req, 200)
			b.want("0s request OPTIONS", "0s > 200 OPTIONS", "0s end <nil>")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := &user{}
			inBubble(t, c.transport, func(cfg *sip.StackConfig, b *bubble) {
				u.b = b
				cfg.Handle = func(tx *sip.ServerTx) {
					if tx.Request().Method == "INFO" {
						panic("a handler that fails")
					}
					u.handle(tx)
				}
				cfg.HandleAck = func(*sip.Message, sip.Source) { b.note("ack") }
			}, func(b *bubble) {
				c.script(b, u)
				// An INVITE has no clock in Proceeding: the user's does that.
				if u.tx != nil && u.tx.Request() != nil && strings.EqualFold(u.tx.Request().Method, "INVITE") {
					_ = u.reply(u.tx.Request(), 487)
				}
			})
		})
	}
}
