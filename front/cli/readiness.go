package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
)

// readiness is what a gateway still lacks, as the resource API tells it.
type readiness struct {
	Ready    bool
	Status   string
	State    string   `json:"provisioningState"`
	Advice   string   // records for the zones above
	Strays   []string `json:"testLinesWithoutService"`
	Services []struct {
		Service string
		Ready   bool
		Counts  []struct {
			Text       string
			Have, Want int
		}
		Suggested []struct{ Name, Purpose string } `json:"suggestedTestLines"`
	}
	Last struct {
		Error *struct{ Code, Message string }
	} `json:"lastOperation"`
	Problems []string                   // what does not run that should
	Warnings []string                   // what the gateway says and this version does not do
	Schedule *struct{ Interval string } `json:"testSchedule"`
	Tests    []testCall                 `json:"testCalls"`
}

func newReadiness(c resourceCommand) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "readiness",
		Short: "Tell what each service of a gateway still lacks",
		Long: `Tell what each service of a gateway still lacks before it can be taken into
service: "2 of 6 Automated lines", with names for those that are missing, and
records that the zones above must have. Text for people, unless -o or --query
asks for another form; --query ready says it in a word.` + exitHelp,
		Args: cobra.NoArgs,
	}
	c.names(cmd, &t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, scope, err := reach(cmd.Context(), c.at, c.out)
		if err != nil {
			return err
		}
		a, err := r.do(cmd.Context(), http.MethodGet, version(c.path(scope, t)+"/readiness"), nil)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("output") || cmd.Flags().Changed("query") {
			return c.out.write(cmd.OutOrStdout(), flat(a.body))
		}
		var ready readiness
		if err := into(a.body["properties"], &ready); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		lookOf(out).readiness(out, t.name, ready)
		return nil
	}
	return cmd
}

func (l look) readiness(w io.Writer, name string, r readiness) {
	verdict, color := "ready", good
	if !r.Ready {
		verdict, color = "not ready", notice
	}
	fmt.Fprintf(w, "gateway %s: %s, %s, %s\n", l.paint(strong, plain(name)), plain(r.State), plain(r.Status), l.paint(color, verdict))
	for _, s := range r.Services {
		fmt.Fprintln(w, "\n  "+l.paint(strong, plain(s.Service)))
		for _, c := range s.Counts {
			mark, color := "✓", good
			if c.Have < c.Want {
				mark, color = "–", notice
			}
			fmt.Fprintln(w, "    "+l.paint(color, mark)+" "+plain(c.Text))
		}
		if len(s.Suggested) > 0 {
			var names []string
			for _, n := range s.Suggested {
				names = append(names, n.Name)
			}
			for _, line := range wrap(plain("make test lines "+strings.Join(names, ", ")+" with --purpose "+s.Suggested[0].Purpose), 70) {
				fmt.Fprintln(w, "      "+l.paint(quiet, line))
			}
		}
	}
	if len(r.Tests) > 0 {
		every := "by hand"
		if r.Schedule != nil {
			every = "one every " + r.Schedule.Interval
		}
		fmt.Fprintln(w, "\n  "+l.paint(strong, "test calls")+l.paint(quiet, ", "+plain(every)))
		for _, c := range r.Tests {
			mark, color := "✓", good
			if c.State != "passed" {
				mark, color = "✗", bad
			}
			l.indented(w, color, mark+" "+c.TestLine+" towards the "+c.Towards+" by "+c.Node+": "+c.said())
		}
	}
	notes := append([]string{}, r.Problems...)
	if len(r.Strays) > 0 {
		notes = append(notes, "of these test lines nobody can tell the service: "+strings.Join(r.Strays, ", ")+"; name them such as OC1 or TPM1, or tag them service=OperatorConnect")
	}
	if e := r.Last.Error; e != nil {
		notes = append(notes, "("+e.Code+") "+e.Message)
	}
	if r.Advice != "" {
		notes = append(notes, r.Advice)
	}
	notes = append(notes, r.Warnings...)
	for i, n := range notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		l.note(w, n)
	}
}

// note writes advice; its first line is a sentence, the others are to be pasted.
func (l look) note(w io.Writer, text string) {
	sentence, lines, _ := strings.Cut(text, "\n")
	l.hanging(w, notice, "! "+sentence)
	for line := range strings.Lines(lines) {
		fmt.Fprintln(w, "    "+plain(strings.TrimSpace(line)))
	}
}

// advise tells on w what a gateway's status does not: edges that are away, what
// this version does not do, and what others still have to do, records in the
// zones above.
func (r *resources) advise(ctx context.Context, w io.Writer, path string) {
	a, err := r.do(ctx, http.MethodGet, version(path+"/readiness"), nil)
	var ready readiness
	if err != nil || into(a.body["properties"], &ready) != nil {
		return // it was not asked for
	}
	for _, text := range slices.Concat(ready.Problems, ready.Warnings, []string{ready.Advice}) {
		if text != "" {
			lookOf(w).note(w, text)
		}
	}
}

// integrationNumber is one of a gateway's list of them.
type integrationNumber struct {
	PhoneNumber string `json:"phoneNumber" yaml:"phoneNumber"`
	Service     string `json:"service" yaml:"service"`
}

// into reads a part of an answer as what it is.
func into(v, out any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

const numbersPath = "/integrationNumbers"

func newIntegrationNumbers(c resourceCommand) *cobra.Command {
	var t target
	var add, remove []string
	cmd := &cobra.Command{
		Use:   "integration-numbers",
		Short: "Show the integration numbers of a gateway, or change them",
		Long: `Show the numbers by which a gateway's services are integrated and monitored, at
least one for each service, none of them a test line's; with --add and --remove
change the list.` + exitHelp,
		Example: "  tandem gateway integration-numbers -g voice -n one --add +441134960010=Zoom",
		Args:    cobra.NoArgs,
	}
	c.names(cmd, &t)
	cmd.Flags().StringArrayVar(&add, "add", nil, "NUMBER=SERVICE: put into the list")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "NUMBER: take from the list")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		r, scope, err := reach(ctx, c.at, c.out)
		if err != nil {
			return err
		}
		path := version(c.path(scope, t) + numbersPath)
		a, err := r.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if len(add)+len(remove) > 0 {
			list, err := edited(a.body["value"], add, remove)
			if err != nil {
				return err
			}
			if a, err = r.do(ctx, http.MethodPut, path, map[string]any{"value": list}); err != nil {
				return err
			}
		}
		return c.out.write(cmd.OutOrStdout(), a.body["value"])
	}
	return cmd
}

// edited is a list of integration numbers with some more and some less.
func edited(value any, add, remove []string) (list []integrationNumber, err error) {
	if err := into(value, &list); err != nil {
		return nil, err
	}
	for _, number := range remove {
		i := slices.IndexFunc(list, func(n integrationNumber) bool { return n.PhoneNumber == number })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "no integration number is "+number)
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, word := range add {
		number, service, ok := strings.Cut(word, "=")
		if !ok {
			return nil, usagef("--add %q: write NUMBER=SERVICE, such as +441134960010=OperatorConnect", word)
		}
		list = append(list, integrationNumber{number, service})
	}
	slices.SortFunc(list, func(a, b integrationNumber) int { return cmp.Compare(a.PhoneNumber, b.PhoneNumber) })
	return append([]integrationNumber{}, list...), nil
}
