package sip

// Limits bound what one message may cost. A zero field means its default.
type Limits struct {
	Message int // bytes, start line to end of body; default 64 KiB
	Headers int // header lines; default 256
	Line    int // bytes of the start line, or of one header with its folds; default 16 KiB
	Body    int // bytes of body; default 64 KiB
}
