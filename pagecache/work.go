package pagecache

// startLocked starts reading what is queued, as much as may be read at a time.
func (w *Warmer) startLocked(d *device) {
	for {
		j, ok := w.takeLocked(d)
		if !ok {
			return
		}
		w.running++
		go w.work(d, j)
	}
}

func (w *Warmer) takeLocked(d *device) (job, bool) {
	if d.commits.shared() {
		return d.take(w.cfg.InFlightBytes, jobPieces)
	}
	return d.take(w.cfg.AloneInFlightBytes, aloneJobPieces)
}

// work does a job, and then what is queued, until there is nothing more, or too much in flight.
func (w *Warmer) work(d *device, j job) {
	for ok := true; ok; {
		if took := d.commits.yield(); took > 0 {
			w.yields.Add(1)
			w.yielded.Add(int64(took))
		}
		loaded, err := w.load(&j)
		w.mu.Lock()
		wakes := w.doneLocked(d, &j, loaded, err)
		drop := w.takePassedLocked(d)
		j, ok = w.takeLocked(d)
		if ok {
			w.startLocked(d)
		}
		w.mu.Unlock()
		for _, wake := range wakes {
			wake()
		}
		w.drop(&drop)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked()
}

// endLocked notes that a goroutine ends.
func (w *Warmer) endLocked() {
	if w.running--; w.running == 0 {
		w.idle.Broadcast()
	}
}

// load reads the pieces of a job that are not there. loaded says of each whether it was read.
func (w *Warmer) load(j *job) (loaded [aloneJobPieces]bool, err error) {
	fd, err := j.file.Pin()
	if err != nil {
		return loaded, err
	}
	defer j.file.Unpin()
	missing := 0 // pieces before i that are to be read together
	for i := range len(j.pieces) + 1 {
		if i < len(j.pieces) {
			there, err := w.cfg.disk.resident(fd, j.pieces[i].key.offset(), pieceBytes)
			if loaded[i] = err != nil || !there; loaded[i] {
				missing++
				continue
			}
		}
		if missing > 0 {
			if err := w.cfg.disk.load(fd, j.pieces[i-missing].key.offset(), int64(missing)<<pieceShift); err != nil {
				return loaded, err
			}
		}
		missing = 0
	}
	return loaded, nil
}

// doneLocked settles the pieces of a job and returns who is to be woken.
func (w *Warmer) doneLocked(d *device, j *job, loaded [aloneJobPieces]bool, err error) (wakes []func()) {
	d.inFlight -= j.bytes()
	read := 0
	for i, p := range j.pieces {
		for _, wait := range p.waiters {
			if wait.left--; wait.left == 0 {
				wakes = append(wakes, wait.wake)
			}
		}
		clear(p.waiters)
		p.waiters = p.waiters[:0]
		if err != nil {
			w.pieces.remove(p)
			continue
		}
		w.pieces.settle(p, loaded[i])
		if loaded[i] {
			read++
		}
	}
	w.loadedBytes.Add(uint64(read) << pieceShift)
	switch {
	case err != nil:
		w.failures.Add(1)
	case read == 0: // what is ahead of the reader is cached
		j.stream.ahead /= 2
	}
	return wakes
}

// dropRun are consecutive pieces of a file to be dropped.
type dropRun struct {
	file  File
	first pieceKey
	n     int64
}

// takePassedLocked takes the oldest of the passed pieces that nobody needs and that lie one behind the other. They are
// unknown from now on.
func (w *Warmer) takePassedLocked(d *device) (run dropRun) {
	now := w.cfg.now()
	for tries := 0; tries < dropTries && run.n < dropAtOnce && d.passed.len() > passedLag; tries++ {
		next := d.passed.first()
		p := w.pieces.get(next.key)
		switch {
		case p == nil || p.state != piecePassed: // forgotten, or used again
			d.passed.pop()
			continue
		case w.streams.near(next.key, now):
			d.passed.pop()
			d.passed.push(next)
			continue
		case run.n == 0:
			run.file, run.first = next.file, next.key
		case next.key != pieceKey{run.first.file, run.first.index + run.n}:
			return run
		}
		d.passed.pop()
		w.pieces.remove(p)
		run.n++
	}
	return run
}

// dropIdleLocked has what is passed dropped on a device that reads nothing, whose workers would do it.
func (w *Warmer) dropIdleLocked(d *device) {
	if d.inFlight > 0 || d.dropping || d.passed.len() < passedLag+dropAtOnce {
		return
	}
	d.dropping = true
	w.running++
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for run := w.takePassedLocked(d); run.n > 0; run = w.takePassedLocked(d) {
			w.mu.Unlock()
			w.drop(&run)
			w.mu.Lock()
		}
		d.dropping = false
		w.endLocked()
	}()
}

// drop takes a run out of the page cache. It is a hint: what fails stays until the kernel needs the memory.
func (w *Warmer) drop(run *dropRun) {
	if run.n == 0 {
		return
	}
	fd, err := run.file.Pin()
	if err != nil {
		return // gone, and its pages with it
	}
	defer run.file.Unpin()
	if w.cfg.disk.drop(fd, run.first.offset(), run.n<<pieceShift) == nil {
		w.droppedBytes.Add(uint64(run.n << pieceShift))
	}
}

// Close lets what is queued finish and waits for it; afterwards every range is ready.
func (w *Warmer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.running > 0 {
		w.idle.Wait()
	}
}
