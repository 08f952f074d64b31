package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// Readiness tells what a gateway still lacks before its services can be taken
// into service. It is never a reason to refuse a PUT: test lines come after
// their gateway, one by one.
type Readiness struct {
	Gateway   ID
	State     string // provisioningState
	Status    string // "ChangePending", "Complete"
	Services  []ServiceReadiness
	Strays    []string             // test lines whose service nobody can tell
	Advice    string               // as Resource.Advice
	Operation *operation.Operation // the last, with its steps; nil: none is kept
	Edges     []Edge               // as they stand now
	Problems  []string             // what does not run that did, or should: Status tells of the last change alone
	Warnings  []string             // what the gateway says and this deployment does not do
}

// Ready tells that nothing is missing.
func (r Readiness) Ready() bool {
	return r.Status == Complete && len(r.Problems) == 0 && !slices.ContainsFunc(r.Services, func(s ServiceReadiness) bool { return !s.Ready() })
}

// ServiceReadiness is that of one communications service.
type ServiceReadiness struct {
	Service     string
	Track       string // "2022": one Manual and one Automated line; "2024": integration numbers and service verification
	Counts      []Count
	Suggestions []Suggestion // lines that would fill what is missing
}

// Ready tells that no count is short.
func (s ServiceReadiness) Ready() bool {
	return !slices.ContainsFunc(s.Counts, func(c Count) bool { return c.Have < c.Want })
}

// Count is how much there is of what a service needs.
type Count struct {
	What       string // "Automated lines", "Manual lines", "integration numbers", "numbers in zoomConfig.testLines"
	Have, Want int
}

// String is "2 of 6 Automated lines".
func (c Count) String() string { return fmt.Sprintf("%d of %d %s", c.Have, c.Want, c.What) }

// Suggestion is a test line that somebody could make.
type Suggestion struct{ Name, Purpose string }

// serviceTag names the service of a test line whose name does not.
const serviceTag = "service"

// linePrefixes are what names of test lines begin with (Azure Communications
// Gateway docs, "Deploy": OC1, TPM1).
var linePrefixes = map[string]string{"OC": "OperatorConnect", "TPM": "TeamsPhoneMobile", "DR": "TeamsDirectRouting", "ZM": "Zoom"}

// lineServices are the services that lines and integration numbers are for.
var lineServices = Platforms[:4]

// service is the communications service that a test line is for, "" when nobody
// can tell. Only is the gateway's only service, or "".
func (l TestLine) service(only string) string {
	for name, value := range l.Tags {
		if strings.EqualFold(name, serviceTag) && slices.Contains(lineServices, value) {
			return value
		}
	}
	digits := strings.TrimRight(l.ID.Name, "0123456789-")
	if s, ok := linePrefixes[strings.ToUpper(digits)]; ok {
		return s
	}
	prefix, _, _ := strings.Cut(l.ID.Name, "-")
	if s, ok := linePrefixes[strings.TrimRight(strings.ToUpper(prefix), "0123456789")]; ok {
		return s
	}
	return only
}

// Service is the communications service that a test line is for at its gateway,
// "" when nobody can tell.
func (l TestLine) Service(g Gateway) string { return l.service(only(g)) }

// services are those of a gateway that lines are for.
func services(g Gateway) []string {
	return slices.DeleteFunc(slices.Clone(g.Properties.Platforms), func(s string) bool { return !slices.Contains(lineServices, s) })
}

// only is a gateway's only service, "" when it has more.
func only(g Gateway) string {
	if s := services(g); len(s) == 1 {
		return s[0]
	}
	return ""
}

// adviceTime is how long the zones above are asked again whether they have the
// records by now.
const adviceTime = 3 * time.Second

// Readiness tells what a gateway lacks.
func (s *Set) Readiness(ctx context.Context, id ID) (Readiness, error) {
	out, base, err := s.readiness(ctx, id)
	if err != nil || out.Advice == "" || s.cfg.Zone == nil {
		return out, err
	}
	limit, cancel := context.WithTimeout(ctx, adviceTime)
	defer cancel()
	if _, advice, err := s.cfg.Zone.Check(limit, base); err == nil && limit.Err() == nil {
		out.Advice = advice
	}
	return out, nil
}

// readiness reads what the store knows of it, with the gateway's base domain.
func (s *Set) readiness(ctx context.Context, id ID) (out Readiness, base string, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		g, err := load(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case g == nil:
			return notFound(id)
		}
		lines, err := lines(ctx, tx, g.ID)
		if err != nil {
			return err
		}
		numbers, err := integrationNumbers(ctx, tx, g.ID)
		if err != nil {
			return err
		}
		out = tallies(g.Gateway, lines, numbers)
		out.Gateway, out.Advice = g.ID, g.Advice
		op, err := s.cfg.Operations.LatestIn(ctx, tx, g.ID.String())
		if err == nil {
			out.Operation = &op
		} else if fault.Of(err) != fault.NotFound {
			return err
		}
		out.State, out.Status = g.standing(out.Operation)
		out.Warnings = s.Warnings(g.Gateway)
		base = s.base(g)
		out.Edges, err = s.standing(ctx, tx, g)
		if out.Status == Complete {
			out.Problems = outages(g.Regions, out.Edges)
		}
		return err
	})
	return out, base, err
}

// outages tells which edges do not carry calls, those of regions that none is
// left of first.
func outages(regions []string, edges []Edge) (dark []string) {
	var some []string
	for _, region := range regions {
		var why []string
		serves := 0
		for _, e := range edges {
			if e.Region != region {
				continue
			}
			if e.Serves {
				serves++
			}
			if e.Why != "" {
				why = append(why, e.Why)
			}
		}
		switch {
		case serves == 0:
			dark = append(dark, fmt.Sprintf("%s carries no calls: %s", region, cmp.Or(strings.Join(why, "; "), "it has no edge")))
		default:
			some = append(some, why...)
		}
	}
	return append(dark, some...)
}

// Warnings are what a gateway says and this deployment does not do, in sentences.
func (s *Set) Warnings(g Gateway) []string {
	if s.cfg.Unserved == nil {
		return nil
	}
	return s.cfg.Unserved(g)
}

// tallies counts what a gateway has. It is pure.
func tallies(g Gateway, lines []TestLine, numbers []IntegrationNumber) (out Readiness) {
	g = Default(g)
	services := services(g)
	byService := map[string][]TestLine{}
	for _, l := range lines {
		if of := l.service(only(g)); slices.Contains(services, of) {
			byService[of] = append(byService[of], l)
		} else {
			out.Strays = append(out.Strays, l.ID.Name)
		}
	}
	taken := map[string]bool{}
	for _, l := range lines {
		taken[strings.ToUpper(l.ID.Name)] = true
	}
	for _, service := range services {
		have := 0
		for _, n := range numbers {
			if n.Service == service {
				have++
			}
		}
		out.Services = append(out.Services, tally{g, service, byService[service], have, taken}.count())
	}
	return out
}

// tally is what one service of a gateway has.
type tally struct {
	gateway     Gateway
	service     string
	lines       []TestLine
	integration int
	taken       map[string]bool // names of lines
}

func (t tally) purpose(p string) (n int) {
	for _, l := range t.lines {
		if l.Purpose == p {
			n++
		}
	}
	return n
}

// count follows the track that the lines are of: a Manual line is what the
// procedure of 2022 has, in which Microsoft's staff call it, and which the later
// one has not.
func (t tally) count() (out ServiceReadiness) {
	out.Service, out.Track = t.service, "2024"
	manual, automated := t.purpose("Manual"), t.purpose("Automated")
	lined := t.service == "OperatorConnect" || t.service == teamsPhoneMobile
	switch {
	case lined && manual > 0:
		out.Track = "2022"
		out.Counts = []Count{{"Manual lines", manual, 1}, {"Automated lines", automated, 1}}
		out.Suggestions = t.suggest(1-automated, "Automated")
	case lined:
		want := 6
		if t.gateway.SKU.Name == lab {
			want = 3
		}
		out.Counts = []Count{{"integration numbers", t.integration, 1}, {"Automated lines", automated, want}}
		out.Suggestions = t.suggest(want-automated, "Automated")
	default:
		out.Counts = []Count{{"integration numbers", t.integration, 1}}
	}
	if z := t.gateway.Properties.ZoomConfig; t.service == zoom && z != nil {
		want := 2
		if z.Region == "NorthAmerica" {
			want = 6
		}
		out.Counts = append(out.Counts, Count{"numbers in zoomConfig.testLines", len(z.TestLines), want})
	}
	return out
}

// suggest names n lines that do not exist yet: OC1, OC2 and so on.
func (t tally) suggest(n int, purpose string) (list []Suggestion) {
	prefix := ""
	for _, p := range slices.Sorted(maps.Keys(linePrefixes)) {
		if linePrefixes[p] == t.service {
			prefix = p
		}
	}
	for i := 1; len(list) < n; i++ {
		if name := fmt.Sprint(prefix, i); !t.taken[name] {
			list = append(list, Suggestion{name, purpose})
		}
	}
	return list
}
