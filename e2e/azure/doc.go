// Package azure holds the tests in which unmodified clients of Azure meet the
// resource API: HashiCorp's SDK (of which Terraform's provider was made),
// Azure's SDK for Go, Debian's azure-cli, and curl.
//
// It is a module of its own, so that their libraries stay out of Tandem's.
package azure
