package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/front/ops"
)

// controlCollector reads what a control node counts.
type controlCollector struct{ n *Node }

var (
	descEdgeEnds   = desc("edge_certificate_not_after_seconds", "Unix time at which the certificate of an edge that control sees to ends.", "node")
	descEdgeFail   = desc("edge_certificate_failures", "Orders of it that failed since the last success.", "node")
	descSecretEnds = desc("secret_not_after_seconds", "Unix time at which a client secret that control replaces ends.", "secret")
	descSecretFail = desc("secret_failures", "Attempts to replace it that failed since the last success.", "secret")
	descOnboarding = desc("onboarding_steps", "Steps of onboardings that were begun, by how they stood when they were last looked at: drifted is to be alarmed at.", "state")
	descDNS        = desc("dns_queries_total", "Queries of the gateways' zones, by what came of them: answered, refused, short, dropped, transferred.", "outcome")

	descOperations = desc("operations_total", "Operations that ended on this node.", "status")
	descRunning    = desc("operation_steps_running", "Steps of operations that this node runs now.")
	descStepPanics = desc("operation_panics_total", "Steps of operations that met a defect: look into the log.")
	descStepsAgain = desc("operation_retries_total", "Steps of operations that will be tried again.")
	descTests      = desc("test_calls_total", "Calls of test lines that this control node had placed, by what became of them.", "outcome")
	descWrites     = desc("store_writes_total", "Changes that control's database has taken.")
	descStoreAgain = desc("store_retries_total", "Transactions that lost against another, or their connection, and ran again.")
	descStoreFail  = desc("store_failures_total", "Changes that control's database did not take.")
)

// Describe is empty on purpose: edges come and go.
func (controlCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads them.
func (c controlCollector) Collect(out chan<- prometheus.Metric) {
	p := c.n.plane.Load()
	if p == nil {
		return
	}
	c.collectRows(out, p)
	c.collectVault(out, p)
	tests := p.tester.Counters()
	for outcome, n := range map[string]uint64{"passed": tests.Passed, "failed": tests.Failed} {
		out <- prometheus.MustNewConstMetric(descTests, prometheus.CounterValue, float64(n), outcome)
	}
	if p.zone != nil {
		z := p.zone.Counters()
		for outcome, n := range map[string]uint64{"answered": z.Answered, "refused": z.Refused, "short": z.Short, "dropped": z.Dropped, "transferred": z.Transferred} {
			out <- prometheus.MustNewConstMetric(descDNS, prometheus.CounterValue, float64(n), outcome)
		}
	}
	ctx, cancel := context.WithTimeout(c.n.life, lookTime)
	defer cancel()
	c.collectSecrets(ctx, out, p)
	c.collectOnboarding(ctx, out, p)
	list, err := p.certificates.List(ctx)
	if err != nil {
		c.n.log.Warn("read the certificates of edges", obs.KeyError, err)
	}
	for _, x := range list {
		if !x.Ends.IsZero() {
			out <- prometheus.MustNewConstMetric(descEdgeEnds, prometheus.GaugeValue, float64(x.Ends.Unix()), x.Node)
		}
		out <- prometheus.MustNewConstMetric(descEdgeFail, prometheus.GaugeValue, float64(x.Attempts), x.Node)
	}
}

// collectSecrets reads how client secrets stand.
func (c controlCollector) collectSecrets(ctx context.Context, out chan<- prometheus.Metric, p *plane) {
	if p.rotations == nil {
		return
	}
	list, err := p.rotations.List(ctx)
	if err != nil {
		c.n.log.Warn("read the secrets that are rotated", obs.KeyError, err)
	}
	for _, x := range list {
		if !x.Ends.IsZero() {
			out <- prometheus.MustNewConstMetric(descSecretEnds, prometheus.GaugeValue, float64(x.Ends.Unix()), x.Name())
		}
		out <- prometheus.MustNewConstMetric(descSecretFail, prometheus.GaugeValue, float64(x.Attempts), x.Name())
	}
}

// collectOnboarding reads how onboardings stand.
func (c controlCollector) collectOnboarding(ctx context.Context, out chan<- prometheus.Metric, p *plane) {
	n, err := p.onboard.Tally(ctx)
	if err != nil {
		c.n.log.Warn("read how onboardings stand", obs.KeyError, err)
		return
	}
	for _, state := range []onboard.State{onboard.Done, onboard.Declared, onboard.Skipped, onboard.Ready, onboard.Waiting, onboard.Blocked, onboard.Drifted, onboard.Failed, onboard.NotOffered} {
		out <- prometheus.MustNewConstMetric(descOnboarding, prometheus.GaugeValue, float64(n[state]), string(state))
	}
}

// collectRows reads what the store and the operations count.
func (controlCollector) collectRows(out chan<- prometheus.Metric, p *plane) {
	done, rows := p.operations.Counters(), p.store.Counters()
	for status, n := range map[string]uint64{"succeeded": done.Succeeded, "failed": done.Failed, "canceled": done.Canceled} {
		out <- prometheus.MustNewConstMetric(descOperations, prometheus.CounterValue, float64(n), status)
	}
	out <- prometheus.MustNewConstMetric(descRunning, prometheus.GaugeValue, float64(done.Running))
	for d, n := range map[*prometheus.Desc]uint64{
		descStepPanics: done.Panics, descStepsAgain: done.Retries,
		descWrites: rows.Writes, descStoreAgain: rows.Retries, descStoreFail: rows.Failed,
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}

// lookTime is how long the store may take for who watches.
const lookTime = 2 * time.Second

// certificateTrouble is what a control node has to say of the certificates of
// its edges.
func (n *Node) certificateTrouble(at time.Time) (all []ops.Warning) {
	p := n.plane.Load()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(n.life, lookTime)
	defer cancel()
	list, err := p.certificates.Trouble(ctx, at)
	if err != nil {
		n.log.Warn("read the certificates of edges", obs.KeyError, err)
	}
	for _, t := range list {
		all = append(all, ops.Warning{About: t.Node, Cause: "certificate " + string(t.State), Text: t.Text})
	}
	return all
}
