package uring

// Op is an operation code (enum io_uring_op).
type Op uint8

// Operations this package encodes.
const (
	OpNop         Op = 0
	OpFsync       Op = 3
	OpPollAdd     Op = 6
	OpAccept      Op = 13
	OpAsyncCancel Op = 14
	OpRead        Op = 22
	OpWrite       Op = 23
	OpFadvise     Op = 24
	OpSend        Op = 26
	OpRecv        Op = 27
)

// Flags of SQE.Flags (IOSQE_*).
const (
	SQEAsync        = 1 << 4 // always hand the operation to a worker thread
	SQEBufferSelect = 1 << 5 // take a buffer of group SQE.BufGroup
)

// Flags of CQE.Flags (IORING_CQE_F_*). The buffer of a receive is in the upper
// half, see CQE.Buffer.
const (
	CQEBuffer = 1 << 0 // a provided buffer was used
	CQEMore   = 1 << 1 // the operation goes on, more completions follow
)

// Flags that io_uring_setup(2) may be given (IORING_SETUP_*).
const (
	SetupCQSize       = 1 << 3
	SetupSubmitAll    = 1 << 7
	SetupCoopTaskrun  = 1 << 8
	SetupSingleIssuer = 1 << 12
	SetupDeferTaskrun = 1 << 13
)

const (
	recvMultishot = 1 << 1
	pollMultishot = 1 << 0
	fsyncDatasync = 1 << 0

	enterGetEvents      = 1 << 0
	enterExtArg         = 1 << 3
	enterRegisteredRing = 1 << 4

	registerProbe        = 8
	registerRingFDs      = 20
	unregisterRingFDs    = 21
	registerBufferRing   = 22
	unregisterBufferRing = 23

	offSQEs = 0x10000000 // mmap offset of the submission entries
)

// SQE is struct io_uring_sqe, with the names of the fields this package uses.
type SQE struct {
	Op       Op
	Flags    uint8
	IoPrio   uint16
	Fd       int32
	Off      uint64
	Addr     uint64
	Len      uint32
	OpFlags  uint32
	UserData uint64
	BufGroup uint16
	_        uint16 // personality
	_        int32  // splice_fd_in, file_index
	_        uint64 // addr3
	_        uint64
}

// CQE is struct io_uring_cqe. Res is a count or a negative errno.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// More reports that further completions of the same operation follow.
func (c CQE) More() bool { return c.Flags&CQEMore != 0 }

// Buffer is the provided buffer that holds the bytes; ok is false when none was
// used.
func (c CQE) Buffer() (id uint16, ok bool) {
	return uint16(c.Flags >> 16), c.Flags&CQEBuffer != 0
}

type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

type cqOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sq                                             sqOffsets
	cq                                             cqOffsets
}

// getEventsArg is struct io_uring_getevents_arg.
type getEventsArg struct {
	_  uint64 // signal mask
	_  uint32
	_  uint32 // min wait
	ts uint64
}

// bufferRingReg is struct io_uring_buf_reg.
type bufferRingReg struct {
	addr    uint64
	entries uint32
	group   uint16
	_       uint16
	_       [3]uint64
}

// bufferEntry is struct io_uring_buf. The tail of the ring lies over the last
// field of its first entry.
type bufferEntry struct {
	addr uint64
	len  uint32
	id   uint16
	_    uint16
}

// ringFDUpdate is struct io_uring_rsrc_update.
type ringFDUpdate struct {
	offset uint32
	_      uint32
	data   uint64
}

const probeOps = 256

// probe is struct io_uring_probe with room for every operation.
type probe struct {
	lastOp, opsLen uint8
	_              uint16
	_              [3]uint32
	ops            [probeOps]struct {
		op, _ uint8
		flags uint16
		_     uint32
	}
}

const probeSupported = 1 << 0
