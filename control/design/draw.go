package design

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/gateway"
)

// Colours of the picture: of what is well, unwise, wrong, and of the paper.
const (
	inkGood, inkWarn, inkBad   = "#1a7f37", "#b26a00", "#cf222e"
	inkText, inkQuiet, inkLine = "#1f2328", "#656d76", "#8c959f"
	paper, boxPaper            = "#ffffff", "#f6f8fa"
)

// Measures of the picture, in pixels.
const (
	width                    = 1000
	boxWidth, boxHeight      = 230, 110
	leftX, rightX            = 40, width - 40 - boxWidth
	top, gap                 = 110, 50
	listLine, charsOfDetails = 20, 120
)

// Draw makes an SVG picture of a design: sites on the left, service regions on
// the right, connections between them, below them the findings. What failed is
// red, what is unwise amber.
func Draw(d Design, g gateway.Gateway, found []Finding) string {
	p := picture{d: d, g: g, marks: map[string]Verdict{}}
	for _, f := range found {
		for _, about := range f.About {
			if rank(f.Verdict) > rank(p.marks[about]) {
				p.marks[about] = f.Verdict
			}
		}
	}
	rows := max(len(d.Sites), len(g.Properties.ServiceLocations), 1)
	floor := top + rows*(boxHeight+gap)
	lines := p.findings(found, floor+10)
	height := floor + 40 + listLine*lines

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="14" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>Network design of %s</title>\n", html.EscapeString(g.Name))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="%s"/>`+"\n", width, height, paper)
	p.text(40, 45, 24, inkText, "600", g.Name)
	p.text(40, 70, 14, inkQuiet, "400", fmt.Sprintf("%d sites, %d connections, %d service regions", len(d.Sites), len(d.Connections), len(g.Properties.ServiceLocations)))
	p.text(leftX, top-15, 13, inkQuiet, "600", "SITES")
	p.text(rightX, top-15, 13, inkQuiet, "600", "SERVICE REGIONS")
	p.crossConnects()
	p.connections()
	p.boxes()
	b.WriteString(p.out.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// picture is a drawing under way.
type picture struct {
	d     Design
	g     gateway.Gateway
	marks map[string]Verdict // by Finding.About
	out   strings.Builder
}

func ink(v Verdict, fine string) string {
	switch v {
	case Fail:
		return inkBad
	case Warning:
		return inkWarn
	}
	return fine
}

func (p *picture) text(x, y, size int, color, weight, s string) {
	fmt.Fprintf(&p.out, `<text x="%d" y="%d" font-size="%d" font-weight="%s" fill="%s">%s</text>`+"\n", x, y, size, weight, color, html.EscapeString(s))
}

// row is where the box of a site or region begins.
func row(i int) int { return top + i*(boxHeight+gap) }

func (p *picture) boxes() {
	for i, s := range p.d.Sites {
		p.box(leftX, row(i), "site "+s.Name, s.Name, []string{
			"first " + s.Region, "signalling " + brief(s.Signalling), "media " + brief(s.Media),
		})
	}
	for i, l := range p.g.Properties.ServiceLocations {
		lines := []string{"calls " + brief(l.PrimaryRegionProperties.OperatorAddresses)}
		if r := l.ACGAddressRanges; r != nil {
			lines = append(lines, "signalling "+brief(r.SignalingForOperator), "media "+brief(r.MediaForOperator))
		}
		p.box(rightX, row(i), "region "+l.Name, l.Name, lines)
	}
}

func (p *picture) box(x, y int, about, name string, lines []string) {
	edge := ink(p.marks[about], inkLine)
	fmt.Fprintf(&p.out, `<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s" stroke-width="2"/>`+"\n", x, y, boxWidth, boxHeight, boxPaper, edge)
	p.text(x+14, y+28, 17, ink(p.marks[about], inkText), "600", name)
	for i, line := range lines {
		p.text(x+14, y+52+i*20, 13, inkQuiet, "400", line)
	}
}

// brief is the first of a list, and how many more there are.
func brief(list []string) string {
	switch len(list) {
	case 0:
		return "none"
	case 1:
		return list[0]
	}
	return fmt.Sprintf("%s and %d more", list[0], len(list)-1)
}

// connections are lines; those between the same two lie beside each other.
func (p *picture) connections() {
	beside := map[string]int{}
	for _, c := range p.d.Connections {
		from := slices.IndexFunc(p.d.Sites, func(s Site) bool { return s.Name == c.Site })
		to := slices.Index(Regions(p.g), c.Region)
		if from < 0 || to < 0 {
			continue
		}
		n := beside[c.Site+"\x00"+c.Region]
		beside[c.Site+"\x00"+c.Region]++
		x1, y1 := leftX+boxWidth, row(from)+boxHeight/2+n*16-(from-to)*10
		x2, y2 := rightX, row(to)+boxHeight/2+n*16-(to-from)*10
		color := ink(p.marks["connection "+c.Name], inkGood)
		dash := map[string]string{VPN: ` stroke-dasharray="8 5"`, Internet: ` stroke-dasharray="3 5"`}[c.Type]
		fmt.Fprintf(&p.out, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/>`+"\n", x1, y1, x2, y2, color, dash)
		// A quarter of the way from its site, so that lines that cross do not
		// meet at their names.
		x, y := x1+(x2-x1)/4, y1+(y2-y1)/4-6
		label := c.Name + " · " + c.Type
		fmt.Fprintf(&p.out, `<text x="%d" y="%d" font-size="12" text-anchor="middle" fill="%s" paint-order="stroke" stroke="%s" stroke-width="4">%s</text>`+"\n",
			x, y, color, paper, html.EscapeString(label))
	}
}

// crossConnects join neighbouring boxes of sites; others are curves to the left.
func (p *picture) crossConnects() {
	for i, a := range p.d.Sites {
		for j := i + 1; j < len(p.d.Sites); j++ {
			b := p.d.Sites[j]
			mark := p.marks["cross-connect "+a.Name+" "+b.Name]
			if !crossed(a, b) && mark != Fail {
				continue
			}
			color, dash := ink(mark, inkGood), ""
			if mark == Fail {
				dash = ` stroke-dasharray="3 5"`
			}
			x, y1, y2 := leftX+40, row(i)+boxHeight, row(j)
			if j == i+1 {
				fmt.Fprintf(&p.out, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/>`+"\n", x, y1, x, y2, color, dash)
				p.text(x+8, (y1+y2)/2+4, 12, color, "400", map[bool]string{true: "cross-connect", false: "no cross-connect"}[mark != Fail])
				continue
			}
			fmt.Fprintf(&p.out, `<path d="M %d %d C %d %d %d %d %d %d" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n",
				leftX, row(i)+boxHeight/2, leftX-35, row(i)+boxHeight, leftX-35, row(j), leftX, row(j)+boxHeight/2, color, dash)
		}
	}
}

// findings lists what was found and gives the number of lines it took.
func (p *picture) findings(found []Finding, y int) (lines int) {
	for _, f := range found {
		mark, color := "✓", inkGood
		switch f.Verdict {
		case Fail:
			mark, color = "✗", inkBad
		case Warning:
			mark, color = "!", inkWarn
		case Unknown:
			mark, color = "?", inkQuiet
		}
		p.text(40, y+lines*listLine, 14, color, "600", mark)
		p.text(62, y+lines*listLine, 14, inkText, "400", f.Requirement)
		lines++
		for _, line := range broken(f.Detail, charsOfDetails) {
			p.text(62, y+lines*listLine, 13, ink(f.Verdict, inkQuiet), "400", line)
			lines++
		}
	}
	return lines
}

// broken cuts s at blanks into lines of at most n characters.
func broken(s string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > n {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
