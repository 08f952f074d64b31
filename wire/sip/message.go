package sip

import "iter"

// Message is one request or response. The exported fields are plain: assign
// them. Headers are reached through methods. A Message must not be copied by
// assignment (Clone it), nor used by two goroutines while one writes.
type Message struct {
	Method     string // request method as on the wire, "" in a response
	RequestURI string // Request-URI as on the wire, "" in a response
	Status     int    // response status, 0 in a request
	Reason     string // response reason phrase
	Body       []byte

	headers []header
}

type header struct{ raw string }

// Parse reads one datagram. What follows the body is ignored (RFC 3261 18.3).
//
// A refusal is a *ParseError. When an answer can be made of what was read (the
// error's Status is not 0) the message comes with the error, good enough for
// NewResponse and nothing else.
func Parse(b []byte, lim Limits) (*Message, error) { panic("todo") }

// NewRequest makes a request with Max-Forwards 70 and no other header.
func NewRequest(method, uri string) *Message { panic("todo") }

// NewResponse answers req: Via, From, To, Call-ID and CSeq are copied as they
// came (RFC 3261 8.2.6.2). The To tag is the caller's affair, see TagTo. An
// empty reason stands for the standard phrase.
func NewResponse(req *Message, status int, reason string) *Message { panic("todo") }

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// Append appends the wire form to dst: headers that were not modified byte for
// byte, Content-Length always right.
func (m *Message) Append(dst []byte) []byte { panic("todo") }

// Clone copies m so that neither sees changes of the other.
func (m *Message) Clone() *Message { panic("todo") }

// Check verifies all that a transaction relies on: the headers of RFC 3261
// 8.1.1 present, once, well-formed and consistent. The error is a *ParseError.
func (m *Message) Check() error { panic("todo") }

// Oversize names the first published size of the service that m exceeds, ""
// when none. Such messages are carried.
func (m *Message) Oversize() string { panic("todo") }

// Get gives the first value of a header, unfolded; "" when absent.
func (m *Message) Get(name string) string { panic("todo") }

// Has reports whether the header is there.
func (m *Message) Has(name string) bool { panic("todo") }

// Values gives the value of every line of that name, unfolded, in order. For
// comma-separated items use List.
func (m *Message) Values(name string) iter.Seq[string] { panic("todo") }

// List gives the comma-separated items over all lines of that name, in order;
// commas in quotes and in angle brackets do not separate.
func (m *Message) List(name string) iter.Seq[string] { panic("todo") }

// HasToken reports whether the comma-separated header lists the token, case
// aside: option tags of Supported and Require, methods of Allow.
func (m *Message) HasToken(name, token string) bool { panic("todo") }

// Headers gives all headers in order: name as on the wire, value unfolded.
func (m *Message) Headers() iter.Seq2[string, string] { panic("todo") }

// Set replaces all lines of that name by one at the place of the first, or
// adds it at the end. Control characters in value, CR and LF among them, become blanks.
func (m *Message) Set(name, value string) { panic("todo") }

// Add puts a line below the last one of that name, or at the end.
func (m *Message) Add(name, value string) { panic("todo") }

// Prepend puts a line above the first one of that name, or on top.
func (m *Message) Prepend(name, value string) { panic("todo") }

// Del removes all lines of that name.
func (m *Message) Del(name string) { panic("todo") }

// SetFirst replaces the first item of a comma-separated header (top Via, top
// Route) and leaves the items after it.
func (m *Message) SetFirst(name, value string) { panic("todo") }

// DelFirst removes the first item of a comma-separated header.
func (m *Message) DelFirst(name string) { panic("todo") }

// SetBody sets the body and its Content-Type; an empty type removes the header.
func (m *Message) SetBody(contentType string, body []byte) { panic("todo") }

// TagTo adds a tag to To unless it has one.
func (m *Message) TagTo(tag string) { panic("todo") }

// From, To, Contact (the first one), Via (the topmost), CSeq … are strict
// views, made when asked for. Their errors are *ParseError.
func (m *Message) From() (Address, error) { panic("todo") }

// To reads the To header.
func (m *Message) To() (Address, error) { panic("todo") }

// Contact reads the first Contact.
func (m *Message) Contact() (Address, error) { panic("todo") }

// Via reads the topmost Via.
func (m *Message) Via() (Via, error) { panic("todo") }

// CSeq reads the CSeq header.
func (m *Message) CSeq() (CSeq, error) { panic("todo") }

// CallID reads the Call-ID header.
func (m *Message) CallID() (string, error) { panic("todo") }

// MaxForwards reads Max-Forwards, 70 when absent.
func (m *Message) MaxForwards() (int, error) { panic("todo") }

// Addresses reads a list of addresses over all lines: Route, Record-Route,
// P-Asserted-Identity, Contact.
func (m *Message) Addresses(name string) ([]Address, error) { panic("todo") }

// Reasons reads the Reason headers; malformed ones are left out.
func (m *Message) Reasons() []Reason { panic("todo") }

// ParseError tells why a message or a header is refused and what to answer.
type ParseError struct {
	Header string // name of the header, "" for the start line or the framing
	Offset int    // byte of the message, or of the string when a bare value was parsed
	Msg    string // what is wrong, fit for a reason phrase
	Status int    // SIP status to answer with; 0: drop, no answer can be made
}

func (e *ParseError) Error() string { panic("todo") }

// Reason is the reason phrase to answer with.
func (e *ParseError) Reason() string { panic("todo") }
