package login

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestColoursCanBeRead by day and by night: 4.5 to 1 for text, 3 to 1 for the
// edges of fields (Web Content Accessibility Guidelines 2.2, 1.4.3 and 1.4.11).
func TestColoursCanBeRead(t *testing.T) {
	day, night, _ := strings.Cut(style, "prefers-color-scheme: dark")
	night, _, _ = strings.Cut(night, "box-sizing")
	for name, css := range map[string]string{"day": day, "night": night} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, tt := range []struct {
			text, ground string
			least        float64
		}{
			{"text", "card", 4.5},
			{"soft", "card", 4.5},
			{"soft", "ground", 4.5},
			{"accent", "card", 4.5},
			{"on-accent", "accent", 4.5},
			{"on-accent", "accent-deep", 4.5},
			{"bad", "bad-tint", 4.5},
			{"good", "good-tint", 4.5},
			{"text", "tint", 4.5},
			{"accent", "tint", 4.5},
			{"field", "card", 3},
			{"bad", "card", 3},
			{"good", "card", 3},
		} {
			a, ok := colours[tt.text]
			b, ok2 := colours[tt.ground]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); !ok || !ok2 || ratio < tt.least {
				t.Errorf("%s: %s on %s: %.2f to 1, want %.1f", name, tt.text, tt.ground, ratio, tt.least)
			}
		}
	}
}

// luminance is that of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
