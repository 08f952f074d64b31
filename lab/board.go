package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tandemgw/tandem/front/cli"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// board is the lab's screen while the world stays up: keys that do things to
// it, and a view of calls, peers or a ladder that follows. What it shows is
// what the commands print: it runs them.
type board struct {
	w     *world
	out   io.Writer
	keys  chan byte
	view  byte          // key of the view on the screen
	said  string        // what the last key did
	calls []*phone.Call // placed by key, the oldest first
	loss  bool
	mute  bool // proxy 1 is silent
	held  map[*phone.Call]bool
}

// refresh is how often the screen is drawn anew.
const refresh = 500 * time.Millisecond

// lost is the share of packets that the far sides drop at the key's wish.
const lost = 0.05

const boardKeys = `  c call from Teams    h hold, resume     1 kill or start r1    p peers
  v call from core     x hang up          2 kill or start r2    k calls
  l lose 5 % packets   s proxy 1 silent   t ladder              q end`

// board runs the screen until q, Ctrl-C or the end of ctx. It reports false,
// having done nothing, when there is no terminal to run on.
func (w *world) board(ctx context.Context, s *show) bool {
	out, isFile := s.out.(*os.File)
	in := int(os.Stdin.Fd())
	if !s.live || !isFile || !term.IsTerminal(in) {
		return false
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return false
	}
	const alternate, back = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
	fmt.Fprint(out, alternate)
	defer func() {
		fmt.Fprint(out, back)
		_ = term.Restore(in, before) // the terminal may be gone
	}()
	b := &board{w: w, out: out, keys: make(chan byte), view: 'k', held: map[*phone.Call]bool{}}
	// The reader stays blocked in its last read until the process ends: a
	// terminal's read cannot be called back.
	go b.read(os.Stdin)
	b.run(ctx)
	return true
}

func (b *board) read(in io.Reader) {
	one := make([]byte, 1)
	for {
		if _, err := in.Read(one); err != nil {
			close(b.keys)
			return
		}
		b.keys <- one[0]
	}
}

func (b *board) run(ctx context.Context) {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		b.draw(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case key, ok := <-b.keys:
			const ctrlC = 3
			if !ok || key == 'q' || key == ctrlC {
				return
			}
			b.said = b.press(ctx, key)
		}
	}
}

// press does what a key stands for and says what it did.
func (b *board) press(ctx context.Context, key byte) string {
	switch key {
	case 'c', 'v':
		return b.place(ctx, key == 'c')
	case 'h':
		return b.hold(ctx)
	case 'x':
		return b.hangUp()
	case '1', '2':
		return b.toggleRegion(b.w.regions()[key-'1'])
	case 's':
		return b.toggleProxy()
	case 'l':
		return b.toggleLoss()
	case 'p', 'k', 't':
		b.view = key
	}
	return ""
}

func (b *board) place(ctx context.Context, teams bool) string {
	from, to := b.w.numbers(teams)
	spec := phone.CallSpec{From: from, To: to, Send: audio.Speech(1)}
	dial, who := b.w.core.Dial, "a subscriber"
	if teams {
		dial, who = b.w.teams.Dial, "a Teams user"
	}
	c, err := dial(ctx, spec)
	if err != nil {
		return err.Error()
	}
	b.calls = append(b.calls, c)
	return fmt.Sprintf("%s calls: %s to %s", who, from, to)
}

// last is the newest call of ours that still stands, nil when there is none.
func (b *board) last() *phone.Call {
	for i := len(b.calls) - 1; i >= 0; i-- {
		select {
		case <-b.calls[i].Done():
		default:
			return b.calls[i]
		}
	}
	return nil
}

func (b *board) hold(ctx context.Context) string {
	c := b.last()
	if c == nil {
		return "no call to hold: place one with c or v"
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	act, done := c.Hold, "the caller has put the call on hold"
	if b.held[c] {
		act, done = c.Resume, "the caller has taken the call back"
	}
	if err := act(soon); err != nil {
		return err.Error()
	}
	b.held[c] = !b.held[c]
	return done
}

func (b *board) hangUp() string {
	c := b.last()
	if c == nil {
		return "no call to hang up"
	}
	c.HangUp()
	return "the caller hangs up"
}

func (b *board) toggleRegion(r *region) string {
	if r.node.cmd != nil {
		r.node.kill()
		return r.name + " is killed; its calls are cut, new ones take the other region"
	}
	if err := r.node.start(); err != nil {
		return err.Error()
	}
	return r.name + " starts again and closes the records of the calls it lost"
}

func (b *board) toggleProxy() string {
	b.mute = !b.mute
	if err := b.w.teams.SetFaults("sip", phone.Faults{Silent: b.mute}); err != nil {
		return err.Error()
	}
	if b.mute {
		return "Teams' first proxy is silent: calls to Teams try the second"
	}
	return "Teams' first proxy answers again"
}

func (b *board) toggleLoss() string {
	share := 0.0
	if b.loss = !b.loss; b.loss {
		share = lost
	}
	b.w.teams.Lose(share)
	b.w.core.Lose(share)
	if b.loss {
		return "5 % of the packets of both far sides are lost: see t or call show"
	}
	return "no packets are lost any more"
}

// boardHead is the lines above a view: state, keys, what the last key did.
const boardHead = 8

// draw writes the whole screen.
func (b *board) draw(ctx context.Context) {
	var page strings.Builder
	fmt.Fprintf(&page, "  tandem lab  %s  %s  %s\n", b.light(ctx, b.w.r1), b.light(ctx, b.w.r2), time.Now().Format(time.TimeOnly))
	page.WriteString(strings.Repeat("─", 80) + "\n" + boardKeys + "\n" + strings.Repeat("─", 80) + "\n")
	page.WriteString("  " + b.said + "\n\n")
	switch b.view {
	case 'p':
		b.each(&page, func(r *region) string {
			return b.print(ctx, cli.NewPeer(), r, "list")
		})
	case 't':
		page.WriteString(b.ladder(ctx))
	default:
		b.each(&page, func(r *region) string {
			return b.print(ctx, cli.NewCall(), r, "list") + b.print(ctx, cli.NewCall(), r, "list", "--past", "--limit", "5")
		})
	}
	width, height, err := term.GetSize(int(os.Stdin.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	lines := strings.Split(strings.TrimRight(page.String(), "\n"), "\n")
	if over := len(lines) - height + 1; over > 0 { // the keys stay, and the end of a long ladder
		head := min(boardHead, len(lines)-over)
		lines = append(lines[:head:head], lines[head+over:]...)
	}
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	// Home, each line to its end, then the rest of the screen.
	fmt.Fprint(b.out, "\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J")
}

// light is a region's state in a word.
func (b *board) light(ctx context.Context, r *region) string {
	if r.node.cmd == nil {
		return r.name + " killed"
	}
	health, err := r.node.client.Health(ctx)
	if err != nil {
		return r.name + " starts"
	}
	return fmt.Sprintf("%s %s, %d calls", r.name, health.State, health.Calls)
}

// each prints something of each region that runs.
func (b *board) each(page *strings.Builder, of func(*region) string) {
	for _, r := range b.w.regions() {
		if r.node.cmd != nil {
			fmt.Fprintf(page, "  %s\n%s\n", r.name, of(r))
		}
	}
}

// ladder is that of the newest call of either region.
func (b *board) ladder(ctx context.Context) string {
	var newest record.Call
	var at *region
	for _, r := range b.w.regions() {
		if r.node.cmd == nil {
			continue
		}
		past, err := r.node.client.Past(ctx, record.Filter{Limit: 1})
		if err == nil && len(past) == 1 && past[0].Began.After(newest.Began) {
			newest, at = past[0], r
		}
	}
	if at == nil {
		return "no call yet: place one with c or v"
	}
	return b.print(ctx, cli.NewCall(), at, "trace", newest.ID)
}

// print runs a command against a region and gives what it printed.
func (b *board) print(ctx context.Context, cmd *cobra.Command, r *region, args ...string) string {
	var out bytes.Buffer
	cmd.SetArgs(append(args, "--socket", r.node.socket))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	if err := cmd.ExecuteContext(ctx); err != nil {
		return err.Error() + "\n"
	}
	return out.String()
}
