// Package scenario reads scenario files: what kbench compare does to every system, what it shows of the results, and
// what is expected of them. A file is text, one directive a line; blank lines and lines that begin with # mean nothing.
//
//	title TEXT                  one line about the scenario
//	about TEXT                  more about it; may be repeated
//	systems NAME...             whom it is for; the first is the one the others are set against
//	setup COMMAND...            once per system before the rounds
//	run NAME COMMAND...         one measured run of every round; several follow one another
//	evict                       before the next run, drop the system's files from the page cache
//	beside NAME COMMAND...      measured, too, at the same time as the run above it
//	show FIGURE[@RUN] [/ FIGURE[@RUN]]
//	                            one line of the result: a figure of a run, or what one figure is divided by another
//	headline TEXT               the line above it belongs into the summary of many scenarios, under this name
//	target SYSTEM[/SYSTEM] OP NUMBER
//	                            what the line above it should be: of one system, or of one divided by another;
//	                            OP is <=, <, >= or >
//
// COMMAND is a command of kbench with its flags (produce, consume, e2e), or one that a system has a program for. In it
// {round} stands for the number of the round, 0 for the one that warms up. Commands use the raw driver and a topic
// called like the scenario and the system (ping-pong-kafka) unless they say otherwise.
//
// Concurrency: a Scenario is not changed after Parse and may be read by many goroutines.
package scenario
