package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	ledger "github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// The management region of a gateway, its location, decides where its call
// records are kept.
func TestTheManagementRegionKeepsTheRecords(t *testing.T) {
	url := storetest.Server(t)
	n, _ := controlNodeOf(t, strings.Replace(goodControl, "edges: [r1-a]}", "edges: [r1-a], store: \""+url+"\"}\n    - {name: uksouth, uses: [management]}", 1))
	const group = "/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourceGroups/rg"
	put := func(path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://node"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := ops.Dial(n.cfg.Node.Socket()).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %s", path, res.Status)
		}
	}
	put(group+"?api-version=2021-04-01", `{"location":"westeurope"}`)
	var entries []record.Entry
	for i, at := range []string{"West Europe", "uksouth"} {
		id := group + "/providers/Microsoft.VoiceServices/communicationsGateways/gateway-" + string(rune('a'+i))
		put(id+"?api-version=2024-02-16-preview", `{"location":"`+at+`","sku":{"name":"lab"},"properties":{"serviceLocations":[{"name":"northeurope","primaryRegionProperties":{
			"operatorAddresses":["192.0.2.1"],"allowedSignalingSourceAddressPrefixes":["192.0.2.0/28"],"allowedMediaSourceAddressPrefixes":["192.0.2.0/28"]}}],
			"connectivity":"PublicAddress","codecs":["PCMA"],"e911Type":"Standard","platforms":["OperatorConnect"]}}`)
		call := record.Call{ID: "call-" + at, Node: "r1-a", Gateway: id, Began: time.Now().UTC()}
		text, err := json.Marshal(call)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, record.Entry{Stage: record.Begun, Call: call, JSON: text})
	}
	p := n.plane.Load()
	if err := p.calls.Keep(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	apart, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer apart.Close()
	for name, s := range map[string]*store.Store{"West Europe": apart, "uksouth": p.store} {
		calls, err := ledger.New(s).List(t.Context(), record.Filter{})
		if err != nil || len(calls) != 1 || calls[0].ID != "call-"+name {
			t.Errorf("%s: %+v %v", name, calls, err)
		}
	}
	past, err := ops.Dial(n.cfg.Node.Socket()).Past(t.Context(), record.Filter{})
	if err != nil || len(past) != 2 {
		t.Errorf("the node shows %d calls (%v), want both", len(past), err)
	}
}
