package app

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link/snapshot"
)

// NumberConfig is one provisioned number.
type NumberConfig struct {
	Number  string           `yaml:"number"` // E.164 with leading "+"
	Service snapshot.Service `yaml:"service"`
	Account string           `yaml:"account"`
	Header  string           `yaml:"header"` // value of the gateway's custom header
	ELIN    string           `yaml:"elin"`   // that emergency calls come from where their location names none
}

// AccountConfig is an enterprise that numbers belong to.
type AccountConfig struct {
	Name      string `yaml:"name"`
	Tenant    string `yaml:"tenant"`    // ID of its Microsoft tenant
	Subdomain string `yaml:"subdomain"` // label before sip.domain, by which Direct Routing tells its calls
	Screening *bool  `yaml:"screening"` // callers of Direct Routing must have one of its numbers; nil: true
}

// maxFaults is how many mistakes of a file of numbers are told.
const maxFaults = 50

// provision is numbers being read, from the list and from the file.
type provision struct {
	*configCheck
	rules  publish.NumberRules
	into   snapshot.NumbersBuilder
	listed []int    // of each number taken from the list: which it is
	lines  []uint32 // of each number taken from the file: its line
	faults int      // of the file
	untold int      // line of the first of them that is not told
}

// provision reads accounts and numbers into the configuration.
func (k *configCheck) provision() {
	k.accountList()
	p := provision{configCheck: k, rules: publish.NumberRules{
		Platforms: slices.DeleteFunc(slices.Clone(k.Gateway.Properties.Platforms), func(s string) bool { return !slices.Contains(gateway.Platforms, s) }),
		Accounts:  k.accounts,
	}}
	if h := k.Gateway.Properties.CustomSIPHeaders; h != nil {
		p.rules.Header = len(h.Headers) > 0
	}
	if k.Control != nil { // of gateways that come and go
		p.rules.Platforms, p.rules.Header = gateway.Platforms, true
	}
	p.list()
	p.file()
	numbers, err := p.into.Build()
	if twice, ok := errors.AsType[snapshot.Twices](err); ok {
		p.twice(twice)
	}
	k.provisioned = numbers
}

// accountList checks the accounts. What stands twice is left out.
func (k *configCheck) accountList() {
	var list []snapshot.Account
	names, labels := map[string]int{}, map[string]int{} // lines
	for i, a := range k.Accounts {
		path := fmt.Sprintf("accounts[%d]", i)
		x := snapshot.Account{Name: a.Name, Tenant: a.Tenant, Subdomain: a.Subdomain, AnyCaller: a.Screening != nil && !*a.Screening}
		for _, f := range publish.CheckAccount(x, k.SIP.Domain) {
			k.bad(path+"."+f.Key, "%s", f.Text)
		}
		line, label := k.at(path).line, strings.ToLower(x.Subdomain)
		switch {
		case names[x.Name] != 0:
			k.bad(path+".name", "%q is the name of the account in line %d already", x.Name, names[x.Name])
			continue
		case label != "" && labels[label] != 0:
			k.bad(path+".subdomain", "%q is the subdomain of the account in line %d already", x.Subdomain, labels[label])
			x.Subdomain = ""
		}
		names[x.Name], labels[label] = line, line
		list = append(list, x)
	}
	k.accounts, _ = snapshot.NewAccounts(list...)
}

func (p *provision) add(n snapshot.Number) error {
	p.mobile = p.mobile || n.Service == snapshot.TeamsPhoneMobile
	return p.into.Add(n)
}

// list reads the numbers of the configuration itself.
func (p *provision) list() {
	for i, n := range p.Numbers {
		x := snapshot.Number{E164: n.Number, Service: n.Service, Account: n.Account, Header: n.Header, ELIN: n.ELIN}
		faults := p.rules.Check(x)
		for _, f := range faults {
			p.bad(fmt.Sprintf("numbers[%d].%s", i, f.Key), "%s", f.Text)
		}
		if faults == nil && p.add(x) == nil { // a list in YAML is never too long
			p.listed = append(p.listed, i)
		}
	}
}

// file reads the numbers of the file, of which there may be millions.
func (p *provision) file() {
	if p.NumbersFile == "" {
		return
	}
	f, err := os.Open(p.NumbersFile)
	if err != nil {
		p.bad("numbersFile", "cannot be read: %s", err)
		return
	}
	defer func() { _ = f.Close() }()
	take := func(line int, n snapshot.Number) {
		faults := p.rules.Check(n)
		for _, f := range faults {
			f.Line = line
			p.fault(f)
		}
		if faults != nil {
			return
		}
		if err := p.add(n); err != nil {
			p.fault(publish.Fault{Line: line, Text: err.Error()})
			return
		}
		p.lines = append(p.lines, uint32(line))
	}
	if err := publish.ReadNumbers(bufio.NewReaderSize(f, 1<<20), take, p.fault); err != nil {
		p.bad("numbersFile", "cannot be read: %s", err)
	}
	if more := p.faults - maxFaults; more > 0 {
		p.problems = append(p.problems, Problem{File: p.NumbersFile, Line: p.untold, Column: 1, Text: fmt.Sprintf("and %d more mistakes from here on", more)})
	}
}

// fault tells a mistake of the file, if it is one of the first.
func (p *provision) fault(f publish.Fault) {
	p.faults++
	switch {
	case p.faults == maxFaults+1:
		p.untold = f.Line
	case p.faults <= maxFaults:
		p.problems = append(p.problems, Problem{File: p.NumbersFile, Line: f.Line, Column: 1, Path: f.Key, Text: f.Text})
	}
}

// twice tells the numbers that stand twice, where they do the second time.
func (p *provision) twice(all snapshot.Twices) {
	for _, t := range all[:min(len(all), maxFaults)] {
		before, inFile := p.place(t.Before)
		after, alsoInFile := p.place(t.After)
		text := fmt.Sprintf("%s stands in line %d already: remove one", t.E164, before)
		if inFile != alsoInFile {
			text = fmt.Sprintf("%s stands in line %d of %s already: remove one", t.E164, before, p.File)
		}
		if alsoInFile {
			p.problems = append(p.problems, Problem{File: p.NumbersFile, Line: after, Column: 1, Path: "number", Text: text})
		} else {
			p.bad(fmt.Sprintf("numbers[%d].number", p.listed[t.After]), "%s", text)
		}
	}
}

// place is the line of a number by the order in which it was taken.
func (p *provision) place(order int) (line int, inFile bool) {
	if order < len(p.listed) {
		return p.at(fmt.Sprintf("numbers[%d].number", p.listed[order])).line, false
	}
	return int(p.lines[order-len(p.listed)]), true
}
