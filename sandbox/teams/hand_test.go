package teams

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// hand is an SBC made by hand: nothing of it answers by itself but what the test
// says, so that it can break every rule.
type hand struct {
	b      *bench
	stack  *sip.Stack
	tasks  sync.WaitGroup
	mu     sync.Mutex
	on     map[string]func(*sip.ServerTx) // mu; by method
	tx     *sip.ClientTx                  // mu; the first one
	newest *ua.Dialog                     // mu; of a REFER
}

func (b *bench) newHand() *hand {
	h := &hand{b: b, on: map[string]func(*sip.ServerTx){}}
	var err error
	remote := &sip.Remote{Name: "teams", TLS: sip.TLSPolicy{Roots: b.ca.Roots()}}
	h.stack, err = sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "hand", Transport: sip.TLS, Bind: netip.AddrPortFrom(local, 0), Advertise: carrier, Certificate: b.cert(carrier)}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{remote} },
		Handle: func(tx *sip.ServerTx) {
			req := tx.Request()
			h.mu.Lock()
			f := h.on[req.Method]
			h.mu.Unlock()
			if f != nil {
				f(tx)
				return
			}
			h.respond(tx, 200, nil)
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		h.tasks.Wait()
		b.must(h.stack.Close())
	})
	return h
}

// handle says what to do with a method; nothing else is answered 200.
func (h *hand) handle(method string, f func(*sip.ServerTx)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on[method] = f
}

func (h *hand) respond(tx *sip.ServerTx, status int, change func(*sip.Message)) *sip.Message {
	resp := sip.NewResponse(tx.Request(), status, "")
	h.adorn(resp)
	if change != nil {
		change(resp)
	}
	_ = tx.Respond(resp)
	return resp
}

// answer answers an INVITE of Teams.
func (h *hand) answer(tx *sip.ServerTx) {
	req := tx.Request()
	h.respond(tx, 200, func(m *sip.Message) {
		for r := range req.Values("Record-Route") {
			m.Add("Record-Route", r)
		}
		m.SetBody("application/sdp", []byte(goodOffer))
	})
}

// adorn adds what a good SBC says everywhere.
func (h *hand) adorn(m *sip.Message) {
	m.Set("Contact", fmt.Sprintf("<sip:%s:%d;transport=tls>", carrier, h.stack.Addr("hand").Port()))
	m.Set("Allow", "INVITE, ACK, OPTIONS, CANCEL, BYE, NOTIFY, REFER")
	m.Set("X-MS-SBC", "Test/SBC/1.0")
}

func (h *hand) target() sip.Target {
	to := h.b.teams.ProxyAddr("sip")
	return sip.Target{Listener: "hand", Transport: sip.TLS, Addr: to, Host: "sip." + domain, Remote: &sip.Remote{Name: "teams", TLS: sip.TLSPolicy{Roots: h.b.ca.Roots()}}}
}

// ask sends a request and gives every response on the channel; nil is the end.
func (h *hand) ask(m *sip.Message) <-chan *sip.Message {
	h.b.t.Helper()
	got := make(chan *sip.Message, 20)
	tx, err := h.stack.Request(m, h.target(), func(ev sip.Event) { got <- ev.Msg })
	if err != nil {
		got <- nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tx == nil {
		h.tx = tx
	}
	return got
}

// invite is a good one.
func (h *hand) invite(uri string) *sip.Message {
	m := sip.NewRequest("INVITE", uri)
	m.Set("From", "<sip:+13035550177@"+carrier+";user=phone>;tag="+sip.NewTag())
	m.Set("To", "<"+uri+">")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 INVITE")
	h.adorn(m)
	m.SetBody("application/sdp", []byte(goodOffer))
	return m
}

// settle waits for the final response to an INVITE and acknowledges a 2xx.
func (h *hand) settle(m *sip.Message, got <-chan *sip.Message) (*ua.Dialog, *sip.Message) {
	h.b.t.Helper()
	for {
		select {
		case resp := <-got:
			switch {
			case resp == nil:
				return nil, nil
			case resp.Status < 200:
			case resp.Status < 300:
				resp = resp.Clone()
				d, err := ua.ClientDialog(m, resp)
				if err != nil {
					h.b.t.Fatal(err)
				}
				h.b.must(h.stack.Send(d.NewAck(m), h.target()))
				return d, resp
			default:
				return nil, resp
			}
		case <-time.After(3 * time.Second):
			h.b.t.Fatal("no final response")
		}
	}
}

// call calls a Teams user.
func (h *hand) call(user string) (*ua.Dialog, *phone.Call) {
	h.b.t.Helper()
	m := h.invite("sip:" + user + "@sip." + domain + ";user=phone")
	d, resp := h.settle(m, h.ask(m.Clone()))
	if d == nil {
		h.b.t.Fatalf("refused: %v", resp)
	}
	for _, c := range h.b.teams.Calls() {
		if c.Brief().ID == m.Get("Call-ID") {
			return d, c
		}
	}
	h.b.t.Fatal("the call is not listed")
	return nil, nil
}

// notify tells Teams how the referred call goes.
func (h *hand) notify(d *ua.Dialog, status int, change func(*sip.Message)) {
	m := d.NewRequest("NOTIFY")
	h.adorn(m)
	m.Set("Event", "refer")
	m.Set("Subscription-State", "active;expires=60")
	if status >= 200 {
		m.Set("Subscription-State", "terminated;reason=noresource")
	}
	m.SetBody("message/sipfrag;version=2.0", []byte("SIP/2.0 "+strconv.Itoa(status)+" Whatever\r\n"))
	if change != nil {
		change(m)
	}
	<-h.ask(m)
}

// obey is what an SBC does with a REFER; change alters one step of it.
type obey struct {
	status int                             // of the REFER; 202 when zero
	invite func(*sip.Message) *sip.Message // nil: as it is to be; a nil message: none at all
	silent bool                            // no NOTIFY
	trying func(*sip.Message)              // alters the first NOTIFY
	early  bool                            // BYE as soon as the new call is there
	final  int                             // what the last NOTIFY tells; as it is when zero, -1 for none
}

func (h *hand) obey(d *ua.Dialog, o obey) {
	h.handle("REFER", func(tx *sip.ServerTx) {
		refer := tx.Request().Clone()
		status := o.status
		if status == 0 {
			status = 202
		}
		h.respond(tx, status, nil)
		if status >= 300 {
			return
		}
		h.tasks.Go(func() { h.refer(d, refer, o) })
	})
}

func (h *hand) refer(d *ua.Dialog, refer *sip.Message, o obey) {
	if !o.silent {
		h.notify(d, 100, o.trying)
	}
	m := h.invite(strings.Trim(refer.Get("Refer-To"), "<>"))
	m.Set("Referred-By", refer.Get("Referred-By"))
	if o.invite != nil {
		m = o.invite(m)
	}
	final := 503
	if m != nil {
		d2, resp := h.settle(m, h.ask(m.Clone()))
		if resp != nil {
			final = resp.Status
		}
		h.mu.Lock()
		h.newest = d2
		h.mu.Unlock()
		if d2 != nil && o.early {
			<-h.ask(d.NewRequest("BYE"))
		}
	}
	if o.final != 0 {
		final = o.final
	}
	if !o.silent && final > 0 {
		h.notify(d, final, nil)
	}
}

func (b *bench) noted() (rules []string) {
	for _, f := range b.teams.Faults() {
		rules = append(rules, f.Rule)
		if f.Source == "" {
			b.t.Errorf("rule %s has no source", f.Rule)
		}
	}
	return rules
}

const patience = 700 * time.Millisecond

func handBench(t *testing.T) (*bench, *hand) {
	b := prepare(t)
	h := b.newHand()
	b.start(func(c *Config) {
		c.Patience, c.Options = patience, time.Minute
		c.Trunks[0].Port = h.stack.Addr("hand").Port()
	})
	b.teams.Answer("+14255550123", phone.Behaviour{})
	b.teams.Answer("+14255550188", phone.Behaviour{Ring: 50 * time.Millisecond})
	b.teams.Answer("+14255550186", phone.Behaviour{Status: 486})
	return b, h
}

// Microsoft support, Teams Direct Routing: issues with call transfers.
func TestWhoeverFollowsAReferWronglyLosesTheCall(t *testing.T) {
	replace := func(name, from, to string) func(*sip.Message) *sip.Message {
		return func(m *sip.Message) *sip.Message {
			switch {
			case name == "":
				m.RequestURI = strings.Replace(m.RequestURI, from, to, 1)
			case to == "":
				m.Del(name)
			default:
				m.Set(name, strings.Replace(m.Get(name), from, to, 1))
			}
			return m
		}
	}
	for _, c := range []struct {
		name string
		obey obey
		user string
		rule string // "" for none
		err  string // of the transfer; "" when it succeeds
		kept bool   // the first call goes on
	}{
		{name: "as it is to be", obey: obey{}},
		{name: "the Request-URI in another case", obey: obey{invite: replace("", "orgid", "ORGID")}, rule: "refer-uri", err: "refer-uri"},
		{name: "the Request-URI without its last parameter", obey: obey{invite: replace("", ";transport=tls", "")}, rule: "refer-uri", err: "refer-uri"},
		{name: "Referred-By one byte different", obey: obey{invite: replace("Referred-By", "x-ti", "x-Ti")}, rule: "referred-by", err: "referred-by"},
		{name: "no Referred-By", obey: obey{invite: replace("Referred-By", "", "")}, rule: "referred-by", err: "referred-by"},
		{name: "both lost, and the user called by his number", obey: obey{invite: func(m *sip.Message) *sip.Message {
			m.Del("Referred-By")
			m.RequestURI = "sip:+14255550188@sip." + domain + ";user=phone"
			return m
		}, final: -1}, rule: "refer-notify", err: "refer-notify"},
		{name: "no INVITE to the proxy", obey: obey{invite: func(*sip.Message) *sip.Message { return nil }, final: -1}, rule: "refer-notify", err: "refer-notify"},
		{name: "another party in From", obey: obey{invite: replace("From", "+13035550177", "+13035550178")}, rule: "refer-from"},
		{name: "200 to the REFER", obey: obey{status: 200}, rule: "refer-answer", err: "refer-answer"},
		{name: "405 to the REFER", obey: obey{status: 405}, err: "405", kept: true},
		{name: "no NOTIFY", obey: obey{silent: true}, rule: "refer-notify", err: "refer-notify"},
		{name: "NOTIFY for another event", obey: obey{trying: func(m *sip.Message) { m.Set("Event", "presence") }}, rule: "notify", err: "notify"},
		{name: "NOTIFY with another id", obey: obey{trying: func(m *sip.Message) { m.Set("Event", "refer;id=4711") }}, rule: "notify", err: "notify"},
		{name: "NOTIFY that is no fragment", obey: obey{trying: func(m *sip.Message) { m.Set("Content-Type", "text/plain") }}, rule: "notify", err: "notify"},
		{name: "NOTIFY that ends too soon", obey: obey{trying: func(m *sip.Message) { m.Set("Subscription-State", "terminated") }}, rule: "notify", err: "notify"},
		{name: "BYE before the end is told", obey: obey{early: true}, rule: "refer-early-bye", err: "refer-early-bye"},
		{name: "the target is busy", obey: obey{}, user: "+14255550186", err: "486", kept: true},
		{name: "Replaces in the INVITE", obey: obey{invite: func(m *sip.Message) *sip.Message { m.Set("Replaces", "a;from-tag=b;to-tag=c"); return m }}, rule: "replaces", err: "420", kept: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, h := handBench(t)
			d, old := h.call("+14255550123")
			b.wait("the ACK", old.Established)
			h.obey(d, c.obey)
			user := c.user
			if user == "" {
				user = "+14255550188"
			}
			tr, err := b.teams.TransferToUser(t.Context(), old, user)
			if err != nil {
				t.Fatal(err)
			}
			err = tr.Wait(t.Context())
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("ended with %v, want %q", err, c.err)
			}
			rules := b.noted()
			if c.rule == "" && len(rules) > 0 || c.rule != "" && (len(rules) == 0 || rules[0] != c.rule) {
				t.Errorf("noted %v, want %q: %+v", rules, c.rule, b.teams.Violations())
			}
			if c.kept {
				if old.Brief().Ended.IsZero() {
					return
				}
				t.Error("the first call has ended")
			}
			b.ended(old)
			if c.err == "" && (old.Brief().HungUpBy != "us" || tr.Call() == nil || !tr.Call().Established()) {
				t.Errorf("first call ended by %s", old.Brief().HungUpBy)
			}
			if c.err != "" && tr.Call() != nil {
				b.ended(tr.Call())
			}
		})
	}
}

// Microsoft Teams docs, Direct Routing: SIP protocol; RFC 3891.
func TestWhatIsReplacedIsToEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		early  bool
		status int  // to the INVITE with Replaces
		end    bool // the old call
		rule   string
	}{
		{"a confirmed call", false, 200, true, ""},
		{"an early call", true, 200, true, ""},
		{"a confirmed call that is left over", false, 200, false, "replaces-left"},
		{"an early call that is left over", true, 200, false, "replaces-left"},
		{"Replaces is not known", false, 420, false, "replaced"},
		{"the call is not found", false, 481, false, "replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, h := handBench(t)
			b.teams.Answer("+14255550123", phone.Behaviour{NoAnswer: c.early})
			m := h.invite("sip:+14255550123@sip." + domain + ";user=phone")
			got := h.ask(m.Clone())
			ringing := <-got
			for ringing.Status < 180 {
				ringing = <-got
			}
			to, _ := ringing.To()
			var d *ua.Dialog
			if !c.early {
				d, _ = h.settle(m, got)
			}
			from, _ := m.From()
			h.handle("INVITE", func(tx *sip.ServerTx) {
				if want := m.Get("Call-ID") + ";from-tag=" + to.Tag() + ";to-tag=" + from.Tag(); tx.Request().Get("Replaces") != want || !tx.Request().HasToken("Require", "replaces") {
					t.Errorf("Replaces: %s, want %s", tx.Request().Get("Replaces"), want)
				}
				if c.status != 200 {
					h.respond(tx, c.status, nil)
					return
				}
				h.answer(tx)
				switch {
				case !c.end:
				case c.early:
					h.tx.Cancel("")
				default:
					h.tasks.Go(func() { <-h.ask(d.NewRequest("BYE")) })
				}
			})
			old := b.teams.Calls()[0]
			next, err := b.teams.Replace(t.Context(), old, phone.CallSpec{From: "+14255550188", To: "+13035550177"})
			if err != nil {
				t.Fatal(err)
			}
			if c.status == 200 {
				b.answered(next)
				b.ended(old)
			} else {
				b.ended(next)
			}
			b.wait("what is to be noted", func() bool { return len(b.noted()) > 0 == (c.rule != "") })
			if rules := b.noted(); c.rule != "" && rules[0] != c.rule {
				t.Errorf("noted %v", b.teams.Violations())
			}
		})
	}
}
