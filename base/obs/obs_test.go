package obs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestASecretIsShownNowhere(t *testing.T) {
	const s = Secret("hunter2")
	type holder struct{ Password Secret }
	var out strings.Builder
	for _, format := range []string{"text", "json"} {
		log, err := NewLogger(&out, slog.LevelDebug, format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("x", "password", s, "holder", holder{s}, "pointer", &holder{s})
	}
	j, err := json.Marshal(map[string]any{"a": s, "b": holder{s}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%v %s %q %#v %+v %v %x %s", s, s, s, s, holder{s}, fmt.Errorf("login: %v", s), s, j)
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Error(out.String())
	}
	if string(s) != "hunter2" {
		t.Error("and must be usable")
	}
}

func TestLevelsAndFormats(t *testing.T) {
	tests := []struct {
		level, format string
		lines         int
		fails         bool
	}{
		{"", "", 3, false},
		{"debug", "json", 4, false},
		{"warn", "text", 2, false},
		{"error", "json", 1, false},
		{"loud", "", 0, true},
		{"", "xml", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.level+" "+tt.format, func(t *testing.T) {
			var out strings.Builder
			level, err := ParseLevel(tt.level)
			log, wrong := NewLogger(&out, level, tt.format)
			if err = errors.Join(err, wrong); (err != nil) != tt.fails {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			log.Debug("d")
			log.Info("i")
			log.Warn("w")
			log.Error("e")
			if n := strings.Count(out.String(), "\n"); n != tt.lines {
				t.Errorf("%d lines, want %d", n, tt.lines)
			}
			if isJSON := strings.HasPrefix(out.String(), "{"); isJSON != (tt.format == "json") {
				t.Errorf("format: %s", out.String())
			}
		})
	}
}

func TestOneLinePerKeyAndInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(time.Minute)
		allow := func(key string, want bool, wantSuppressed int) {
			t.Helper()
			if ok, n := l.Allow(key); ok != want || n != wantSuppressed {
				t.Errorf("Allow(%q) = %v, %d; want %v, %d", key, ok, n, want, wantSuppressed)
			}
		}
		allow("a", true, 0)
		allow("a", false, 0)
		allow("a", false, 0)
		allow("b", true, 0)
		time.Sleep(time.Minute)
		allow("a", true, 2)
		allow("a", false, 0)
		allow("b", true, 0)
	})
}

func TestKeysFromOutsideDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(time.Minute)
		allowed := 0
		for i := range 3 * maxKeys {
			if ok, _ := l.Allow(strconv.Itoa(i)); ok {
				allowed++
			}
		}
		if len(l.keys) > maxKeys+1 || allowed > maxKeys+1 {
			t.Errorf("%d keys, %d lines", len(l.keys), allowed)
		}
		time.Sleep(time.Minute)
		if ok, _ := l.Allow("late"); !ok || len(l.keys) > 2 {
			t.Errorf("the keys of a past flood are kept: %d", len(l.keys))
		}
	})
}

func TestMetricsAreServed(t *testing.T) {
	w := httptest.NewRecorder()
	MetricsHandler(NewRegistry()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}
