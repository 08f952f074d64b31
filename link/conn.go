package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tandemgw/tandem/base/fault"
)

// DialConfig is a connection to servers.
type DialConfig struct {
	Node    string
	Control bool        // of a control node, else of an edge
	URLs    []string    // "tls://host:port"; of other machines
	TLS     *tls.Config // with Certificates and RootCAs
	Log     *slog.Logger
}

// Conn is a connection, which is made again for ever when it is lost.
type Conn struct {
	node string
	nc   *nats.Conn
	js   jetstream.JetStream
	log  *slog.Logger

	mu   sync.Mutex
	back []chan struct{} // mu: one place each: "the connection stands again"
	why  string          // mu: nobody was reached last
	turn time.Time       // mu: since when it stands, or does not
}

// Dial makes a connection, whether or not anybody answers yet.
func Dial(c DialConfig) (*Conn, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("a link needs the URL of a server")
	}
	opts := nats.GetDefaultOptions()
	opts.Servers, opts.TLSConfig, opts.Secure = c.URLs, c.TLS, c.TLS != nil
	return dial(c, opts)
}

// Conn connects in-process. A connection of a control node may do everything,
// an edge's what any edge may.
func (s *Server) Conn(c DialConfig) (*Conn, error) {
	opts := nats.GetDefaultOptions()
	opts.InProcessServer, opts.Password = s.nats, s.secret
	return dial(c, opts)
}

func dial(c DialConfig, opts nats.Options) (*Conn, error) {
	l := &Conn{node: c.Node, log: orDefault(c.Log), turn: time.Now()}
	opts.Name, opts.User, opts.InboxPrefix = c.Node, c.Node, inbox(c.Node)
	if !c.Control {
		opts.User = "edge:" + c.Node
	}
	opts.RetryOnFailedConnect, opts.MaxReconnect, opts.IgnoreAuthErrorAbort = true, -1, true
	opts.ReconnectBufSize = -1 // what cannot be sent fails at once: every sender keeps what it owes
	opts.CustomReconnectDelayCB = backOff
	opts.Timeout, opts.PingInterval, opts.MaxPingsOut = 5*time.Second, 10*time.Second, 2
	opts.NoEcho, opts.IgnoreDiscoveredServers = true, true
	opts.ConnectedCB = func(*nats.Conn) { l.connected("link stands") }
	opts.ReconnectedCB = func(*nats.Conn) { l.connected("link stands again") }
	opts.DisconnectedErrCB = func(_ *nats.Conn, err error) {
		l.mu.Lock()
		l.turn = time.Now()
		l.mu.Unlock()
		if err != nil {
			l.log.Warn("link is lost and will be made again", "error", err)
		}
	}
	opts.ReconnectErrCB = func(_ *nats.Conn, err error) { l.unreachable(err) }
	opts.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) { l.log.Warn("link", "error", err) }
	var err error
	if l.nc, err = opts.Connect(); err != nil {
		return nil, fmt.Errorf("connect the link: %w", err)
	}
	if l.js, err = jetstream.New(l.nc, jetstream.WithDefaultTimeout(callTime)); err != nil {
		l.nc.Close()
		return nil, err
	}
	return l, nil
}

// callTime is how long the server may take for one thing.
const callTime = 5 * time.Second

// backOff is how long to wait after every server has been tried: from a quarter of a
// second to ten, with a fifth of chance, so that a hundred edges do not come
// in the same moment.
func backOff(attempts int) time.Duration {
	d := min(250*time.Millisecond<<min(attempts, 10), 10*time.Second)
	return d + rand.N(d/5)
}

// unreachable says why nobody is reached, when the reason is new.
func (l *Conn) unreachable(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if say := err.Error(); say != l.why {
		l.why = say
		l.log.Warn("control is not reached and will be tried again", "error", err)
	}
}

func (l *Conn) connected(say string) {
	l.log.Info(say, "node", l.node)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why, l.turn = "", time.Now()
	for _, ch := range l.back {
		poke(ch)
	}
}

// returns has a value each time that the connection stands again.
func (l *Conn) returns() <-chan struct{} {
	ch := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back = append(l.back, ch)
	return ch
}

// Connected tells whether it stands at present.
func (l *Conn) Connected() bool { return l.nc.IsConnected() }

// since is when it was made or lost, whichever came last.
func (l *Conn) since() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turn
}

// Await waits until the connection stands.
func (l *Conn) Await(ctx context.Context) error {
	back := l.returns()
	for !l.Connected() {
		select {
		case <-back:
		case <-ctx.Done():
			return &fault.Error{Kind: fault.Unavailable, Public: "the link does not stand", Err: ctx.Err()}
		}
	}
	return nil
}

// Close ends it for good.
func (l *Conn) Close() { l.nc.Close() }

// poke puts a value into a channel of one place, or leaves the one there.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
