package onboard

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
)

// Subject is whose procedure it is: one service of one gateway. The gateway
// need not exist yet.
type Subject struct {
	Gateway gateway.ID
	Service string // one of Services
}

// Services are those that are onboarded to.
var Services = []string{"OperatorConnect", "TeamsPhoneMobile"}

// ServiceTitle is what people call a service.
func ServiceTitle(service string) string {
	switch service {
	case "OperatorConnect":
		return "Operator Connect"
	case "TeamsPhoneMobile":
		return "Teams Phone Mobile"
	}
	return service
}

// key is the same for all spellings of one subject.
func (s Subject) key() string { return s.Gateway.Key() + "/" + strings.ToLower(s.Service) }

// scope is where facts of a scope are kept.
func (s Subject) scope(of Scope) string {
	switch of {
	case OfOperator:
		return "service/" + strings.ToLower(s.Service)
	case OfSubscription:
		return "subscription/" + strings.ToLower(s.Gateway.Subscription)
	case OfAGateway:
		return s.Gateway.Key()
	case OfService:
		return s.key()
	}
	return ""
}

func (s Subject) check() error {
	switch {
	case s.Gateway.Name == "" || s.Gateway.Group == "" || s.Gateway.Subscription == "":
		return fault.New(fault.Invalid, "name the gateway, its resource group and its subscription")
	case !slices.Contains(Services, s.Service):
		return fault.New(fault.Invalid, "service \""+s.Service+"\": the procedure is for "+strings.Join(Services, " and "))
	}
	return nil
}

type subjectDoc struct {
	Gateway string `json:"gateway"`
	Service string `json:"service"`
}

// MarshalJSON names the gateway by its ID in the resource API.
func (s Subject) MarshalJSON() ([]byte, error) {
	return json.Marshal(subjectDoc{s.Gateway.String(), s.Service})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Subject) UnmarshalJSON(data []byte) error {
	var doc subjectDoc
	err := json.Unmarshal(data, &doc)
	if err == nil {
		s.Gateway, err = gateway.ParseID(doc.Gateway)
	}
	s.Service = doc.Service
	return err
}

// Named is a subject as people name it; what is left out is found where only
// one thing can be meant.
type Named struct{ Subscription, Group, Gateway, Service string }

// Find is the subject that is meant. A gateway that is not there yet is named
// in full.
func (s *Set) Find(ctx context.Context, n Named) (sub Subject, err error) {
	if sub.Gateway, err = s.findGateway(ctx, n); err != nil {
		return sub, err
	}
	if sub.Service, err = s.findService(ctx, sub.Gateway, n.Service); err != nil {
		return sub, err
	}
	return sub, sub.check()
}

// findGateway looks among the gateways that are there and those that a
// procedure was begun for.
func (s *Set) findGateway(ctx context.Context, n Named) (id gateway.ID, err error) {
	all, err := s.gateways(ctx)
	if err != nil {
		return id, err
	}
	fit := slices.DeleteFunc(all, func(id gateway.ID) bool {
		return n.Gateway != "" && !strings.EqualFold(n.Gateway, id.Name) ||
			n.Group != "" && !strings.EqualFold(n.Group, id.Group) ||
			n.Subscription != "" && !strings.EqualFold(n.Subscription, id.Subscription)
	})
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) > 1:
		var names []string
		for _, id := range fit {
			names = append(names, id.Name+" in "+id.Group)
		}
		return id, fault.New(fault.Invalid, "several gateways can be meant ("+strings.Join(names, ", ")+"): name one by -n, -g and --subscription")
	case n.Gateway == "" || n.Group == "":
		return id, fault.New(fault.NotFound, "no such gateway is there yet: to begin with one that will be deployed later, name it by -n and its resource group by -g")
	}
	return gateway.ID{Subscription: cmp.Or(n.Subscription, s.cfg.Subscription), Group: n.Group, Name: n.Gateway}, nil
}

func (s *Set) gateways(ctx context.Context) (all []gateway.ID, err error) {
	known := map[string]bool{}
	add := func(id gateway.ID) {
		if !known[id.Key()] {
			known[id.Key()] = true
			all = append(all, id)
		}
	}
	for after := ""; s.cfg.Parts.Gateways != nil; {
		list, next, err := s.cfg.Parts.Gateways.List(ctx, gateway.Scope{}, gateway.Page{After: after})
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			add(r.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	begun, err := s.Subjects(ctx)
	for _, sub := range begun {
		add(sub.Gateway)
	}
	return all, err
}

// serviceWords are what people write for a service.
var serviceWords = map[string]string{"oc": "OperatorConnect", "tpm": "TeamsPhoneMobile"}

// findService takes the gateway's only service when none is named.
func (s *Set) findService(ctx context.Context, id gateway.ID, word string) (string, error) {
	if word != "" {
		for _, name := range Services {
			if strings.EqualFold(name, strings.ReplaceAll(word, " ", "")) || serviceWords[strings.ToLower(word)] == name {
				return name, nil
			}
		}
		return word, nil // refused with a sentence
	}
	var fit []string
	if s.cfg.Parts.Gateways != nil {
		r, err := s.cfg.Parts.Gateways.Get(ctx, id)
		if err != nil && fault.Of(err) != fault.NotFound {
			return "", err
		}
		fit = slices.DeleteFunc(slices.Clone(r.Properties.Platforms), func(p string) bool { return !slices.Contains(Services, p) })
	}
	begun, err := s.Subjects(ctx)
	if err != nil {
		return "", err
	}
	for _, sub := range begun {
		if sub.Gateway.Key() == id.Key() && !slices.Contains(fit, sub.Service) {
			fit = append(fit, sub.Service)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	return "", fault.New(fault.Invalid, "name the service by --service: "+strings.Join(Services, " or "))
}
