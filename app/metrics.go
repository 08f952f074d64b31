package app

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/call"
	"github.com/tandemgw/tandem/wire/rtp"
)

// metrics serves the figures of every part to Prometheus. The parts count;
// this only gives their counters names and labels, all of them bounded.
func (n *Node) metrics() http.Handler {
	registry := obs.NewRegistry()
	registry.MustRegister(collector{n: n}, controlCollector{n})
	return obs.MetricsHandler(registry)
}

// collector reads the parts' counters when Prometheus asks.
type collector struct {
	n   *Node
	out chan<- prometheus.Metric
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tandem_"+name, help, labels, nil)
}

var (
	descLive      = desc("calls_live", "Calls in progress.")
	descDialogs   = desc("call_dialogs", "Legs of calls that requests can find.")
	descTraces    = desc("call_traces_bytes", "Memory that the traces of calls take.")
	descPorts     = desc("media_ports", "Media ports, by state: open, or in quarantine after their call.", "state")
	descCalls     = desc("calls_total", "Calls since the start, by how far they came.", "outcome")
	descRetries   = desc("call_retries_total", "Attempts after the first one of a call.")
	descUnmatched = desc("requests_unmatched_total", "In-dialog requests answered 481.")
	descPanics    = desc("call_panics_total", "Calls ended by a defect of ours.")
	descRecoded   = desc("calls_transcoded_total", "Answered calls whose voice was transcoded.")
	descMOS       = desc("leg_mos", "Mean opinion score (ITU-T G.107) of what came from a side, by leg of answered calls.", "side")
	descMute      = desc("legs_mute_total", "Legs of answered calls that were to speak and sent nothing for 10 s or more.", "side")
	descPackets   = desc("media_packets_total", "Media packets, by direction and kind: rtp, rtcp.", "direction", "kind")
	descShakes    = desc("media_handshakes_total", "Handshakes of DTLS-SRTP, by result: done, failed. After a failed one another is made.", "result")
	descDrops     = desc("media_drops_total", "Media packets that arrived and went nowhere, by cause.", "cause")
	descStrangers = desc("strangers_total", "Messages and connections of sources that no peer's allow-list holds.")
	descPeerUp    = desc("peer_up", "1 when the peer answers OPTIONS.", "peer", "side")
	descPeerReg   = desc("peer_registered", "1 while our registration with the peer stands.", "peer", "side")
	descPeerCalls = desc("peer_calls_live", "Calls in progress through the peer.", "peer", "side")
	descLimited   = desc("peer_calls_limited_total", "Calls that the limits of a peer refused, or sent to another one.", "peer", "side")
	descRequests  = desc("sip_requests_total", "SIP requests, by method and direction.", "method", "direction")
	descResponses = desc("sip_responses_total", "SIP responses, by class and direction.", "class", "direction")
	descSIPDrops  = desc("sip_drops_total", "SIP messages not acted on, by cause.", "cause")
	descRefusals  = desc("sip_refused_total", "Connections closed before or during TLS, by cause.", "cause")
	descConns     = desc("sip_connections", "Open stream connections.")
	descTx        = desc("sip_transactions", "Live transactions, lingering ones included.", "role")
	descRecords   = desc("records_written_total", "Entries of call records made durable.")
	descCommits   = desc("records_commits_total", "Commits to disk that served them.")
	descRefused   = desc("records_refused_total", "Calls refused because their record could not be made durable.")
	descNotAfter  = desc("certificate_not_after_seconds", "Unix time at which the certificate of a peer, or one of ours by where it is configured, ends.", "peer", "listener")
	descRevision  = desc("config_revision", "Revision of the configuration in force.")
	descReloaded  = desc("config_last_reload_timestamp_seconds", "When the configuration was last read, at the start or later.")
	descReloadOK  = desc("config_last_reload_success", "1 when it was good then and is in force.")
	descVouched   = desc("callers_vouched_total", "Callers that were vouched for by an Identity header of ours.")
	descVerified  = desc("callers_verified_total", "Calls whose Identity headers were verified, by what came of it.", "verdict")
	descMobile    = desc("mcp_requests_total", "Requests to the Mobile Control Point, by what became of them.", "outcome")
	descSTIRFetch = desc("stir_certificates_fetched_total", "Certificates fetched to verify callers, by outcome.", "outcome")
	descWaiting   = desc("records_waiting", "Entries waiting for the disk.")
	descLink      = desc("link_connected", "1 while control can be reached.")
	descAge       = desc("snapshot_timestamp_seconds", "When the snapshot of control that is in force was put in force; absent while there is none.")
	descBehind    = desc("snapshots_refused_total", "Snapshots that were damaged, old or unfit, and are not in force.")
	descBacklog   = desc("records_backlog", "Calls whose records control has not got as they stand.")
	descUploaded  = desc("records_uploaded_total", "Entries of call records that control's stream has on disk.")
)

// Describe is empty on purpose: peers come and go, so the collector is unchecked.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all counters.
func (c collector) Collect(out chan<- prometheus.Metric) {
	if !c.n.ready.Load() {
		return
	}
	c.out = out
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		emit(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		emit(d, prometheus.GaugeValue, float64(v), labels...)
	}
	if c.n.cfg.edge() {
		c.collectCalls(count, gauge)
		c.collectSIP(count, gauge)
	}

	for _, own := range c.n.shownCertificates() {
		gauge(descNotAfter, int(own.Ends.Unix()), "", own.Name)
	}
	now, at, good := c.n.running.Load(), c.n.started, 1
	if last := c.n.last.Load(); last != nil {
		at = last.At
		if !last.Good {
			good = 0
		}
	}
	gauge(descRevision, int(now.snapshot.Revision))
	gauge(descReloaded, int(at.Unix()))
	gauge(descReloadOK, good)

	spool := c.n.spool.Counters()
	count(descRecords, spool.Written)
	count(descCommits, spool.Commits)
	count(descRefused, spool.Refused)
	gauge(descWaiting, spool.Waiting)
	c.collectLink(count, gauge)
}

func (c collector) collectLink(count countFunc, gauge gaugeFunc) {
	if c.n.up == nil {
		return
	}
	link, connected := c.n.up.Counters(), 0
	if link.Connected {
		connected = 1
	}
	gauge(descLink, connected)
	if now := c.n.running.Load(); now.snapshot.Revision > 0 {
		gauge(descAge, int(now.since.Unix()))
	}
	count(descBehind, link.Refused+c.n.up.unfit.Load())
	gauge(descBacklog, c.n.backlog())
	count(descUploaded, link.Uploaded)
}

type (
	countFunc func(d *prometheus.Desc, v uint64, labels ...string)
	gaugeFunc func(d *prometheus.Desc, v int, labels ...string)
)

func (c collector) collectCalls(count countFunc, gauge gaugeFunc) {
	if c.n.vouching != nil {
		v := c.n.vouching.Counters()
		count(descVouched, v.Signed)
		count(descVerified, v.Passed, "passed")
		count(descVerified, v.Failed, "failed")
		count(descVerified, v.Absent, "absent")
		count(descSTIRFetch, v.Fetched, "fetched")
		count(descSTIRFetch, v.FetchFailed, "failed")
	}
	calls := c.n.calls.Counters()
	gauge(descLive, calls.Live)
	gauge(descDialogs, calls.Dialogs)
	gauge(descTraces, c.n.traces.Bytes())
	media := c.n.engine.Counters()
	gauge(descPorts, media.Open, "open")
	gauge(descPorts, media.Quarantined, "quarantined")
	count(descCalls, calls.Begun, "begun")
	count(descCalls, calls.Answered, "answered")
	count(descCalls, calls.Refused, "refused")
	count(descCalls, calls.Failed, "failed")
	c.collectMedia(&calls, &media, count)
	mobile := c.n.mcp.Counters()
	count(descMobile, mobile.Subscribers, "to Teams")
	count(descMobile, mobile.Strangers, "no subscriber")
	count(descMobile, mobile.Failed, "not answered")
	count(descMobile, mobile.Refused, "refused")
	count(descRetries, calls.Retried)
	count(descUnmatched, calls.Unmatched)
	count(descPanics, calls.Panics)
	count(descStrangers, c.n.peers.Strangers())
	for _, p := range c.n.peers.Health() {
		up := 0
		if p.State == "up" {
			up = 1
		}
		gauge(descPeerUp, up, p.Peer, string(p.Side))
		gauge(descPeerCalls, p.Calls, p.Peer, string(p.Side))
		count(descLimited, p.Limited, p.Peer, string(p.Side))
		if r := p.Registration; r != nil {
			stands := 0
			if r.Until != nil {
				stands = 1
			}
			gauge(descPeerReg, stands, p.Peer, string(p.Side))
		}
		if p.CertEnds != nil {
			gauge(descNotAfter, int(p.CertEnds.Unix()), p.Peer, "")
		}
	}
}

func (c collector) collectMedia(calls *call.Counters, media *rtp.Counters, count countFunc) {
	count(descRecoded, calls.Recoded)
	for side, s := range calls.Sound {
		buckets := make(map[float64]uint64, len(call.Scores))
		for i, bound := range call.Scores {
			buckets[bound] = s.Buckets[i]
		}
		c.out <- prometheus.MustNewConstHistogram(descMOS, s.Legs, s.Sum, buckets, string(side))
		count(descMute, s.Mute, string(side))
	}
	count(descPackets, media.Received.Packets, "in", "rtp")
	count(descPackets, media.Sent.Packets, "out", "rtp")
	count(descPackets, media.ReceivedRTCP.Packets, "in", "rtcp")
	count(descPackets, media.SentRTCP.Packets, "out", "rtcp")
	count(descShakes, media.Handshakes, "done")
	count(descShakes, media.HandshakesFailed, "failed")
	for cause, n := range media.Drops {
		count(descDrops, n, rtp.Cause(cause).String())
	}
}

func (c collector) collectSIP(count countFunc, gauge gaugeFunc) {
	sip := c.n.stack.Counters()
	for method, v := range sip.RequestsIn {
		count(descRequests, v, method, "in")
	}
	for method, v := range sip.RequestsOut {
		count(descRequests, v, method, "out")
	}
	for class := 1; class < len(sip.ResponsesIn); class++ {
		label := string(rune('0'+class)) + "xx"
		count(descResponses, sip.ResponsesIn[class], label, "in")
		count(descResponses, sip.ResponsesOut[class], label, "out")
	}
	for cause, v := range sip.Drops {
		count(descSIPDrops, v, cause)
	}
	for cause, v := range sip.Refused {
		count(descRefusals, v, cause)
	}
	gauge(descConns, sip.Connections)
	gauge(descTx, sip.ClientTx, "client")
	gauge(descTx, sip.ServerTx, "server")
}
