package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/wire/sip"
)

// Names of the world that a system is started in (RFC 2606).
const (
	systemName = "1r1.bench.example"
	farName    = "sip.bench.example"
)

// The parties' last byte within a /24 of loopback, and their ports.
const (
	hostCloud, hostCore       = 11, 12 // the system
	hostFarCloud, hostFarCore = 32, 41
	hostDNS                   = 53
	portCloud, portCore       = 5063, 5060
	portFarCloud, portDNS     = 5061, 5300
)

// world is what a system of our own stands in: addresses, names,
// certificates.
type world struct {
	plain     bool // UDP on both sides, and no SRTP
	dir       string
	net       [3]byte
	authority *authority.Authority
	dns       *dns.Server
	files     authority.Files // of the system
	far       secrets
	processes []*process
}

func newWorld(plain bool) (*world, error) {
	w := &world{plain: plain}
	var err error
	if w.dir, err = os.MkdirTemp("", "tandem-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	for _, step := range []func() error{w.findAddresses, w.issue, w.startDNS} {
		if err := step(); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// findAddresses picks a /24 of loopback that nobody uses.
func (w *world) findAddresses() error {
	var last error
	for range 20 {
		w.net = [3]byte{127, byte(1 + rand.IntN(250)), byte(1 + rand.IntN(250))}
		c, err := net.ListenPacket("udp", w.at(hostCore, portCore).String())
		if err == nil {
			return c.Close()
		}
		last = err
	}
	return fmt.Errorf("no free loopback addresses: %w", last)
}

func (w *world) addr(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{w.net[0], w.net[1], w.net[2], host})
}

func (w *world) at(host byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(w.addr(host), port)
}

func (w *world) issue() error {
	var err error
	if w.authority, err = authority.New("Tandem Bench"); err != nil {
		return err
	}
	cert, err := w.authority.Issue(authority.Terms{ClientAuth: true}, systemName, "*."+systemName, w.addr(hostCloud).String())
	if err != nil {
		return err
	}
	if w.files, err = w.authority.Write(w.dir, "system", cert); err != nil {
		return err
	}
	far, err := w.authority.Issue(authority.Terms{ClientAuth: true}, farName, w.addr(hostFarCloud).String())
	w.far = secrets{certificate: far, roots: w.authority.Roots(), name: systemName}
	return err
}

func (w *world) startDNS() error {
	var err error
	if w.dns, err = dns.Start(w.at(hostDNS, portDNS)); err != nil {
		return fmt.Errorf("start DNS: %w", err)
	}
	w.dns.SetHost(farName, time.Hour, w.addr(hostFarCloud))
	w.dns.SetHost(systemName, time.Hour, w.addr(hostCloud))
	return nil
}

// target is the four places of this world.
func (w *world) target(name string, pids ...int) Target {
	cloud := sip.TLS
	if w.plain {
		cloud = sip.UDP
	}
	return Target{
		Name: name, PIDs: pids,
		At: [2]Place{
			{Transport: cloud, Addr: w.at(hostCloud, portCloud)},
			{Transport: sip.UDP, Addr: w.at(hostCore, portCore)},
		},
		Far: [2]Place{
			{Transport: cloud, Addr: w.at(hostFarCloud, portFarCloud)},
			{Transport: sip.UDP, Addr: w.at(hostFarCore, portCore)},
		},
	}
}

// close ends all processes, the last one first, and removes the folder.
func (w *world) close() {
	for i := len(w.processes) - 1; i >= 0; i-- {
		w.processes[i].end()
	}
	if w.dns != nil {
		_ = w.dns.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// startSelf runs a node of Tandem and joins it.
func startSelf(ctx context.Context, program []string, plain bool) (*system, error) {
	w, err := newWorld(plain)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, "tandem.yaml")
	if err := w.write(file, nodeConfig, nil); err != nil {
		w.close()
		return nil, err
	}
	p, err := w.start(append(append([]string{}, program...), "serve", "-c", file), os.Environ())
	if err != nil {
		w.close()
		return nil, err
	}
	t := w.target("Tandem", p.pid())
	t.At[0].Name = fmt.Sprintf("%s:%d", systemName, portCloud)
	t.Far[0].Name = fmt.Sprintf("%s:%d", farName, portFarCloud)
	return w.join(ctx, t)
}

// join opens the far sides and waits for the first calls. What failed is
// told with what the processes said last.
func (w *world) join(ctx context.Context, t Target) (*system, error) {
	s, err := join(t, w.far)
	if err != nil {
		w.close()
		return nil, err
	}
	s.end = w.close
	if err := s.ready(ctx, 20*time.Second); err != nil {
		for _, p := range w.processes {
			err = fmt.Errorf("%w\n%s", err, p.last())
		}
		s.close()
		return nil, err
	}
	return s, nil
}

// write fills a template with the world's addresses.
func (w *world) write(file string, text *template.Template, more map[string]any) error {
	facts := map[string]any{
		"Plain": w.plain,
		"Dir":   w.dir, "Domain": systemName, "Proxy": fmt.Sprintf("%s:%d", farName, portFarCloud), "ProxyName": farName,
		"Cloud": w.at(hostCloud, portCloud), "Core": w.at(hostCore, portCore), "DNS": w.dns.Addr(),
		"FarCloud": w.at(hostFarCloud, portFarCloud), "FarCore": w.at(hostFarCore, portCore), "Files": w.files,
	}
	for k, v := range more {
		facts[k] = v
	}
	var b strings.Builder
	if err := text.Execute(&b, facts); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

// process is one that a world has started.
type process struct {
	cmd    *exec.Cmd
	log    string // file of what it says
	exited chan struct{}
}

func (w *world) start(command, env []string) (*process, error) {
	p := &process{log: filepath.Join(w.dir, filepath.Base(command[0])+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env, p.cmd.Dir = log, log, env, w.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended shows in its log
		close(p.exited)
	}()
	w.processes = append(w.processes, p)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// end asks the process to end, and after a while its whole group must.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // children that outlived it
	<-p.exited
}

// last is the end of what a process said.
func (p *process) last() string {
	text, _ := os.ReadFile(p.log) // a log that cannot be read says nothing
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// nodeConfig is the tandem.yaml of a node under test: what a production node
// has, but for the quarantine, which would need more ports than there are at
// the rates of a ramp.
var nodeConfig = template.Must(template.New("tandem.yaml").Parse(`# Written by "tandem bench".
node:
  name: bench
  region: r1
  data: data
  drain: 1s
sip:
  domain: {{.Domain}}
  listeners:
    - name: cloud
      side: cloud
      bind: {{.Cloud}}
      advertise: {{.Domain}}:{{.Cloud.Port}}
{{- if .Plain}}
      transport: udp
{{- else}}
      transport: tls
      certificate: {chain: {{.Files.Chain}}, key: {{.Files.Key}}}
{{- end}}
    - name: core
      side: operator
      transport: udp
      bind: {{.Core}}
  roots: {{.Files.Root}}
  dns: ["{{.DNS}}"]
media:
  interfaces:
    - {side: cloud, bind: {{.Cloud.Addr}}, ports: 20000-59999}
    - {side: operator, bind: {{.Core.Addr}}, ports: 20000-59999}
  quarantine: 500ms
services:
  teams:
    proxies: ["{{.Proxy}}"]
    sources: [{{.FarCloud.Addr}}/32]
    media: [{{.FarCloud.Addr}}/32]
    names: ["{{.ProxyName}}"]
{{- if .Plain}}
    transport: udp
{{- end}}
operator:
  transport: udp
  port: {{.FarCore.Port}}
  srtp: false
gateway:
  name: bench
  location: r1
  sku: {name: lab}
  properties:
    connectivity: PublicAddress
    codecs: [PCMA, PCMU]
    e911Type: Standard
    platforms: [OperatorConnect]
    serviceLocations:
      - name: r1
        primaryRegionProperties:
          operatorAddresses: [{{.FarCore.Addr}}]
          allowedSignalingSourceAddressPrefixes: [{{.FarCore.Addr}}]
          allowedMediaSourceAddressPrefixes: [{{.FarCore.Addr}}]
`))
