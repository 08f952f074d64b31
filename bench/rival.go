package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/template"
)

// What the rival is made of, as Debian names and places it.
const (
	kamailio  = "kamailio"
	rtpengine = "rtpengine"
)

var kamailioModules = "/usr/lib/*/kamailio/modules"

//go:embed kamailio.cfg
var kamailioText string

var kamailioConfig = template.Must(template.New("kamailio.cfg").Parse(kamailioText))

// hostMask is the address that stands for others in what Kamailio hides, and
// nobody's.
const hostMask, portControl = 99, 2223

// startRival runs Kamailio and rtpengine in user space, and joins them.
func startRival(ctx context.Context, plain bool) (*system, error) {
	modules, err := findRival()
	if err != nil {
		return nil, err
	}
	w, err := newWorld(plain)
	if err != nil {
		return nil, err
	}
	pids, err := w.startRival(modules)
	if err != nil {
		w.close()
		return nil, err
	}
	return w.join(ctx, w.target("Kamailio + rtpengine", pids...))
}

// findRival tells what is missing, or where Kamailio's modules are.
func findRival() (modules string, err error) {
	for _, program := range []string{kamailio, rtpengine} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s is not installed: run bench/compare as root, or apt-get install kamailio kamailio-tls-modules rtpengine-daemon", program)
		}
	}
	found, err := filepath.Glob(filepath.Join(kamailioModules, "tls.so"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("the TLS module of Kamailio is not in %s: run bench/compare as root, or apt-get install kamailio-tls-modules", kamailioModules)
	}
	return filepath.Dir(found[0]), nil
}

func (w *world) startRival(modules string) (pids []int, err error) {
	control := w.at(hostCore, portControl)
	media, err := w.start([]string{
		rtpengine, "--config-file=none", "--foreground", "--log-stderr", "--log-level=3", "--table=-1",
		"--interface=cloud/" + w.addr(hostCloud).String(), "--interface=core/" + w.addr(hostCore).String(),
		"--listen-ng=" + control.String(), "--port-min=20000", "--port-max=59999",
		"--delete-delay=0", // a call ended gives its ports and memory back, as the gateway's does
	}, os.Environ())
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, "kamailio.cfg")
	err = w.write(file, kamailioConfig, map[string]any{"Modules": modules, "Control": control, "Mask": w.addr(hostMask)})
	if err != nil {
		return nil, err
	}
	// 512 MB of shared memory are reserved, and count only as far as they are used.
	signalling, err := w.start([]string{
		kamailio, "-f", file, "-DD", "-E", "-m", strconv.Itoa(512), "-M", strconv.Itoa(16), "-Y", w.dir,
	}, os.Environ())
	if err != nil {
		return nil, err
	}
	return []int{signalling.pid(), media.pid()}, nil
}
