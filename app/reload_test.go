package app

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/phone"
)

func TestAReloadTouchesNoCall(t *testing.T) {
	w := build(t)
	calls := []*phone.Call{w.talk(true), w.talk(false)}
	listen := func() {
		for i, c := range calls {
			before := c.Facts().Packets.Received
			w.until(func() string {
				if c.Facts().Packets.Received < before+10 {
					return "a call hears nothing"
				}
				return ""
			})
			w.must(c.Hold(t.Context()))
			w.must(c.Resume(t.Context()))
			if !c.Established() {
				t.Errorf("call %d is over", i)
			}
		}
	}
	listen()

	// Everything that can change does: certificates, routing, intervals, the
	// core's name in DNS and its peer.
	w.renew()
	w.write("options: 1s", "options: 2s", "codecs: [PCMA]", "codecs: [PCMU]",
		"operator:\n", "numbers: [{number: \"+442079460001\", service: OperatorConnect}]\noperator:\n  tls: {min: \"1.3\"}\n",
		"operatorAddresses: [127.78.3.1]", "operatorAddresses: [127.78.3.7]", "127.78.3.0/24", "127.78.3.7/32",
		`proxies: ["sip.pstn.lab.example:5061", `, `proxies: [`)
	done, err := w.ops.Reload(t.Context(), ops.ReloadRequest{})
	w.must(err)
	if done.Revision != 2 || len(done.Changes) < 8 {
		t.Errorf("reload: %+v", done)
	}
	listen()
	calls[0].HangUp()
	calls[1].HangUp()
	for _, c := range calls {
		<-c.Done()
	}
	var past []record.Call
	w.until(func() string {
		past, err = w.ops.Past(t.Context(), record.Filter{})
		w.must(err)
		if len(past) != 2 || past[0].Ended == nil || past[1].Ended == nil {
			return "a record is open"
		}
		return ""
	})
	for _, r := range past {
		if r.Cause.By != record.ByCaller || r.Revision != 1 || r.Caller.Codec != "PCMA" {
			t.Errorf("the call should have ended by its caller, with the rules it began with: %+v", r)
		}
	}
}

func TestABadConfigurationIsRefusedWhole(t *testing.T) {
	cfg := load(t)
	var log journal
	n := startLogged(t, cfg, &log)
	defer n.Close()
	dir := filepath.Dir(cfg.File)
	before := n.running.Load()
	text, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(string) string
		want  []string // parts of the problems, in order
	}{
		{"two mistakes beside a good change", func(s string) string {
			return strings.NewReplacer("countryCode: 44", "countryCode: 45", "codecs: [PCMA]", "codecs: [PCMX]", "service: OperatorConnect", "service: Zoom").Replace(s)
		}, []string{"codecs[0]", "numbers[0].service"}},
		{"a key that is gone", func(s string) string { return strings.ReplaceAll(s, "good.key", "gone.key") }, []string{"gone.key", "gone.key"}},
		{"no file", nil, []string{"cannot be read"}},
		{"another address of a listener", func(s string) string {
			return strings.Replace(s, "127.77.1.2:5061", "127.77.1.2:5062", 1)
		}, []string{"restart needed for sip.listeners[core].bind: 127.77.1.2:5061 → 127.77.1.2:5062"}},
		{"another name, data and log format", func(s string) string {
			return strings.Replace(strings.Replace(s, "name: r1-a", "name: r1-b\n  log: {format: json}", 1), "data: data", "data: moved", 1)
		}, []string{"restart needed for node.name: r1-a → r1-b", "restart needed for node.data: " + dir + "/data → " + dir + "/moved", "restart needed for node.log.format: text → json"}},
		{"media elsewhere", func(s string) string { return strings.Replace(s, "20000-24999", "20000-23999", 1) }, []string{"restart needed for media.interfaces[operator].ports: 20000-24999 → 20000-23999"}},
		{"metrics where there were none", func(s string) string { return strings.Replace(s, "node:\n", "node:\n  metrics: 127.77.1.9:9464\n", 1) }, []string{"restart needed for node.metrics: add 127.77.1.9:9464"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.spoil == nil {
				if err := os.Remove(cfg.File); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, dir, "tandem.yaml", c.spoil(string(text)))
			}
			log.Reset()
			_, err := ops.Dial(cfg.Node.Socket()).Reload(t.Context(), ops.ReloadRequest{})
			bad, ok := errors.AsType[*ops.Rejected](err)
			if !ok || len(bad.Problems) != len(c.want) {
				t.Fatalf("got %v", err)
			}
			for i, want := range c.want {
				if !strings.Contains(bad.Problems[i], want) || !strings.Contains(log.String(), strings.ReplaceAll(want, `"`, `\"`)) {
					t.Errorf("problem %d lacks %q, or the log does:\n%s\n%s", i, want, bad.Problems[i], log.String())
				}
			}
			if n.running.Load() != before {
				t.Error("something of it is in force")
			}
			h := n.health()
			if h.Revision != 1 || h.Reload == nil || h.Reload.Good || h.Reload.Why != bad.Problems[0] {
				t.Errorf("health: %+v, %+v", h, h.Reload)
			}
		})
	}
	write(t, dir, "tandem.yaml", string(text))
	if done, err := n.Reload(); err != nil || len(done.Changes) != 0 || done.Revision != 1 {
		t.Errorf("the same again: %+v, %v", done, err)
	}
}

func TestAReloadTellsAndLogsEveryChange(t *testing.T) {
	cfg := load(t, "data: data\n", "data: data\n  log: {level: info}\n", "countryCode: 44", "countryCode: 44\n  auth: {username: us, secretFile: secret}")
	cfg.LogLevel = &slog.LevelVar{}
	var log journal
	n := startLogged(t, cfg, &log)
	defer n.Close()
	dir := filepath.Dir(cfg.File)
	edit(t, cfg.File,
		"level: info", "level: debug",
		"dns: [\"127.0.0.1:5300\"]", "dns: [\"127.0.0.1:5301\"]\n  options: 5s",
		"countryCode: 44", "countryCode: 49",
		"codecs: [PCMA]", "codecs: [PCMU, PCMA]",
		"operatorAddresses: [127.77.3.1]", "operatorAddresses: [127.77.3.1, 127.77.3.2]",
		"{number: +441134960010, service: OperatorConnect, account: contoso}", "{number: +441134960009, service: OperatorConnect}\n  - {number: +441134960010, service: OperatorConnect}",
		"secretFile: secret", "secretFile: other",
		"sources: [127.77.2.0/24]}", "sources: [127.77.2.0/24], tls: {min: \"1.3\"}}",
	)
	before := n.running.Load()
	renewCore(t, dir)
	done, err := n.Reload()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range done.Changes {
		if !strings.Contains(log.String(), c.Path) {
			t.Errorf("the log does not tell of %s", c.Path)
		}
		got = append(got, c.Path+": "+transition(c))
	}
	serial := func(r *running, name string) string { return describe(r.certificates[name].Leaf) }
	now := n.running.Load()
	want := []string{
		"node.log.level: info → debug",
		"sip.dns: [127.0.0.1:5300] → [127.0.0.1:5301]",
		"sip.options: 1m0s → 5s",
		"services.teams.tls.min: add 1.3",
		"operator.countryCode: 44 → 49",
		"operator.auth.secretFile: " + dir + "/secret → " + dir + "/other",
		"gateway.properties.serviceLocations[westeurope].primaryRegionProperties.operatorAddresses: [127.77.3.1] → [127.77.3.1, 127.77.3.2]",
		"gateway.properties.codecs: [PCMA] → [PCMU, PCMA]",
		"numbers[+441134960010].account: remove contoso",
		"numbers[+441134960009]: add {number: +441134960009, service: OperatorConnect}",
		"sip.listeners[cloud].certificate: " + serial(before, "sip.listeners[cloud]") + " → " + serial(now, "sip.listeners[cloud]"),
		"sip.listeners[core].certificate: " + serial(before, "sip.listeners[core]") + " → " + serial(now, "sip.listeners[core]"),
		"sip.roots: remove Test Root",
		"sip.roots: add Test Root",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(log.String(), "hunter") || strings.Contains(strings.Join(got, ""), "hunter") {
		t.Error("a secret is told")
	}
	if cfg.LogLevel.Level() != slog.LevelDebug || now.cfg.LogLevel != cfg.LogLevel {
		t.Error("the log's level was not turned")
	}
	if now.snapshot.Revision != 2 || done.Revision != 2 || n.health().Revision != 2 || !n.health().Reload.Good {
		t.Errorf("revision: %+v, %+v", done, n.health())
	}
	if !slices.Contains(done.Renewing, "microsoft-teams-1") || !slices.Contains(done.Renewing, "operator-westeurope-1") {
		t.Errorf("made anew are %v", done.Renewing)
	}
	if p, ok := n.peers.Find("operator-westeurope-2"); !ok || p.CountryCode != "49" {
		t.Errorf("the new peer: %+v", p)
	}
}

func TestAComparisonChangesNothing(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	before := n.running.Load()
	text, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := write(t, t.TempDir(), "next.yaml", strings.NewReplacer("countryCode: 44", "countryCode: 49", "name: r1-a", "name: r1-b").Replace(string(text)))
	client := ops.Dial(cfg.Node.Socket())
	done, err := client.Reload(t.Context(), ops.ReloadRequest{DryRun: true, File: elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	want := []ops.Change{{Path: "node.name", Old: "r1-a", New: "r1-b"}, {Path: "operator.countryCode", Old: "44", New: "49"}}
	if diff := cmp.Diff(want, done.Changes); diff != "" || !slices.Equal(done.Restart, []string{"restart needed for node.name: r1-a → r1-b"}) {
		t.Errorf("%s\n%+v", diff, done)
	}
	if done, err = client.Reload(t.Context(), ops.ReloadRequest{DryRun: true}); err != nil || len(done.Changes) != 0 {
		t.Errorf("its own file: %+v, %v", done, err)
	}
	if _, err = client.Reload(t.Context(), ops.ReloadRequest{File: elsewhere}); err == nil {
		t.Error("another file was put in force")
	}
	if n.running.Load() != before || n.health().Reload != nil {
		t.Error("something changed")
	}
}

// variants are edits that can stand or not, each by itself.
var variants = [][2]string{
	{"countryCode: 44", "countryCode: 49"},
	{"codecs: [PCMA]", "codecs: [PCMU, G722]"},
	{"  dns:", "  options: 7s\n  dns:"},
	{"operatorAddresses: [127.77.3.1]", "operatorAddresses: [127.77.3.2, 127.77.3.1]"},
	{"allowedMediaSourceAddressPrefixes: [127.77.3.0/24]", "allowedMediaSourceAddressPrefixes: [127.77.4.0/24]"},
	{"allowedSignalingSourceAddressPrefixes: [127.77.3.0/24]", "allowedSignalingSourceAddressPrefixes: [127.77.3.0/25, 127.77.5.1]"},
	{"  names: [core.lab.example]\n", "  names: [other.lab.example]\n  tls: {min: \"1.3\", clientCertificate: false}\n"},
	{"  - {number: +441134960010, service: OperatorConnect, account: contoso}\n", "  - {number: +441134960011, service: OperatorConnect}\n"},
	{"sources: [127.77.2.0/24]", "sources: [127.77.2.0/25]"},
	{"chain: good.pem, key: good.key", "chain: exposed.pem, key: exposed.key"},
	{"  roots: root.pem\n", ""},
}

// TestReloadingAThenBIsB: what came before leaves nothing behind.
func TestReloadingAThenBIsB(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	text, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(cfg.File)
	rapid.Check(t, func(t *rapid.T) {
		for range 2 {
			now := string(text)
			for i, v := range variants {
				if rapid.Bool().Draw(t, "variant "+v[0]) {
					if !strings.Contains(now, v[0]) {
						t.Fatalf("variant %d does not fit", i)
					}
					now = strings.Replace(now, v[0], v[1], 1)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "tandem.yaml"), []byte(now), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		alone, err := LoadConfig(cfg.File)
		if err != nil {
			t.Fatal(err)
		}
		got := n.running.Load()
		fresh, err := alone.make(got.snapshot.Revision, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(inJSON(t, fresh.snapshot), inJSON(t, got.snapshot)); diff != "" {
			t.Fatal(diff)
		}
		if d := append(difference(alone, got.cfg), renewed(fresh, got)...); len(d) > 0 {
			t.Fatalf("configurations differ: %v", d)
		}
		for _, p := range got.snapshot.Peers() {
			known, ok := n.peers.Find(p.Name)
			if !ok || !reflect.DeepEqual(known.Peer, *p) {
				t.Fatalf("the set knows %+v, the snapshot %+v", known.Peer, *p)
			}
		}
		shown := 0
		for g := range got.snapshot.Peers() {
			if !g.Tester {
				shown++
			}
		}
		if len(n.peers.Health()) != shown {
			t.Fatal("the set has peers of before")
		}
	})
}

func inJSON(t *rapid.T, v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReloadsAtTheSameTimeFollowEachOther(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	text, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(cfg.File)
	var mu sync.Mutex
	revisions := map[uint64]bool{}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 5 {
				// Renamed into place, as a careful editor does.
				next := write(t, dir, "next-"+string(rune('a'+i)), strings.Replace(string(text), "countryCode: 44", "countryCode: 4"+string(rune('0'+(i+j)%10)), 1))
				if err := os.Rename(next, cfg.File); err != nil {
					t.Error(err)
				}
				done, err := n.Reload()
				if err != nil {
					t.Error(err)
				}
				n.health()
				mu.Lock()
				if len(done.Changes) > 0 && revisions[done.Revision] {
					t.Errorf("revision %d was given twice", done.Revision)
				}
				if len(done.Changes) > 0 {
					revisions[done.Revision] = true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if _, err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	last, err := LoadConfig(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.running.Load(); got.cfg.Operator.CountryCode != last.Operator.CountryCode || got.snapshot.Groups[0].Peers[0].CountryCode != last.Operator.CountryCode {
		t.Error("what is in force is not what the file says")
	}
}

func TestANodeThatDrainsOrStartsIsNotReloaded(t *testing.T) {
	n := start(t, load(t))
	n.draining.Store(true)
	if _, err := n.Reload(); err == nil {
		t.Error("it was, while draining")
	}
	n.ready.Store(false)
	if _, err := n.reload(t.Context(), ops.ReloadRequest{}); err == nil {
		t.Error("it was, before its start")
	}
	n.draining.Store(false)
	n.Close()
	if _, err := n.Reload(); err == nil {
		t.Error("it was, after its end")
	}
}

func TestPrometheusSeesRevisionAndLastReload(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	scrape := func() string {
		w := httptest.NewRecorder()
		n.metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	for _, step := range []struct {
		edit []string
		want []string
	}{
		{nil, []string{"tandem_config_revision 1\n", "tandem_config_last_reload_success 1\n"}},
		{[]string{"countryCode: 44", "countryCode: 45"}, []string{"tandem_config_revision 2\n", "tandem_config_last_reload_success 1\n"}},
		{[]string{"countryCode: 45", "countryCode: x"}, []string{"tandem_config_revision 2\n", "tandem_config_last_reload_success 0\n"}},
	} {
		if step.edit != nil {
			edit(t, cfg.File, step.edit...)
			_, _ = n.Reload()
		}
		for _, want := range append(step.want, "tandem_config_last_reload_timestamp_seconds ") {
			if got := scrape(); !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
}
