package arm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/tester"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "00000000-0000-4000-8000-00000000000a"
	sub    = "00000000-0000-4000-8000-000000000001"
	other  = "00000000-0000-4000-8000-000000000002"
	newest = "2024-02-16-preview"
	api    = "?api-version=" + newest
	base   = "https://api.telecom.example:8443"

	owner       = "00000000-0000-4000-8000-0000000000b1"
	contributor = "00000000-0000-4000-8000-0000000000b2"
	reader      = "00000000-0000-4000-8000-0000000000b3"
	groupOwner  = "00000000-0000-4000-8000-0000000000b4" // of the group "voice" only
	stranger    = "00000000-0000-4000-8000-0000000000b5" // no role at all
)

const (
	voice    = "/subscriptions/" + sub + "/resourceGroups/voice"
	gateways = voice + "/providers/Microsoft.VoiceServices/communicationsGateways"
)

// edges are enough of them, and they do what they are told.
type edges struct {
	mu       sync.Mutex
	nodes    []link.EdgeStatus // mu
	revision uint64            // mu
}

func (e *edges) Edges() []link.EdgeStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.nodes)
}

// Ask places test calls, which all are answered at once.
func (e *edges) Ask(_ context.Context, node, question string, in, out any) error {
	if question != link.AskTest {
		return nil
	}
	q := in.(link.TestQuestion)
	*out.(*record.TestCall) = record.TestCall{
		ID: q.ID, Node: node, Region: "westeurope", Towards: q.Towards, From: q.From, To: q.To, Began: time.Now().UTC(), Ended: time.Now().UTC(),
		Ring: 180 * time.Millisecond, Answer: 420 * time.Millisecond, Status: 200, Sent: 200, Received: 199, Heard: true, MOS: 4.4, Peer: "far-1", Call: "06h03",
	}
	return nil
}

func (e *edges) Publish(_ context.Context, p gateway.Publication) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision++
	for i := range e.nodes {
		if n := &e.nodes[i]; slices.Contains(p.Nodes, n.Node) {
			n.Gateway, n.Revision, n.State = p.ID.String(), e.revision, link.Ready
		}
	}
	return e.revision, nil
}

func (e *edges) Withdraw(_ context.Context, _ gateway.ID, nodes []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision++
	for i := range e.nodes {
		if n := &e.nodes[i]; slices.Contains(nodes, n.Node) {
			n.Gateway, n.Revision, n.State = "", e.revision, link.Waiting
		}
	}
	return nil
}

// world is a control plane behind its API.
type world struct {
	testing.TB
	store         *store.Store
	operations    *operation.Set
	gateways      *gateway.Set
	subscriptions *subscription.Set
	config        arm.Config
	handler       http.Handler
	log           *bytes.Buffer
}

// principals are what tokens stand for here: the token is the object ID.
type principals struct{}

func (principals) Verify(_ context.Context, token string) (subscription.Principal, error) {
	if len(token) != 36 {
		return subscription.Principal{}, errors.New("no token")
	}
	return subscription.Principal{Tenant: tenant, Object: token, App: token, Name: "app of a test"}, nil
}

func locations() []subscription.Location {
	var we, ne []string
	for i := range 8 {
		we, ne = append(we, fmt.Sprintf("we-%d", i)), append(ne, fmt.Sprintf("ne-%d", i))
	}
	return []subscription.Location{
		{Name: "westeurope", DisplayName: "West Europe", Management: true, Service: true, Edges: we},
		{Name: "northeurope", DisplayName: "North Europe", Service: true, Edges: ne},
	}
}

// newWorld makes one on a store. idle leaves operations where they begin.
func newWorld(t testing.TB, s *store.Store, idle bool) *world {
	t.Helper()
	w := &world{TB: t, store: s, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(&locked{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	at := func(scope, principal string, role subscription.Role) subscription.Assignment {
		return subscription.Assignment{Scope: scope, Principal: principal, Role: role}
	}
	w.subscriptions = subscription.New(subscription.Config{
		Store: s, Tenant: subscription.Tenant{ID: tenant, Name: "Lab Telecom"}, Locations: locations(), Log: log,
		Subscriptions: []subscription.Subscription{{ID: sub, Name: "lab"}, {ID: other, Name: "other"}},
		Assignments: []subscription.Assignment{
			at("/subscriptions/"+sub, owner, subscription.Owner), at("/subscriptions/"+sub, contributor, subscription.Contributor),
			at("/subscriptions/"+sub, reader, subscription.Reader), at(voice, groupOwner, subscription.Owner),
		},
	})
	var err error
	if w.operations, err = operation.New(operation.Config{Store: s, Log: log}); err != nil {
		t.Fatal(err)
	}
	net := &edges{}
	for _, l := range locations() {
		for i, node := range l.Edges {
			address := fmt.Sprintf("192.0.2.%d", 10+i)
			if l.Name == "northeurope" {
				address = fmt.Sprintf("198.51.100.%d", 10+i)
			}
			net.nodes = append(net.nodes, link.EdgeStatus{
				Node: node, Region: l.Name, State: link.Waiting, Live: true, Seen: time.Now(),
				Listeners: []link.Listener{
					{Name: "operator", Side: "operator", Transport: "tcp", Address: address + ":5060"},
					{Name: "cloud", Side: "cloud", Transport: "tcp", Address: address + ":5063"},
				},
				Media: []link.MediaRange{{Side: "operator", Address: address, Min: 20000, Max: 24999}, {Side: "cloud", Address: address, Min: 25000, Max: 29999}},
			})
		}
	}
	w.gateways, err = gateway.New(gateway.Config{
		Store: s, Operations: w.operations, Log: log, Locations: w.subscriptions.Locations, Suffix: "gw.example", Tenant: tenant,
		Edges: net, Publish: net, Place: arm.Place(w.subscriptions), Audit: arm.Audit(w.subscriptions),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.subscriptions.Register(w.operations, arm.Contents{Gateways: w.gateways})
	if !idle {
		if err := w.operations.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { w.operations.Close() })
	tests := tester.New(tester.Config{Store: s, Gateways: w.gateways, Edges: net, Audit: arm.Audit(w.subscriptions), Log: log})
	t.Cleanup(tests.Close)
	w.config = arm.Config{
		Tester: tests, Gateways: w.gateways, Operations: w.operations, Subscriptions: w.subscriptions, Tokens: principals{},
		URL: base, LoginURL: "https://login.telecom.example", Audiences: []string{base + "/", "https://management.azure.com/"}, Log: log,
		Limits: arm.Limits{Reads: arm.Rate{Burst: 1e6, PerSecond: 1e6}, Writes: arm.Rate{Burst: 1e6, PerSecond: 1e6}, Deletes: arm.Rate{Burst: 1e6, PerSecond: 1e6}},
	}
	w.handler = arm.Handler(w.config)
	return w
}

// locked lets several goroutines log.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// open makes a world with the group "voice" on an empty SQLite store.
func open(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, storetest.New(t), false)
	w.want(201, w.as(owner, "PUT", voice+"?api-version=2021-04-01", `{"location":"westeurope"}`))
	return w
}

// reply is what came back.
type reply struct {
	*httptest.ResponseRecorder
	JSON map[string]any
}

// code is the code of an error.
func (r reply) code() string { return r.text("error.code") }

// text is a text in the body, by a path.
func (r reply) text(path string) string {
	var v any = r.JSON
	for _, part := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[part]
	}
	s, _ := v.(string)
	return s
}

// as does a request with a token.
func (w *world) as(token, method, path, body string, headers ...string) reply {
	w.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	out := reply{ResponseRecorder: rec}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out.JSON); err != nil && rec.Body.Bytes()[0] != '[' {
			w.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
		}
	}
	return out
}

// do does a request as the owner.
func (w *world) do(method, path, body string, headers ...string) reply {
	w.Helper()
	return w.as(owner, method, path, body, headers...)
}

// want ends the test unless the status is the one.
func (w *world) want(status int, r reply) reply {
	w.Helper()
	if r.Code != status {
		w.Fatalf("status %d, want %d: %s", r.Code, status, r.Body)
	}
	return r
}

// settle follows the operation that an answer began.
func (w *world) settle(r reply) reply {
	w.Helper()
	at := strings.TrimPrefix(r.Header().Get("Azure-AsyncOperation"), base)
	if at == "" {
		w.Fatalf("no operation: %d %s", r.Code, r.Body)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		id := at[strings.LastIndex(at, "/")+1 : strings.Index(at, "?")]
		changed := w.operations.Watch(id)
		now := w.want(200, w.do("GET", at, ""))
		switch now.text("status") {
		case "Succeeded", "Failed", "Canceled":
			return now
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
			w.Fatalf("the operation does not end: %s", now.Body)
		}
	}
}

const (
	// plain is a gateway in the words that every version knows.
	plain = `{"location":"westeurope","properties":{"connectivity":"PublicAddress","codecs":["PCMA"],"e911Type":"Standard","platforms":["OperatorConnect"],
		"serviceLocations":[{"name":"westeurope","primaryRegionProperties":{"operatorAddresses":["10.1.0.10"]}}]}}`
	// full has a value for each property.
	full = `{"location":"West Europe","sku":{"name":"lab"},"tags":{"team":"voice","cost":"42"},"identity":{"type":"SystemAssigned"},"properties":{
		"connectivity":"PublicAddress","codecs":["PCMA","G722"],"e911Type":"Standard","platforms":["OperatorConnect","TeamsPhoneMobile","Zoom"],
		"serviceLocations":[{"name":"westeurope","primaryRegionProperties":{"operatorAddresses":["10.1.0.10"],"allowedSignalingSourceAddressPrefixes":["10.1.0.0/24"],"allowedMediaSourceAddressPrefixes":["10.1.1.0/24"]}}],
		"emergencyDialStrings":["112"],"onPremMcpEnabled":false,"integratedMcpEnabled":true,"signalingProtocolForMcp":"TCP","teamsVoicemailPilotNumber":"+441134960000",
		"autoGeneratedDomainNameLabelScope":"SubscriptionReuse","apiBridge":{"configureApiBridge":"enabled","allowedAddressPrefixes":["10.9.0.0/24"]},
		"dnsDelegations":{"delegations":[{"domain":"voice.telecom.example"}]},"customSipHeaders":{"headers":[{"name":"X-MS-Operator-Content"}]},
		"zoomConfig":{"region":"EMEA","testLines":[{"phoneNumber":"+441134960101"},{"phoneNumber":"+441134960102"}]},
		"aiVoiceServices":{"callProtection":{"enabled":false,"logStorageAccountId":"x"}},
		"operatorPeerGroupConfigScheme":"UseOperatorPeerGroupConfig",
		"peerGroups":[{"peerGroupName":"core","signalingProtocol":"TLS","mediaProtocol":"SRTP","codecs":["PCMA"],"peers":[{"peerName":"sbc1","peerType":"IP","ipsAndPorts":[{"ipAddress":"10.1.0.10","port":5061}],"allowedSignalingSourceAddressPrefixes":["10.1.0.0/24"],"allowedMediaSourceAddressPrefixes":["10.1.1.0/24"]}]}],
		"callPolicy":{"defaultMappings":{"peerGroupToService":[{"peerGroup":"core","defaultService":"OperatorConnect"}],"serviceToPeerGroup":[{"service":"OperatorConnect","defaultPeerGroup":"core"},{"service":"TeamsPhoneMobile","defaultPeerGroup":"core"},{"service":"Zoom","defaultPeerGroup":"core"}]},
			"peerGroupRoutings":[{"peerGroupName":"core","routings":[{"peerName":"sbc1","serviceLocation":"westeurope","priority":0}]}]}}}`
)

var changing = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`"[0-9A-Z]{20}"`), `"<etag>"`},
}

// golden compares a text with a file, once what is never the same is taken out.
func golden(t testing.TB, name string, got []byte) {
	t.Helper()
	for _, x := range []string{tenant, sub, other, owner, contributor, reader, groupOwner, stranger} {
		got = bytes.ReplaceAll(got, []byte(x), []byte("{"+x[24:]+"}"))
	}
	for _, c := range changing {
		got = c.form.ReplaceAll(got, []byte(c.with))
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// pretty is JSON for people.
func pretty(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}
