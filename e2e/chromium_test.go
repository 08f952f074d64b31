package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chromium is a real browser with one page, driven by the Chrome DevTools
// Protocol through two pipes: no port, and no library.
type chromium struct {
	t       *testing.T
	to      *os.File
	session string

	mu      sync.Mutex
	last    int                     // mu
	waiting map[int]chan devMessage // mu
}

// devMessage is what comes over the pipe.
type devMessage struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// browserTime is how long a page may take on a machine that is busy.
const browserTime = 30 * time.Second

// openChromium starts it, and ends it with the test. It believes any
// certificate, since ours is of an authority of the test's own.
func openChromium(t *testing.T) *chromium {
	t.Helper()
	need(t, "chromium", "chromium")
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	back, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-default-apps", "--disable-extensions", "--disable-sync", "--ignore-certificate-errors", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, answers} // descriptors 3 and 4
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when this thread ends (prctl(2))
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	_, _ = theirs.Close(), answers.Close()
	c := &chromium{t: t, to: ours, waiting: map[int]chan devMessage{}}
	read := make(chan struct{})
	go func() { defer close(read); c.read(back) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		_ = ours.Close()
		<-read
		_ = back.Close()
	})
	var made struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.call("Page.enable", nil, nil)
	return c
}

// read gives answers to those who wait for them.
func (c *chromium) read(from *os.File) {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m devMessage
		if json.Unmarshal(bytes.TrimRight(text, "\x00"), &m) != nil || m.ID == 0 {
			continue // an event
		}
		c.mu.Lock()
		w := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if w != nil {
			w <- m
		}
	}
}

// call asks the browser for something.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	w := make(chan devMessage, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = w
	c.mu.Unlock()
	m := map[string]any{"id": id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if c.session != "" {
		m["sessionId"] = c.session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = c.to.Write(append(text, 0))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	select {
	case m := <-w:
		if m.Error != nil {
			c.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				c.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(browserTime):
		c.t.Fatalf("%s: the browser does not answer", method)
	}
}

// eval runs a script in the page, as if the person had touched it.
func (c *chromium) eval(script string) any {
	c.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	c.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "userGesture": true, "awaitPromise": true}, &out)
	if x := out.ExceptionDetails; x != nil {
		c.t.Fatalf("%s: %s %s", script, x.Text, x.Exception.Description)
	}
	return out.Result.Value
}

func (c *chromium) open(url string) {
	c.t.Helper()
	c.call("Page.navigate", map[string]any{"url": url}, nil)
}

// sees waits for a page with a headline.
func (c *chromium) sees(headline string) {
	c.t.Helper()
	c.until(fmt.Sprintf(`document.readyState === "complete" && document.querySelector("h1")?.textContent === %q`, headline))
}

// until waits for a condition of the page.
func (c *chromium) until(condition string) {
	c.t.Helper()
	end := time.After(browserTime)
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	for c.eval(`(() => { try { return Boolean(`+condition+`) } catch { return false } })()`) != true {
		select {
		case <-beat.C:
		case <-end:
			c.t.Fatalf("never: %s\nthe page is %v:\n%v", condition, c.eval("location.href"), c.eval(`document.body ? document.body.innerText : ""`))
		}
	}
}

// types puts text into the field that a label names, as a keyboard would.
func (c *chromium) types(label, text string) {
	c.t.Helper()
	found := c.eval(fmt.Sprintf(`(() => { const l = [...document.querySelectorAll("label")].find((l) => l.textContent.trim() === %q); if (!l || !l.control) return false; l.control.focus(); l.control.select(); return document.activeElement === l.control })()`, label))
	if found != true {
		c.t.Fatalf("no field is labelled %q", label)
	}
	c.call("Input.insertText", map[string]any{"text": text}, nil)
}

// press pushes the button or follows the link with a text.
func (c *chromium) press(text string) {
	c.t.Helper()
	if c.eval(fmt.Sprintf(`(() => { const b = [...document.querySelectorAll("button, a.button")].find((b) => b.textContent.trim() === %q); if (!b) return false; b.click(); return true })()`, text)) != true {
		c.t.Fatalf("there is no button %q:\n%v", text, c.eval("document.body.innerText"))
	}
}

// picture keeps what the page looks like, at a desk and on a phone, by day and
// by night, in the folder that TANDEM_PICTURES names. A page is never wider than
// the screen.
func (c *chromium) picture(name string) {
	c.t.Helper()
	dir := os.Getenv("TANDEM_PICTURES")
	for _, screen := range []struct {
		name          string
		width, height int
		phone         bool
	}{{"desk", 1280, 860, false}, {"phone", 390, 844, true}, {"narrow", 320, 640, true}} {
		c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.phone}, nil)
		if c.eval("document.documentElement.scrollWidth <= window.innerWidth") != true {
			c.t.Errorf("%s: the page is wider than a screen of %d", name, screen.width)
		}
		for _, scheme := range []string{"light", "dark"} {
			if dir == "" || screen.name == "narrow" {
				continue
			}
			c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}, nil)
			var shot struct{ Data string }
			c.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
			png, err := base64.StdEncoding.DecodeString(shot.Data)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+"-"+screen.name+"-"+scheme+".png"), png, 0o600)
			}
			if err != nil {
				c.t.Error(err)
			}
		}
	}
	c.call("Emulation.clearDeviceMetricsOverride", nil, nil)
}
