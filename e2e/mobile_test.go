package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// routing is the number that Microsoft names for subscribers' calls.
const routing = "+448081570000"

// microsoft answers the consultation: who its subscribers are.
type microsoft struct {
	mu          sync.Mutex
	subscribers map[string]bool // mu
	asked       []string        // mu
}

func (m *microsoft) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct{ Direction, Subscriber, Party string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost || len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no question", http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, q.Direction+" "+q.Subscriber+" "+q.Party)
	if !m.subscribers[q.Subscriber] {
		fmt.Fprint(w, `{"subscriber": false}`)
		return
	}
	fmt.Fprintf(w, `{"subscriber": true, "routingNumber": %q}`, routing)
}

func (m *microsoft) was(t *testing.T, asked ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := strings.Join(m.asked, ", "); got != strings.Join(asked, ", ") {
		t.Errorf("Microsoft was asked %q, not %q", got, asked)
	}
	m.asked = nil
}

// serve starts it with a certificate of the world's, and wants one of who asks.
func (m *microsoft) serve(w *world) string {
	w.t.Helper()
	at := w.v4(hostTeamsMedia).String()
	s := httptest.NewUnstartedServer(m)
	_ = s.Listener.Close()
	var err error
	if s.Listener, err = net.Listen("tcp", at+":0"); err != nil {
		w.t.Fatal(err)
	}
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*w.issue(at)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: w.authority.Roots(),
	}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s.URL + "/consult"
}

// A subscriber of Teams Phone Mobile calls from his telephone: Kamailio, as his
// S-CSCF, gives the call to the Mobile Control Point, gets it back for the
// routing number and sends that to the gateway, which sends it to Teams (Azure
// Communications Gateway docs, "Mobile Control Point in Azure Communications
// Gateway"). A call to somebody who is no subscriber comes back as it was.
func TestTheMobileControlPointBehindKamailio(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			ms := &microsoft{subscribers: map[string]bool{subscriber: true}}
			r := behindKamailio(t, setup{transport: transport, consultation: ms.serve})
			r.teams.Answer(routing, phone.Behaviour{Ring: 100 * time.Millisecond, Send: audio.Speech(71)})

			call := r.dial(r.phones[0])
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
				<-time.After(100 * time.Millisecond)
			}
			r.phones[0].do("/hangup")
			f := r.ended(call)
			r.overheard(f, r.phones[0])
			ms.was(t, "originating "+subscriber+" "+user)
			if f.To != routing || !strings.Contains(f.Invite, "X-MS-FMC: MO") {
				t.Errorf("Teams got a call to %s:\n%s", f.To, f.Invite)
			}
			if rec := r.records(1)[0]; rec.Service != "TeamsPhoneMobile" {
				t.Errorf("the record says %s", rec.Service)
			}

			ms.mu.Lock()
			clear(ms.subscribers)
			ms.mu.Unlock()
			back := r.ring()
			r.phones[1].do("/accept")
			r.phones[1].said("Call established", 10*time.Second)
			r.phones[1].do("/hangup")
			r.ended(back)
			ms.was(t, "terminating "+subscriber+" "+user)
			r.behaved()
		})
	}
}
