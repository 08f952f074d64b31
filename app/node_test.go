package app

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks")) // it has no end
}

// load reads the good configuration with replacements made in it.
func load(t *testing.T, changes ...string) *Config {
	t.Helper()
	dir := room(t)
	// Addresses of this test's own, and an OPTIONS target that is nobody.
	text := strings.NewReplacer(append(changes,
		"127.0.1.", "127.77.1.", "127.0.2.", "127.77.2.", "127.0.3.", "127.77.3.",
		"  metrics: 127.0.0.1:9464\n", "",
	)...).Replace(good)
	for _, name := range []string{"secret", "other"} {
		write(t, dir, name, "hunter-"+name+"\n")
	}
	write(t, dir, "tandem.yaml", text)
	cfg, err := LoadConfig(filepath.Join(dir, "tandem.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func start(t *testing.T, cfg *Config) *Node {
	t.Helper()
	n, err := New(cfg, slog.New(slog.DiscardHandler), "test")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startLogged starts a node that writes its log into j.
func startLogged(t *testing.T, cfg *Config, j *journal) *Node {
	t.Helper()
	n, err := New(cfg, slog.New(slog.NewTextHandler(j, nil)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder // mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// edit makes replacements in a file.
func edit(t *testing.T, file string, changes ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			t.Fatalf("nothing to replace: %q", changes[i])
		}
	}
	write(t, filepath.Dir(file), filepath.Base(file), strings.NewReplacer(changes...).Replace(string(text)))
}

// renewCore puts certificates of another authority of the same name into the
// room.
func renewCore(t *testing.T, dir string) {
	t.Helper()
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "1r1.lab.example", "r1.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "good", cert); err != nil {
		t.Fatal(err)
	}
}

func TestANodeAnswersItsControlSocketDrainsAndCanStartAgain(t *testing.T) {
	cfg := load(t)
	for range 2 {
		n := start(t, cfg)
		health, err := ops.Dial(cfg.Node.Socket()).Health(t.Context())
		if err != nil || health.State != ops.Ready || len(health.Listeners) != 2 {
			t.Errorf("health = %+v, %v; want ready with two listeners", health, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	}
	if _, err := ops.Dial(cfg.Node.Socket()).Health(t.Context()); err == nil {
		t.Error("the control socket still answers after the node has ended")
	}
}

func TestTheSocketAndTheDataAreForThisUserAlone(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	for path, want := range map[string]os.FileMode{
		cfg.Node.Socket(): 0o600, cfg.Node.Data: 0o700, filepath.Join(cfg.Node.Data, "calls.db"): 0o600,
	} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(path), st.Mode().Perm(), want)
		}
	}
}

// What a tired person meets: each failure is one sentence that says what to do,
// and leaves nothing running.
func TestEachFailureToStartSaysWhatToDo(t *testing.T) {
	busy := func(t *testing.T, network, at string) {
		t.Helper()
		if network == "udp" {
			c, err := net.ListenPacket(network, at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return
		}
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	cases := []struct {
		name   string
		change []string
		spoil  func(t *testing.T, cfg *Config)
		want   []string
	}{
		{
			"another node on the data folder", nil,
			func(t *testing.T, cfg *Config) {
				release, err := lock(cfg.Node.Data)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(release)
			},
			[]string{"another node is running on the data folder", "stop it or choose another node.data"},
		},
		{
			"a busy SIP port", nil,
			func(t *testing.T, _ *Config) { busy(t, "tcp", "127.77.1.1:5063") },
			[]string{"127.77.1.1:5063", "cloud", "another program has this port"},
		},
		{
			"a busy metrics port",
			[]string{"  metrics: 127.0.0.1:9464\n", "  metrics: 127.77.1.9:9464\n"},
			func(t *testing.T, _ *Config) { busy(t, "tcp", "127.77.1.9:9464") },
			[]string{"127.77.1.9:9464", "node.metrics", "another program has this port"},
		},
		{
			"a data folder that cannot be made", nil,
			func(t *testing.T, cfg *Config) {
				file := filepath.Join(t.TempDir(), "file")
				write(t, filepath.Dir(file), "file", "")
				cfg.Node.Data = filepath.Join(file, "data")
			},
			[]string{"data folder", "choose another node.data"},
		},
		{
			"a key that went away after the check", nil,
			func(_ *testing.T, cfg *Config) { cfg.SIP.Listeners[0].Certificate.Key += ".gone" },
			[]string{"certificate of sip.listeners[cloud]", "no such file"},
		},
		{
			"a damaged spool", nil,
			func(t *testing.T, cfg *Config) {
				if err := os.MkdirAll(cfg.Node.Data, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, cfg.Node.Data, "calls.db", strings.Repeat("not a database ", 500))
			},
			[]string{"calls.db", "damaged"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := load(t, c.change...)
			c.spoil(t, cfg)
			n, err := New(cfg, slog.New(slog.DiscardHandler), "test")
			if err == nil {
				n.Close()
				t.Fatal("the node started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is more than a sentence: %v", err)
			}
		})
	}
}

func TestAnUnreachablePeerDoesNotKeepANodeFromStartingAndIsExplained(t *testing.T) {
	n := start(t, load(t))
	defer n.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		for _, p := range n.peers.Health() {
			if p.Side == "operator" && p.Why != "" {
				if !strings.Contains(p.Why, "127.77.3.1:5061") || !strings.Contains(p.Why, "refused") {
					t.Errorf("why = %q, want the address and that it refuses", p.Why)
				}
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no peer is explained: %+v", n.peers.Health())
		}
		time.Sleep(20 * time.Millisecond) // polling a real socket's failure
	}
}
