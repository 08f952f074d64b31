package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
)

// testCall is a call of a test line, as the resource API tells it.
type testCall struct {
	ID, TestLine, State, Towards, From, To, Node, Began string

	RingMS, AnswerMS int
	MOS              float64
	Heard            bool
	Problem, Call    string
	Notes            []string
}

// newTestCall makes `tandem test-line call`.
func newTestCall(c resourceCommand) *cobra.Command {
	var t target
	var towards, from, node string
	var seconds int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "call [NAME]",
		Short: "Call a test line, and tell what came of it",
		Long: `Have an edge of the gateway call a test line: as the operator's core would, into
the cloud, and as the cloud would, into the operator's core, with a few seconds
of a tone; tell whether and when it rang and was answered, what was heard and
how it sounded. The gateway, where there is only one, need not be named. Nobody
is billed: the record of the call says that it is a test. Text for people,
unless --json, -o or --query asks for another form.

Exit status: 0 the way is good, 1 it is not, 2 wrong usage, 3 not found, 4 no
node answers.`,
		Example: "  tandem test-line call OC1\n  tandem test-line call OC1 --towards operator --from +441134960010",
		Args:    cobra.MaximumNArgs(1),
	}
	c.names(cmd, &t)
	named := cmd.PreRunE
	cmd.PreRunE = nil
	f := cmd.Flags()
	f.StringVar(&towards, "towards", "", "cloud or operator; both unless said")
	f.StringVar(&from, "from", "", "number that calls; another of the gateway's own unless said")
	f.StringVar(&node, "node", "", "edge that calls; any unless said")
	f.IntVar(&seconds, "seconds", 0, "length of the conversation, 1 to 20")
	f.BoolVar(&asJSON, "json", false, "the same as -o json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if len(args) == 1 && t.name != "" && args[0] != t.name {
			return usagef("the test line is named twice: %s and %s", args[0], t.name)
		}
		if len(args) == 1 {
			t.name = args[0]
		}
		r, scope, err := reach(ctx, c.at, c.out)
		if err != nil {
			return err
		}
		if t.gateway == "" && t.group == "" && !cmd.Flags().Changed("ids") {
			if t.group, t.gateway, err = r.onlyGateway(ctx, scope); err != nil {
				return err
			}
		}
		if err := named(cmd, args); err != nil {
			return err
		}
		calls, raw, err := r.testCalls(ctx, c.path(scope, t), map[string]any{"towards": towards, "from": from, "node": node, "seconds": seconds})
		if err != nil {
			return err
		}
		if asJSON || cmd.Flags().Changed("output") || cmd.Flags().Changed("query") {
			err = c.out.write(cmd.OutOrStdout(), raw)
		} else {
			lookOf(cmd.OutOrStdout()).testCalls(cmd.OutOrStdout(), calls)
		}
		if i := slices.IndexFunc(calls, func(c testCall) bool { return c.State != "passed" }); i >= 0 && err == nil {
			return fault.New(fault.Unavailable, "the way towards the "+calls[i].Towards+" is not good: "+calls[i].Problem)
		}
		return err
	}
	return cmd
}

// onlyGateway is the one gateway of a subscription.
func (r *resources) onlyGateway(ctx context.Context, scope string) (group, name string, err error) {
	all, err := r.list(ctx, version(scope+gatewaysPath))
	if err != nil {
		return "", "", err
	}
	if len(all) != 1 {
		return "", "", usagef("there are %d gateways: name one by --resource-group and --gateway-name", len(all))
	}
	g, _ := all[0].(map[string]any)
	parts := strings.Split(strings.Trim(str(g["id"]), "/"), "/")
	if len(parts) != 8 {
		return "", "", fmt.Errorf("read the answer: %q is no gateway's ID", str(g["id"]))
	}
	return parts[3], parts[7], nil
}

// testTime is how long two test calls may take.
const testTime = 3 * time.Minute

// testCalls orders the calls of a line and waits until they have ended.
func (r *resources) testCalls(ctx context.Context, path string, order map[string]any) (calls []testCall, raw []any, err error) {
	a, err := r.do(ctx, http.MethodPost, version(path+"/call"), order)
	if err != nil {
		return nil, nil, err
	}
	if err := into(a.body["value"], &calls); err != nil {
		return nil, nil, err
	}
	var wanted []string
	for _, c := range calls {
		wanted = append(wanted, c.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	for {
		if a, err = r.do(ctx, http.MethodGet, version(path+"/calls"), nil); err != nil {
			return nil, nil, err
		}
		raw, calls = nil, nil
		all, _ := a.body["value"].([]any)
		for _, id := range wanted {
			for _, one := range all {
				if m, _ := one.(map[string]any); str(m["id"]) == id && str(m["state"]) != "underway" {
					raw = append(raw, one)
				}
			}
		}
		if len(raw) == len(wanted) {
			return calls, raw, into(raw, &calls)
		}
		select {
		case <-ctx.Done():
			return nil, nil, cmp.Or(context.Cause(ctx), error(fault.New(fault.Unavailable, "the test calls do not end")))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// testCalls writes what came of calls, one a line.
func (l look) testCalls(w io.Writer, calls []testCall) {
	for _, c := range calls {
		mark, color := "✓", good
		if c.State != "passed" {
			mark, color = "✗", bad
		}
		fmt.Fprintf(w, "%s %s towards the %s, by %s\n", l.paint(color, mark), l.paint(strong, plain(c.TestLine)), plain(c.Towards), plain(c.Node))
		l.indented(w, "", c.From+" → "+c.To+": "+c.said())
		if c.Call != "" {
			fmt.Fprintln(w, l.paint(quiet, "    tandem call show "+plain(c.Call)))
		}
	}
}

// indented writes text below a line.
func (l look) indented(w io.Writer, color, text string) {
	for _, line := range wrap(plain(text), 72) {
		fmt.Fprintln(w, "    "+l.paint(color, line))
	}
}

// said is what came of a call, in words.
func (c testCall) said() string {
	var parts []string
	if c.RingMS > 0 {
		parts = append(parts, fmt.Sprintf("rang after %d ms", c.RingMS))
	}
	if c.AnswerMS > 0 {
		parts = append(parts, fmt.Sprintf("answered after %d ms", c.AnswerMS))
	}
	if c.MOS > 0 {
		parts = append(parts, fmt.Sprintf("MOS %.1f", c.MOS))
	}
	switch {
	case c.Problem != "":
		parts = append(parts, c.Problem)
	case !c.Heard:
		parts = append(parts, "the far side was silent")
	}
	return strings.Join(parts, ", ")
}

// newTestCalls makes `tandem test-line calls`.
func newTestCalls(c resourceCommand) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use: "calls", Short: "Show the newest test calls of a test line", Args: cobra.NoArgs,
		Long: "Show the newest test calls of a test line, those of a schedule among them, newest\nfirst. Text for people, unless -o or --query asks for another form." + exitHelp,
	}
	c.names(cmd, &t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, scope, err := reach(cmd.Context(), c.at, c.out)
		if err != nil {
			return err
		}
		a, err := r.do(cmd.Context(), http.MethodGet, version(c.path(scope, t)+"/calls"), nil)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("output") || cmd.Flags().Changed("query") {
			return c.out.write(cmd.OutOrStdout(), a.body["value"])
		}
		var calls []testCall
		if err := into(a.body["value"], &calls); err != nil {
			return err
		}
		l, rows := lookOf(cmd.OutOrStdout()), [][]cell{}
		for _, c := range calls {
			color := map[string]string{"passed": good, "failed": bad}[c.State]
			at, _ := time.Parse(time.RFC3339, c.Began)
			rows = append(rows, []cell{{l.when(at), quiet}, {plain(c.State), color}, {plain(c.Towards), ""}, {plain(c.Node), ""}, {plain(c.said()), ""}})
		}
		l.table(cmd.OutOrStdout(), []string{"BEGAN", "STATE", "TOWARDS", "NODE", "WHAT CAME OF IT"}, rows)
		return nil
	}
	return cmd
}

// newTestSchedule makes `tandem gateway test-schedule`.
func newTestSchedule(c resourceCommand) *cobra.Command {
	var t target
	var every, jitter time.Duration
	var from string
	var off bool
	cmd := &cobra.Command{
		Use:   "test-schedule",
		Short: "Show when a gateway's test lines are called, or change it",
		Long: `Show when a gateway's test lines are called by themselves; with --every or --off
change that. Each line is called from each edge both ways in turn, one call at a
time. It is off unless somebody has switched it on.` + exitHelp,
		Example: "  tandem gateway test-schedule -g voice -n one --every 15m --jitter 2m",
		Args:    cobra.NoArgs,
	}
	c.names(cmd, &t)
	f := cmd.Flags()
	f.DurationVar(&every, "every", 0, "time between two calls, 1m to 168h")
	f.DurationVar(&jitter, "jitter", 0, "each waits that much longer at most, by chance")
	f.StringVar(&from, "from", "", "number that calls; another of the gateway's own unless said")
	f.BoolVar(&off, "off", false, "no calls by themselves")
	cmd.MarkFlagsMutuallyExclusive("every", "off")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if every == 0 && (jitter > 0 || from != "") {
			return usagef("--jitter and --from go with --every")
		}
		r, scope, err := reach(ctx, c.at, c.out)
		if err != nil {
			return err
		}
		path := version(c.path(scope, t) + "/testSchedule")
		method, body := http.MethodGet, any(nil)
		if off || every > 0 {
			method, body = http.MethodPut, map[string]any{"interval": every.String(), "jitter": jitter.String(), "from": from}
		}
		a, err := r.do(ctx, method, path, body)
		if err != nil {
			return err
		}
		return c.out.write(cmd.OutOrStdout(), a.body)
	}
	return cmd
}
