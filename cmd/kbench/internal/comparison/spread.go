package comparison

import "slices"

// Spread is a figure over the rounds; nothing was measured when Rounds is 0.
type Spread struct {
	Rounds int     `json:"rounds"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of values; zero when there is none. Of an even number the median is the mean of the
// middle two.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return Spread{Rounds: n, Min: s[0], Median: (s[(n-1)/2] + s[n/2]) / 2, Max: s[n-1]}
}

// byRound is a figure of one system: its value in each round that has one.
type byRound map[int]float64

func (b byRound) spread() Spread {
	var v []float64
	for _, x := range b {
		v = append(v, x)
	}
	return spreadOf(v)
}

// ratios divides round by round, over the rounds that both have. A figure that is 0 has no ratio.
func ratios(of, by byRound) byRound {
	out := make(byRound)
	for round, x := range of {
		if y := by[round]; x > 0 && y > 0 {
			out[round] = x / y
		}
	}
	return out
}
