package onboard

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
)

// The values that a gateway is made of: seen in the resource where there is
// one, said by people before.

// need is one value.
type need struct {
	name, fact, value string
	wrong             string // what is wrong with the value that is there
}

// needed tells of all that are missing, or wrong.
func needed(all []need) (Finding, error) {
	var missing []string
	var shown []Evidence
	for _, n := range all {
		switch {
		case n.value == "":
			missing = append(missing, n.name)
		case n.wrong != "":
			missing = append(missing, n.name+" ("+n.value+": "+n.wrong+")")
		default:
			shown = append(shown, Is(n.name, n.value))
		}
	}
	if len(missing) > 0 {
		return Missing(fmt.Sprintf("%d of %d values are there; missing: %s", len(shown), len(all), strings.Join(missing, ", ")), shown...), nil
	}
	return Found(fmt.Sprintf("All %d values are there", len(all)), shown...), nil
}

// maybe is the gateway, zero while there is none.
func (w *World) maybe(ctx context.Context) (gateway.Resource, error) {
	r, err := w.resource(ctx)
	if fault.Of(err) == fault.NotFound {
		return gateway.Resource{}, nil
	}
	return r, err
}

func (w *World) basics(ctx context.Context) ([]need, error) {
	r, err := w.maybe(ctx)
	if err != nil {
		return nil, err
	}
	id, p := w.Subject.Gateway, r.Properties
	platforms := cmp.Or(strings.Join(p.Platforms, ", "), w.Fact("platforms"))
	wrong := ""
	if len(have([]string{w.Subject.Service}, words(platforms))) > 0 {
		wrong = w.service() + " is not among them"
	}
	return []need{
		{name: "subscription", value: id.Subscription},
		{name: "resource group", value: id.Group},
		{name: "name", value: id.Name},
		{name: "region", fact: "management-region", value: cmp.Or(r.Location, w.Fact("management-region"))},
		{name: "supported codecs", fact: "codecs", value: cmp.Or(strings.Join(p.Codecs, ", "), w.Fact("codecs"))},
		{name: "supported voice platforms", fact: "platforms", value: platforms, wrong: wrong},
		{name: "emergency call handling", fact: "emergency", value: cmp.Or(p.E911Type, w.Fact("emergency"))},
	}, nil
}

func (w *World) regions(ctx context.Context) ([]need, error) {
	r, err := w.maybe(ctx)
	if err != nil {
		return nil, err
	}
	n := 2
	if w.Environment == Lab {
		n = 1 // a lab has one service region
	}
	var all []need
	for i := range n {
		name, address := w.Fact(fmt.Sprintf("region-%d", i+1)), w.Fact(fmt.Sprintf("operator-address-%d", i+1))
		if at := r.Properties.ServiceLocations; i < len(at) {
			name, address = at[i].Name, strings.Join(at[i].PrimaryRegionProperties.OperatorAddresses, ", ")
			if address == "" && r.Properties.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
				address = "of its peer groups"
			}
		}
		all = append(all,
			need{name: fmt.Sprintf("service region %d", i+1), fact: fmt.Sprintf("region-%d", i+1), value: name},
			need{name: fmt.Sprintf("operator address of service region %d", i+1), fact: fmt.Sprintf("operator-address-%d", i+1), value: address, wrong: notIPv4(address)})
	}
	if n == 2 && all[0].value != "" && strings.EqualFold(all[0].value, all[2].value) {
		all[2].wrong = "the first is the same"
	}
	return all, nil
}

// notIPv4 says that an address is of the other family; names are looked up when
// they are called.
func notIPv4(list string) string {
	for _, s := range words(list) {
		if a, err := netip.ParseAddr(s); err == nil && !a.Is4() {
			return "not an IPv4 address"
		}
	}
	return ""
}

func checkBasics(ctx context.Context, w *World) (Finding, error) {
	all, err := w.basics(ctx)
	if err != nil {
		return Finding{}, err
	}
	return needed(all)
}

func checkRegions(ctx context.Context, w *World) (Finding, error) {
	all, err := w.regions(ctx)
	if err != nil {
		return Finding{}, err
	}
	return needed(all)
}

// instructNeeds tells how what is missing is said.
func (w *World) instructNeeds(needs func(context.Context) ([]need, error)) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	all, _ := needs(ctx) // without it the first words are true all the same
	i := Instruction{Text: "Collect the values, or make the gateway with them", Command: "tandem apply -f gateway.yaml"}
	var said []string
	for _, n := range all {
		if n.fact != "" && (n.value == "" || n.wrong != "") {
			said = append(said, n.fact+"=<"+n.name+">")
		}
	}
	if len(said) > 0 {
		i.Command = w.declare(said...)
	}
	return i
}

func instructBasics(w *World) Instruction { return w.instructNeeds(w.basics) }

func instructRegions(w *World) Instruction { return w.instructNeeds(w.regions) }

// checkDesign takes a person's word for the network, and the resource's for its
// regions.
func checkDesign(ctx context.Context, w *World) (Finding, error) {
	r, err := w.maybe(ctx)
	if err != nil {
		return Finding{}, err
	}
	if n := len(r.Properties.ServiceLocations); n == 1 && w.Environment == Production {
		return Missing("The gateway has one service region: production needs two, with cross-connect"), nil
	}
	v, ok := w.Value("network-design")
	if !ok {
		return Missing("Nobody has reviewed the network design"), nil
	}
	return Said("Reviewed on "+v.Value, Is("network design reviewed", v.Value), Is("declared by", v.By)), nil
}

func instructDesign(w *World) Instruction {
	i := Instruction{
		Text:    "Describe the sites and connections, hold them against the requirements, draw them, and say when they were reviewed: " + w.declare("network-design=<YYYY-MM-DD>"),
		Command: "tandem network check -f network.yaml " + w.named(),
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	if r, err := w.maybe(ctx); err == nil && r.Name == "" { // its draft is enough
		i.Command = "tandem network check -f network.yaml --gateway gateway.yaml"
	}
	return i
}

func checkTags(ctx context.Context, w *World) (Finding, error) {
	r, err := w.maybe(ctx)
	if err != nil {
		return Finding{}, err
	}
	if len(r.Tags) > 0 {
		return Found(fmt.Sprintf("The gateway has %d tags", len(r.Tags))), nil
	}
	switch w.Fact("tags") {
	case "no":
		return Said("Without tags"), nil
	case "yes":
		if r.Name == "" {
			return Said("With tags"), nil
		}
		return Missing("Tags are wanted, and the gateway has none"), nil
	}
	return Missing("Nobody has decided"), nil
}
