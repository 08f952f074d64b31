package snapshot

// Number is what is known of one provisioned telephone number.
type Number struct {
	E164    string // with leading "+"
	Service Service
	Account string
}

// Numbers is the index of provisioned numbers. The zero value is empty.
type Numbers struct {
	List []Number
}

// Find looks up an E.164 number with its leading "+".
func (n Numbers) Find(e164 string) (Number, bool) {
	for _, x := range n.List {
		if x.E164 == e164 {
			return x, true
		}
	}
	return Number{}, false
}
