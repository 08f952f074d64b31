package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/front/ops"
)

// NewOnboard makes `tandem onboard`.
func NewOnboard() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "onboard",
		Short: "Take a gateway through its onboarding",
		Long: `Take a gateway through the onboarding to Operator Connect or Teams Phone Mobile:
plan shows what is done, what would be done and what waits for whom; apply does
what a program can do, and says what a person must do, and where. Both can be
run again at any time.

What no program can see is declared once (declare). What others must do is
handed over as a ready message (show), whose way is kept (sent, answered).` + exitHelp,
		Example: `  tandem onboard plan
  tandem onboard apply
  tandem onboard show B23 --save .
  tandem onboard sent B23
  tandem onboard answered B23`,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	o := &onboarding{client: socketFlag(cmd)}
	f := cmd.PersistentFlags()
	f.StringVarP(&o.subject.Gateway, "name", "n", "", "name of the gateway; may be left out when there is one")
	f.StringVarP(&o.subject.Group, "resource-group", "g", "", "its resource group")
	f.StringVar(&o.subject.Subscription, "subscription", "", "its subscription")
	f.StringVar(&o.subject.Service, "service", "", "OperatorConnect (oc) or TeamsPhoneMobile (tpm); may be left out when the gateway has one")
	cmd.AddCommand(o.plan(), o.apply(), o.status(), o.show(), o.declare(), o.sent(), o.answered(), o.report(), o.list(), o.forget())
	return cmd
}

// onboarding is what its commands share.
type onboarding struct {
	client  func() *ops.Client
	subject ops.Subject
}

// flags are those that name the subject, as they were given: commands that are
// proposed bear them too.
func (o *onboarding) flags() string {
	var b strings.Builder
	for _, f := range [][2]string{{"-n", o.subject.Gateway}, {"-g", o.subject.Group}, {"--subscription", o.subject.Subscription}, {"--service", o.subject.Service}} {
		if f[1] != "" {
			b.WriteString(" " + f[0] + " " + f[1])
		}
	}
	return b.String()
}

// shortened has commands that the steps propose name the subject as it was
// named here: whoever did not have to name it need not do so now.
func shortened(p onboard.Plan, flags string) onboard.Plan {
	id := p.Subject.Gateway
	named, service := " -g "+id.Group+" -n "+id.Name, " --service "+p.Subject.Service
	r := strings.NewReplacer(named+" --subscription "+id.Subscription+service, flags, named+service, flags)
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		st := &p.Steps[i]
		st.Detail, st.Will = r.Replace(st.Detail), r.Replace(st.Will)
		if st.Instruction != nil {
			in := *st.Instruction
			in.Text, in.Command = r.Replace(in.Text), r.Replace(in.Command)
			st.Instruction = &in
		}
	}
	return p
}

// me is who runs the command, for the record.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}

const detailedHelp = `

With --detailed-exitcode the exit status says how things stand: 0 nothing is
left to do, 2 apply has something to do, 3 a person has, 1 an error, such as a
gateway that is not found or a node that does not answer; a command line that
is wrong is 2 all the same, with the cause on standard error. Without it:`

// Exit statuses with --detailed-exitcode.
const (
	exitApply  = 2
	exitPerson = 3
)

// standing is an exit status that says how things stand, or an error that must
// not be taken for one.
type standing struct {
	status int
	err    error
}

func (s *standing) Error() string {
	if s.err == nil {
		return ""
	}
	return s.err.Error()
}

func (s *standing) Unwrap() error { return s.err }

// detailed makes an exit status of a plan.
func detailed(p onboard.Plan, err error) error {
	switch {
	case err != nil:
		return &standing{ExitFailure, err}
	case len(p.Acts()) > 0:
		return &standing{status: exitApply}
	case !p.Finished():
		return &standing{status: exitPerson}
	}
	return nil
}

// optionFlags are those of plans and of applies.
func optionFlags(cmd *cobra.Command) func() ops.OnboardOptions {
	var track, environment, apps string
	f := cmd.Flags()
	f.StringVar(&track, "track", "", "2022 (registrations and vaults) or current (managed identity); kept by apply")
	f.StringVar(&environment, "environment", "", "production or lab; kept by apply")
	f.StringVar(&apps, "uploader-apps", "", "shared: one app registration for all Call Duration Uploaders; each: one for each")
	for name, words := range map[string][]string{"track": {"current", "2022"}, "environment": {"production", "lab"}, "uploader-apps": {"shared", "each"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	}
	return func() ops.OnboardOptions {
		o := ops.OnboardOptions{Track: onboard.Track(track), Environment: onboard.Environment(environment)}
		if apps != "" {
			o.Facts = map[string]string{"uploader-apps": apps}
		}
		return o
	}
}

func (o *onboarding) plan() *cobra.Command {
	var asJSON, exit, outside bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what is done, what apply would do, and what waits for whom",
		Long:  "Show what is done, what apply would do, and what waits for whom. It looks at\neverything and changes nothing." + detailedHelp + exitHelp,
		Args:  cobra.NoArgs,
	}
	options := optionFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&exit, "detailed-exitcode", false, "tell by the exit status how things stand")
	cmd.Flags().BoolVar(&outside, "outside", false, "plan for an apply that may change what is elsewhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts := options()
		opts.Outside = outside
		p, err := o.client().OnboardPlan(cmd.Context(), o.subject, opts)
		if err == nil {
			err = o.tellPlan(cmd.OutOrStdout(), p, asJSON)
		}
		if exit {
			return detailed(p, err)
		}
		return err
	}
	return cmd
}

func (o *onboarding) tellPlan(w io.Writer, p onboard.Plan, asJSON bool) error {
	if asJSON {
		return writeJSON(w, p)
	}
	l := lookOf(w)
	p = shortened(p, o.flags())
	l.plan(w, p)
	l.next(w, p, o.flags())
	return nil
}

func (o *onboarding) apply() *cobra.Command {
	var asJSON, exit, outside bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Do what a program can do, and say what a person must do",
		Long: `Do what a program can do, step by step, and say what a person must do, and where.
It goes on on the node also when this command is interrupted, and after a restart
of the node; run it again to see how it went on. What is done is not done again.

What is elsewhere, such as the operator's own tenant at its real address, is only
changed with --outside.` + detailedHelp + exitHelp,
		Args: cobra.NoArgs,
	}
	options := optionFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "the plan that is left, as JSON")
	cmd.Flags().BoolVar(&exit, "detailed-exitcode", false, "tell by the exit status how things stand")
	cmd.Flags().BoolVar(&outside, "outside", false, "change also what is elsewhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts, progress := options(), cmd.OutOrStdout()
		opts.Outside = outside
		if asJSON {
			progress = cmd.ErrOrStderr()
		}
		p, err := o.applied(cmd.Context(), progress, opts)
		if err == nil && asJSON {
			err = writeJSON(cmd.OutOrStdout(), p)
		} else if err == nil {
			l, short := lookOf(progress), shortened(p, o.flags())
			l.result(progress, short)
			l.next(progress, short, o.flags())
		}
		if exit {
			return detailed(p, err)
		}
		return err
	}
	return cmd
}

// applied orders an apply, tells how it goes on, and gives what is left.
func (o *onboarding) applied(ctx context.Context, w io.Writer, opts ops.OnboardOptions) (onboard.Plan, error) {
	first, err := o.client().OnboardApply(ctx, o.subject, opts, me())
	if err != nil {
		return onboard.Plan{}, err
	}
	l := lookOf(w)
	err = o.follow(ctx, first, func(e onboard.Event) { l.event(w, e) })
	if err != nil {
		return onboard.Plan{}, err
	}
	var left onboard.Plan
	err = patiently(ctx, func() (err error) {
		left, err = o.client().OnboardPlan(ctx, o.subject, ops.OnboardOptions{Outside: opts.Outside})
		return err
	})
	return left, err
}

// follow tells what happens until the apply has ended.
func (o *onboarding) follow(ctx context.Context, p ops.OnboardProgress, tell func(onboard.Event)) error {
	for id := p.Apply.ID; ; {
		err := patiently(ctx, func() (err error) {
			next, err := o.client().OnboardEvents(ctx, o.subject, p.Last)
			if err == nil {
				p = next
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range p.Events {
			tell(e)
		}
		switch a := p.Apply; {
		case a == nil || a.ID != id:
			return fault.New(fault.Conflict, "another apply was begun, which goes on instead of this one: tandem onboard status --watch shows it")
		case a.Ended && a.Problem != "":
			return fault.New(fault.Internal, "the apply ended: "+a.Problem)
		case a.Ended && len(p.Events) == 0:
			return nil
		}
	}
}

// awayTime is how long a node that restarts in the middle is waited for.
const awayTime = time.Minute

// patiently asks again while the node is away: an apply goes on when it is back.
func patiently(ctx context.Context, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		if err == nil || !passing(err) || time.Since(began) > awayTime {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing tells whether an error is one of a node that starts again.
func passing(err error) bool {
	return fault.Of(err) == fault.Unavailable || ExitStatus(err) == ExitNoNode
}

func (o *onboarding) status() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how everything stood when it was last looked at",
		Long: `Show how everything stood when it was last looked at, by apply or by the node
itself, and what apply does now. It asks nothing of systems elsewhere; plan does.` + exitHelp,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing it until all is done; on a terminal only what is open")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for shown := ""; ; {
			s, err := o.client().OnboardStatus(cmd.Context(), o.subject)
			if err != nil && !(watch && shown != "" && passing(err)) {
				return err
			}
			if err == nil {
				shown = showStatus(cmd.OutOrStdout(), s, asJSON, watch, shown)
			}
			if !watch || err == nil && s.Finished() && !s.At.IsZero() && (s.Apply == nil || s.Apply.Ended) {
				return nil
			}
			select {
			case <-time.After(time.Second):
			case <-cmd.Context().Done():
				return cmd.Context().Err()
			}
		}
	}
	return cmd
}

// showStatus writes it, unless it is what was shown.
func showStatus(w io.Writer, s ops.OnboardStatus, asJSON, watch bool, shown string) string {
	var b strings.Builder
	l := lookOf(w)
	if asJSON {
		_ = writeJSON(&b, s) // a builder takes all
	} else {
		l.status(&b, s, watch && l.width > 0)
	}
	if b.String() == shown {
		return shown
	}
	if shown != "" && l.width > 0 {
		fmt.Fprint(w, "\x1b[H\x1b[2J") // the last picture is over
	} else if shown != "" {
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, b.String())
	return b.String()
}

func (o *onboarding) show() *cobra.Command {
	var asJSON bool
	var save string
	cmd := &cobra.Command{
		Use:   "show STEP",
		Short: "Show all about a step, and what is handed over for it",
		Long: `Show all about a step: how it stands, what shows it, what to do, and the message
that is handed over for it, ready to be sent. --save writes message and files
into a folder.` + exitHelp,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().StringVar(&save, "save", "", "write the message and its files into this `folder`")
	options := optionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := o.client().OnboardPlan(cmd.Context(), o.subject, options())
		if err != nil {
			return err
		}
		step, key, _ := strings.Cut(args[0], "/")
		i := slices.IndexFunc(p.Steps, func(st onboard.Status) bool { return strings.EqualFold(st.ID, step) })
		if i < 0 {
			return fault.New(fault.NotFound, fmt.Sprintf("there is no step %q in track %s: tandem onboard plan shows them", step, p.Track))
		}
		hands := slices.DeleteFunc(slices.Clone(p.HandOvers), func(h onboard.HandOver) bool {
			return h.Step != p.Steps[i].ID || key != "" && !strings.EqualFold(h.Key, key)
		})
		out := cmd.OutOrStdout()
		switch {
		case asJSON:
			return writeJSON(out, struct {
				onboard.Status
				HandOvers []onboard.HandOver `json:"handOvers"`
			}{p.Steps[i], hands})
		case save != "":
			return saveHands(out, save, p.Subject, hands)
		}
		lookOf(out).step(out, shortened(p, o.flags()).Steps[i], hands, o.flags())
		return nil
	}
	return cmd
}

// saveHands writes messages and files into a folder.
func saveHands(w io.Writer, dir string, sub onboard.Subject, hands []onboard.HandOver) error {
	if len(hands) == 0 {
		return fault.New(fault.NotFound, "nothing is handed over for this step now")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, h := range hands {
		stem := sub.Gateway.Name + "-" + strings.ReplaceAll(h.ID, "/", "-")
		files := []onboard.File{{Name: stem + ".txt", Content: letter(h)}}
		for _, f := range h.Files {
			files = append(files, onboard.File{Name: stem + "-" + filepath.Base(f.Name), Content: f.Content})
		}
		for _, f := range files {
			at := filepath.Join(dir, f.Name)
			if err := os.WriteFile(at, []byte(f.Content), 0o644); err != nil {
				return err
			}
			fmt.Fprintln(w, at)
		}
	}
	return nil
}

// letter is a message as it is sent.
func letter(h onboard.HandOver) string {
	return fmt.Sprintf("To: %s\nSubject: %s\n\n%s\n", cmp.Or(h.Address, string(h.To)), h.Draft.Subject, strings.TrimSpace(h.Message))
}

func (o *onboarding) declare() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "declare [FACT=VALUE]…",
		Short: "Say what no program can see, or list what is asked",
		Long: `Say what no program can see; without a fact, list what is asked and what was
said. FACT= without a value takes one back.` + exitHelp,
		Example: "  tandem onboard declare support-plan=unified already-onboarded=no",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		facts, err := pairs(args)
		if err != nil {
			return err
		}
		var list []onboard.Question
		if len(facts) == 0 {
			list, err = o.client().OnboardFacts(cmd.Context(), o.subject)
		} else {
			list, err = o.client().OnboardDeclare(cmd.Context(), o.subject, facts, me())
		}
		out := cmd.OutOrStdout()
		switch {
		case err != nil:
			return err
		case asJSON:
			return writeJSON(out, list)
		case len(facts) == 0:
			lookOf(out).questions(out, list)
		}
		return nil
	}
	return cmd
}

func pairs(args []string) (map[string]string, error) {
	facts := map[string]string{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, usagef("%q: write FACT=VALUE", a)
		}
		facts[name] = value
	}
	return facts, nil
}

// readDay reads the value of --on.
func readDay(on string) (t time.Time, err error) {
	if on == "" {
		return t, nil
	}
	if t, err = time.ParseInLocation(time.DateOnly, on, time.Local); err != nil {
		return t, usagef("--on %q: write a day such as %s", on, time.Now().Format(time.DateOnly))
	}
	return t, nil
}

func (o *onboarding) sent() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "sent ID…",
		Short: "Keep that a message was sent",
		Long: `Keep that a message was sent, as show has it now. Tandem sends nothing itself:
it goes by the operator's own mail.` + exitHelp,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&on, "on", "", "day on which it left, YYYY-MM-DD; today unless said")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := readDay(on)
		if err != nil {
			return err
		}
		for _, id := range args {
			h, err := o.client().OnboardSent(cmd.Context(), o.subject, onboard.Sending{ID: id, At: at, By: me()})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s to %s: sent %s\n", h.ID, the(h.To), h.Sent.Local().Format(time.DateOnly))
		}
		return nil
	}
	return cmd
}

func (o *onboarding) answered() *cobra.Command {
	var on, note string
	cmd := &cobra.Command{
		Use:   "answered ID [FACT=VALUE]…",
		Short: "Keep the answer to a message, with the facts that it brought",
		Long:  "Keep the answer to a message, with the facts that it brought." + exitHelp,
		Example: `  tandem onboard answered B4 subscription-enabled=2026-11-20 \
      --on 2026-11-20 --note "enabled, ticket 4711"`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&on, "on", "", "day on which it came, YYYY-MM-DD; today unless said")
	cmd.Flags().StringVar(&note, "note", "", "what it said, in a line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := readDay(on)
		if err != nil {
			return err
		}
		facts, err := pairs(args[1:])
		if err != nil {
			return err
		}
		h, err := o.client().OnboardAnswered(cmd.Context(), o.subject, onboard.Reply{ID: args[0], At: at, By: me(), Text: note, Facts: facts})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: answered %s; tandem onboard apply%s goes on\n", h.ID, h.Answered.Local().Format(time.DateOnly), o.flags())
		return nil
	}
	return cmd
}

func (o *onboarding) report() *cobra.Command {
	var format, file string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write the whole procedure for the audit file",
		Long: `Write the whole procedure for the audit file: each step with what shows it, what
was declared and handed over, when and by whom, and all that happened.` + exitHelp,
		Example: "  tandem onboard report -o onboarding.html",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&format, "format", "", "md or html; by the name of the file unless said, else md")
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this `file`")
	options := optionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if ext := strings.ToLower(filepath.Ext(file)); format == "" && (ext == ".html" || ext == ".htm") {
			format = onboard.HTML
		}
		text, err := o.client().OnboardReport(cmd.Context(), o.subject, options(), cmp.Or(format, onboard.Markdown))
		if err != nil {
			return err
		}
		if file == "" {
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		}
		return os.WriteFile(file, []byte(text), 0o644)
	}
	return cmd
}

func (o *onboarding) forget() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget",
		Short: "Take away an onboarding that was begun by mistake",
		Long: `Take away an onboarding that was begun by mistake, as of a gateway whose name was
misspelt, with all that was declared and sent for it alone. That of a gateway
that is there is kept.` + exitHelp,
		Example: "  tandem onboard forget -g voice -n lodnon --service oc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			sub, err := o.client().OnboardForget(cmd.Context(), o.subject)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "The onboarding of %s to %s is forgotten.\n", plain(sub.Gateway.Name), onboard.ServiceTitle(sub.Service))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *onboarding) list() *cobra.Command {
	return listCommand("List the onboardings that were begun", "None was begun: tandem onboard plan -g GROUP -n GATEWAY --service OperatorConnect",
		func(ctx context.Context) ([]onboard.Subject, error) { return o.client().Onboardings(ctx) },
		func(l look, w io.Writer, list []onboard.Subject) {
			var rows [][]cell
			for _, s := range list {
				rows = append(rows, []cell{{plain(s.Gateway.Name), strong}, {s.Service, ""}, {plain(s.Gateway.Group), ""}, {plain(s.Gateway.Subscription), quiet}})
			}
			l.table(w, []string{"GATEWAY", "SERVICE", "GROUP", "SUBSCRIPTION"}, rows)
		})
}
