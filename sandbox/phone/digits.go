package phone

import (
	"fmt"
	"strings"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/sip"
)

// Press presses keys: as telephone events (RFC 4733), by "info" or "inband". A
// caller who hears early media can press too, as voice menus want it, and is
// heard from then on.
func (c *Call) Press(keys, how string) { c.post(func() { c.press(keys, how) }) }

func (c *Call) press(keys, how string) {
	if c.phase == setup && c.out != nil && c.session != nil && c.session.now.settled {
		c.talk = true
		c.media()
	}
	switch {
	case keys == "" || !c.talk:
	case how == "info":
		c.sendInfo(keys)
	case how == "inband":
		c.voice.beep(keys)
	default:
		c.voice.press(keys)
	}
}

// Mute says nothing from now on, in one of the ways, or speaks again.
func (c *Call) Mute(how Quiet) {
	c.post(func() {
		if c.voice != nil {
			c.voice.quiet(how)
		}
	})
}

const infoPause = 200 * time.Millisecond

// sendInfo sends one INFO a key.
func (c *Call) sendInfo(keys string) {
	if c.phase != talking || keys == "" {
		return
	}
	body := fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", keys[0])
	c.sendAs(c.dialog, "INFO", "application/dtmf-relay", []byte(body), func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			c.violate("info", "our INFO: %v", ev.Err)
		case ev.Msg.Status >= 300:
			c.violate("info", "our INFO with a key was refused: %d %s", ev.Msg.Status, ev.Msg.Reason)
		case ev.Msg.Status >= 200:
			c.after(infoPause, func() { c.sendInfo(keys[1:]) })
		}
	})
}

// informed takes an INFO.
func (c *Call) informed(req *sip.Message, respond func(int, []byte) *sip.Message) {
	key := keyIn(req.Get("Content-Type"), req.Body)
	if key == "" {
		c.violate("info", "an INFO of %q without a key: %q", req.Get("Content-Type"), req.Body)
		respond(415, nil)
		return
	}
	respond(200, nil)
	c.voice.pressedBy(key)
}

// keyIn is the key in an INFO, "" when there is none.
func keyIn(contentType string, body []byte) string {
	kind, _, _ := strings.Cut(contentType, ";")
	text, _, _ := strings.Cut(string(body), "\n")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/dtmf-relay":
		name, value, _ := strings.Cut(text, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "Signal") {
			return ""
		}
		text = value
	case "application/dtmf":
	default:
		return ""
	}
	text = strings.ToUpper(strings.TrimSpace(text))
	if len(text) != 1 || !strings.Contains(audio.Keys, text) {
		return ""
	}
	return text
}
