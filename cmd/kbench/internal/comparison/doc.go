// Package comparison sets systems side by side: it runs a scenario on each of them in interleaved rounds, keeps what
// every run said, and makes tables and a report of it.
//
//	System    an endpoint, or a program that measures something else, with what it promises     (system.go)
//	Compare   runs a scenario: A B C, A B C, ...                                                (rounds.go)
//	Outcome   what came of it, raw; Results is many of them, a file                             (outcome.go)
//	Figure    a number of a run's result, found by its name                                     (figure.go)
//	Line      a figure of all systems, with spreads, ratios and verdicts                        (line.go, spread.go)
//	          the same as text, as Markdown and as a page with plots                            (table.go, page.go, svg.go)
//
// Each run is a process of its own, so that one leaves nothing behind for the next, and no two systems are ever under
// load at the same time. What a run says is kept as it is; figures are found in it only when they are shown, so
// another program than kbench can take part by writing a few of the same fields.
//
// Concurrency: values belong to one goroutine.
package comparison
