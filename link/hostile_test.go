package link

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAHostileEdgeIsNotBelieved: it has a certificate, and says what it should
// not. What was known of it, and of others, stays.
func TestAHostileEdgeIsNotBelieved(t *testing.T) {
	s := serve(t, ServerConfig{})
	boss := connect(t, s, "c1", true)
	c := theControl(t, boss)
	conn := connect(t, s, "r1-a", false)
	say := func(subject, text string) error {
		_, err := conn.js.Publish(t.Context(), subject, []byte(text))
		return err
	}
	if err := say(statusSubject+"r1-a", `{"node":"r1-a","region":"westeurope","listeners":[{"name":"cloud","address":"192.0.2.1:5063"}]}`); err != nil {
		t.Fatal(err)
	}
	known := func() EdgeStatus { e, _ := c.Edge("r1-a"); return e }
	until(t, "its report", func() bool { return len(known().Listeners) == 1 })

	listeners := strings.Repeat(`{"name":"x"},`, 5000)
	for name, text := range map[string]string{
		"a report of 10 MB":          `{"error":"` + strings.Repeat("x", 10<<20) + `"}`,
		"one of half a megabyte":     `{"error":"` + strings.Repeat("x", 500<<10) + `"}`,
		"thousands of listeners":     `{"listeners":[` + strings.TrimSuffix(listeners, ",") + `]}`,
		"a sentence without end":     `{"error":"` + strings.Repeat("x", 5000) + `"}`,
		"an address of nobody":       `{"listeners":[{"name":"cloud","address":"224.0.0.1:5063"}]}`,
		"an address that is none":    `{"listeners":[{"name":"cloud","address":"victim.example:5063"}]}`,
		"media of a network":         `{"media":[{"side":"cloud","address":"255.255.255.255"}]}`,
		"media without an address":   `{"media":[{"side":"cloud","address":"%0a"}]}`,
		"a certificate of all names": `{"listeners":[{"certificate":{"bears":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 1000), ",") + `]}}]}`,
		"no JSON":                    `{"listeners":`,
		"another kind of value":      `{"listeners":"all"}`,
	} {
		if err := say(statusSubject+"r1-a", text); err != nil {
			t.Logf("%s is refused by the server: %v", name, err)
		}
	}
	// Another's name, by the subject and by what it says.
	if err := conn.nc.Publish(statusSubject+"r2-a", []byte(`{"node":"r2-a"}`)); err != nil {
		t.Fatal(err)
	}
	if err := say(statusSubject+"r1-a", `{"node":"r2-a","region":"westeurope","listeners":[{"name":"last","address":"192.0.2.1:5063"}]}`); err != nil {
		t.Fatal(err)
	}
	until(t, "its report", func() bool { e := known(); return len(e.Listeners) == 1 && e.Listeners[0].Name == "last" })
	if got := known(); got.Node != "r1-a" {
		t.Errorf("it goes by %s", got.Node)
	}
	if all := c.Edges(); len(all) != 1 {
		t.Errorf("there are %d edges now", len(all))
	}
	// It cannot read, nor answer, what is for others: it is said while it listens.
	for subject, said := range map[string]string{
		toldSubject + "r2-a": toldSubject + "r2-a", askSubject + "r2-a.calls": askSubject + "r2-a.calls", snapshotSubject + ">": snapshotSubject + "r2-a",
		recordSubject + ">": recordSubject + "r2-a", ">": toldSubject + "r2-a", "_INBOX.>": "_INBOX.others.1",
	} {
		sub, err := conn.nc.SubscribeSync(subject)
		if err != nil {
			continue
		}
		_ = conn.nc.Flush()
		if err := boss.nc.Publish(said, []byte("secret")); err != nil {
			t.Fatal(err)
		}
		_ = boss.nc.Flush()
		if m, err := sub.NextMsg(200 * time.Millisecond); err == nil {
			t.Errorf("it hears %s on %s", m.Subject, subject)
		}
		if err := conn.nc.LastError(); err == nil || !strings.Contains(err.Error(), "ermissions") {
			t.Errorf("%s: the server says %v", subject, err)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add("r1", "192.0.2.1:5063", "192.0.2.1", "x")
	f.Add("", "[::1]:1", "::ffff:255.255.255.255", "")
	f.Fuzz(func(t *testing.T, region, listener, media, text string) {
		s := EdgeStatus{Region: region, Error: text, Listeners: []Listener{{Address: listener}}, Media: []MediaRange{{Address: media}}}
		if err := s.sound(); err != nil && len(err.Error()) > 2*maxText {
			t.Error(fmt.Sprint("the sentence is as long as what it complains of: ", len(err.Error())))
		}
	})
}
