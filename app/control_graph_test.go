package app

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/control/subscription"
)

// TestAControlNodeServesItsDirectory: a client of the configuration that has a
// directory role works with the API of Microsoft Graph, and a domain is proven
// by the DNS that the node's calls are resolved by. A role that the file names no longer
// is gone.
func TestAControlNodeServesItsDirectory(t *testing.T) {
	var said atomic.Pointer[string]
	text := strings.Replace(goodControl, "secretFile: secret\n", "secretFile: secret\n        directoryRoles: [Global Administrator]\n", 1) +
		"sip: {dns: [\"" + serveText(t, &said) + "\"]}\n"
	text = strings.Replace(text, "  tenant:", "  directory:\n    domain: telecom.example\n    tenants: [{id: 7f8d5c6e-0000-4000-8000-000000000004, name: Lab}]\n"+
		"    applications: [{id: 7f8d5c6e-0000-4000-8000-000000000005, name: Vault Reader, publisher: Onboarding}]\n  tenant:", 1)
	n, ca := controlNodeOf(t, text)
	client := apiClient(ca)
	token := func() string {
		t.Helper()
		res, err := client.PostForm("https://api.lab.example:8443/7f8d5c6e-0000-4000-8000-000000000001/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"7f8d5c6e-0000-4000-8000-000000000003"}, "client_secret": {"a long enough secret"}, "scope": {"https://api.lab.example:8443/.default"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.AccessToken == "" {
			t.Fatalf("no token: %s %v", res.Status, err)
		}
		return body.AccessToken
	}
	bearer := token()
	ask := func(status int, method, path, body string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://api.lab.example:8443"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != status {
			t.Fatalf("%s %s: %s %s", method, path, res.Status, b)
		}
		return string(b)
	}
	if got := ask(200, "GET", "/v1.0/organization", ""); !strings.Contains(got, `"telecom.example"`) {
		t.Errorf("organization: %s", got)
	}
	if got := ask(200, "GET", "/BETA/servicePrincipals?$filter=appId%20eq%20'8502a0ec-c76d-412f-836c-398018e2312b'", ""); !strings.Contains(got, "AzureCommunicationsGateway") {
		t.Errorf("principals: %s", got)
	}
	ask(201, "POST", "/v1.0/servicePrincipals", `{"appId":"7f8d5c6e-0000-4000-8000-000000000005"}`)

	const name = "contoso.gw.lab.example"
	ask(201, "POST", "/v1.0/domains", `{"id":"`+name+`"}`)
	var records struct {
		Value []struct{ RecordType, Text string }
	}
	if err := json.Unmarshal([]byte(ask(200, "GET", "/v1.0/domains/"+name+"/verificationDnsRecords", "")), &records); err != nil {
		t.Fatal(err)
	}
	ask(400, "POST", "/v1.0/domains/"+name+"/verify", "")
	for _, r := range records.Value {
		if r.RecordType == "Txt" {
			said.Store(&r.Text)
		}
	}
	if got := ask(200, "POST", "/v1.0/domains/"+name+"/verify", ""); !strings.Contains(got, `"isVerified":true`) {
		t.Errorf("verify: %s", got)
	}
	// All of it is in the trail, with who it was.
	var trail strings.Builder
	entries, err := n.plane.Load().subscriptions.Trail(t.Context(), subscription.Span{Scope: "/tenants", Since: time.Now().Add(-time.Minute), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		trail.WriteString(e.Action + " " + e.Resource + " " + e.Outcome + " by " + e.Request.Principal.Name + "\n")
	}
	for _, line := range []string{
		"microsoft.directory/domains/verify /tenants/7f8d5c6e-0000-4000-8000-000000000001/domains/" + name + " Succeeded by onboarding",
		"microsoft.directory/roleAssignments/create",
	} {
		if !strings.Contains(trail.String(), line) {
			t.Errorf("the trail misses %q:\n%s", line, trail.String())
		}
	}
	ask(200, "GET", "/v1.0/applications", "")
	n.plane.Load().cfg.Login.Clients[0].DirectoryRoles = nil
	if err := n.plane.Load().giveRoles(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(403, "GET", "/v1.0/applications", "")
}

// serveText is a DNS in which one TXT record stands at every name.
func serveText(t *testing.T, said *atomic.Pointer[string]) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if text := said.Load(); text != nil && q.Question[0].Qtype == dns.TypeTXT {
			m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{*text}}}
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}
