package gateway_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link/snapshot"
)

func line(id gateway.ID, name, number string) gateway.TestLine {
	return gateway.TestLine{ID: gateway.LineID{Gateway: id, Name: name}, Location: "West Europe", PhoneNumber: number, Purpose: "Automated"}
}

func numbers(t *testing.T, list ...string) snapshot.Numbers {
	t.Helper()
	var b snapshot.NumbersBuilder
	for _, n := range list {
		if err := b.Add(snapshot.Number{E164: n, Service: snapshot.OperatorConnect}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTestLines(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w, id := build(t, s), named("Lab-1")
		put := func(l gateway.TestLine) (gateway.TestLine, bool, error) {
			return w.set.PutTestLine(t.Context(), alice, l, none)
		}
		if _, _, err := put(line(id, "OC1", "+441134960001")); !errors.Is(err, gateway.ErrNoGateway) || fault.Of(err) != fault.NotFound {
			t.Error("a line of no gateway:", err)
		}
		w.put(id, two())
		first, created, err := put(line(id, "OC1", "+44 113 496 0001"))
		if err != nil || !created || first.PhoneNumber != "+44 113 496 0001" || first.Location != "westeurope" {
			t.Errorf("%+v %v", first, err)
		}
		changed := line(named("LAB-1"), "oc1", "+441134960001")
		changed.Purpose = "Manual"
		l, created, err := put(changed)
		if err != nil || created || l.ID != first.ID || l.ETag == first.ETag || !l.System.CreatedAt.Equal(first.System.CreatedAt) || l.Purpose != "Manual" {
			t.Errorf("%+v %v", l, err)
		}
		if _, _, err := w.set.PutTestLine(t.Context(), alice, changed, gateway.Match{IfMatch: first.ETag}); !errors.Is(err, gateway.ErrPrecondition) {
			t.Error(err)
		}
		l, err = w.set.PatchTestLine(t.Context(), alice, l.ID, map[string]string{"service": "TeamsPhoneMobile"}, none)
		if err != nil || l.Tags["service"] != "TeamsPhoneMobile" || l.Purpose != "Manual" {
			t.Errorf("%+v %v", l, err)
		}
		if got, err := w.set.GetTestLine(t.Context(), gateway.LineID{Gateway: id, Name: "Oc1"}); err != nil || got.ETag != l.ETag || got.Tags["service"] == "" {
			t.Errorf("%+v %v", got, err)
		}
		if _, _, err := put(line(id, "TPM1", "+441134960003")); err != nil {
			t.Fatal(err)
		}
		if list, err := w.set.ListTestLines(t.Context(), id); err != nil || len(list) != 2 || list[0].ID.Name != "OC1" {
			t.Errorf("%+v %v", list, err)
		}
		if err := w.set.DeleteTestLine(t.Context(), alice, l.ID, gateway.Match{IfMatch: first.ETag}); !errors.Is(err, gateway.ErrPrecondition) {
			t.Error(err)
		}
		if err := w.set.DeleteTestLine(t.Context(), alice, l.ID, none); err != nil {
			t.Error(err)
		}
		if _, err := w.set.GetTestLine(t.Context(), l.ID); fault.Of(err) != fault.NotFound || errors.Is(err, gateway.ErrNoGateway) {
			t.Error(err)
		}
		if err := w.set.DeleteTestLine(t.Context(), alice, l.ID, none); fault.Of(err) != fault.NotFound {
			t.Error(err)
		}
	})
}

// Every number serves one purpose, and what is refused says which it is.
func TestRulesOfTestLines(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	doc := two()
	doc.Properties.Platforms = append(doc.Properties.Platforms, "Zoom")
	doc.Properties.ZoomConfig = &gateway.ZoomConfig{Region: "EMEA", TestLines: []gateway.ZoomTestLine{{PhoneNumber: "+441134960030"}}}
	w.put(id, doc)
	if err := w.set.SetIntegrationNumbers(t.Context(), alice, id, []gateway.IntegrationNumber{{PhoneNumber: "+441134960020", Service: "OperatorConnect"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "OC1", "+441134960001"), none); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		change func(*gateway.TestLine)
		want   []string
		says   string
	}{
		{func(l *gateway.TestLine) { l.PhoneNumber = "01134960001" }, []string{"properties.phoneNumber: InvalidFormat"}, "country code first"},
		{func(l *gateway.TestLine) { l.ID.Name, l.PhoneNumber = "OC3", "+44-113-496-0003" }, nil, ""},
		{func(l *gateway.TestLine) { l.PhoneNumber, l.Purpose = "", "" }, []string{"properties.phoneNumber: Required", "properties.purpose: Required"}, "write Manual or Automated"},
		{func(l *gateway.TestLine) { l.Purpose = "automatic" }, []string{"properties.purpose: InvalidValue"}, "did you mean Automated?"},
		{func(l *gateway.TestLine) { l.ID.Name = "O1" }, []string{"name: InvalidFormat"}, "3 to 24"},
		{func(l *gateway.TestLine) { l.Location = "" }, []string{"location: InvalidFormat"}, ""},
		{func(l *gateway.TestLine) { l.Tags = map[string]string{"Service": "OperatorConect"} }, []string{"tags.Service: InvalidValue"}, "did you mean OperatorConnect?"},
		{func(l *gateway.TestLine) { l.PhoneNumber = "+44 (113) 4960001" }, []string{"properties.phoneNumber: Duplicate"}, "that of test line OC1"},
		{func(l *gateway.TestLine) { l.PhoneNumber = "+441134960020" }, []string{"properties.phoneNumber: Duplicate"}, "an integration number of OperatorConnect"},
		{func(l *gateway.TestLine) { l.PhoneNumber = "+441134960030" }, []string{"properties.phoneNumber: Duplicate"}, "among zoomConfig.testLines"},
	} {
		l := line(id, "OC2", "+441134960002")
		x.change(&l)
		_, _, err := w.set.PutTestLine(t.Context(), alice, l, none)
		if x.want == nil {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !slices.Equal(problems(t, err), x.want) {
			t.Errorf("%v", err)
		}
		contains(t, err.Error(), x.says)
	}

	doc.Properties.ZoomConfig.TestLines = []gateway.ZoomTestLine{{PhoneNumber: "+441134960001"}, {PhoneNumber: "+441134960020"}}
	_, _, _, err := w.set.Put(t.Context(), alice, id, doc, none)
	if want := []string{"properties.zoomConfig.testLines[0].phoneNumber: Duplicate", "properties.zoomConfig.testLines[1].phoneNumber: Duplicate"}; !slices.Equal(problems(t, err), want) {
		t.Error(err)
	}
}

func TestIntegrationNumbers(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.put(id, two())
	if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "OC1", "+441134960001"), none); err != nil {
		t.Fatal(err)
	}
	good := []gateway.IntegrationNumber{{PhoneNumber: "+44-113-496-0020", Service: "OperatorConnect"}, {PhoneNumber: "+441134960021", Service: "TeamsPhoneMobile"}}
	if err := w.set.SetIntegrationNumbers(t.Context(), alice, id, good); err != nil {
		t.Fatal(err)
	}
	err := w.set.SetIntegrationNumbers(t.Context(), alice, id, []gateway.IntegrationNumber{
		{PhoneNumber: "+441134960001", Service: "OperatorConnect"},
		{PhoneNumber: "+441134960022", Service: "Zoom"},
		{PhoneNumber: "+441134960022", Service: "Teams"},
		{},
	})
	want := []string{
		"integrationNumbers[0].phoneNumber: Duplicate", "integrationNumbers[1].service: Contradiction", "integrationNumbers[2].phoneNumber: Duplicate",
		"integrationNumbers[2].service: InvalidValue", "integrationNumbers[3].phoneNumber: Required", "integrationNumbers[3].service: Required",
	}
	if got := problems(t, err); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got, err := w.set.IntegrationNumbers(t.Context(), id); err != nil || !slices.Equal(got, good) {
		t.Errorf("%v %v", got, err)
	}
	if err := w.set.SetIntegrationNumbers(t.Context(), alice, named("none"), nil); fault.Of(err) != fault.NotFound {
		t.Error(err)
	}
}

// Numbers for tests find their service on the edges, whatever is provisioned.
func TestNumbersForTestsReachTheirService(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.rise(id)
	_, op := w.put(id, two())
	w.complete(op.ID)
	if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "TPM1", "+44-113-496-0001"), none); err != nil {
		t.Fatal(err)
	}
	op, err := w.ops.Latest(t.Context(), id.String()+"/testLines")
	if err != nil {
		t.Fatal(err)
	}
	w.complete(op.ID)
	if got := w.net.orders["r2-a"].Snapshot.Policy.TestLines; len(got) != 1 || got["+441134960001"] != snapshot.TeamsPhoneMobile {
		t.Errorf("%v", got)
	}
}

// A number that comes while its gateway is being changed does not take the
// change to the edges before its time.
func TestNumbersDoNotHurryAChange(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.rise(id)
	_, op := w.put(id, two())
	w.complete(op.ID)
	doc := two()
	doc.Properties.Platforms = append(doc.Properties.Platforms, "TeamsDirectRouting")
	_, op = w.put(id, doc) // needs certificates that are not there
	if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "OC1", "+441134960001"), none); err != nil {
		t.Fatal(err)
	}
	numbers, err := w.ops.Latest(t.Context(), id.String()+"/testLines")
	if err != nil {
		t.Fatal(err)
	}
	w.complete(numbers.ID)
	if got := w.net.orders["r1-a"]; got.Revision != 1 {
		t.Errorf("revision %d is published", got.Revision)
	}
	for i, e := range []struct{ node, region, address string }{{"r1-a", "westeurope", "192.0.2.1"}, {"r2-a", "northeurope", "192.0.2.2"}} {
		w.net.rise(e.node, e.region, e.address, zone.RegionName(base(id), i+1), zone.CloudName(base(id), i+1), "*."+zone.CloudName(base(id), i+1))
	}
	w.complete(op.ID)
	if got := w.net.orders["r1-a"]; got.Revision != 2 || got.Snapshot.Policy.TestLines["+441134960001"] != snapshot.OperatorConnect {
		t.Errorf("%+v", got)
	}
}

// A snapshot that was being compiled when its gateway was deleted is not
// published after that.
func TestNumbersDoNotBringAGatewayBack(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.rise(id)
	_, op := w.put(id, two())
	w.complete(op.ID)
	var once sync.Once
	compiling := func() {
		once.Do(func() {
			op, err := w.set.Delete(context.Background(), alice, id, none)
			if err != nil {
				t.Error(err)
				return
			}
			w.complete(op.ID)
		})
	}
	w.compiling.Store(&compiling)
	if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "OC1", "+441134960001"), none); err != nil {
		t.Fatal(err)
	}
	numbers, err := w.ops.Latest(t.Context(), id.String()+"/testLines")
	if err != nil {
		t.Fatal(err)
	}
	if op := w.ended(numbers.ID); op.Status != operation.Failed {
		t.Errorf("%s", op.Status)
	}
	if got := w.net.orders["r1-a"]; got.Gateway != "" {
		t.Errorf("r1-a runs %s, which is gone", got.Gateway)
	}
}

// An unknown region is told with those that there are.
func TestATestLineIsInARegionOfTheDeployment(t *testing.T) {
	w := build(t, storetest.New(t))
	id := named("lab-1")
	w.put(id, two())
	line := gateway.TestLine{ID: gateway.LineID{Gateway: id, Name: "OC1"}, Location: "westeurop", PhoneNumber: "+441134960001", Purpose: "Automated"}
	_, _, err := w.set.PutTestLine(w.Context(), alice, line, none)
	if problems, ok := err.(gateway.Problems); !ok || len(problems) != 1 || problems[0].Path != "location" {
		t.Fatalf("an unknown region: %v", err)
	}
	contains(t, err.Error(), "did you mean westeurope", "northeurope")
	line.Location = "West Europe"
	if _, _, err := w.set.PutTestLine(w.Context(), alice, line, none); err != nil {
		t.Error(err)
	}
}
