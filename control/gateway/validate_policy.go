package gateway

import (
	"slices"
	"strings"
)

// callPolicy checks which groups and services belong together.
func (c *checker) callPolicy() {
	p, path := c.Properties, props+"callPolicy"
	switch grouped := p.OperatorPeerGroupConfigScheme == PeerGroupScheme; {
	case !grouped && p.CallPolicy != nil:
		c.add(path, Contradiction, "used only with operatorPeerGroupConfigScheme UseOperatorPeerGroupConfig: set it or remove it")
		return
	case grouped && p.CallPolicy == nil:
		c.add(path, Required, "missing: peer groups need a callPolicy that says which services they are for")
		return
	case p.CallPolicy == nil:
		return
	}
	c.peerGroupToService(path+".defaultMappings.peerGroupToService", p.CallPolicy.DefaultMappings.PeerGroupToService)
	c.serviceToPeerGroup(path+".defaultMappings.serviceToPeerGroup", p.CallPolicy.DefaultMappings.ServiceToPeerGroup)
	c.peerGroupRoutings(path+".peerGroupRoutings", p.CallPolicy.PeerGroupRoutings)
}

func (c *checker) peerGroupToService(path string, list []PeerGroupToService) {
	var groups []string
	for i, m := range list {
		here := at(path, i)
		c.knownGroup(here+".peerGroup", m.PeerGroup)
		c.first(here+".peerGroup", m.PeerGroup, groups)
		groups = append(groups, m.PeerGroup)
		c.enabled(here+".defaultService", m.DefaultService)
	}
}

func (c *checker) serviceToPeerGroup(path string, list []ServiceToPeerGroup) {
	var services []string
	for i, m := range list {
		here := at(path, i)
		if c.enabled(here+".service", m.Service) {
			c.first(here+".service", m.Service, services)
		}
		services = append(services, m.Service)
		c.knownGroup(here+".defaultPeerGroup", m.DefaultPeerGroup)
	}
	for _, s := range c.Properties.Platforms {
		if !slices.Contains(services, s) && slices.Contains(Platforms, s) && s != aiVoiceServices {
			c.add(path, Required, "no peer group takes the calls of %s: add {service: %s, defaultPeerGroup: …}", s, s)
		}
	}
}

func (c *checker) peerGroupRoutings(path string, list []PeerGroupRouting) {
	var groups []string
	for i, r := range list {
		here := at(path, i)
		g := c.knownGroup(here+".peerGroupName", r.PeerGroupName)
		c.first(here+".peerGroupName", r.PeerGroupName, groups)
		groups = append(groups, r.PeerGroupName)
		if g != nil {
			c.routings(here+".routings", r.Routings, *g)
		}
	}
	for _, g := range c.Properties.PeerGroups {
		if !slices.Contains(groups, g.PeerGroupName) {
			c.add(path, Required, "peer group %s has no routings, so that its peers would never be called: say from which service location each is, and its priority", g.PeerGroupName)
		}
	}
}

func (c *checker) routings(path string, list []Routing, g PeerGroup) {
	if len(list) == 0 {
		c.add(path, Required, "missing: say for each peer of %s from which service location it is called, and its priority", g.PeerGroupName)
	}
	var peers, locations []string
	for _, p := range g.Peers {
		peers = append(peers, p.PeerName)
	}
	for _, l := range c.Properties.ServiceLocations {
		locations = append(locations, l.Name)
	}
	type key struct{ peer, location string }
	seen := map[key]bool{}
	for i, r := range list {
		here := at(path, i)
		c.known(here+".peerName", r.PeerName, peers, "a peer of "+g.PeerGroupName)
		c.known(here+".serviceLocation", r.ServiceLocation, locations, "a service location")
		if k := (key{r.PeerName, r.ServiceLocation}); seen[k] {
			c.add(here, Duplicate, "%s has a priority from %s already: remove one", r.PeerName, r.ServiceLocation)
		} else {
			seen[k] = true
		}
		if r.Priority < 0 || r.Priority > 100 {
			c.add(here+".priority", OutOfRange, "%d: write 0, for first, to 100", r.Priority)
		}
	}
}

// known checks a reference by name.
func (c *checker) known(path, name string, names []string, what string) bool {
	switch {
	case slices.Contains(names, name):
		return true
	case name == "":
		c.add(path, Required, "missing: name %s", what)
	case Suggest(name, names) != "":
		c.add(path, Unknown, "%q is not %s: did you mean %s?", name, what, Suggest(name, names))
	case len(names) == 0:
		c.add(path, Unknown, "%q is not %s: there is none", name, what)
	default:
		c.add(path, Unknown, "%q is not %s: there is %s", name, what, strings.Join(names, ", "))
	}
	return false
}

func (c *checker) knownGroup(path, name string) *PeerGroup {
	var names []string
	for _, g := range c.Properties.PeerGroups {
		names = append(names, g.PeerGroupName)
	}
	if !c.known(path, name, names, "a peer group") {
		return nil
	}
	return &c.Properties.PeerGroups[slices.Index(names, name)]
}

// enabled checks the name of a service that the gateway must be for.
func (c *checker) enabled(path, service string) bool {
	if !c.oneOf(path, service, Platforms) {
		return false
	}
	if !slices.Contains(c.Properties.Platforms, service) {
		c.add(path, Contradiction, "%s is not among the gateway's services: add it to properties.platforms or remove it here", service)
	}
	return true
}
