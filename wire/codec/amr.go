package codec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

// AMR and AMR-WB (3GPP TS 26.071, 26.171; payload RFC 4867). The frames are
// coded by libraries, which speak the storage format of RFC 4867 section 5;
// the payload format is ours.

var (
	amrNarrow = &amrKind{
		lib: &library{codec: "AMR", file: "libopencore-amrnb.so.0", names: []string{
			"Decoder_Interface_init", "Decoder_Interface_Decode", "Decoder_Interface_exit",
			"Encoder_Interface_init", "Encoder_Interface_Encode", "Encoder_Interface_exit",
		}},
		samples: 160, sid: 8, lost: 15, first: 7,
		bits: []int{95, 103, 118, 134, 148, 159, 204, 244, 39}, // TS 26.101 table 1
	}
	amrWide = &amrKind{
		lib: &library{codec: "AMR-WB", file: "libopencore-amrwb.so.0", names: []string{
			"D_IF_init", "D_IF_decode", "D_IF_exit",
		}},
		coder: &library{codec: "AMR-WB", file: "libvo-amrwbenc.so.0", names: []string{
			"E_IF_init", "E_IF_encode", "E_IF_exit",
		}},
		samples: 320, sid: 9, lost: 14, first: 2,
		bits: []int{132, 177, 253, 285, 317, 365, 397, 461, 477, 40}, // TS 26.201 table 1
	}
)

const (
	amrInit = iota
	amrDecode
	amrExit
	amrEncode // the three of the coder follow, or are the first of a library of their own
)

// amrKind is what tells the two apart.
type amrKind struct {
	lib, coder *library
	samples    int
	bits       []int // of a frame by its type; no others are legal but lost and noData
	sid        int   // type of a comfort noise frame
	lost       int   // type that makes the library conceal
	first      int   // mode to begin with where the receiver allows it
}

const (
	amrNoData    = 15
	amrNoRequest = 15
	amrFrames    = 12 // in one payload, 240 ms
	amrOctets    = 61 // of the longest frame and its header, with room
)

func amrWideMissing() error {
	if err := amrWide.lib.missing(); err != nil {
		return err
	}
	return amrWide.coder.missing()
}

func amrOf(f Format) *amrKind {
	if f.Clock == 16000 {
		return amrWide
	}
	return amrNarrow
}

// octets of a frame in the storage format, without the header.
func (k *amrKind) octets(kind int) int {
	if kind < len(k.bits) {
		return (k.bits[kind] + 7) / 8
	}
	return 0
}

// legal types: RFC 4867 4.3.2 wants the whole packet discarded for any other.
func (k *amrKind) legal(kind int) bool {
	return kind < len(k.bits) || kind == amrNoData || k == amrWide && kind == k.lost
}

// amrAccepts: what we do not write nor read is everything against errors in
// the payload itself, which nobody uses over IP that has checksums.
func amrAccepts(p parameters) error {
	if _, ok := p.get("interleaving"); ok || p.on("crc") || p.on("robust-sorting") {
		return errors.New("codec: AMR with interleaving, CRC or robust sorting")
	}
	if n, ok := p.get("channels"); ok && n != "1" {
		return errors.New("codec: AMR with several channels")
	}
	return nil
}

type amrDecoder struct {
	*amrKind
	state   uintptr
	args    scratch
	aligned bool
	wish    *Wish // nil: nobody follows it
	frame   [amrOctets]byte
	pcm     [320]int16
	last    int  // frames of the last payload
	resting bool // which ended in a description of noise
}

func newAMRDecoder(f Format) (Decoder, error) {
	d := &amrDecoder{amrKind: amrOf(f), aligned: parameters(f.Fmtp).on("octet-align"), last: 1}
	if d.state = d.lib.call(amrInit, &d.args); d.state == 0 {
		return nil, errors.New("codec: no memory for an AMR decoder")
	}
	return d, nil
}

func (d *amrDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	var frames [amrFrames]amrFrame
	wish, n, err := d.parse(&frames, payload)
	if err != nil {
		return dst, err
	}
	d.wish.set(wish)
	for _, f := range frames[:n] {
		kind := f.kind
		if !f.good {
			kind = d.lost
		}
		d.frame[0] = byte(kind<<3 | 4)
		if kind == f.kind && kind < len(d.bits) {
			f.copy(d.frame[1:], payload, d.bits[kind])
		}
		dst = d.run(dst)
		d.resting = f.kind == d.sid || f.kind == amrNoData && d.resting
	}
	d.last = n
	return dst, nil
}

// Idle goes on with the noise of the last SID frame (TS 26.092, TS 26.192).
func (d *amrDecoder) Idle(dst []int16) []int16 {
	for range d.last {
		if !d.resting {
			break
		}
		d.frame[0] = byte(amrNoData<<3 | 4)
		dst = d.run(dst)
	}
	return dst
}

// run decodes the frame in d.frame.
func (d *amrDecoder) run(dst []int16) []int16 {
	d.lib.call(amrDecode, &d.args, d.state, at(&d.frame[0]), at(&d.pcm[0]), 0)
	return append(dst, d.pcm[:d.samples]...)
}

// Conceal lets the library guess; it knows the codec's own state.
func (d *amrDecoder) Conceal(dst []int16) []int16 {
	for range d.last {
		d.frame[0] = byte(d.lost<<3 | 4)
		dst = d.run(dst)
	}
	return dst
}

func (d *amrDecoder) Close() {
	if d.state != 0 {
		d.lib.call(amrExit, &d.args, d.state)
		d.state = 0
	}
}

// amrFrame is one frame inside a payload.
type amrFrame struct {
	kind int
	good bool
	bit  int // where it begins
}

// copy moves n bits to dst, the last octet filled with zeros.
func (f amrFrame) copy(dst, payload []byte, n int) {
	r := bitReader{payload, f.bit}
	for i := 0; n > 0; i++ {
		w := min(n, 8)
		dst[i] = byte(r.read(w) << (8 - w))
		n -= w
	}
}

// parse reads the table of contents: RFC 4867 4.3 bandwidth-efficient, 4.4
// octet-aligned.
func (d *amrDecoder) parse(frames *[amrFrames]amrFrame, b []byte) (wish, n int, err error) {
	r := bitReader{b, 0}
	entry, head := 6, 4
	if d.aligned {
		entry, head = 8, 8
	}
	if r.left() < head {
		return 0, 0, ErrPayload
	}
	wish = r.read(head) >> (head - 4)
	for more := true; more; n++ {
		if n == amrFrames || r.left() < entry {
			return 0, 0, ErrPayload
		}
		v := r.read(entry) >> (entry - 6)
		more = v&0x20 != 0
		frames[n] = amrFrame{kind: v >> 1 & 0x0f, good: v&1 != 0}
		if !d.legal(frames[n].kind) {
			return 0, 0, ErrPayload
		}
	}
	for i := range frames[:n] {
		f := &frames[i]
		f.bit = r.at
		size := 0
		if f.kind < len(d.bits) {
			size = d.bits[f.kind]
		}
		if d.aligned {
			size = (size + 7) &^ 7
		}
		if r.left() < size {
			return 0, 0, ErrPayload
		}
		r.at += size
	}
	return wish, n, nil
}

type amrEncoder struct {
	*amrKind
	lib     *library // that codes
	first   int      // of its functions
	state   uintptr
	args    scratch
	aligned bool
	modes   []int // allowed, ascending
	mode    int   // index of the current one
	period  int   // the mode may change with every such frame
	near    bool  // and to a neighbour only
	dtx     uintptr
	count   int // frames so far
	wish    *Wish
	pcm     [320]int16
	frame   [amrOctets]byte
	coded   [amrFrames * amrOctets]byte
}

func newAMREncoder(f Format) (Encoder, error) {
	k, p := amrOf(f), parameters(f.Fmtp)
	e := &amrEncoder{amrKind: k, lib: k.coder, aligned: p.on("octet-align"), near: p.on("mode-change-neighbor"), period: 1}
	if v, _ := p.get("mode-change-period"); v == "2" {
		e.period = 2
	}
	e.modes, e.mode = k.allowed(p)
	if f.DTX { // every receiver takes it (RFC 4867 3.2)
		e.dtx = 1
	}
	if e.lib == nil {
		e.lib, e.first = k.lib, amrEncode
		e.state = e.lib.call(e.first+amrInit, &e.args, e.dtx)
	} else {
		e.state = e.lib.call(amrInit, &e.args)
	}
	if e.state == 0 {
		return nil, errors.New("codec: no memory for an AMR encoder")
	}
	return e, nil
}

// allowed is the modes of mode-set, and the one to begin with: the highest
// that is not above the usual one.
func (k *amrKind) allowed(p parameters) (modes []int, begin int) {
	var named [16]bool
	set, limited := p.get("mode-set")
	for s := range strings.SplitSeq(set, ",") {
		if m, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && m >= 0 && m < k.sid {
			named[m] = true
		}
	}
	limited = limited && named != [16]bool{}
	for m := range k.sid {
		if !limited || named[m] {
			modes = append(modes, m)
			if m <= k.first {
				begin = len(modes) - 1
			}
		}
	}
	return modes, begin
}

// Wish is the mode that a far side asks for in what it sends (the codec mode
// request of RFC 4867 3.3.1), on its way to the encoder of what it gets. Of
// other codecs it is empty. The two ends may run in different goroutines. The
// zero Wish is ready, and nil is none.
type Wish struct{ mode atomic.Int32 } // and one; 0 = none

// Heard has dec, which reads what the far side sends, tell its wishes.
func (w *Wish) Heard(dec Decoder) {
	if d, ok := dec.(*amrDecoder); ok {
		d.wish = w
	}
}

// Grant has enc, which writes what the far side gets, follow them.
func (w *Wish) Grant(enc Encoder) {
	if e, ok := enc.(*amrEncoder); ok {
		e.wish = w
	}
}

func (w *Wish) set(mode int) {
	if w != nil {
		w.mode.Store(int32(mode) + 1)
	}
}

func (w *Wish) get() (mode int, ok bool) {
	if w == nil {
		return 0, false
	}
	v := w.mode.Load()
	return int(v) - 1, v > 0
}

// turn moves to the mode asked for, as far as mode-change-period and
// mode-change-neighbor let it.
func (e *amrEncoder) turn() {
	defer func() { e.count++ }()
	w, ok := e.wish.get()
	if !ok || w >= e.sid || e.count%e.period != 0 { // 15 asks for nothing, and 9 to 14 make no sense
		return
	}
	want := 0
	for i, m := range e.modes {
		if m <= w {
			want = i
		}
	}
	switch {
	case !e.near:
		e.mode = want
	case want > e.mode:
		e.mode++
	case want < e.mode:
		e.mode--
	}
}

func (e *amrEncoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	n := len(pcm) / e.samples
	if n == 0 || n > amrFrames || len(pcm)%e.samples != 0 {
		return dst, errFrames
	}
	silent := true
	for i := range n {
		e.turn()
		copy(e.pcm[:], pcm[i*e.samples:(i+1)*e.samples])
		got := int32(e.lib.call(e.first+amrDecode, &e.args, e.state, uintptr(e.modes[e.mode]), at(&e.pcm[0]), at(&e.frame[0]), e.last()))
		kind := int(e.frame[0] >> 3 & 0x0f)
		if got < 1 || int(got) > amrOctets || kind >= len(e.bits) && kind != amrNoData || int(got) < 1+e.octets(kind) {
			return dst, fmt.Errorf("codec: %s coder gave %d octets of type %d", e.lib.codec, got, kind)
		}
		silent = silent && kind == amrNoData
		copy(e.coded[i*amrOctets:], e.frame[:])
	}
	if silent {
		return dst, nil
	}
	return e.pack(dst, n), nil
}

// last is the last argument of the coder: DTX of the wide one, "speech in any
// case" of the narrow one.
func (e *amrEncoder) last() uintptr {
	if e.amrKind == amrWide {
		return e.dtx
	}
	return 0
}

// pack writes n coded frames as one payload.
func (e *amrEncoder) pack(dst []byte, n int) []byte {
	w := bitWriter{b: dst}
	pad := 0
	if e.aligned {
		pad = 4
	}
	w.write(amrNoRequest<<pad, 4+pad)
	for i := range n {
		v := int(e.coded[i*amrOctets]>>3&0x0f)<<1 | 1 // good
		if i < n-1 {
			v |= 0x20 // another follows
		}
		w.write(v<<(pad/2), 6+pad/2)
	}
	for i := range n {
		frame := e.coded[i*amrOctets:]
		kind := int(frame[0] >> 3 & 0x0f)
		if kind == amrNoData {
			continue
		}
		left := e.bits[kind]
		if e.aligned {
			left = (left + 7) &^ 7
		}
		for _, c := range frame[1:] {
			if left <= 0 {
				break
			}
			width := min(left, 8)
			w.write(int(c)>>(8-width), width)
			left -= width
		}
	}
	return w.b
}

func (e *amrEncoder) Close() {
	if e.state != 0 {
		e.lib.call(e.first+amrExit, &e.args, e.state)
		e.state = 0
	}
}

// bitReader reads the most significant bits first. The caller asks what is
// left.
type bitReader struct {
	b  []byte
	at int
}

func (r *bitReader) left() int { return 8*len(r.b) - r.at }

func (r *bitReader) read(n int) (v int) {
	for ; n > 0; n-- {
		v = v<<1 | int(r.b[r.at>>3]>>(7-r.at&7)&1)
		r.at++
	}
	return v
}

// bitWriter appends likewise, the last octet filled with zeros.
type bitWriter struct {
	b    []byte
	free int // bits of the last octet
}

func (w *bitWriter) write(v, n int) {
	for ; n > 0; n-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>(n-1)&1) << w.free
	}
}
