package app

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestSilentConnectionsLeaveRoomForOthers: a stranger opens as many as it can
// to the API and says nothing; it gets no further than its share, and who comes
// from elsewhere is answered.
func TestSilentConnectionsLeaveRoomForOthers(t *testing.T) {
	_, ca := controlNode(t)
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 78, 9, 66)}}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range maxOfSource + 20 {
		c, err := stranger.DialContext(t.Context(), "tcp", "127.78.9.1:8443")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	closed := 0
	for _, c := range held[maxOfSource:] {
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			if late, is := err.(net.Error); !is || !late.Timeout() {
				closed++
			}
		}
	}
	if closed != 20 {
		t.Errorf("%d of the 20 beyond its share were closed", closed)
	}
	honest := func() error {
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 78, 9, 67)}}
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: ca.Roots(), ServerName: "api.lab.example"}}}
		defer client.CloseIdleConnections()
		res, err := client.Get("https://127.78.9.1:8443/metadata/endpoints?api-version=2022-09-01")
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := honest(); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	for _, c := range held {
		c.Close()
	}
	held = nil
	until(t, func() string {
		c, err := stranger.DialContext(t.Context(), "tcp", "127.78.9.1:8443")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		secure := tls.Client(c, &tls.Config{RootCAs: ca.Roots(), ServerName: "api.lab.example"})
		if err := secure.HandshakeContext(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
}
