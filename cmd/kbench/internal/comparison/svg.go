package comparison

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Size and margins of a plot, in SVG units.
const (
	plotWidth, plotHeight = 460, 260
	marginLeft            = 58
	marginRight           = 14
	marginTop             = 30
	marginBottom          = 34
)

// colours tell systems apart, also for eyes that see no red or green (the palette of Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#666666"}

func colour(i int) string { return colours[i%len(colours)] }

// curve is one line of a plot. Points without a value are NaN and leave a gap.
type curve struct {
	colour    int
	y         []float64
	low, high []float64 // the range around y, or nil
}

// plot is a drawing of curves over common places on the x axis.
type plot struct {
	title  string
	xNames []string // names of the places; places without a name are not marked
	log    bool     // of the y axis
	curves []curve
}

// axis maps values to heights.
type axis struct {
	low, high float64 // ends of the axis; logarithms when log
	log       bool
	ticks     []float64
}

// newAxis returns an axis that holds all values: from 0 when linear, over whole decades when logarithmic. Values that
// are not finite, and those not above 0 on a logarithmic axis, do not count.
func newAxis(log bool, values ...[]float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, vs := range values {
		for _, v := range vs {
			if !math.IsNaN(v) && !math.IsInf(v, 0) && (!log || v > 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		low, high = 1, 1 // nothing to show
	}
	a := axis{log: log}
	if log {
		a.low, a.high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
		if a.low == a.high {
			a.high++
		}
		for e := a.low; e <= a.high; e++ {
			a.ticks = append(a.ticks, math.Pow(10, e))
		}
		return a
	}
	step := niceStep(high / 5)
	a.high = max(math.Ceil(high/step), 1) * step
	for i := 0; float64(i)*step <= a.high*1.0001; i++ {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// niceStep returns the first of 1, 2, 5, 10, 20, ... (and their tenths) that is not below v.
func niceStep(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= v*0.9999 {
			return m * unit
		}
	}
	return 10 * unit
}

// place returns where v is between the ends, 0 to 1; ok is false where it has no place.
func (a axis) place(v float64) (at float64, ok bool) {
	if math.IsNaN(v) || a.log && v <= 0 {
		return 0, false
	}
	if a.log {
		v = math.Log10(v)
	}
	return min(max((v-a.low)/(a.high-a.low), 0), 1), true
}

// svg draws the plot.
func (p *plot) svg() template.HTML {
	var all [][]float64
	places := len(p.xNames)
	for _, c := range p.curves {
		all = append(all, c.y, c.low, c.high)
		places = max(places, len(c.y))
	}
	a := newAxis(p.log, all...)
	d := drawing{}
	d.open(p.title, plotHeight)
	d.yAxis(a)
	x := func(i int) float64 {
		return marginLeft + (plotWidth-marginLeft-marginRight)*float64(i)/float64(max(places-1, 1))
	}
	for i, name := range p.xNames {
		if name != "" {
			d.text(x(i), plotHeight-marginBottom+16, "middle", name)
		}
	}
	for _, c := range p.curves {
		d.band(c, a, x)
	}
	for _, c := range p.curves {
		d.line(c, a, x)
	}
	return d.close()
}

// bar is one bar of a bar plot.
type bar struct {
	colour int
	name   string
	value  Spread
}

const barHeight = 26

// barsSVG draws bars from 0 with their values, and a mark from the lowest to the highest round.
func barsSVG(title string, bars []bar) template.HTML {
	var highest float64
	for _, b := range bars {
		highest = max(highest, b.value.Max)
	}
	if highest == 0 {
		highest = 1
	}
	const left, right = 130, 96
	d := drawing{}
	d.open(title, marginTop+barHeight*len(bars)+8)
	x := func(v float64) float64 { return left + (plotWidth-left-right)*v/highest }
	for i, b := range bars {
		y := float64(marginTop + barHeight*i)
		d.text(left-8, y+15, "end", b.name)
		if b.value.Rounds == 0 {
			d.text(left, y+15, "start", noValue)
			continue
		}
		d.printf(`<rect x="%s" y="%s" width="%s" height="18" fill="%s"/>`, coordinate(left), coordinate(y+2), coordinate(x(b.value.Median)-left), colour(b.colour))
		d.printf(`<path class="mark" d="M%s %sH%s"/>`, coordinate(x(b.value.Min)), coordinate(y+11), coordinate(x(b.value.Max)))
		d.text(x(b.value.Max)+6, y+15, "start", number(b.value.Median))
	}
	return d.close()
}

// drawing is SVG text under way.
type drawing struct{ b strings.Builder }

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

func (d *drawing) open(title string, height int) {
	d.printf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, height, html.EscapeString(title))
	d.printf(`<text class="title" x="4" y="16">%s</text>`, html.EscapeString(title))
}

func (d *drawing) close() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String()) // texts are escaped by text and open, the rest are numbers
}

func (d *drawing) text(x, y float64, anchor, s string) {
	d.printf(`<text x="%s" y="%s" text-anchor="%s">%s</text>`, coordinate(x), coordinate(y), anchor, html.EscapeString(s))
}

// height returns where a place of the y axis is.
func height(at float64) float64 {
	return plotHeight - marginBottom - (plotHeight-marginTop-marginBottom)*at
}

func (d *drawing) yAxis(a axis) {
	for _, t := range a.ticks {
		at, ok := a.place(t)
		if !ok {
			continue
		}
		d.printf(`<path class="grid" d="M%d %sH%d"/>`, marginLeft, coordinate(height(at)), plotWidth-marginRight)
		d.text(marginLeft-6, height(at)+4, "end", number(t))
	}
}

// line draws a curve with gaps where it has no value.
func (d *drawing) line(c curve, a axis, x func(int) float64) {
	var path strings.Builder
	pen := "M"
	for i, v := range c.y {
		at, ok := a.place(v)
		if !ok {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%s %s", pen, coordinate(x(i)), coordinate(height(at)))
		pen = "L"
	}
	if path.Len() > 0 {
		d.printf(`<path class="line" d="%s" stroke="%s"/>`, path.String(), colour(c.colour))
	}
}

// band fills the range around a curve, over the places that have one.
func (d *drawing) band(c curve, a axis, x func(int) float64) {
	var there, back []string
	for i := range min(len(c.low), len(c.high)) {
		low, ok := a.place(c.low[i])
		high, ok2 := a.place(c.high[i])
		if ok && ok2 {
			there = append(there, coordinate(x(i))+" "+coordinate(height(high)))
			back = append(back, coordinate(x(i))+" "+coordinate(height(low)))
		}
	}
	if len(there) < 2 {
		return
	}
	for i := len(back) - 1; i >= 0; i-- {
		there = append(there, back[i])
	}
	d.printf(`<path d="M%sZ" fill="%s" opacity="0.15"/>`, strings.Join(there, "L"), colour(c.colour))
}

// coordinate writes a tenth of a unit at most.
func coordinate(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}
