// Package tandem is the root of the Tandem communications gateway. It holds no
// code: the program is in cmd/tandem, the picture of the whole in
// ARCHITECTURE.md. The tests here keep that picture and the manuals true.
package tandem
