package link

// Questions by which control sees to the certificate of an edge. The key is
// made on the edge and stays there: up goes what it asks to have signed, down
// comes the signed chain.
const (
	AskCertificate     = "certificate"         // CertificateWanted -> CertificateState
	InstallCertificate = "install-certificate" // string, the chain as PEM -> Certificate
)

// CertificateWanted is what control wants an edge to show.
type CertificateWanted struct {
	Names []string `json:"names"`
	Renew bool     `json:"renew,omitempty"` // even if it has one for these names
}

// CertificateState is what an edge has of it.
type CertificateState struct {
	Managed bool            `json:"managed"`           // a listener waits for it; false: all have theirs from files
	Current *Certificate    `json:"current,omitempty"` // shown now; nil: none
	Request *SigningRequest `json:"request,omitempty"` // to be signed; nil: Current is what was wanted
}
