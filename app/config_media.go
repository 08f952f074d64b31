package app

import (
	"time"

	"github.com/tandemgw/tandem/edge/relay"
)

// expedited is the DSCP of voice (RFC 4594 4.1).
const expedited = 46

// sound checks what is heard and what becomes of silence.
func (k *configCheck) sound() {
	if k.Media.Timeout != 0 {
		k.within("media.timeout", k.Media.Timeout, 10*time.Second, 24*time.Hour)
	}
	k.within("media.ringback", k.Media.Ringback, time.Millisecond, 10*time.Second)
	k.dscp("media.dscp", k.Media.DSCP)
	k.dscp("sip.dscp", k.SIP.DSCP)
	if k.Media.Music == "" {
		return
	}
	if err := relay.CheckMusic(k.Media.Music); err != nil {
		k.bad("media.music", "%v", err)
	}
}

func (k *configCheck) dscp(path string, v int) {
	if v < 0 || v > 63 {
		k.bad(path, "%d: write 0, for no mark, to 63: EF is 46, AF31 is 26, CS3 is 24", v)
	}
}
