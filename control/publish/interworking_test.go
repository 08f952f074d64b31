package publish

import (
	"reflect"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
)

// What the operator's side wants is every group's of its own but for the
// emergency service's, and a peer group's own wish counts before it.
func TestWhatASideWantsOtherwise(t *testing.T) {
	yes := true
	operator := Interworking{Profile: "ims", Charging: &yes, Numbers: NumberPlan{CountryCode: "44", TrunkPrefix: "0", Format: "national"}}
	in := Input{Gateway: resource(t, "gateway-static")}
	in.Operator.Interworking = operator
	in.Operator.CountryCode, in.Operator.TrunkPrefix = "1", "1"
	in.Services.Teams.Interworking = Interworking{Early: "ringing"}
	in.Gateway.Properties.E911Type = "DirectToEsrp"
	for i := range in.Gateway.Properties.ServiceLocations {
		in.Gateway.Properties.ServiceLocations[i].PrimaryRegionProperties.ESRPAddresses = []string{"198.51.100.1"}
	}
	s, err := Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	core := s.Group(operatorGroup)
	if i := core.Interworking; i.Profile != "ims" || i.Charging != &yes || i.Plan != (snapshot.NumberPlan{CountryCode: "44", Trunk: "0", Format: "national"}) {
		t.Errorf("%+v", i)
	}
	for _, p := range core.Peers {
		if p.CountryCode != "" || p.TrunkPrefix != "" {
			t.Errorf("the plan of all groups counts before that of the group: %+v", p)
		}
	}
	if i := s.Group(teamsGroup).Interworking; i != (snapshot.Interworking{Early: "ringing"}) {
		t.Errorf("%+v", i)
	}
	if g := s.Group(emergencyGroup); g == nil || g.Interworking != (snapshot.Interworking{}) {
		t.Errorf("%+v", g)
	}

	in = Input{Gateway: resource(t, "gateway-groups")}
	in.Operator.Interworking = operator
	own := in.Gateway.Properties.PeerGroups[0].PeerGroupName
	in.Operator.InterworkingByGroup = map[string]*Interworking{own: {History: "none"}}
	if s, err = Compile(in); err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		want := snapshot.Interworking{History: "none"}
		if g.Side == snapshot.Cloud {
			want = snapshot.Interworking{}
		}
		if g.Name != own && g.Side == snapshot.Operator {
			if g.Interworking.Profile != "ims" {
				t.Errorf("%s: %+v", g.Name, g.Interworking)
			}
			continue
		}
		if g.Interworking != want {
			t.Errorf("%s: %+v", g.Name, g.Interworking)
		}
	}
}

// Whatever can be written reaches the snapshot.
func TestEveryWishIsPublished(t *testing.T) {
	var i Interworking
	fill(t, reflect.ValueOf(&i).Elem())
	var g snapshot.Group
	new(compiler).suit(&g, i)
	empty(t, "interworking", reflect.ValueOf(g.Interworking))
}

func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Struct:
			fill(t, f)
		default:
			t.Fatalf("%s is %s", v.Type().Field(i).Name, f.Kind())
		}
	}
}

// empty tells what was left out.
func empty(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		here := path + "." + v.Type().Field(i).Name
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			empty(t, here, f)
		case f.IsZero():
			t.Errorf("%s cannot be said", here)
		}
	}
}
