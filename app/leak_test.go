package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/front/ops"
)

// TestAThousandRequestsLeaveNothingBehind: good ones, wrong ones, and those
// whose sender goes away in the middle, by HTTPS and on the socket.
func TestAThousandRequestsLeaveNothingBehind(t *testing.T) {
	n, ca := controlNode(t)
	client := apiClient(ca)
	client.Transport.(*http.Transport).DisableKeepAlives = true
	socket := ops.Dial(n.cfg.Node.Socket())
	const group = "/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourcegroups/rg?api-version=2021-04-01"
	send := func(i int) {
		method, body := http.MethodGet, ""
		if i%3 == 0 {
			method, body = http.MethodPut, `{"location":"West Europe","tags":{"n":"`+fmt.Sprint(i)+`"}}`
		}
		base, do := "https://api.lab.example:8443", client.Do
		if i%2 == 0 {
			base, do = "http://node", socket.Do
		}
		req, err := http.NewRequestWithContext(t.Context(), method, base+group, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	leave := func(address, network string) {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "PUT "+group+" HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		_ = c.Close()
	}
	count := func() (goroutines, files int) {
		runtime.GC()
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(list)
	}
	for i := range 50 { // what is made at first use stays
		send(i)
	}
	client.CloseIdleConnections()
	goroutines, files := count()
	for i := range 1000 {
		send(i)
		if i%10 == 0 {
			leave("127.78.9.1:8443", "tcp")
			leave(n.cfg.Node.Socket(), "unix")
		}
	}
	client.CloseIdleConnections()
	const chance = 8 // of pools that breathe
	until(t, func() string {
		if g, f := count(); g > goroutines+chance || f > files+chance {
			return fmt.Sprintf("%d goroutines and %d files, before it were %d and %d", g, f, goroutines, files)
		}
		return ""
	})
}
