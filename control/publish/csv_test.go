package publish

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
)

// taken reads a file as text: numbers and faults, with their lines.
func taken(t testing.TB, file string) (rows []string) {
	t.Helper()
	err := ReadNumbers(strings.NewReader(file),
		func(line int, n snapshot.Number) {
			rows = append(rows, fmt.Sprintf("%d: %s %s %s %s %s", line, n.E164, n.Service, n.Account, n.Header, n.ELIN))
		},
		func(f Fault) { rows = append(rows, fmt.Sprintf("%d! %s: %s", f.Line, f.Key, f.Text)) })
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestReadNumbers(t *testing.T) {
	for _, x := range []struct {
		name, file string
		want       []string
	}{
		{
			"our own columns, in any order",
			"service,number,account\nZoom,+44113,contoso\nOperatorConnect,+44114,\n",
			[]string{"2: +44113 Zoom contoso  ", "3: +44114 OperatorConnect   "},
		},
		{
			"header value and ELIN",
			"number,service,account,header,elin\n+44113,TeamsDirectRouting,contoso,gold,+44199\n",
			[]string{"2: +44113 TeamsDirectRouting contoso gold +44199"},
		},
		{
			"an export of the Number Management Portal",
			"telephoneNumber,accountName,serviceDetails_teamsOperatorConnect_enabled,serviceDetails_teamsOperatorConnect_configuration_usage,serviceDetails_teamsDirectRouting_enabled,configuration_customSipHeader\n" +
				"+44113,contoso,true,CallingUserAssignment,,\n+44114,contoso,FALSE,,True,gold\n",
			[]string{"2: +44113 OperatorConnect contoso  ", "3: +44114 TeamsDirectRouting contoso gold "},
		},
		{
			"as a spreadsheet writes it: a mark in front, carriage returns, quotation marks",
			"\ufeff\"number\",\"service\"\r\n\"+44113\",\"Zoom\"\r\n",
			[]string{"2: +44113 Zoom   "},
		},
		{
			"comments, empty lines and blanks",
			"# ours\n\nnumber, service\n \n# London\n+44113 , Zoom\t\n",
			[]string{"6: +44113 Zoom   "},
		},
		{
			"each line with its own fault, and those without are read",
			"number,service\n+44113\n+44114,Zoom,x\n+44115,Zoom\n\"+44116,Zoom\n+44\"117,Zoom\n",
			[]string{
				"2! : 1 fields, and the first line names 2 columns", "3! : 3 fields, and the first line names 2 columns",
				"4: +44115 Zoom   ", "5! : a quotation mark is out of place", "6! : a quotation mark is out of place",
			},
		},
		{
			"services that contradict each other",
			"number,service,serviceDetails_zoomPhoneCloudPeering_enabled,serviceDetails_teamsPhoneMobile_enabled\n+44113,,true,true\n+44114,OperatorConnect,true,\n+44115,,maybe,\n+44116,,,\n",
			[]string{
				"2! service: Zoom and TeamsPhoneMobile: a number has one service", "3! service: OperatorConnect and Zoom: a number has one service",
				`4! service: "maybe": write true or false`, "5: +44116    ",
			},
		},
		{"an unknown column", "number,servcie\n+44113,Zoom\n", []string{`1! servcie: unknown column "servcie": did you mean service?`, "1! service: no column says which service a number has: add one with this name"}},
		{"separated by something else", "number;service\n+44113;Zoom\n", []string{
			`1! number;service: unknown column "number;service": known are number, service, account, header and elin, with commas between them`,
			"1! number: no column has this name: begin with the names of the columns, number,service,account",
			"1! service: no column says which service a number has: add one with this name",
		}},
		{"a column twice", "number,service,telephoneNumber\n", []string{"1! telephoneNumber: column 3 holds the number again: remove one"}},
		{"no heading", "+44113,Zoom\n", []string{
			`1! +44113: unknown column "+44113": known are number, service, account, header and elin, with commas between them`,
			`1! Zoom: unknown column "Zoom": known are number, service, account, header and elin, with commas between them`,
			"1! number: no column has this name: begin with the names of the columns, number,service,account",
			"1! service: no column says which service a number has: add one with this name",
		}},
		{"empty", "", []string{"1! : the file is empty: begin with the names of the columns, number,service,account"}},
		{"nothing but a comment", "# nothing\n", []string{"2! : the file is empty: begin with the names of the columns, number,service,account"}},
		{"no numbers", "number,service\n", nil},
		{"a line without end", "number,service\n+44113," + strings.Repeat("x", longestRow) + "\n", []string{"2! : longer than 16384 bytes: write one number a line"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := taken(t, x.file); !slices.Equal(got, x.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(x.want, "\n"))
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for row, want := range map[string][]string{
		``:             {""},
		`a`:            {"a"},
		`a,`:           {"a", ""},
		`,`:            {"", ""},
		` a , b`:       {"a", "b"},
		`"a","b"`:      {"a", "b"},
		`"a,b",c`:      {"a,b", "c"},
		`"",""`:        {"", ""},
		`"a""b"`:       {`a"b`},
		`""""`:         {`"`},
		`"`:            nil,
		`"""`:          nil,
		`"a`:           nil,
		`"a"b`:         nil,
		`a"b"`:         nil,
		`"a" ,b`:       nil,
		`a,"b`:         nil,
		`"a""`:         nil,
		`"a","b",,"c"`: {"a", "b", "", "c"},
	} {
		if got, ok := split(row, nil); ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", row, got, ok)
		}
	}
}

func TestNumberRules(t *testing.T) {
	rules := NumberRules{
		Platforms: []string{"OperatorConnect", "TeamsPhoneMobile", "TeamsDirectRouting"}, Header: true,
		Accounts: accounts(t, snapshot.Account{Name: "contoso"}, snapshot.Account{Name: "fabrikam"}),
	}
	type number = snapshot.Number
	for _, x := range []struct {
		n    number
		bare bool // no accounts, no custom header
		want string
	}{
		{n: number{E164: "+441134960001", Service: "OperatorConnect", Account: "contoso", Header: "a_B-9", ELIN: "+44199"}},
		{n: number{E164: "+441134960001", Service: "OperatorConnect"}},
		{n: number{E164: "+441134960001", Service: "TeamsDirectRouting", Account: "contoso"}},
		{n: number{E164: "+441134960001", Service: "OperatorConnect", Account: "anybody"}, bare: true},
		{n: number{E164: "0113", Service: "OperatorConnect"}, want: `number: "0113": write + and 1 to 15 digits, country code first`},
		{n: number{E164: "+44", Service: "OperatorConnect", ELIN: "911"}, want: `elin: "911": write + and 1 to 15 digits, country code first`},
		{n: number{E164: "+44"}, want: "service: missing: write OperatorConnect or TeamsPhoneMobile or TeamsDirectRouting"},
		{n: number{E164: "+44", Service: "operatorconect"}, want: `service: "operatorconect" is unknown: did you mean OperatorConnect?`},
		{n: number{E164: "+44", Service: "Zoom"}, want: "service: Zoom is not among gateway.properties.platforms: add it there or change it here"},
		{n: number{E164: "+44", Service: "x"}, want: `service: "x" is unknown: write OperatorConnect or TeamsPhoneMobile or TeamsDirectRouting`},
		{n: number{E164: "+44", Service: "OperatorConnect", Account: "contso"}, want: `account: "contso" is not among accounts: did you mean contoso?`},
		{n: number{E164: "+44", Service: "OperatorConnect", Account: "zzz"}, want: `account: "zzz" is not among accounts: describe it there`},
		{n: number{E164: "+44", Service: "OperatorConnect", Account: "a b"}, bare: true, want: `account: "a b": write 1 to 100 letters, digits, hyphens and underscores`},
		{n: number{E164: "+44", Service: "TeamsDirectRouting"}, want: "account: missing: Direct Routing finds the tenant by the account; name one of accounts"},
		{n: number{E164: "+44", Service: "TeamsDirectRouting", Account: "contoso"}, bare: true, want: `account: "contoso" is not among accounts: describe it there`},
		{n: number{E164: "+44", Service: "OperatorConnect", Header: "a b"}, want: `header: "a b": write 1 to 100 letters, digits, hyphens and underscores`},
		{n: number{E164: "+44", Service: "OperatorConnect", Header: strings.Repeat("x", 101)}, want: `header: "` + strings.Repeat("x", 101) + `": write 1 to 100 letters, digits, hyphens and underscores`},
		{n: number{E164: "+44", Service: "TeamsPhoneMobile", Header: "gold"}, want: "header: calls of Teams Phone Mobile bear no custom header: remove it"},
		{n: number{E164: "+44", Service: "OperatorConnect", Header: "gold"}, bare: true, want: "header: the gateway has no custom header: name it in gateway.properties.customSipHeaders"},
	} {
		r := rules
		if x.bare {
			r.Accounts, r.Header = snapshot.Accounts{}, false
		}
		var got []string
		for _, f := range r.Check(x.n) {
			got = append(got, f.Key+": "+f.Text)
		}
		if text := strings.Join(got, "; "); text != x.want {
			t.Errorf("%+v: got %s, want %s", x.n, text, x.want)
		}
	}
}

func TestCheckAccount(t *testing.T) {
	type account = snapshot.Account
	const id = "00000000-0000-4000-8000-00000000C042"
	for _, x := range []struct {
		a    account
		want string
	}{
		{a: account{Name: "contoso"}},
		{a: account{Name: "Contoso_1-a", Tenant: id, Subdomain: "c_4-2"}},
		{account{}, `name: "": write 1 to 100 letters, digits, hyphens and underscores`},
		{account{Name: "a.b"}, `name: "a.b": write 1 to 100 letters, digits, hyphens and underscores`},
		{account{Name: "a", Tenant: "contoso.onmicrosoft.com"}, `tenant: "contoso.onmicrosoft.com": write the ID of the customer's Microsoft tenant, such as 00000000-0000-4000-8000-000000000001`},
		{account{Name: "a", Tenant: strings.ReplaceAll(id, "-", "0")}, `tenant: "` + strings.ReplaceAll(id, "-", "0") + `": write the ID of the customer's Microsoft tenant, such as 00000000-0000-4000-8000-000000000001`},
		{account{Name: "a", Subdomain: "a.b"}, `subdomain: "a.b": write one label of 1 to 10 letters, digits, hyphens and underscores`},
		{account{Name: "a", Subdomain: "*"}, `subdomain: "*": write one label of 1 to 10 letters, digits, hyphens and underscores`},
		{account{Name: "a", Subdomain: "-a"}, `subdomain: "-a": write one label of 1 to 10 letters, digits, hyphens and underscores`},
		{account{Name: "a", Subdomain: "elevenchars"}, `subdomain: "elevenchars": write one label of 1 to 10 letters, digits, hyphens and underscores`},
	} {
		var got []string
		for _, f := range CheckAccount(x.a, "1r1.gw.example") {
			got = append(got, f.Key+": "+f.Text)
		}
		if text := strings.Join(got, "; "); text != x.want {
			t.Errorf("%+v: got %s, want %s", x.a, text, x.want)
		}
	}
	faults := CheckAccount(account{Name: "a", Subdomain: "contoso"}, "1r1.a-name-that-is-too-long-for-it.tandem.example")
	if len(faults) != 1 || !strings.Contains(faults[0].Text, "57 characters, and no customer can register more than 48") {
		t.Errorf("got %+v", faults)
	}
}

func FuzzReadNumbers(f *testing.F) {
	f.Add("number,service,account,header,elin\n+44113,Zoom,contoso,gold,+44199\n")
	f.Add("\ufeff\"number\",\"service\"\r\n\"+44113\",\"Zo\"\"om\"\r\n# x\n")
	f.Add("telephoneNumber,serviceDetails_zoomPhoneCloudPeering_enabled\n+44113,TRUE\n+44114\n")
	f.Add("a\n\"")
	rules := NumberRules{Platforms: []string{"Zoom"}, Header: true}
	f.Fuzz(func(t *testing.T, file string) {
		var b snapshot.NumbersBuilder
		lines, last := strings.Count(file, "\n")+2, 0
		place := func(line int) {
			if line < max(last, 1) || line > lines {
				t.Errorf("line %d after %d of %d", line, last, lines)
			}
			last = line
		}
		err := ReadNumbers(strings.NewReader(file), func(line int, n snapshot.Number) {
			place(line)
			if rules.Check(n) == nil {
				if err := b.Add(n); err != nil {
					t.Errorf("%+v is found good, and %v", n, err)
				}
			}
		}, func(f Fault) {
			place(f.Line)
			if f.Text == "" {
				t.Error("a fault that says nothing")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.Build(); err == nil {
			for x := range n.All() {
				if got, ok := n.Find(x.E164); !ok || got != x {
					t.Errorf("%+v is found as %+v", x, got)
				}
			}
		}
	})
}

func BenchmarkReadNumbers(b *testing.B) {
	rules := NumberRules{Platforms: []string{"OperatorConnect", "TeamsDirectRouting"}, Header: true}
	var list []snapshot.Account
	for i := range 1000 {
		list = append(list, snapshot.Account{Name: fmt.Sprintf("account-%d", i)})
	}
	rules.Accounts, _ = snapshot.NewAccounts(list...)
	const rows = 100_000
	for b.Loop() {
		in, out := io.Pipe()
		go func() {
			var row []byte
			_, _ = out.Write([]byte("number,service,account,header\n"))
			for i := range rows {
				row = fmt.Appendf(row, "+441%09d,TeamsDirectRouting,account-%d,plan-%d\n", 7*i, i%1000, i%7)
				if len(row) > 1<<16 || i == rows-1 {
					_, _ = out.Write(row)
					row = row[:0]
				}
			}
			_ = out.Close()
		}()
		var index snapshot.NumbersBuilder
		err := ReadNumbers(in, func(_ int, n snapshot.Number) {
			if rules.Check(n) != nil || index.Add(n) != nil {
				b.Fatal(n)
			}
		}, func(f Fault) { b.Fatal(f) })
		if err != nil {
			b.Fatal(err)
		}
		if n, err := index.Build(); err != nil || n.Len() != rows {
			b.Fatal(n.Len(), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows*b.N), "ns/number")
}
