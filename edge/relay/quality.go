package relay

import (
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
)

// Score is how one direction of a leg sounded over a while.
type Score struct {
	MOS    float64       // ITU-T G.107, 1 to 4.5; 0 = not known
	R      float64       // 0 to 93.2
	WideR  float64       // ITU-T G.107.1, to 129; 0 = the codec is none for wideband
	Loss   float64       // share of the packets that did not arrive, or too late to be heard; 0 to 1
	Burst  float64       // packets lost in a row, in the mean; 0 = none, or not told
	Jitter time.Duration // RFC 3550 A.8, at the end of the while
}

// Quality is how a leg sounded over a while: From what its far side sent, as it
// came here, To what was sent there, as its RTCP tells.
type Quality struct {
	Since     time.Time
	For       time.Duration
	From, To  Score
	RoundTrip time.Duration // between the far side and us; 0 = not known
}

const (
	// sampling is the first length of the whiles that a call is cut into; it
	// doubles whenever there are as many as are kept.
	sampling    = 30 * time.Second
	maxSamples  = 12
	mouthAndEar = 60 * time.Millisecond // packet, look-ahead and jitter buffer, beside the network's delay
)

// Noticed is how long a side must send nothing until that is told: longer than
// the pauses of those who send no comfort noise.
const Noticed = 10 * time.Second

// quality is the samples of one side. The media's mu guards it.
type quality struct {
	began   time.Time // when the call was answered; zero = not yet
	first   sample    // then
	past    sample    // when the last while ended
	samples []Quality
	length  time.Duration // of a sample
	mute    time.Duration // the longest it sent no RTP though it was to
	told    bool          // that it is mute now
}

// sample is the counts at one moment.
type sample struct {
	at       time.Time
	received uint64
	lost     int64
	gaps     uint64
	gapLost  uint64
	sent     uint64
	heard    rtp.Heard
}

func sampleOf(s *rtp.Stats, at time.Time) sample {
	return sample{at, s.Received.Packets, s.Lost, s.Gaps, s.GapLost, s.Sent.Packets, s.Heard}
}

// Quality tells how a side's leg has sounded since the call was answered: over
// all its time, and over one while after the other.
func (m *Media) Quality(s Side) (whole Quality, whiles []Quality) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := &m.quality[s]
	if q.began.IsZero() {
		return Quality{}, nil
	}
	now, stats := time.Now(), m.ports[s].Stats()
	whole = m.judge(s, &stats, q.first, now)
	return whole, append([]Quality(nil), q.samples...)
}

// Mute is the longest time that a side has sent no RTP though it was to, since
// the call was answered.
func (m *Media) Mute(s Side) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchMute(s, time.Now())
	return m.quality[s].mute
}

// Answered begins the time that is judged: what comes before a call is answered
// need be nothing.
func (m *Media) Answered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = time.Now()
	for s := range m.quality {
		stats := m.ports[s].Stats()
		first := sampleOf(&stats, m.since)
		m.quality[s] = quality{began: m.since, first: first, past: first, length: sampling}
	}
}

// sample is done by the clerk. The caller holds mu.
func (m *Media) sample(s Side, now time.Time) {
	q := &m.quality[s]
	m.watchMute(s, now)
	if q.began.IsZero() || now.Sub(q.past.at) < q.length {
		return
	}
	stats := m.ports[s].Stats()
	q.samples = append(q.samples, m.judge(s, &stats, q.past, now))
	q.past = sampleOf(&stats, now)
	if len(q.samples) == maxSamples {
		q.halve()
	}
}

// halve makes one while of each two.
func (q *quality) halve() {
	for i := range maxSamples / 2 {
		q.samples[i] = both(q.samples[2*i], q.samples[2*i+1])
	}
	q.samples, q.length = q.samples[:maxSamples/2], 2*q.length
}

func both(a, b Quality) Quality {
	return Quality{
		Since: a.Since, For: a.For + b.For,
		From: mean(a.From, b.From), To: mean(a.To, b.To), RoundTrip: max(a.RoundTrip, b.RoundTrip),
	}
}

func mean(a, b Score) Score {
	switch {
	case a.MOS == 0:
		return b
	case b.MOS == 0:
		return a
	}
	s := Score{
		MOS: (a.MOS + b.MOS) / 2, R: (a.R + b.R) / 2, Loss: (a.Loss + b.Loss) / 2,
		Burst: max(a.Burst, b.Burst), Jitter: max(a.Jitter, b.Jitter),
	}
	if a.WideR > 0 && b.WideR > 0 {
		s.WideR = (a.WideR + b.WideR) / 2
	}
	return s
}

// judge rates the while since a sample.
func (m *Media) judge(s Side, stats *rtp.Stats, past sample, now time.Time) Quality {
	delay := mouthAndEar
	for _, p := range m.ports {
		delay += p.Stats().RoundTrip / 2
	}
	codec := m.codecName(s, stats)
	q := Quality{Since: past.at, For: now.Sub(past.at), RoundTrip: stats.RoundTrip}
	if received := stats.Received.Packets - past.received; received > 0 {
		q.From = from(stats, past, received)
		q.From.rate(codec, delay)
	}
	if heard, ok := to(stats, past); ok {
		q.To = heard
		q.To.rate(codec, delay)
	}
	return q
}

// judgement is how what a side has sent since the call was answered sounds
// here, for its extended report: listening quality has no delay in it.
func (m *Media) judgement(s Side, now time.Time) rtp.Judgement {
	q, stats := &m.quality[s], m.ports[s].Stats()
	j := rtp.Judgement{Packet: m.sides[s.Other()].packet()}
	if q.began.IsZero() {
		return j
	}
	heard := m.judge(s, &stats, q.first, now).From
	listening := heard
	listening.rate(m.codecName(s, &stats), 0)
	j.R, j.MOSCQ, j.MOSLQ = heard.R, heard.MOS, listening.MOS
	if heard.MOS == 0 {
		j.MOSLQ = 0
	}
	return j
}

// packet is how long the packets are that a side is sent; 0 = not said.
func (n *Negotiated) packet() time.Duration {
	if n == nil {
		return 0
	}
	return n.Ptime
}

// from is what came here.
func from(stats *rtp.Stats, past sample, received uint64) Score {
	score := Score{Jitter: stats.Jitter}
	if lost := stats.Lost - past.lost; lost > 0 {
		score.Loss = float64(lost) / float64(uint64(lost)+received)
	}
	if gaps := stats.Gaps - past.gaps; gaps > 0 && score.Loss > 0 {
		score.Burst = float64(stats.GapLost-past.gapLost) / float64(gaps)
	}
	return score
}

// to is what the far side tells of what it was sent; false when it has told
// nothing in this while. Its extended reports count what came too late as well.
func to(stats *rtp.Stats, past sample) (Score, bool) {
	h := stats.Heard
	told := h.At.After(past.at) && stats.Sent.Packets > past.sent
	score := Score{Loss: h.Fraction, Jitter: h.Jitter}
	if expected := stats.Sent.Packets - past.sent; told && past.heard.At.IsZero() && h.Lost >= 0 {
		score.Loss = min(1, float64(h.Lost)/float64(max(expected, uint64(h.Lost), 1)))
	} else if n := int32(h.Highest - past.heard.Highest); told && n > 0 {
		score.Loss = max(0, min(1, float64(h.Lost-past.heard.Lost)/float64(n)))
	}
	if v := stats.VoIP; v.At.After(past.at) {
		told = true
		score.Loss = min(1, max(0, v.Loss)+max(0, v.Discard))
	}
	return score, told
}

// rate fills in R and MOS.
func (s *Score) rate(codec string, delay time.Duration) {
	// Losses at random come 1/(1-p) in a row in the mean (G.107 7.5).
	ratio := s.Burst * (1 - s.Loss)
	s.R = max(0, rating(delay, codec, s.Loss, ratio))
	s.MOS = opinion(s.R)
	s.WideR, _ = widebandRating(delay, codec, s.Loss)
}

// WideMOS is the mean opinion score of the wideband scale, which begins where
// the other one ends; 0 = there is none.
func (s Score) WideMOS() float64 {
	if s.WideR == 0 {
		return 0
	}
	return opinion(s.WideR / widebandShare)
}

// codecName is what a side speaks.
func (m *Media) codecName(s Side, stats *rtp.Stats) string {
	n := m.sides[s]
	if n == nil {
		return ""
	}
	name := ""
	for _, c := range n.Codecs {
		if isEvents(c) || isNoise(c) {
			continue
		}
		if c.In == stats.PayloadType {
			return c.Name
		}
		if name == "" {
			name = c.Name
		}
	}
	return name
}

// watchMute notes how long a side sends nothing that is to be heard.
func (m *Media) watchMute(s Side, now time.Time) {
	n, far := m.sides[s], m.sides[s.Other()]
	q := &m.quality[s]
	if q.began.IsZero() || n == nil || far == nil || !n.Direction.Sends() || !far.Direction.Receives() {
		return
	}
	quiet := m.quietSince(s, now)
	q.mute = max(q.mute, quiet)
	switch {
	case quiet < Noticed:
		q.told = false
	case !q.told:
		q.told = true
		m.watch.tell(Muted{s, quiet})
	}
}
