package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jmespath-community/go-jmespath"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// output is how a result is written: the forms of `az` (Azure CLI docs,
// "Output formats for Azure CLI commands").
type output struct {
	form  string
	query string
	mute  bool      // no progress, no advice
	loud  io.Writer // where requests are shown; nil: nowhere
}

var forms = []string{"json", "jsonc", "table", "tsv", "yaml", "yamlc", "none"}

// outputFlags adds -o and --query to a command and those below it.
func outputFlags(cmd *cobra.Command) *output {
	o := &output{}
	cmd.PersistentFlags().StringVarP(&o.form, "output", "o", "json", "output format: "+strings.Join(forms, ", "))
	cmd.PersistentFlags().StringVar(&o.query, "query", "", "JMESPath query over the result")
	cmd.PersistentFlags().BoolVar(&o.mute, "only-show-errors", false, "no progress and no advice")
	for _, word := range []string{"verbose", "debug"} { // az has both
		cmd.PersistentFlags().BoolFunc(word, "show each request and its answer's status", func(string) error {
			o.loud = cmd.ErrOrStderr()
			return nil
		})
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	return o
}

// notes is where progress and advice go.
func (o *output) notes(cmd *cobra.Command) io.Writer {
	if o.mute {
		return io.Discard
	}
	return cmd.ErrOrStderr()
}

// check refuses what could only fail after the work is done.
func (o *output) check() error {
	if !slices.Contains(forms, o.form) {
		return usagef("--output %q is unknown: write %s", o.form, strings.Join(forms, ", "))
	}
	if o.query != "" {
		if _, err := jmespath.Compile(o.query); err != nil {
			return usagef("--query: %v", err)
		}
	}
	return nil
}

// write writes a result: nil, or what JSON can say. Nothing is written for
// nil, as for the answer to a deletion.
func (o *output) write(w io.Writer, v any) error {
	if o.query != "" && v != nil {
		var err error
		if v, err = jmespath.Search(o.query, v); err != nil {
			return usagef("--query: %v", err)
		}
	}
	if v == nil {
		return nil
	}
	switch o.form {
	case "none":
		return nil
	case "table":
		return writeTable(w, v)
	case "tsv":
		return writeTSV(w, v)
	case "yaml", "yamlc":
		return writeYAML(w, v)
	}
	return writePretty(w, v)
}

// writePretty is JSON with its keys sorted, as `az` writes it. What came from
// elsewhere cannot write control characters: JSON escapes them.
func writePretty(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeYAML(w io.Writer, v any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(numbers(v)); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return e.Close()
}

// numbers turns what JSON calls a number into one that YAML writes as such.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // it was a number a moment ago
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = numbers(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			out[key] = numbers(x)
		}
		return out
	}
	return v
}

// writeTable shows what is simple of each item, a row each.
func writeTable(w io.Writer, v any) error {
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	var head []string
	for _, item := range items {
		for _, key := range columns(item) {
			if !slices.Contains(head, key) {
				head = append(head, key)
			}
		}
	}
	if len(head) == 0 {
		for _, item := range items {
			if _, err := fmt.Fprintln(w, plain(scalar(item))); err != nil {
				return err
			}
		}
		return nil
	}
	slices.SortStableFunc(head, func(a, b string) int { return rank(a) - rank(b) })
	titles := make([]string, len(head))
	for i, key := range head {
		titles[i] = strings.ToUpper(key[:1]) + key[1:]
	}
	var rows [][]cell
	for _, item := range items {
		object, _ := item.(map[string]any)
		row := make([]cell, len(head))
		for i, key := range head {
			row[i].text = plain(scalar(object[key]))
		}
		rows = append(rows, row)
	}
	l := lookOf(w)
	for l.width > 0 && len(titles) > 1 && tableWidth(titles, rows) > l.width { // what matters least stands last
		titles = titles[:len(titles)-1]
		for i := range rows {
			rows[i] = rows[i][:len(titles)]
		}
	}
	l.table(w, titles, rows)
	return nil
}

// columns are the keys of an item that a table shows. IDs and tags of versions
// are too wide and say nothing to people.
func columns(item any) (keys []string) {
	object, ok := item.(map[string]any)
	if !ok {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch object[key].(type) {
		case nil, []any, map[string]any:
			continue
		}
		if key != "id" && key != "type" && key != "etag" && key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// rank puts what people look for in front.
func rank(key string) int {
	if i := slices.Index([]string{"name", "resourceGroup", "location", "status", "provisioningState"}, key); i >= 0 {
		return i
	}
	return 99
}

// writeTSV writes values with tabs between them, an item a line. Lists within
// an item show their length, objects nothing, as in `az`.
func writeTSV(w io.Writer, v any) error {
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	for _, item := range items {
		if _, err := fmt.Fprintln(w, strings.Join(fields(item), "\t")); err != nil {
			return err
		}
	}
	return nil
}

func fields(item any) (out []string) {
	switch item := item.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(item)) {
			out = append(out, column(item[key]))
		}
	case []any:
		for _, x := range item {
			out = append(out, column(x))
		}
	default:
		out = []string{column(item)}
	}
	return out
}

func column(v any) string {
	switch v := v.(type) {
	case []any:
		return strconv.Itoa(len(v))
	case map[string]any:
		return ""
	}
	return plain(scalar(v))
}

// scalar is a single value as people write it.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
