package onboard

import (
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
	case OfService:
		return s.key()
	case OfAGateway:
		return s.Gateway.Key()
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
