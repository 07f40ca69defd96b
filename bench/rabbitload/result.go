package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// result has the fields of kbench's results that kbench compare shows.
type result struct {
	Command         string  `json:"command"`
	WarmUpSeconds   float64 `json:"warm_up_seconds"`
	MeasuredSeconds float64 `json:"measured_seconds"`
	Produce         flow    `json:"produce"`
	Broker          *cost   `json:"broker,omitempty"`
	Client          cost    `json:"client"`
}

type flow struct {
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"`
	RecordsPerSecond float64 `json:"records_per_second"`
	BytesPerSecond   float64 `json:"bytes_per_second"`
	Failed           int64   `json:"failed"`
	Latency          summary `json:"latency"`
	Series           series  `json:"series"`
}

// summary is a distribution of latencies.
type summary struct {
	Count int64 `json:"count"`
	Min   int64 `json:"min_ns"`
	Mean  int64 `json:"mean_ns"`
	P50   int64 `json:"p50_ns"`
	P90   int64 `json:"p90_ns"`
	P99   int64 `json:"p99_ns"`
	P999  int64 `json:"p999_ns"`
	P9999 int64 `json:"p9999_ns"`
	Max   int64 `json:"max_ns"`
}

type series struct {
	Interval time.Duration `json:"interval_ns"`
	Bytes    []int64       `json:"bytes"`
}

type cost struct {
	CPUSeconds    float64 `json:"cpu_seconds"`
	Cores         float64 `json:"cores"`
	CPUPerGB      float64 `json:"cpu_seconds_per_gb,omitempty"`
	CPUPerMillion float64 `json:"cpu_seconds_per_million_records,omitempty"`
	MaxRSSBytes   int64   `json:"max_rss_bytes,omitempty"`
}

func newResult(o *options, producers []*producer, u usage) *result {
	seconds := o.duration.Seconds()
	r := &result{Command: "produce", WarmUpSeconds: o.warmUp.Seconds(), MeasuredSeconds: seconds}
	f := &r.Produce
	latency := hdrhistogram.New(int64(time.Microsecond), int64(longestLatency), 2)
	for _, p := range producers {
		f.Records += p.records
		f.Failed += p.failed
		latency.Merge(p.latency)
	}
	f.Bytes = f.Records * int64(o.recordSize)
	f.RecordsPerSecond, f.BytesPerSecond = float64(f.Records)/seconds, float64(f.Bytes)/seconds
	f.Latency = summary{
		Count: latency.TotalCount(), Min: latency.Min(), Mean: int64(latency.Mean()), P50: latency.ValueAtQuantile(50), P90: latency.ValueAtQuantile(90),
		P99: latency.ValueAtQuantile(99), P999: latency.ValueAtQuantile(99.9), P9999: latency.ValueAtQuantile(99.99), Max: latency.Max(),
	}
	f.Series.Interval = courseInterval
	for i := range producers[0].course {
		f.Series.Bytes = append(f.Series.Bytes, producers[0].course[i].Load())
	}
	r.Client = cost{CPUSeconds: u.client.Seconds(), Cores: u.client.Seconds() / seconds}
	if o.brokerPID > 0 {
		r.Broker = &cost{CPUSeconds: u.broker.Seconds(), Cores: u.broker.Seconds() / seconds, MaxRSSBytes: u.maxRSS}
		if f.Records > 0 {
			r.Broker.CPUPerGB = u.broker.Seconds() / (float64(f.Bytes) / 1e9)
			r.Broker.CPUPerMillion = u.broker.Seconds() / (float64(f.Records) / 1e6)
		}
	}
	return r
}

// write prints a line and writes the JSON file. Messages that the broker refused are a failure.
func (r *result) write(out io.Writer, file string) error {
	if _, err := fmt.Fprintf(out, "%.0f messages/s, p50 %v, p99 %v\n", r.Produce.RecordsPerSecond,
		time.Duration(r.Produce.Latency.P50), time.Duration(r.Produce.Latency.P99)); err != nil {
		return err
	}
	if file != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if r.Produce.Failed > 0 {
		return fmt.Errorf("%d messages were refused", r.Produce.Failed)
	}
	return nil
}
