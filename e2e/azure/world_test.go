package azure

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/control/certificate/acmetest"
	"github.com/tandemgw/tandem/sandbox/authority"
)

const (
	tenantID       = "11111111-1111-4111-8111-111111111111"
	subscriptionID = "22222222-2222-4222-8222-222222222222"
	clientID       = "33333333-3333-4333-8333-333333333333"
	gatewayName    = "gateway"
	clientSecret   = "canary~do.not.show.me-8Q~1234567890" // looked for in all that is logged
)

var (
	root    *authority.Authority
	rootPEM string                // file with the authority that all clients trust
	program string                // tandem
	folders = map[string]string{} // of the nodes, by the URL of their API
)

// TestMain makes the authority before anything asks for the trusted roots,
// since Go reads SSL_CERT_FILE once, and builds the program.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tandem-azure-")
	if err != nil {
		log.Fatal(err)
	}
	if root, err = authority.New("Tandem test"); err != nil {
		log.Fatal(err)
	}
	rootPEM, program = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tandem")
	if err := os.WriteFile(rootPEM, root.RootPEM(), 0o600); err != nil {
		log.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, "./cmd/tandem")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("build tandem: %v\n%s", err, out)
	}
	os.Setenv("SSL_CERT_FILE", rootPEM)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// configuration is that of a node which is control and edge at once; its
// certificates towards the far sides come by ACME.
var configuration = template.Must(template.New("").Parse(`node: {name: edge-0, region: westeurope, data: data, log: {level: debug}, drain: 1s}
control:
  api: {listen: "127.0.0.1:{{.API}}", name: localhost, certificate: {chain: api.pem, key: api.key}}
  suffix: gw.lab.example
  dns: {listen: "127.0.0.1:{{.DNS}}", nameServers: [ns1.gw.lab.example], contact: hostmaster@lab.example}
  certificates: {acme: {directory: "{{.ACME}}/dir", agreed: true, roots: acme.pem}}
  vaults: {domain: vault.localhost}
  tenant: {id: ` + tenantID + `, name: lab.telecom.example}
  subscriptions: [{id: ` + subscriptionID + `, name: lab}]
  login:
    clients:
      - {id: ` + clientID + `, name: onboarding, secretFile: secret, roles: [{role: Owner, scope: /subscriptions/` + subscriptionID + `}], directoryRoles: [Global Administrator]}
  locations:
    - {name: westeurope, displayName: West Europe, uses: [management, service], edges: [edge-0]}
    - {name: northeurope, displayName: North Europe, uses: [management]}
sip:
  listeners:
    - {name: cloud, side: cloud, transport: tls, bind: "127.78.20.2:5063", certificate: {managed: true}}
    - {name: core, side: operator, transport: tls, bind: "127.78.20.3:5061", certificate: {managed: true}}
  roots: ca.pem
  dns: ["127.0.0.1:{{.DNS}}"]
media:
  interfaces:
    - {side: operator, bind: 127.78.20.3, ports: 21000-21009}
    - {side: cloud, bind: 127.78.20.2, ports: 21010-21019}
  threads: 1
services:
  teams: {proxies: ["sip.pstn.lab.example:5061"], sources: [127.0.0.9/32]}
`))

// serve starts a node and gives the URL of its API. When the test ends, what
// the node logged is searched for secrets and tokens.
func serve(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ports := struct {
		API, DNS, Cloud, Core int
		ACME                  string
	}{free(t), free(t), free(t), free(t), ""}
	acme := acmetest.Start(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(ports.DNS)), acmetest.Long)
	ports.ACME = acme.URL
	certificate, err := root.Issue(authority.Terms{}, "localhost", "*.vault.localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Write(dir, "api", certificate); err != nil {
		t.Fatal(err)
	}
	var config bytes.Buffer
	if err := configuration.Execute(&config, ports); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tandem.yaml": config.String(), "secret": clientSecret + "\n", "ca.pem": string(root.RootPEM()),
		"acme.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: acme.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	logged := func() string {
		text, err := os.ReadFile(output.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	// The pipe ends when we do, however we end, and the node with it.
	node := exec.Command("/bin/sh", "-c", `"$1" serve -c tandem.yaml & node=$!; read -r _; kill $node; wait $node`, "node", program)
	node.Dir, node.Stdout, node.Stderr = dir, output, output
	lifeline, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lifeline.Close()
		if err := node.Wait(); err != nil {
			t.Errorf("the node ended with %v", err)
		}
		for _, canary := range []string{clientSecret, "eyJ"} { // every token begins so
			if strings.Contains(logged(), canary) {
				t.Errorf("the log shows %q", canary)
			}
		}
		if t.Failed() {
			t.Log(logged())
		}
	})
	url := fmt.Sprintf("https://localhost:%d", ports.API)
	folders[url] = dir
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: root.Roots()}}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if res, err := client.Get(url + "/metadata/endpoints?api-version=2022-09-01"); err == nil {
			res.Body.Close()
			return url
		}
		select {
		case <-ctx.Done():
			t.Fatal("the node does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// free is a port that nobody has, of TCP and of UDP.
func free(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
