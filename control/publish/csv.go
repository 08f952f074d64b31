package publish

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

// longestRow bounds a line of the file: nobody's number needs more.
const longestRow = 16 << 10

// columns are the names of columns, ours and those of the export of the Azure
// Communications Gateway's Number Management Portal, and what they hold.
var columns = map[string]field{
	"number": {key: "number"}, "telephoneNumber": {key: "number"},
	"account": {key: "account"}, "accountName": {key: "account"},
	"header": {key: "header"}, "configuration_customSipHeader": {key: "header"},
	"elin": {key: "elin"}, "service": {key: "service"},

	"serviceDetails_teamsOperatorConnect_enabled":        {key: "enabled", service: snapshot.OperatorConnect},
	"serviceDetails_teamsPhoneMobile_enabled":            {key: "enabled", service: snapshot.TeamsPhoneMobile},
	"serviceDetails_teamsDirectRouting_enabled":          {key: "enabled", service: snapshot.TeamsDirectRouting},
	"serviceDetails_zoomPhoneCloudPeering_enabled":       {key: "enabled", service: snapshot.Zoom},
	"serviceDetails_azureOperatorCallProtection_enabled": {key: "enabled", service: "AiVoiceServices"},
}

// passed are the beginnings of columns that say nothing about calls.
var passed = []string{"serviceDetails_teamsOperatorConnect_", "serviceDetails_teamsPhoneMobile_"}

// field is what a column holds.
type field struct {
	key     string
	service snapshot.Service // of which it tells whether it is enabled
}

// reading is a file of numbers being read.
type reading struct {
	take   func(line int, n snapshot.Number)
	fault  func(Fault)
	line   int
	row    []string
	fields []field
	faults int
}

// ReadNumbers reads numbers from CSV and gives each of them, with its line, to
// take, and each fault of the file to fault: a line with a fault gives no
// number. What a number says is not judged (NumberRules.Check). The error is
// that of r.
//
// The first line names the columns; every other one is a number. Empty lines,
// and those that begin with "#", are passed over.
func ReadNumbers(r io.Reader, take func(line int, n snapshot.Number), fault func(Fault)) error {
	f := reading{take: take, fault: fault}
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 4096), longestRow)
	for scan.Scan() {
		f.line++
		text := scan.Text()
		if f.line == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // a spreadsheet's mark of its encoding
		}
		if text = strings.TrimRight(text, " \t\r"); text == "" || text[0] == '#' {
			continue
		}
		if !f.read(text) {
			return nil
		}
	}
	f.line++
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		f.bad("", "longer than %d bytes: write one number a line", longestRow)
		return nil
	}
	if f.fields == nil && scan.Err() == nil {
		f.bad("", "the file is empty: begin with the names of the columns, number,service,account")
	}
	return scan.Err()
}

// read reads one line; false when there is no use in more.
func (f *reading) read(text string) bool {
	var ok bool
	f.row, ok = split(text, f.row[:0])
	switch {
	case !ok:
		f.bad("", "a quotation mark is out of place")
		return f.fields != nil
	case f.fields == nil:
		return f.heading() // else every line would be wrong
	}
	f.number()
	return true
}

func (f *reading) bad(key, format string, args ...any) {
	f.faults++
	f.fault(Fault{f.line, key, fmt.Sprintf(format, args...)})
}

// heading reads the names of the columns.
func (f *reading) heading() bool {
	var names, seen []string
	for name := range columns {
		names = append(names, name)
	}
	for i, name := range f.row {
		c, ok := columns[name]
		idle := slices.ContainsFunc(passed, func(p string) bool { return strings.HasPrefix(name, p) })
		switch meant := gateway.Suggest(name, names); {
		case ok && slices.Contains(seen, c.key) && c.key != "enabled":
			f.bad(name, "column %d holds the %s again: remove one", i+1, c.key)
		case ok || idle:
		case meant != "":
			f.bad(name, "unknown column %q: did you mean %s?", name, meant)
		default:
			f.bad(name, "unknown column %q: known are number, service, account, header and elin, with commas between them", name)
		}
		f.fields = append(f.fields, c)
		seen = append(seen, c.key)
	}
	if !slices.Contains(seen, "number") {
		f.bad("number", "no column has this name: begin with the names of the columns, number,service,account")
	}
	if !slices.Contains(seen, "service") && !slices.Contains(seen, "enabled") {
		f.bad("service", "no column says which service a number has: add one with this name")
	}
	return f.faults == 0
}

// number reads a line with a number.
func (f *reading) number() {
	if len(f.row) != len(f.fields) {
		f.bad("", "%d fields, and the first line names %d columns", len(f.row), len(f.fields))
		return
	}
	var n snapshot.Number
	whole := true
	for i, text := range f.row {
		switch c := f.fields[i]; c.key {
		case "number":
			n.E164 = text
		case "account":
			n.Account = text
		case "header":
			n.Header = text
		case "elin":
			n.ELIN = text
		case "service", "enabled":
			whole = f.service(&n, c, text) && whole
		}
	}
	if whole {
		f.take(f.line, n)
	}
}

// service reads a field that tells the service.
func (f *reading) service(n *snapshot.Number, c field, text string) bool {
	named := snapshot.Service(text)
	if c.key == "enabled" {
		switch {
		case strings.EqualFold(text, "true"):
			named = c.service
		case text == "" || strings.EqualFold(text, "false"):
			return true
		default:
			f.bad("service", "%q: write true or false", text)
			return false
		}
	}
	if n.Service != "" && named != "" {
		f.bad("service", "%s and %s: a number has one service", n.Service, named)
		return false
	}
	if named != "" {
		n.Service = named
	}
	return true
}

// split cuts a row into its fields; false when quotation marks do not come in
// pairs around them. No field that we read holds the end of a line.
func split(row string, into []string) (fields []string, ok bool) {
	for {
		if !strings.HasPrefix(row, `"`) {
			plain, rest, more := strings.Cut(row, ",")
			if strings.Contains(plain, `"`) {
				return into, false
			}
			if into = append(into, strings.TrimSpace(plain)); !more {
				return into, true
			}
			row = rest
			continue
		}
		end := 1
		for {
			i := strings.IndexByte(row[end:], '"')
			if i < 0 {
				return into, false
			}
			if end += i + 1; !strings.HasPrefix(row[end:], `"`) {
				break
			}
			end++ // two stand for one
		}
		into = append(into, strings.ReplaceAll(row[1:end-1], `""`, `"`))
		switch {
		case end == len(row):
			return into, true
		case row[end] != ',':
			return into, false
		}
		row = row[end+1:]
	}
}
