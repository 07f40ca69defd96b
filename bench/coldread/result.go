package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kserver/cmd/kbench/process"
)

// durations are sorted.
type durations []time.Duration

// at is a quantile, 0 when there are none.
func (d durations) at(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// phase is what was measured in one.
type phase struct {
	took          time.Duration
	cpu           time.Duration // of the broker
	stolen        time.Duration // by the hypervisor, of all processors
	produce, tail durations
	read          []transfer // of the readers; none when quiet
}

// result is all rounds.
type result struct {
	quiet, loaded []phase
	disk          float64 // bytes per second of plain cold reads
	// of bare system calls; none without --floor
	floorQuiet, floorLoaded []phase
}

// pooled are the latencies of all rounds together.
func pooled(phases []phase, of func(*phase) durations) (all durations) {
	for i := range phases {
		all = append(all, of(&phases[i])...)
	}
	slices.Sort(all)
	return all
}

func produce(p *phase) durations { return p.produce }
func tailOf(p *phase) durations  { return p.tail }

// readRate is what the readers of one phase got together, in bytes per second.
func (p *phase) readRate() (sum float64) {
	for _, t := range p.read {
		sum += t.rate()
	}
	return sum
}

// rates of the rounds, sorted.
func (r *result) rates() (all []float64) {
	for i := range r.loaded {
		all = append(all, r.loaded[i].readRate())
	}
	slices.Sort(all)
	return all
}

// p99s are those of the phases, sorted. Their median leaves out what a machine does now and then on its own.
func p99s(phases []phase, of func(*phase) durations) (all durations) {
	for i := range phases {
		all = append(all, of(&phases[i]).at(0.99))
	}
	slices.Sort(all)
	return all
}

// ratio is loaded p99 over quiet p99, each the median of the rounds.
func (r *result) ratio(of func(*phase) durations) float64 { return ratio(r.quiet, r.loaded, of) }

func ratio(quiet, loaded []phase, of func(*phase) durations) float64 {
	return float64(p99s(loaded, of).at(0.5)) / float64(max(p99s(quiet, of).at(0.5), 1))
}

// verdict says what is not as it has to be.
func (o *options) verdict(r *result) error {
	var errs []error
	for _, k := range []struct {
		name string
		of   func(*phase) durations
	}{{"produce", produce}, {"tail", tailOf}} {
		if len(pooled(r.quiet, k.of)) == 0 || len(pooled(r.loaded, k.of)) == 0 {
			errs = append(errs, fmt.Errorf("%s: nothing was measured", k.name))
		} else if ratio := r.ratio(k.of); o.maxRatio > 0 && ratio > o.maxRatio {
			errs = append(errs, fmt.Errorf("%s: loaded p99 is %.2f times quiet p99, more than %.2f", k.name, ratio, o.maxRatio))
		}
	}
	if rates := r.rates(); rates[len(rates)/2] < float64(o.minBytes) {
		errs = append(errs, fmt.Errorf("the readers got %s/s, less than %s/s", size(rates[len(rates)/2]), size(float64(o.minBytes))))
	}
	return errors.Join(errs...)
}

func size(bytes float64) string { return humanize.Bytes(uint64(max(bytes, 0))) }

func ms(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d.Microseconds())/1e3) }

// write prints the table.
func (r *result) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight) // Flush reports what fails
	fmt.Fprintln(w, "ms\tphase\tp50\tp90\tp99\tp99.9\tmax\trequests\tbroker CPU\treaders\tstolen\t")
	row := func(name, phase string, d durations, cpu, readers, stolen string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t\n", name, phase, ms(d.at(0.5)), ms(d.at(0.9)), ms(d.at(0.99)), ms(d.at(0.999)), ms(d.at(1)), len(d), cpu, readers, stolen)
	}
	for i := range r.quiet {
		q, l := &r.quiet[i], &r.loaded[i]
		row("produce", "quiet", q.produce, share(q), "", q.stolenShare())
		row("tail", "quiet", q.tail, "", "", "")
		row("produce", "loaded", l.produce, share(l), size(l.readRate())+"/s", l.stolenShare())
		row("tail", "loaded", l.tail, "", "", "")
	}
	row("produce", "all quiet", pooled(r.quiet, produce), "", "", "")
	row("tail", "all quiet", pooled(r.quiet, tailOf), "", "", "")
	rates := r.rates()
	row("produce", "all loaded", pooled(r.loaded, produce), "", size(rates[len(rates)/2])+"/s", "")
	row("tail", "all loaded", pooled(r.loaded, tailOf), "", "", "")
	for i := range r.floorQuiet {
		q, l := &r.floorQuiet[i], &r.floorLoaded[i]
		row("floor", "quiet", q.produce, "", "", q.stolenShare())
		row("floor", "loaded", l.produce, "", size(l.readRate())+"/s", l.stolenShare())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.floorQuiet) > 0 {
		if _, err := fmt.Fprintf(out, "bare system calls, the same: %.2f\n", ratio(r.floorQuiet, r.floorLoaded, produce)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "loaded p99 over quiet p99, medians of the rounds: produce %.2f, tail %.2f; readers %s/s (%s to %s), plain cold reads %s/s\n",
		r.ratio(produce), r.ratio(tailOf), size(rates[len(rates)/2]), size(rates[0]), size(rates[len(rates)-1]), size(r.disk))
	return err
}

// stolenShare is the part of the phase in which the hypervisor let the processors do nothing. A percentile above it is the
// host's.
func (p *phase) stolenShare() string {
	return fmt.Sprintf("%.1f %%", process.StolenPercent(p.stolen, p.took))
}

// share of a processor that the broker took.
func share(p *phase) string { return fmt.Sprintf("%.0f %%", 100*p.cpu.Seconds()/p.took.Seconds()) }
