// Package sip is the signalling core: messages, transports, transactions and
// the resolution of next hops (RFC 3261, 3263, 6026), without a dialog and
// without a call.
//
// Two halves share it. The message half (this file, limits, message, header,
// params, uri, address, via, cseq, reason, reader) is pure: bytes in, values
// out, no clock and no socket. The stack half (stack, transport_*, tx_*,
// resolve*, tls) owns sockets, timers and transactions, and hands out
// messages; a message belongs to whoever received it last, and nobody writes
// to one that has been handed on: Clone it.
//
// A message is carried without loss. A header nobody touched is written from
// the bytes it came in, with its case, compact name, folding and white space;
// a header set by us is written anew. What the gateway needs to understand it
// reads lazily through typed views (From, Via, CSeq …), strictly, and a view
// that fails is a *ParseError that says what to answer.
//
// It refuses: bare CR or LF, control characters outside a quoted pair,
// messages beyond Limits, Content-Length that is missing on a stream or
// contradicts itself, and, by Check, anything without which a transaction
// cannot be told from another. It is liberal where the field is: display names
// without a blank before "<", any mix of URI schemes, names in any case.
//
// Start reading at Parse, then Message.Check.
package sip
