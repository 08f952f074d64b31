// Package keyvault lets Azure's own library of Key Vault secrets meet the
// vaults: unmodified, with its check of host names on, over HTTPS and with
// tokens of our own sign-in. It is a module of its own, so that the product
// does not depend on what it is tested with.
package keyvault
