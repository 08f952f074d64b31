package cli

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/front/ops"
)

// edgeCertificates are those of three edges.
type edgeCertificates struct{ brought map[string]string }

func (edgeCertificates) List(context.Context) ([]certificate.Certificate, error) {
	return []certificate.Certificate{
		{Node: "r1-a", State: certificate.Shown, Names: []string{"*.1r1.a.lab.example", "r1.a.lab.example"}, Ends: time.Now().Add(60 * 24 * time.Hour)},
		{Node: "r1-b", State: certificate.Waiting, Names: []string{"r1.a.lab.example"}, Request: "-----BEGIN CERTIFICATE REQUEST-----\n"},
		{Node: "r2-a", State: certificate.Failing, Names: []string{"r2.a.lab.example"}, Problem: "the authority says rateLimited: too many"},
	}, nil
}

func (e edgeCertificates) Install(_ context.Context, node, chain string) error {
	if node != "r1-b" {
		return fault.New(fault.Conflict, "edge "+node+" waits for no certificate")
	}
	e.brought[node] = chain
	return nil
}

func (e edgeCertificates) Retry(_ context.Context, node string) error {
	e.brought[node] = "again"
	return nil
}

// tokens are the TXT records of a zone.
type tokens struct{ list *[]zone.Text }

func (t tokens) Texts(_ context.Context, name string) (found []zone.Text, err error) {
	for _, x := range *t.list {
		if name == "." || strings.HasSuffix(x.Name, name) {
			found = append(found, x)
		}
	}
	return found, nil
}

func (t tokens) AddText(_ context.Context, name, value string) error {
	if strings.HasSuffix(name, "nobody") {
		return fault.New(fault.NotFound, name+" belongs to no gateway")
	}
	*t.list = append(*t.list, zone.Text{Name: name, Value: value})
	return nil
}

func (t tokens) RemoveText(_ context.Context, name, value string) error {
	*t.list = slices.DeleteFunc(*t.list, func(x zone.Text) bool { return x == zone.Text{Name: name, Value: value} })
	return nil
}

func TestCertificatesAndZone(t *testing.T) {
	chain := filepath.Join(t.TempDir(), "chain.pem")
	if err := os.WriteFile(chain, []byte("the chain"), 0o600); err != nil {
		t.Fatal(err)
	}
	brought, list := map[string]string{}, []zone.Text{}
	e := edge{}
	listen(t, ops.Config{Calls: e, Records: e, Traces: traces{}, Peers: e, Certificates: edgeCertificates{brought}, Texts: tokens{&list}})
	says(t, []said{
		{"certificate list", 0, "! r1-b: have its request signed (tandem certificate request", ""},
		{"certificate list", 0, "! r2-a: the authority says rateLimited: too many", ""},
		{"certificate list --json", 0, `"state": "waiting"`, ""},
		{"certificate request r1-b", 0, "BEGIN CERTIFICATE REQUEST", ""},
		{"certificate request r1-a", 3, "", "nothing to be signed now: its certificate is shown"},
		{"certificate request nobody", 3, "", "no certificate is wanted for edge nobody"},
		{"certificate install r1-b " + chain, 0, "on its way", ""},
		{"certificate install r1-a " + chain, 1, "", "waits for no certificate"},
		{"certificate install r1-b /nowhere", 1, "", "no such file"},
		{"certificate", 2, "", "One of install, list, request, retry"},
		{"certificate retry r2-a", 0, "", ""},
		{"zone list", 0, "", ""},
		{"zone add a.lab.example MS=ms1", 0, "", ""},
		{"zone add a.nobody x", 3, "", "belongs to no gateway"},
		{"zone add a.lab.example", 2, "", "accepts 2 arg"},
		{"zone list", 0, "MS=ms1", ""},
		{"zone list lab.example --json", 0, `"value": "MS=ms1"`, ""},
		{"zone remove a.lab.example MS=ms1", 0, "", ""},
		{"zone list", 0, "", ""},
	})
	if brought["r1-b"] != "the chain" || brought["r2-a"] != "again" {
		t.Errorf("%v", brought)
	}
}
