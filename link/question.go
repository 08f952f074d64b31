package link

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/record"
)

// Questions that every edge answers, with the types of question and answer.
const (
	AskCalls     = "calls"     // nothing -> []record.LiveCall
	AskTrace     = "trace"     // string, the ID of a call -> record.Trace
	AskHangup    = "hangup"    // string, the ID of a call -> nothing
	AskPeers     = "peers"     // nothing -> []record.PeerHealth
	AskExplain   = "explain"   // ExplainQuestion -> record.Explanation
	AskListeners = "listeners" // nothing -> []ListenerCheck: each was asked by OPTIONS
	AskTest      = "test"      // TestQuestion -> record.TestCall
)

// TestQuestion has an edge place a call to test the way. The first one of an ID
// begins it, each one tells how it stands: a call takes longer than an answer.
type TestQuestion struct {
	ID      string        `json:"id"`
	Towards record.Side   `json:"towards"` // the network to call: the other one is where the call seems to come from
	From    string        `json:"from"`    // E.164
	To      string        `json:"to"`      // E.164
	Talk    time.Duration `json:"talk"`    // length of the conversation
}

// ExplainQuestion is an INVITE that nobody sent.
type ExplainQuestion struct {
	From   string `json:"from"` // peer or address that it would come from
	Invite string `json:"invite"`
}

// ListenerCheck is what became of asking a listener of an edge by OPTIONS.
type ListenerCheck struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // why it did not answer; empty: it did
}

const (
	askTime = 10 * time.Second // for a whole answer
	// maxAnswer bounds an answer: 16 000 live calls.
	maxAnswer = 64 << 20
)

// Headers of an answer's messages.
const (
	moreHeader  = "Tandem-More"  // another message follows
	kindHeader  = "Tandem-Fault" // the kind of a fault
	faultHeader = "Tandem-Why"   // and its sentence
)

// listen answers questions, each in a goroutine of its own, a few at a time.
func (e *Edge) listen(conn *Conn) {
	const atOnce = 8
	places, questions := make(chan struct{}, atOnce), make(chan *nats.Msg, 64)
	prefix := askSubject + token(e.node) + "."
	sub, err := conn.nc.ChanSubscribe(prefix+"*", questions)
	if err != nil {
		e.log.Error("link: cannot answer questions", "error", err)
		return
	}
	defer sub.Unsubscribe()
	for {
		select {
		case m := <-questions:
			places <- struct{}{}
			e.ends.Go(func() {
				defer func() { <-places }()
				e.answer(conn, e.answers[strings.TrimPrefix(m.Subject, prefix)], m)
			})
		case <-e.life.Done():
			return
		}
	}
}

func (e *Edge) answer(conn *Conn, f Answer, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(e.life, askTime)
	defer cancel()
	text, err := ask(ctx, f, m.Data)
	e.asked.Add(1)
	if err != nil {
		why := nats.NewMsg(m.Reply)
		kind, say := faultOf(err)
		why.Header.Set(kindHeader, strconv.Itoa(int(kind)))
		why.Header.Set(faultHeader, strings.Join(strings.Fields(say), " "))
		_ = conn.nc.PublishMsg(why) // who asked hears nothing then, and says so
		if kind == fault.Internal {
			e.log.Error("link: answer", "subject", m.Subject, "error", err)
		}
		return
	}
	for {
		part := nats.NewMsg(m.Reply)
		part.Data, text = text[:min(pieceSize, len(text))], text[min(pieceSize, len(text)):]
		if len(text) > 0 {
			part.Header.Set(moreHeader, "1")
		}
		if conn.nc.PublishMsg(part) != nil || len(text) == 0 {
			return
		}
	}
}

// ask has a question answered. A panic of the answerer ends the question and
// not the edge.
func ask(ctx context.Context, f Answer, in []byte) (text []byte, err error) {
	if f == nil {
		return nil, fault.New(fault.NotFound, "this edge does not know that question: it is of another version")
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	out, err := f(ctx, in)
	if err != nil {
		return nil, err
	}
	if text, err = json.Marshal(out); err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, fault.New(fault.Exhausted, "the answer is too long for the link: ask for less")
	}
	return text, nil
}

// faultOf is what another machine may know of an error.
func faultOf(err error) (fault.Kind, string) {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return f.Kind, f.Public
	}
	return fault.Internal, "the edge could not answer: its log says why"
}

// Ask puts a question to a live edge and waits for its answer, which is
// decoded into out (nil: nobody cares); in may be nil. The error is
// fault.Unavailable when the edge is away or does not answer before ctx is
// done, or in 10 s; others are the edge's own, with their kinds.
func (c *Control) Ask(ctx context.Context, node, question string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	reply := c.conn.nc.NewInbox()
	sub, err := c.conn.nc.SubscribeSync(reply)
	if err != nil {
		return c.away(node, err)
	}
	defer sub.Unsubscribe()
	if err := c.conn.nc.PublishRequest(askSubject+token(node)+"."+question, reply, text); err != nil {
		return c.away(node, err)
	}
	var answer []byte
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return c.away(node, err)
		}
		if m.Header.Get("Status") == "503" {
			return c.away(node, nats.ErrNoResponders)
		}
		if kind := m.Header.Get(kindHeader); kind != "" {
			return toldFault(kind, m.Header.Get(faultHeader))
		}
		answer = append(answer, m.Data...)
		if len(answer) > maxAnswer {
			return fault.New(fault.Exhausted, "the answer of edge "+node+" is longer than is sensible")
		}
		if m.Header.Get(moreHeader) == "" {
			break
		}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of edge %s: %w", node, err)
	}
	return nil
}

// away explains that an edge does not answer.
func (c *Control) away(node string, err error) error {
	say := "edge " + node + " does not answer: look whether it runs and reaches link.listen of this node"
	switch s, known := c.Edge(node); {
	case errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected):
		say = "the link does not stand: look at the log of this node"
	case !known:
		say = "no edge " + node + " has ever connected: see that it runs with this name and that its link.urls lead here"
	case !s.Live:
		say = "edge " + node + " is away since " + s.Seen.UTC().Format(time.RFC3339)
	}
	return &fault.Error{Kind: fault.Unavailable, Public: say, Err: err}
}

// toldFault is an edge's error.
func toldFault(kind, why string) error {
	k, err := strconv.Atoi(kind)
	if err != nil || k < int(fault.Internal) || k > int(fault.Unavailable) {
		k = int(fault.Internal)
	}
	return &fault.Error{Kind: fault.Kind(k), Public: why, Err: errors.New(cmp.Or(why, "the edge says no more"))}
}
