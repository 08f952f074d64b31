package tandem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tandemgw/tandem/"

// law is the import table of ARCHITECTURE.md: plane -> planes it may import.
func law(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "## Import law")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section \"Import law\"")
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	rows := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 2 {
			continue
		}
		room := strings.TrimSpace(cells[0])
		if room == "room" || strings.HasPrefix(room, "---") {
			continue
		}
		for _, may := range strings.Split(cells[1], ",") {
			rows[room] = append(rows[room], strings.TrimSpace(may))
		}
	}
	if len(rows) < 10 {
		t.Fatalf("the import table of ARCHITECTURE.md has %d rows: it was not read", len(rows))
	}
	return rows
}

// sources calls f with every Go file of the module.
func sources(t *testing.T, f func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(path), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// plane is the first folder of a path inside the module.
func plane(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

func TestEveryImportObeysTheLawOfTheArchitecture(t *testing.T) {
	rows := law(t)
	seen := map[string]bool{}
	sources(t, func(path string, file *ast.File) {
		room := plane(path)
		if room == path {
			return // the root package
		}
		seen[room] = true
		may, known := rows[room]
		if !known {
			t.Errorf("%s: the folder %q has no row in the import table of ARCHITECTURE.md", path, room)
			return
		}
		test := strings.HasSuffix(path, "_test.go")
		for _, spec := range file.Imports {
			target, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			switch {
			case !ours:
				continue
			case test && plane(target) != "lab" && plane(target) != "cmd":
				continue
			case !slices.Contains(may, plane(target)):
				t.Errorf("%s imports %s: %s may import only %s", path, target, room, strings.Join(may, ", "))
			}
		}
	})
	for room := range rows {
		if !seen[room] {
			t.Errorf("ARCHITECTURE.md has a row for %q, which holds no code", room)
		}
	}
}

func TestNarrowDoorsStayNarrow(t *testing.T) {
	// module prefix -> rooms whose product code may import it.
	doors := map[string][]string{
		"github.com/pion/srtp":           {"wire/rtp"},
		"github.com/pion/dtls":           {"wire/rtp"},
		"golang.org/x/sys/unix":          {"wire/rtp", "wire/sip", "app", "edge/record", "control/store"}, // sip: a socket option; the last three lock their files
		"modernc.org/sqlite":             {"edge/record", "control/store"},
		"github.com/jackc/pgx/v5":        {"control/store"},
		"github.com/pressly/goose/v3":    {"control/store"},
		"github.com/tink-crypto/tink-go": {"control/vault"},
		"github.com/Azure":               {"control/vault", "e2e/azure", "e2e/keyvault"},
		"github.com/miekg/dns":           {"wire/sip", "sandbox/dns", "control/zone"},
		"github.com/mholt/acmez/v3":      {"control/certificate"},
		"github.com/nats-io":             {"link"},
		"github.com/gopacket/gopacket":   {"edge/trace"},
		"github.com/ebitengine/purego":   {"wire/codec"},
		"github.com/go-jose/go-jose/v4":  {"control/directory", "control/entra"}, // entra: signs what an application shows a directory elsewhere
		"github.com/coreos/go-oidc/v3":   {"front/arm", "control/directory", "sandbox/operatorconnect"},
		"github.com/go-webauthn":         {"control/directory"},
		"github.com/pquerna/otp":         {"control/directory"},
		"golang.org/x/crypto/argon2":     {"control/directory"},
		"cel.dev/cel-go":                 {"edge/rule"},
		"go.yaml.in/yaml/v3":             {"app", "control/gateway", "front/cli"},
		"github.com/spf13/cobra":         {"front/cli", "cmd/tandem", "lab"},
	}
	sources(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		room := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range file.Imports {
			target := strings.Trim(spec.Path.Value, `"`)
			for door, rooms := range doors {
				if (target == door || strings.HasPrefix(target, door+"/")) && !slices.Contains(rooms, room) {
					t.Errorf("%s imports %s: only %s may", path, target, strings.Join(rooms, ", "))
				}
			}
		}
	})
}

func TestNoPackageHasANameThatSaysNothing(t *testing.T) {
	empty := []string{"util", "utils", "helper", "helpers", "common", "types", "models", "manager", "service", "impl", "config"}
	sources(t, func(path string, file *ast.File) {
		if slices.Contains(empty, file.Name.Name) {
			t.Errorf("%s: package %s says nothing about what it holds", path, file.Name.Name)
		}
	})
}

func TestEveryFunctionNamedInTheArchitectureExists(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	sources(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				declared[file.Name.Name+"."+receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						declared[file.Name.Name+"."+ts.Name.Name] = true
					}
				}
			}
		}
	})
	// `call.Set.Handle`, `sip.Parse`: a package's lower-case name, then identifiers.
	named := regexp.MustCompile("`([a-z]+(?:\\.[A-Za-z]+){1,2})`")
	_, walks, ok := strings.Cut(string(text), "## Walks")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section \"Walks\"")
	}
	found := 0
	for _, m := range named.FindAllStringSubmatch(walks, -1) {
		if strings.HasSuffix(m[1], ".go") || strings.HasSuffix(m[1], ".md") || strings.HasSuffix(m[1], ".yaml") {
			continue
		}
		found++
		if !declared[m[1]] {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[1])
		}
	}
	if found < 20 {
		t.Errorf("only %d functions are named in the walks of ARCHITECTURE.md: they were not read", found)
	}
}

// receiver is "Set." for a method of Set or *Set, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

func TestEveryDivergenceNamesATestThatExists(t *testing.T) {
	text, err := os.ReadFile("DIVERGENCES.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	sources(t, func(path string, file *ast.File) {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && strings.HasSuffix(path, "_test.go") {
				tests[strings.TrimSuffix(file.Name.Name, "_test")+"."+d.Name.Name] = true
			}
		}
	})
	row := regexp.MustCompile(`^\| (\d+) \|`)
	named := regexp.MustCompile("`([a-z0-9]+\\.Test[A-Za-z0-9_]+)`")
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if seen[m[1]] {
			t.Errorf("DIVERGENCES.md has two entries %s", m[1])
		}
		seen[m[1]] = true
		found := named.FindAllStringSubmatch(line, -1)
		if len(found) == 0 && !strings.Contains(line, "| not tested: ") {
			t.Errorf("entry %s of DIVERGENCES.md names no test and does not say why", m[1])
		}
		for _, f := range found {
			if !tests[f[1]] {
				t.Errorf("entry %s of DIVERGENCES.md names %s, which does not exist", m[1], f[1])
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d entries of DIVERGENCES.md were read", len(seen))
	}
}
