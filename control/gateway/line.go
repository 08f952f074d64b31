package gateway

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// TestLine is a number that is called to see that the gateway works. It is a
// resource of its own below the gateway.
type TestLine struct {
	ID          LineID
	Location    string
	Tags        map[string]string // "service" names the communications service, where the name does not
	PhoneNumber string            // as written
	Purpose     string            // "Manual", "Automated"
	ETag        string
	System      SystemData
}

// Purposes are the words of TestLine.Purpose.
var Purposes = []string{"Manual", "Automated"}

// IntegrationNumber is a number by which a communications service is taken into
// service. The resource API has no place for these: their list is ours, one
// for each gateway.
type IntegrationNumber struct {
	PhoneNumber string `json:"phoneNumber" yaml:"phoneNumber"` // as written
	Service     string `json:"service" yaml:"service"`
}

// E164 is the number, whose + may be left out.
func (l ZoomTestLine) E164() string { return "+" + strings.TrimPrefix(E164(l.PhoneNumber), "+") }

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// E164 is a number without what people write for the eye (RFC 3966 §5.1.1); the
// resource API's own example of a test line has it.
func E164(s string) string {
	return strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "").Replace(s)
}

// IsE164 tells whether a number is one of E.164, without what is for the eye.
func IsE164(s string) bool { return e164.MatchString(s) }

// number checks a telephone number in E.164.
func (c *checker) number(path, s string) bool {
	switch {
	case s == "":
		c.add(path, Required, "missing: write a telephone number, for example +441134960000")
	case !e164.MatchString(E164(s)):
		c.add(path, InvalidFormat, "%q: write + and 7 to 15 digits, country code first, for example +441134960000", s)
	default:
		return true
	}
	return false
}

// ValidateTestLine returns every rule that a test line breaks by itself.
func ValidateTestLine(l TestLine) Problems {
	var c checker
	if !resourceName.MatchString(l.ID.Name) {
		c.add("name", InvalidFormat, "%q: write 3 to 24 letters, digits and hyphens", l.ID.Name)
	}
	if !locationName.MatchString(l.Location) {
		c.add("location", InvalidFormat, "%q: name the management region, for example westeurope", l.Location)
	}
	c.tags(l.Tags)
	c.number(props+"phoneNumber", l.PhoneNumber)
	c.oneOf(props+"purpose", l.Purpose, Purposes)
	for name, value := range l.Tags {
		if strings.EqualFold(name, serviceTag) {
			c.oneOf("tags."+name, value, lineServices)
		}
	}
	return c.problems
}

// PutTestLine makes a test line, or changes one into what doc says.
func (s *Set) PutTestLine(ctx context.Context, by Actor, doc TestLine, match Match) (l TestLine, created bool, err error) {
	doc.Location = subscription.Normal(doc.Location)
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		g, old, err := s.lineToChange(ctx, tx, doc.ID, match)
		if err != nil {
			return err
		}
		created = old == nil
		l = doc
		l.ETag, l.System = "", SystemData{}
		problems := ValidateTestLine(doc)
		if created {
			problems = append(problems, s.region("location", doc.Location, "known", func(l subscription.Location) bool { return l.Management || l.Service })...)
		} else {
			l.ID, l.ETag, l.System = old.ID, old.ETag, old.System
			if l.Location != old.Location {
				problems = append(problems, Problem{"location", CreateOnly, fmt.Sprintf("it is %s, and cannot become %q: write %s, or make another test line", old.Location, doc.Location, old.Location)})
			}
		}
		more, err := lineNumber(ctx, tx, g, l)
		if err != nil {
			return err
		}
		if problems = append(problems, more...); len(problems) > 0 {
			return problems
		}
		l.ID.Gateway = g.ID
		return s.saveLine(ctx, tx, by, g, &l)
	})
	return l, created, err
}

// lineToChange reads the gateway of a test line, and the line, nil when there
// is none.
func (s *Set) lineToChange(ctx context.Context, tx *store.Tx, id LineID, match Match) (*row, *TestLine, error) {
	g, err := load(ctx, tx, id.Gateway)
	switch {
	case err != nil:
		return nil, nil, err
	case g == nil:
		return nil, nil, noGateway(id.Gateway)
	case g.deleting():
		return nil, nil, fault.New(fault.Conflict, fmt.Sprintf("gateway %s is being deleted", g.ID.Name))
	}
	old, err := loadLine(ctx, tx, g.ID, id.Name)
	if err != nil {
		return nil, nil, err
	}
	etag := ""
	if old != nil {
		etag = old.ETag
	}
	if !match.holds(etag) {
		return nil, nil, &fault.Error{Kind: fault.Conflict, Public: "the test line has changed since: read it again", Err: ErrPrecondition}
	}
	return g, old, nil
}

func noGateway(id ID) error {
	return &fault.Error{Kind: fault.NotFound, Public: fmt.Sprintf("gateway %s does not exist in resource group %s", id.Name, id.Group), Err: ErrNoGateway}
}

func loadLine(ctx context.Context, tx *store.Tx, id ID, name string) (*TestLine, error) {
	l, err := scanLine(id)(tx.Row(ctx, "SELECT "+lineColumns+" FROM test_line WHERE gateway = ? AND name_key = ?", id.Key(), strings.ToLower(name)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &l, err
}

// saveLine stores a line, which has no ETag when it is new, and takes its
// number to the edges.
func (s *Set) saveLine(ctx context.Context, tx *store.Tx, by Actor, g *row, l *TestLine) error {
	created := l.ETag == ""
	l.System.touch(by, created)
	l.ETag = newETag()
	if err := l.save(ctx, tx); err != nil {
		return err
	}
	if err := s.republish(ctx, tx, g, by); err != nil {
		return err
	}
	return s.audit(ctx, tx, by, created, l.ID.String())
}

// PatchTestLine changes the tags of a test line.
func (s *Set) PatchTestLine(ctx context.Context, by Actor, id LineID, tags map[string]string, match Match) (l TestLine, err error) {
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		g, old, err := s.lineToChange(ctx, tx, id, match)
		switch {
		case err != nil:
			return err
		case old == nil:
			return noLine(id)
		}
		l = *old
		l.Tags = maps.Clone(tags)
		if problems := ValidateTestLine(l); problems != nil {
			return problems
		}
		return s.saveLine(ctx, tx, by, g, &l)
	})
	return l, err
}

func noLine(id LineID) error {
	return fault.New(fault.NotFound, fmt.Sprintf("gateway %s has no test line %s", id.Gateway.Name, id.Name))
}

// DeleteTestLine removes a test line.
func (s *Set) DeleteTestLine(ctx context.Context, by Actor, id LineID, match Match) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		g, old, err := s.lineToChange(ctx, tx, id, match)
		switch {
		case err != nil:
			return err
		case old == nil:
			return noLine(id)
		}
		if err := old.erase(ctx, tx); err != nil {
			return err
		}
		if err := s.republish(ctx, tx, g, by); err != nil {
			return err
		}
		return s.tell(ctx, tx, Change{By: by, Action: "delete", Resource: old.ID.String()})
	})
}

// GetTestLine is one test line.
func (s *Set) GetTestLine(ctx context.Context, id LineID) (l TestLine, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		g, err := load(ctx, tx, id.Gateway)
		switch {
		case err != nil:
			return err
		case g == nil:
			return noGateway(id.Gateway)
		}
		found, err := loadLine(ctx, tx, g.ID, id.Name)
		switch {
		case err != nil:
			return err
		case found == nil:
			return noLine(id)
		}
		l = *found
		return nil
	})
	return l, err
}

// ListTestLines are all test lines of a gateway, by name.
func (s *Set) ListTestLines(ctx context.Context, id ID) ([]TestLine, error) {
	return ofGateway(ctx, s, id, noGateway, lines)
}

// IntegrationNumbers are those of a gateway.
func (s *Set) IntegrationNumbers(ctx context.Context, id ID) ([]IntegrationNumber, error) {
	return ofGateway(ctx, s, id, notFound, integrationNumbers)
}

// ofGateway reads what belongs to a gateway; missing is the error when there is
// no such gateway.
func ofGateway[T any](ctx context.Context, s *Set, id ID, missing func(ID) error, read func(context.Context, *store.Tx, ID) (T, error)) (out T, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		g, err := load(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case g == nil:
			return missing(id)
		}
		out, err = read(ctx, tx, g.ID)
		return err
	})
	return out, err
}

// SetIntegrationNumbers replaces those of a gateway. The error is Problems when
// the list breaks rules.
func (s *Set) SetIntegrationNumbers(ctx context.Context, by Actor, id ID, list []IntegrationNumber) error {
	if big := measure("integrationNumbers", list); big != nil {
		return big
	}
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		g, err := load(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case g == nil:
			return notFound(id)
		case g.deleting():
			return fault.New(fault.Conflict, fmt.Sprintf("gateway %s is being deleted", g.ID.Name))
		}
		if problems, err := integration(ctx, tx, g, list); err != nil || len(problems) > 0 {
			return errors.Join(err, problems.orNil())
		}
		if _, err := tx.Exec(ctx, "DELETE FROM integration_number WHERE gateway = ?", g.key()); err != nil {
			return err
		}
		for _, n := range list {
			if _, err := tx.Exec(ctx, "INSERT INTO integration_number (gateway, number, phone, service) VALUES (?, ?, ?, ?)", g.key(), E164(n.PhoneNumber), n.PhoneNumber, n.Service); err != nil {
				return err
			}
		}
		if err := s.republish(ctx, tx, g, by); err != nil {
			return err
		}
		return s.tell(ctx, tx, Change{By: by, Action: "update", Resource: g.ID.String() + "/integrationNumbers"})
	})
}

// integration checks the integration numbers of a gateway.
func integration(ctx context.Context, tx *store.Tx, g *row, list []IntegrationNumber) (Problems, error) {
	lines, err := lines(ctx, tx, g.ID)
	if err != nil {
		return nil, err
	}
	c := checker{Gateway: g.Gateway}
	var before []string
	for i, n := range list {
		here := at("integrationNumbers", i)
		if c.number(here+".phoneNumber", n.PhoneNumber) {
			number := E164(n.PhoneNumber)
			c.first(here+".phoneNumber", number, before)
			before = append(before, number)
			c.apart(here+".phoneNumber", number, lines, nil)
		}
		if c.oneOf(here+".service", n.Service, lineServices) {
			c.enabled(here+".service", n.Service)
		}
	}
	return c.problems, nil
}

// apart checks that a number is not one of the gateway's other lists.
func (c *checker) apart(path, number string, lines []TestLine, numbers []IntegrationNumber) {
	for _, l := range lines {
		if E164(l.PhoneNumber) == number {
			c.add(path, Duplicate, "%s is that of test line %s: each number serves one purpose; give another", number, l.ID.Name)
		}
	}
	for _, n := range numbers {
		if E164(n.PhoneNumber) == number {
			c.add(path, Duplicate, "%s is an integration number of %s, which is in use only while the service is being connected: a test line needs a number of its own; give another", number, n.Service)
		}
	}
	if z := c.Properties.ZoomConfig; z != nil {
		for _, l := range z.TestLines {
			if l.E164() == number {
				c.add(path, Duplicate, "%s is among zoomConfig.testLines: each number serves one purpose; give another", number)
			}
		}
	}
}

// lineNumber checks the number of a test line against all others.
func lineNumber(ctx context.Context, tx *store.Tx, g *row, l TestLine) (Problems, error) {
	others, err := lines(ctx, tx, g.ID)
	if err != nil {
		return nil, err
	}
	numbers, err := integrationNumbers(ctx, tx, g.ID)
	if err != nil {
		return nil, err
	}
	others = slices.DeleteFunc(others, func(x TestLine) bool { return strings.EqualFold(x.ID.Name, l.ID.Name) })
	c := checker{Gateway: g.Gateway}
	if number := E164(l.PhoneNumber); number != "" {
		c.apart(props+"phoneNumber", number, others, numbers)
	}
	return c.problems, nil
}

// numbers checks Zoom's numbers against the test lines and the integration
// numbers that the gateway has.
func (s *Set) numbers(ctx context.Context, tx *store.Tx, r *row) (Problems, error) {
	if r.Properties.ZoomConfig == nil {
		return nil, nil
	}
	lines, err := lines(ctx, tx, r.ID)
	if err != nil {
		return nil, err
	}
	numbers, err := integrationNumbers(ctx, tx, r.ID)
	if err != nil {
		return nil, err
	}
	var c checker
	for i, l := range r.Properties.ZoomConfig.TestLines {
		c.apart(at(props+"zoomConfig.testLines", i)+".phoneNumber", l.E164(), lines, numbers)
	}
	return c.problems, nil
}

// orNil keeps an empty list from being an error that is not nil.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
