package sip_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

// FuzzTransactions throws events at the four machines in any order: two bytes
// are one event and its argument. However it goes, each client transaction
// ends once and tells nothing after its end, each server transaction ends
// once, callbacks of one transaction never overlap, and after an hour nothing
// is left.
func FuzzTransactions(f *testing.F) {
	for _, seed := range []string{
		"\x00\x00\x00", "\x00\x00\x00\x02\x00\x02\x01\x02\x02", "\x01\x00\x00\x02\x01\x07\x00\x02\x04",
		"\x00\x08\x00\x0d\x01\x0b\x00\x0d\x04\x0c\x00", "\x01\x08\x00\x0f\x00\x0d\x02\x0c\x01", "\x00\x09\x00\x0a\x00\x0d\x02\x0a\x00",
		"\x00\x00\x00\x0f\x01\x0e\xff\x0f\x00\x02\x02\x07\x00", "\x01\x01\x00\x0f\x00\x02\x02\x0e\x20", "\x00\x08\x00\x08\x80\x0b\x00\x0d\x03",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) == 0 || len(script) > 200 {
			return
		}
		transport := sip.UDP
		if script[0]&1 == 1 {
			transport = sip.TCP
		}
		synctest.Test(t, func(t *testing.T) { newChaos(t, transport).play(script[1:]) })
	})
}

// chaos is a stack and a peer that follows a script.
type chaos struct {
	*bubble
	mu      sync.Mutex
	clients []*clientWatch
	servers []*serverWatch
	asked   []*sip.Message
}

type clientWatch struct {
	tx     *sip.ClientTx
	invite bool
	finals []string
	busy   bool
}

type serverWatch struct {
	tx            *sip.ServerTx
	req           *sip.Message
	ends, cancels int
}

func newChaos(t *testing.T, transport sip.Transport) *chaos {
	c := &chaos{bubble: &bubble{t: t, net: memnet.New(), transport: transport, start: time.Now(), remote: &sip.Remote{Name: "carrier"}}}
	c.listen()
	var err error
	c.stack, err = sip.NewStack(sip.StackConfig{
		Network:   c.net,
		Listeners: []sip.Listener{{Name: "core", Transport: transport, Bind: ourAddr}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{c.remote} },
		Handle:    c.handle,
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *chaos) handle(tx *sip.ServerTx) {
	w := &serverWatch{tx: tx, req: tx.Request()}
	tx.OnEnd(func(error) { w.ends++ })
	tx.OnCancel(func(*sip.Message) { w.cancels++ })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, w)
}

func (c *chaos) request(method string) {
	w := &clientWatch{invite: method == "INVITE"}
	req := ours(method)
	req.Set("Call-ID", fmt.Sprint("ours-", len(c.clients)))
	tx, err := c.stack.Request(req, c.target(), func(e sip.Event) {
		if w.busy {
			c.t.Error("two callbacks of one transaction overlap")
		}
		w.busy = true
		defer func() { w.busy = false }()
		switch {
		case e.Err != nil:
			w.finals = append(w.finals, "error")
		case e.Msg.Status >= 300:
			w.finals = append(w.finals, "refused")
		case e.Msg.Status >= 200:
			w.finals = append(w.finals, "ok")
		case len(w.finals) > 0:
			w.finals = append(w.finals, "provisional")
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	w.tx = tx
	c.clients = append(c.clients, w)
}

var (
	answers  = []int{100, 180, 200, 486, 487, 503, 408, 183}
	weathers = []memnet.Weather{{}, {Hole: true}, {Refuse: true}, {Loss: 0.5}, {Latency: 300 * time.Millisecond}}
)

func (c *chaos) play(script []byte) {
	for len(script) >= 2 {
		c.event(script[0]%16, int(script[1]))
		script = script[2:]
		synctest.Wait()
	}
	c.settle()
}

func (c *chaos) event(what byte, arg int) {
	switch what {
	case 0:
		c.request("INVITE")
	case 1:
		c.request("OPTIONS")
	case 2, 3, 4, 5:
		c.answerAny(arg, answers[arg%len(answers)])
	case 6:
		c.answerAny(arg, 200)
	case 7:
		if n := len(c.clients); n > 0 {
			c.clients[arg%n].tx.Cancel("")
		}
	case 8:
		c.tell(c.bubble.request("INVITE", fmt.Sprint("z9hG4bK", arg)))
	case 9:
		c.tell(c.bubble.request("BYE", fmt.Sprint("z9hG4bK", arg), "To", "<sip:x@y>;tag=z"))
	case 10, 11, 12:
		c.followUp([]string{"", "CANCEL", "ACK"}[what-10], arg)
	case 13:
		c.mu.Lock()
		var w *serverWatch
		if n := len(c.servers); n > 0 {
			w = c.servers[arg/len(answers)%n]
		}
		c.mu.Unlock()
		if w != nil {
			_ = w.tx.Respond(sip.NewResponse(w.req, answers[arg%len(answers)], ""))
		}
	case 14:
		after(time.Duration(arg*arg) * time.Millisecond)
	case 15:
		if arg&1 == 0 {
			c.net.Cut(ourAddr.Addr(), peerAddr.Addr())
		}
		c.net.Set(ourAddr.Addr(), peerAddr.Addr(), weathers[arg/2%len(weathers)])
	}
}

// tell sends to the stack; that the way is closed is part of the game.
func (c *chaos) tell(m *sip.Message) {
	if m.IsRequest() {
		c.asked = append(c.asked, m)
	}
	raw := m.Append(nil)
	if c.udp != nil {
		c.udp.WriteToUDPAddrPort(raw, ourAddr)
		return
	}
	if w := c.net; c.dialled == nil {
		w.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{})
		c.dialled = c.dial()
		go c.readStream(c.dialled)
	}
	if _, err := c.dialled.Write(raw); err != nil {
		c.dialled.Close()
		c.dialled = nil
	}
}

func (c *chaos) answerAny(arg, status int) {
	c.bubble.mu.Lock()
	var requests []*sip.Message
	for _, m := range c.heard {
		if m.IsRequest() && m.Method != "ACK" {
			requests = append(requests, m)
		}
	}
	c.bubble.mu.Unlock()
	if len(requests) == 0 {
		return
	}
	resp := sip.NewResponse(requests[arg/len(answers)%len(requests)], status, "")
	resp.TagTo(fmt.Sprint("fork", arg%3))
	c.tell(resp)
}

// followUp repeats a request of the peer, or cancels or acknowledges it.
func (c *chaos) followUp(method string, arg int) {
	if len(c.asked) == 0 {
		return
	}
	m := c.asked[arg%len(c.asked)].Clone()
	if method != "" {
		m.Method = method
		m.Set("CSeq", "1 "+method)
	}
	c.tell(m)
}

// settle lets everybody do his duty, then an hour pass.
func (c *chaos) settle() {
	c.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{})
	after(time.Second)
	for _, w := range c.servers {
		_ = w.tx.Respond(sip.NewResponse(w.req, 480, ""))
	}
	for _, w := range c.clients {
		w.tx.Cancel("")
	}
	after(time.Hour)
	for i, w := range c.clients {
		w.check(c.t, i)
	}
	for i, w := range c.servers {
		if w.ends != 1 || w.cancels > 1 {
			c.t.Errorf("server transaction %d ended %d times and was cancelled %d times", i, w.ends, w.cancels)
		}
	}
	if n := c.stack.Counters(); n.ClientTx != 0 || n.ServerTx != 0 || n.Connections != 0 || n.Drops["panic"] != 0 || c.stack.Merges() != 0 {
		c.t.Errorf("left behind: %d merges and %+v", c.stack.Merges(), n)
	}
	if err := c.stack.Close(); err != nil {
		c.t.Error(err)
	}
	c.hangUp()
	if n := c.net.Streams(); n != 0 {
		c.t.Errorf("%d streams are left", n)
	}
}

func (w *clientWatch) check(t *testing.T, i int) {
	if len(w.finals) == 0 {
		t.Errorf("client transaction %d never ended", i)
	}
	for j, what := range w.finals {
		switch {
		case what == "provisional":
			t.Errorf("client transaction %d told a provisional response after its end: %v", i, w.finals)
		case j > 0 && (!w.invite || what != "ok" || w.finals[j-1] != "ok"):
			t.Errorf("client transaction %d ended more than once: %v", i, w.finals)
		}
	}
}
