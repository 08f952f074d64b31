package relay

import (
	"math"
	"strings"
	"time"
)

// The E-model of ITU-T G.107 (06/2015) with its default values (table 2),
// reduced to what a gateway can measure: delay, loss and codec. R is 93.2 when
// nothing is wrong.
const (
	signalToNoise = 94.77 // Ro, equation 7-3
	simultaneous  = 1.41  // Is, equation 7-8
	talkerEcho    = 65.0  // TELR, dB
	listenerEcho  = 110.0 // WEPL, dB
	sidetone      = 80.0  // Re less its term of TERV, equation 7-21
)

// rating is R for a mouth-to-ear delay, a codec, the share of packets that are
// lost (0 to 1) and how many times longer the losses in a row are than if they
// came at random (BurstR, 1 and more).
func rating(delay time.Duration, codec string, loss, burst float64) float64 {
	return signalToNoise - simultaneous - delayImpairment(delay) - equipment(codec, 100*loss, max(1, burst))
}

// delayImpairment is Id (7.4): echo of the talker and the listener, and the
// delay itself. The echo path is taken to be as long as the speech path both
// ways.
func delayImpairment(delay time.Duration) float64 {
	t := float64(delay) / float64(time.Millisecond)
	terv := talkerEcho - 40*math.Log10((1+t/10)/(1+t/150)) + 6*math.Exp(-0.3*t*t)
	re := sidetone + 2.5*(terv-14)
	idte := ((signalToNoise-re)/2 + math.Sqrt(square(signalToNoise-re)/4+100) - 1) * (1 - math.Exp(-t))
	rle := 10.5 * (listenerEcho + 7) * math.Pow(2*t+1, -0.25)
	idle := (signalToNoise-rle)/2 + math.Sqrt(square(signalToNoise-rle)/4+169)
	idd := 0.0
	if t > 100 {
		x := math.Log2(t / 100)
		idd = 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
	}
	return idte + idle + idd
}

func square(x float64) float64 { return x * x }

// equipment is Ie,eff (equation 7-29), loss in per cent.
func equipment(codec string, loss, burst float64) float64 {
	e, ok := equipments[strings.ToUpper(codec)]
	if !ok {
		e = equipments["PCMA"]
	}
	if loss <= 0 {
		return e.ie
	}
	return e.ie + (95-e.ie)*loss/(loss/burst+e.bpl)
}

// The wideband E-model of ITU-T G.107.1 (06/2019 with Cor. 1) has a scale of
// its own, on which narrowband telephony at its best has 93 of 129: Ro,WB less
// Is,WB, which is 0. Its impairments of delay and echo are taken as those of
// G.107; that of the delay alone, which matters, is the same in both.
const (
	wideband      = 129.0
	widebandShare = 1.29 // of R to what opinion takes (G.107.1 Annex A)
)

// widebandRating is rating on the scale of G.107.1; false for a codec that is
// not wideband. There burstiness is not rated: Bpl is for losses at random.
func widebandRating(delay time.Duration, codec string, loss float64) (r float64, ok bool) {
	e, ok := widebandEquipments[strings.ToUpper(codec)]
	if !ok {
		return 0, false
	}
	// G.107.1 7-15: the 95 is that of the other scale.
	effective := e.ie + (95-e.ie)*100*loss/(100*loss+e.bpl)
	return max(0, wideband-(delayImpairment(delay)-delayImpairment(0))-effective), true
}

// widebandEquipments is Ie,WB and Bpl of ITU-T G.113 (09/2024) Appendix IV:
// table IV.1, for one ear, AMR-WB with 12.65 and G.722 with 64 kbit/s; IV.4, which
// has a robustness for AMR-WB alone (for two ears), that is taken for all. Opus is
// in no table: it is rated as AMR-WB with 23.85 kbit/s, which is about ours. The
// value of G.722 has not been checked against that edition.
var widebandEquipments = map[string]struct{ ie, bpl float64 }{
	"AMR-WB": {13, 4.3},
	"G722":   {13, 4.3},
	"OPUS":   {8, 4.9},
}

// equipments is the impairment and the robustness against loss of codecs by
// RTP name: ITU-T G.113 (2007) Appendix I, G.711 with concealment. For the
// wideband codecs there are values on the wideband scale only (Appendix IV);
// here, on the scale of narrowband telephony, they are as good as its best.
var equipments = map[string]struct{ ie, bpl float64 }{
	"PCMA":   {0, 25.1},
	"PCMU":   {0, 25.1},
	"G729":   {11, 19},
	"AMR":    {5, 10}, // as GSM EFR, which is its 12.2 kbit/s mode
	"G722":   {0, 25.1},
	"AMR-WB": {0, 25.1},
	"OPUS":   {0, 25.1},
	"SILK":   {0, 25.1},
}

// opinion is the mean opinion score for R (ITU-T G.107 Annex B): 1 bad, 4.5
// excellent.
func opinion(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return 1 + 0.035*r + r*(r-60)*(100-r)*7e-6
}
