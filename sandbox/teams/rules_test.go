package teams

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

const goodOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 32998 RTP/SAVP 8 101\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+|2^31\r\na=sendrecv\r\n"

// request is a good OPTIONS or INVITE from the SBC.
func (b *bench) request(method string) *sip.Message {
	to := "sip:+14255550123@sip." + domain + ";user=phone"
	if method == "OPTIONS" {
		to = "sip:sip." + domain
	}
	m := sip.NewRequest(method, to)
	m.Set("From", "<sip:+13035550177@"+carrier+";user=phone>;tag="+sip.NewTag())
	m.Set("To", "<"+to+">")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 "+method)
	m = b.finishSBC(nil, b.sbc.Gates()[0], m)
	if method == "INVITE" {
		m.SetBody("application/sdp", []byte(goodOffer))
	}
	return m
}

func TestBrokenRulesAreNotedAndRefused(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{Status: 480})
	sdp := func(old, repl string) func(*sip.Message) {
		return func(m *sip.Message) {
			if !strings.Contains(goodOffer, old) {
				panic(old)
			}
			m.Body = []byte(strings.ReplaceAll(goodOffer, old, repl))
		}
	}
	set := func(name, value string) func(*sip.Message) { return func(m *sip.Message) { m.Set(name, value) } }
	const handled = 480 // as the user's phone answers
	for _, c := range []struct {
		name, method string
		spoil        func(*sip.Message)
		rule         string // "" for none
		status       int    // 0 for no answer at all
		reason       string
	}{
		{"a good OPTIONS", "OPTIONS", func(*sip.Message) {}, "", 200, ""},
		{"a good INVITE", "INVITE", func(*sip.Message) {}, "", handled, "10037"},
		{"a customer's name", "INVITE", set("Contact", "<sip:c042."+carrier+":5063>"), "", handled, ""},
		{"an address in Contact", "INVITE", set("Contact", "<sip:127.0.0.1:5063>"), "contact-ip", 403, "510532"},
		{"an address in the Contact of OPTIONS", "OPTIONS", set("Contact", "<sip:127.0.0.1:5063>"), "contact-ip", 403, "510532"},
		{"a name that is not in the certificate", "INVITE", set("Contact", "<sip:other.example>"), "contact-fqdn", 403, "510532"},
		{"two labels under a wildcard", "INVITE", set("Contact", "<sip:a.b."+carrier+">"), "contact-fqdn", 403, "510532"},
		{"a customer nobody registered", "INVITE", set("Contact", "<sip:c099.1r2.lab.test>"), "contact-fqdn", 403, "510532"},
		{"no Contact in OPTIONS", "OPTIONS", func(m *sip.Message) { m.Del("Contact") }, "contact-missing", 403, "Q.850;cause=63"},
		{"no user before the @", "OPTIONS", set("Contact", "<sip:@"+carrier+">"), "contact-user", 400, ""},
		{"sips", "INVITE", set("Contact", "<sips:"+carrier+">"), "sips", 403, ""},
		{"Replaces", "INVITE", set("Replaces", "a;from-tag=b;to-tag=c"), "replaces", 420, "560420"},
		{"Require 100rel", "INVITE", set("Require", "100rel"), "require", 420, ""},
		{"PRACK", "PRACK", set("RAck", "1 1 INVITE"), "method", 405, ""},
		{"UPDATE", "UPDATE", func(*sip.Message) {}, "method", 405, ""},
		{"INFO", "INFO", func(*sip.Message) {}, "method", 405, ""},
		{"REFER", "REFER", set("Refer-To", "<sip:a@b>"), "method", 405, ""},
		{"no X-MS-SBC", "INVITE", func(m *sip.Message) { m.Del("X-MS-SBC") }, "x-ms-sbc", handled, ""},
		{"no Allow", "OPTIONS", func(m *sip.Message) { m.Del("Allow") }, "allow", 200, ""},
		{"a national number", "INVITE", func(m *sip.Message) { m.RequestURI = "sip:4255550123@sip." + domain + ";user=phone" }, "called-e164", handled, ""},
		{"no user=phone", "INVITE", func(m *sip.Message) { m.RequestURI = "sip:+14255550123@sip." + domain }, "user-phone", handled, ""},
		{"a national caller", "INVITE", set("From", "<sip:3035550177@"+carrier+">;tag=1"), "caller-e164", handled, ""},
		{"an anonymous caller", "INVITE", set("From", "<sip:anonymous@anonymous.invalid>;tag=1"), "", handled, ""},
		{"a strange host", "INVITE", func(m *sip.Message) { m.RequestURI = "sip:+14255550123@example.com;user=phone" }, "request-uri", 404, ""},
		{"no offer", "INVITE", func(m *sip.Message) { m.SetBody("", nil) }, "late-offer", 488, "531000"},
		{"no key", "INVITE", sdp("a=crypto", "a=nothing"), "srtp", 488, "SrtpEncryptionRequired"},
		{"no SRTP", "INVITE", sdp("RTP/SAVP", "RTP/AVP"), "srtp", 488, "531000"},
		{"sendonly", "INVITE", sdp("sendrecv", "sendonly"), "hold", 488, "531052"},
		{"recvonly", "INVITE", sdp("sendrecv", "recvonly"), "hold", 488, "531052"},
		{"0.0.0.0", "INVITE", sdp("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"), "hold", 488, "531052"},
		{"a payload number twice", "INVITE", sdp("SAVP 8 101", "SAVP 8 101 8"), "payload", 488, "Duplicate payload"},
		{"a payload number with two meanings", "INVITE", sdp("a=sendrecv", "a=rtpmap:101 SILK/8000\r\na=sendrecv"), "payload", 488, "Duplicate payload"},
		{"NOTIFY without a subscription", "NOTIFY", func(*sip.Message) {}, "", 405, ""},
		{"History-Info", "INVITE", set("History-Info", "<sip:+14255550199@x?Reason=SIP%3Bcause%3D302>;index=1"), "", handled, ""},
		{"a session of a minute", "INVITE", func(m *sip.Message) { m.Set("Supported", "timer"); m.Set("Session-Expires", "60") }, "", 422, ""},
		{"a Referred-By of the caller's own", "INVITE", set("Referred-By", "<sip:x@y>"), "", handled, ""},
		{"an MRI nobody was referred to", "INVITE", func(m *sip.Message) {
			m.RequestURI = "sip:sip." + domain + ";transport=tls;x-m=8:orgid:1"
		}, "refer-stray", 403, ""},
		{"video too", "INVITE", sdp("a=sendrecv\r\n", "a=sendrecv\r\nm=video 4000 RTP/SAVP 99\r\n"), "m-line", 488, ""},
		{"only a codec nobody has", "INVITE", sdp("8 101\r\na=rtpmap:8 PCMA/8000", "98 101\r\na=rtpmap:98 EVS/16000"), "", 488, "531000"},
		{"a request that goes to Contact directly", "BYE", func(m *sip.Message) {
			m.RequestURI = "sip:api-du-a-euno." + domain + ":443;x-i=1;x-c=2"
			m.Set("To", m.Get("To")+";tag=x")
		}, "loose-route", 0, ""},
		{"a Contact that lost its parameters", "BYE", func(m *sip.Message) {
			m.RequestURI = "sip:api-du-a-euno." + domain + ":443"
			m.Set("To", m.Get("To")+";tag=x")
			m.Set("Route", "<sip:sip-du-a-eu."+domain+";lr>")
		}, "remote-target", 0, ""},
		{"an unknown dialog", "BYE", func(m *sip.Message) {
			m.RequestURI = "sip:api-du-a-euno." + domain + ":443;x-i=1;x-c=2/d/8/3"
			m.Set("To", m.Get("To")+";tag=x")
			m.Set("Route", "<sip:sip-du-a-eu."+domain+";lr>")
		}, "", 481, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(b.teams.Violations())
			m := b.request(c.method)
			c.spoil(m)
			status, reason := 0, ""
			if got := b.ask(m, "sip"); got != nil {
				status, reason = got.Status, got.Get("Reason")
			}
			if status != c.status || !strings.Contains(reason, c.reason) {
				t.Errorf("answered %d %s, want %d %s", status, reason, c.status, c.reason)
			}
			var rules []string
			for _, v := range b.teams.Violations()[before:] {
				rules = append(rules, v.Rule)
			}
			if c.rule == "" && len(rules) > 0 || c.rule != "" && (len(rules) == 0 || rules[0] != c.rule) {
				t.Errorf("noted %v, want %q", rules, c.rule)
			}
		})
	}
}

func TestTwoCryptoLinesInAnAnswer(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{TwoCrypto: true})
	got := b.ask(b.request("INVITE"), "sip3")
	if got == nil || got.Status != 200 {
		t.Fatalf("%v", got)
	}
	body := string(got.Body)
	if strings.Count(body, "a=crypto:") != 2 || !strings.Contains(body, "a=crypto:2 ") || !strings.Contains(body, "|2^31|1:1\r\n") {
		t.Errorf("the answer:\n%s", body)
	}
}

func TestASecondDeviceWantsAckAndBye(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{Forks: 2, LateOK: true})
	tags := make(chan string, 10)
	m := b.request("INVITE")
	_, err := b.sbc.Gates()[0].Request(m, sip.Endpoint{Addr: b.teams.ProxyAddr("sip"), Transport: sip.TLS, Host: "sip." + domain}, func(ev sip.Event) {
		if ev.Msg != nil && ev.Msg.Status == 200 {
			to, _ := ev.Msg.To()
			tags <- to.Tag()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if first, second := <-tags, <-tags; first == second {
		t.Errorf("both 200 are of %s", first)
	}
	b.wait("the note that nobody hung up on the second one", func() bool {
		return slices.ContainsFunc(b.teams.Violations(), func(v phone.Violation) bool { return v.Rule == "late-2xx" })
	})
}

func TestWrongAnswersToATeamsCall(t *testing.T) {
	b := newBench(t, nil)
	b.sbc.Answer("", phone.Behaviour{})
	for _, c := range []struct {
		rule  string
		wrong func(*sip.Message)
	}{
		{"x-ms-sbc", func(m *sip.Message) { m.Del("X-MS-SBC") }},
		{"contact-fqdn", func(m *sip.Message) { m.Set("Contact", "<sip:127.0.0.1:5063;transport=tls>") }},
		{"record-route", func(m *sip.Message) { m.Del("Record-Route") }},
		{"crypto", func(m *sip.Message) {
			m.Body = []byte(strings.Replace(string(m.Body), "a=sendrecv", "a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+\r\na=sendrecv", 1))
		}},
		{"payload", func(m *sip.Message) {
			m.Body = []byte(strings.Replace(string(m.Body), "a=rtpmap:101", "a=rtpmap:120", 1))
			m.Body = []byte(strings.Replace(string(m.Body), " 101\r\n", " 120\r\n", 1))
		}},
		{"hold", func(m *sip.Message) { m.Body = []byte(strings.Replace(string(m.Body), "sendrecv", "recvonly", 1)) }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			before := len(b.teams.Violations())
			wrong := func(m *sip.Message) {
				if m.Status == 200 && len(m.Body) > 0 {
					c.wrong(m)
				}
			}
			b.wrong.Store(&wrong)
			call, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550123", To: "+442079460123", Duration: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			b.ended(call)
			all := b.teams.Violations()[before:]
			if len(all) == 0 || all[0].Rule != c.rule {
				t.Errorf("noted %v", all)
			}
		})
	}
}

// Microsoft Teams docs, Direct Routing: SIP protocol: nothing changes between 183
// and 200 of one dialog.
func TestADescriptionThatChangesEndsTheCall(t *testing.T) {
	for _, status := range []int{183, 200} {
		b := newBench(t, nil)
		b.sbc.Answer("", phone.Behaviour{Ring: 200 * time.Millisecond, EarlyMedia: true, Reliable: "supported", Forks: 1})
		n := 0
		wrong := func(m *sip.Message) {
			if len(m.Body) > 0 && !m.IsRequest() {
				if n++; n == 2 {
					m.Body = []byte(strings.Replace(string(m.Body), "a=sendrecv", "a=sendrecv\r\na=label:other", 1))
				}
			}
			if status == 183 && m.Status == 200 && n == 1 {
				m.Status, m.Reason = 183, "Session Progress"
			}
		}
		b.wrong.Store(&wrong)
		call, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550123", To: "+442079460123", Patience: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		f := b.ended(call)
		if all := b.teams.Violations(); f.HungUpBy != "us" || !strings.Contains(f.Error, "changed") || len(all) != 1 || all[0].Rule != "sdp-changed" {
			t.Errorf("%d: ended by %q, %s; noted %v", status, f.HungUpBy, f.Error, all)
		}
	}
}

// Microsoft Teams docs, Direct Routing: SIP protocol: 180 of two clients, 183 of a
// third one, and 200 of any.
func TestThreeClientsAsInTheDocument(t *testing.T) {
	b := newBench(t, nil)
	for winner := range 3 {
		b.teams.Answer("+14255550123", phone.Behaviour{Ring: 200 * time.Millisecond, Forks: 3, Early: 2, EarlyMedia: true, Winner: winner})
		call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123", Duration: 50 * time.Millisecond})
		b.answered(call)
		var seen []string
		tags := map[string]int{}
		for _, r := range b.ended(call).Responses {
			m, err := sip.Parse([]byte(r), sip.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			to, _ := m.To()
			if _, known := tags[to.Tag()]; !known && to.Tag() != "" {
				tags[to.Tag()] = len(tags)
			}
			if m.Status > 100 {
				seen = append(seen, fmt.Sprintf("%d %c %t", m.Status, 'A'+tags[to.Tag()], len(m.Body) > 0))
			}
		}
		want := fmt.Sprintf("180 A false, 180 B false, 183 C true, 200 %c true", 'A'+winner)
		if strings.Join(seen, ", ") != want {
			t.Errorf("%v, want %s", seen, want)
		}
	}
	b.noViolations()
}

func TestRefusalsWithRetryAfter(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{Status: 503, RetryAfter: time.Second})
	if got := b.ask(b.request("INVITE"), "sip"); got == nil || got.Status != 503 || got.Get("Retry-After") != "1" {
		t.Errorf("%v", got)
	}
}

func TestTeamsGoesOnToTheOtherRegion(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Trunks = append(c.Trunks, Trunk{FQDN: "1r2.lab.test", Port: 9})
		c.Tenants["1r2.lab.test"] = "carrier"
		c.Failover = 300 * time.Millisecond
	})
	b.dns.SetHost("1r2.lab.test", 0, local)
	b.sbc.Answer("", phone.Behaviour{})
	for _, c := range []struct {
		name     string
		region   string
		faults   phone.Faults
		attempts string
		status   int
	}{
		{"a region that refuses connections, tried from two proxies", "1r2.lab.test", phone.Faults{}, "1r2.lab.test/sip 1r2.lab.test/sip2 1r1.lab.test/sip", 200},
		{"503, then no second try at the same trunk", carrier, phone.Faults{Status: 503}, "1r1.lab.test/sip 1r2.lab.test/sip 1r2.lab.test/sip2", 0},
		{"408", carrier, phone.Faults{Status: 408}, "1r1.lab.test/sip 1r2.lab.test/sip 1r2.lab.test/sip2", 0},
		{"silence", carrier, phone.Faults{Silent: true}, "1r1.lab.test/sip 1r2.lab.test/sip 1r2.lab.test/sip2", 0},
		{"486 is final", carrier, phone.Faults{Status: 486}, "1r1.lab.test/sip", 486},
		{"403 is final", carrier, phone.Faults{Status: 403}, "1r1.lab.test/sip", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.must(b.sbc.SetFaults("sbc", c.faults))
			call, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550123", To: "+442079460123", Region: c.region, Duration: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			f := b.ended(call)
			var tried []string
			for _, a := range f.Attempts {
				tried = append(tried, a.Target+"/"+a.Gate)
			}
			if strings.Join(tried, " ") != c.attempts || f.Status != c.status {
				t.Errorf("tried %v, ended with %d", f.Attempts, f.Status)
			}
		})
	}
	b.must(b.sbc.SetFaults("sbc", phone.Faults{}))
}

func TestFaultsOfAProxy(t *testing.T) {
	// No OPTIONS of Teams' own, whose connections would be used as well.
	b := newBench(t, func(c *Config) { c.Options = time.Minute })
	b.teams.Answer("", phone.Behaviour{})
	b.must(b.teams.SetFaults("sip", phone.Faults{Status: 503, RetryAfter: time.Second}))
	got := b.ask(b.request("INVITE"), "sip")
	if got == nil || got.Status != 503 || got.Get("Retry-After") != "1" {
		t.Errorf("answered %v", got)
	}
	b.ask(b.request("OPTIONS"), "sip2") // the connection is there before the silence
	b.must(b.teams.SetFaults("sip2", phone.Faults{Silent: true}))
	if got := b.ask(b.request("INVITE"), "sip2"); got != nil {
		t.Errorf("a silent proxy answers %d", got.Status)
	}
	if len(b.teams.Calls()) != 0 {
		t.Error("a silent proxy let a call in")
	}
	b.must(b.teams.SetFaults("sip2", phone.Faults{}))
	// The first try may still meet the connection that was cut.
	b.wait("the end of the silence", func() bool { return b.ask(b.request("OPTIONS"), "sip2") != nil })
	b.must(b.teams.SetFaults("sip3", phone.Faults{Refuse: true}))
	if got := b.ask(b.request("OPTIONS"), "sip3"); got != nil {
		t.Errorf("a proxy that refuses connections answers %d", got.Status)
	}
	b.must(b.teams.SetFaults("sip3", phone.Faults{Slow: 100 * time.Millisecond}))
	began := time.Now()
	if got := b.ask(b.request("OPTIONS"), "sip3"); got == nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("a slow proxy answers %v after %v", got, time.Since(began))
	}
	b.must(b.teams.SetFaults("sip", phone.Faults{}))
	b.must(b.teams.Drop("sip"))
	b.wait("a new connection after the old ones were dropped", func() bool { return b.ask(b.request("OPTIONS"), "sip") != nil })
	if b.teams.SetFaults("sip4", phone.Faults{}) == nil || b.teams.Drop("sip4") == nil {
		t.Error("a fourth proxy was found")
	}
}

func TestTheControlPort(t *testing.T) {
	b := newBench(t, nil)
	web := httptest.NewServer(b.teams.Handler())
	defer web.Close()
	do := func(method, path, body string, into any) int {
		t.Helper()
		req, err := http.NewRequest(method, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if into != nil {
			if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode
	}
	b.sbc.Answer("", phone.Behaviour{})
	var f phone.Facts
	if s := do("POST", "/calls", `{"from":"+14255550123","to":"+442079460123"}`, &f); s != 200 || f.Answered.IsZero() {
		t.Errorf("%d %+v", s, f)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/calls/0/hold", "", 200},
		{"POST", "/calls/0/resume", "", 200},
		{"POST", "/calls/0/refresh", "", 200},
		{"POST", "/calls/0/update", "", 400}, // which an SBC is not to allow
		{"POST", "/calls/0/press", `{"keys":"1","how":"inband"}`, 200},
		{"POST", "/calls/0/press", `{"key":"1"}`, 400},
		{"POST", "/calls/0/transfer", `{"to":"+442079460199"}`, 400}, // which this one does not know
		{"POST", "/calls/0/hangup", "", 200},
		{"POST", "/calls/9/hangup", "", 404},
		{"POST", "/calls/0/sing", "", 404},
		{"PUT", "/numbers/+14255550123", `{"status":486}`, 200},
		{"PUT", "/numbers/+14255550123", `{"stat":486}`, 400},
		{"PUT", "/faults/sip2", `{"status":503}`, 200},
		{"PUT", "/faults/sip9", `{}`, 400},
		{"POST", "/drop/sip2", "", 200},
		{"GET", "/violations", "", 200},
	} {
		if s := do(c.method, c.path, c.body, nil); s != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, s, c.status)
		}
	}
	b.ended(b.teams.Calls()[0])
	var all []phone.Facts
	if do("GET", "/calls", "", &all); len(all) != 1 || all[0].HungUpBy != "us" {
		t.Errorf("%+v", all)
	}
	if b.teams.Gate("sip2").Faults().Status != 503 {
		t.Error("the fault is not in force")
	}
}

func FuzzDoubled(f *testing.F) {
	f.Add(goodOffer)
	f.Add("m=audio 1 RTP/SAVP 8 8\r\n")
	f.Add("m=\na=rtpmap:\na=rtpmap:")
	f.Fuzz(func(t *testing.T, body string) {
		if pt := doubled(body); pt != "" && strings.Count(body, pt) < 2 {
			t.Errorf("%q is there once", pt)
		}
	})
}
